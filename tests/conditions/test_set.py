"""Condition sets: order, chunks, what is not present, and what may not depend on it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from conditions import Column, Condition, ConditionSet, Prepared, collate, get, names, register, registry, space

ACTIONS = [{"keyboard": {"forward": 1}, "camera": [0.0, 5.0]}, {"camera": [1.0, 0.0]}, {"keyboard": {"jump": 1}}, {}]


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Brings a condition of strings, one a chunk, three tokens each: the base class must serve it as it is."""
    for name in names():  # what is imported now registers once and for all
        get(name)
    monkeypatch.setattr(registry, "_classes", {name: cls for name, cls in registry._classes.items() if name != "text"})

    @register("text")
    class Words(Condition):
        rate = "chunk"
        extension = "txt"

        @dataclass
        class Config:
            length: int = 8

        def __init__(self, config: Any, width: int) -> None:
            super().__init__(config, width, features=4, num_tokens=3)

        @classmethod
        def make_space(cls, config: Any) -> spaces.Space:
            return spaces.Text(config.length, min_length=0)

        def prepare(self, values: np.ndarray | Sequence[Any]) -> Tensor:
            return torch.tensor([len(value) for value in self.column(values)], dtype=torch.float32)

        def forward(self, x: Tensor) -> Tensor:
            return x[..., None, None].expand(*x.shape, 3, 4)

    yield


@pytest.fixture
def conditions() -> ConditionSet:
    torch.manual_seed(0)
    return ConditionSet({"camera": None, "keyboard": {}}, 16)


def test_canonical_order_and_spaces(conditions: ConditionSet) -> None:
    assert conditions.names == ["keyboard", "camera"]
    assert list(conditions.spaces.spaces) == ["keyboard", "camera"]
    assert conditions.spaces["keyboard"] == space("keyboard")
    sample = conditions.spaces.sample()
    assert conditions.prepare([sample])["camera"].present.all()


def test_prepare_says_what_is_present(conditions: ConditionSet) -> None:
    prepared = conditions.prepare(ACTIONS)
    assert prepared["keyboard"].present.tolist() == [[True, False, True, False]]
    assert prepared["camera"].present.tolist() == [[True, True, False, False]]
    assert prepared["camera"].x.tolist() == [[[0, 5], [1, 0], [0, 0], [0, 0]]]
    assert prepared["keyboard"].x[0, 2].nonzero().flatten().tolist() == [4]


def test_none_is_absent_and_an_empty_dict_of_keys_is_not(conditions: ConditionSet) -> None:
    prepared = conditions.prepare([{"keyboard": None, "camera": None}, {"keyboard": {}}])
    assert prepared["keyboard"].present.tolist() == [[False, True]]


def test_columns_equal_frames(conditions: ConditionSet) -> None:
    rng = np.random.default_rng(0)
    camera = rng.normal(size=(4, 2)).astype(np.float32)
    present = np.array([True, False, True, True])
    frames = [{"camera": camera[t]} if present[t] else {} for t in range(4)]
    one = conditions.prepare(frames)
    other = conditions.prepare_columns({"camera": Column(camera, present)}, 4)
    for name in conditions.names:
        assert torch.equal(one[name].x, other[name].x) and torch.equal(one[name].present, other[name].present)


@pytest.mark.parametrize("chunk_frames", [1, 2, 4])
def test_tokens_of_a_chunk(conditions: ConditionSet, chunk_frames: int) -> None:
    tokens = conditions(conditions.prepare(ACTIONS), chunk_frames)
    assert tokens.shape == (1, 4 // chunk_frames, conditions.tokens_per_chunk(chunk_frames), 16)
    every = conditions(conditions.prepare(ACTIONS), 1)  # [1, 4, 2, 16]
    for frame in range(4):
        chunk, within = divmod(frame, chunk_frames)
        assert torch.equal(tokens[0, chunk, within], every[0, frame, 0])  # keyboard first
        assert torch.equal(tokens[0, chunk, chunk_frames + within], every[0, frame, 1])


def test_chunk_rate_takes_the_first_value_present(words: None) -> None:
    conditions = ConditionSet({"keyboard": {}, "text": {"length": 5}}, 16)
    assert conditions.names == ["text", "keyboard"]
    assert conditions.tokens_per_chunk(2) == 3 + 2
    frames = [{"text": "abc"}, {"text": "a"}, {}, {"text": "abcde"}, {"keyboard": {}}, {}]
    prepared = conditions.prepare(frames, chunk_frames=2)
    assert prepared["text"].x.tolist() == [[3, 5, 0]]
    assert prepared["text"].present.tolist() == [[True, True, False]]
    assert conditions(prepared, 2).shape == (1, 3, 5, 16)
    blank = conditions.blank(2, 6, 2)
    assert conditions(blank, 2).shape == (2, 3, 5, 16)
    packed = Column(np.array(["abc", "a", "", "abcde", "", ""]), np.array([True, True, False, True, False, False]))
    assert torch.equal(conditions.prepare_columns({"text": packed}, 6, 2)["text"].x, prepared["text"].x)


def test_missing_dropped_and_null_are_one(conditions: ConditionSet) -> None:
    null = conditions(conditions.blank(1, 4), 1)
    prepared = conditions.prepare([{**ACTIONS[0]}] * 4)
    dropped = {name: Prepared(x, torch.zeros_like(present)) for name, (x, present) in prepared.items()}
    missing = conditions(conditions.prepare([{}] * 4), 1)
    assert torch.equal(null, missing) and torch.equal(null, conditions(dropped, 1))
    assert not torch.equal(null, conditions(prepared, 1))
    assert torch.equal(null[0, 0, 0], conditions["keyboard"].placeholder[0])


def test_no_gradient_from_what_is_absent(conditions: ConditionSet) -> None:
    x = torch.randn(1, 4, 2, requires_grad=True)
    present = torch.tensor([[True, False, True, False]])
    conditions["camera"].embed(x, present).square().sum().backward()
    assert x.grad is not None
    moved = x.grad.abs().sum(-1)[0] > 0
    assert moved.tolist() == present[0].tolist()


def test_values_reach_their_own_token_only(conditions: ConditionSet) -> None:
    one, other = conditions.prepare(ACTIONS), conditions.prepare(ACTIONS)
    other["camera"].x[0, 1, 1] = 7.0
    changed = (conditions(one, 2) - conditions(other, 2)).abs().sum(-1) > 0  # [1, 2, 4]
    assert changed.nonzero().tolist() == [[0, 0, 3]]


def test_camera_tells_small_and_large_turns_apart() -> None:
    camera = ConditionSet({"camera": {}}, 8)["camera"]
    degrees = torch.linspace(-30, 30, 241)
    features = camera(torch.stack([torch.zeros(241), degrees], -1)[None])[0, :, 0]
    gaps = torch.cdist(features, features) + torch.eye(241) * 9
    assert gaps.min() > 0.1  # a quarter of a degree is seen anywhere in the range
    assert features.abs().max() <= 1.0


def test_batch_rows_are_independent(conditions: ConditionSet) -> None:
    rows = [conditions.prepare(ACTIONS), conditions.prepare(ACTIONS[::-1]), conditions.blank(1, 4)]
    together = conditions(collate(rows), 2)
    for row, alone in enumerate(rows):
        torch.testing.assert_close(together[row : row + 1], conditions(alone, 2))


def test_half_precision(conditions: ConditionSet) -> None:
    prepared = conditions.prepare(ACTIONS)
    assert conditions.to(torch.bfloat16)(prepared, 1).dtype == torch.bfloat16


def _bad(conditions: ConditionSet, frames: list[Mapping[str, Any]]) -> None:
    conditions.prepare(frames)


@pytest.mark.parametrize(
    ("frames", "words_of_error"),
    [
        ([{"keyboad": {}}], "no condition 'keyboad', did you mean 'keyboard'"),
        ([{"keyboard": {"jmp": 1}}], "'jmp', did you mean 'jump'"),
        ([{}, {"camera": [0, float("nan")]}], "NaN"),
        (["forward"], "conditions must be a dict of keyboard, camera, got str"),
    ],
)
def test_bad_frames_are_named(conditions: ConditionSet, frames: list, words_of_error: str) -> None:
    with pytest.raises(ValueError, match=words_of_error):
        _bad(conditions, frames)


def test_wrong_shapes_are_named(conditions: ConditionSet) -> None:
    prepared = conditions.prepare(ACTIONS)
    with pytest.raises(ValueError, match="whole chunks of 3"):
        conditions(prepared, 3)
    with pytest.raises(ValueError, match="whole chunks of 3"):
        conditions.prepare(ACTIONS, chunk_frames=3)
    with pytest.raises(ValueError, match="lacks 'camera'"):
        conditions({"keyboard": prepared["keyboard"]}, 1)
    with pytest.raises(ValueError, match="present must be bool"):
        conditions["camera"].embed(torch.zeros(1, 4, 2), torch.ones(1, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="camera must have 4 values, got 3"):
        conditions.prepare_columns({"camera": Column(np.zeros((3, 2)), np.ones(3, bool))}, 4)


def test_bad_configs_are_named() -> None:
    with pytest.raises(ValueError, match="'keybord', did you mean 'keyboard'"):
        ConditionSet({"keybord": {}}, 8)
    with pytest.raises(ValueError, match="camera' has no field 'scal', did you mean 'scale'"):
        ConditionSet({"camera": {"scal": 1}}, 8)
    with pytest.raises(ValueError, match="camera.scale must be above 0"):
        ConditionSet({"camera": {"scale": 0}}, 8)
    with pytest.raises(ValueError, match="keyboard.keys must be different"):
        ConditionSet({"keyboard": {"keys": ["a", "a"]}}, 8)
    with pytest.raises(ValueError, match="at least one|must have a condition"):
        ConditionSet({}, 8)


def test_forward_of_a_wrong_shape_is_named() -> None:
    class Wrong(Condition):
        name = "wrong"

        def __init__(self) -> None:
            super().__init__(self.Config(), 8, features=2)

        @classmethod
        def make_space(cls, config: Any) -> spaces.Space:
            return spaces.Discrete(2)

        def forward(self, x: Tensor) -> Tensor:
            return x.float().unsqueeze(-1)  # the token axis is forgotten

    with pytest.raises(ValueError, match=r"Wrong.forward must return \[B, T, num_tokens, features\] = \(1, 3, 1, 2\)"):
        Wrong().embed(torch.zeros(1, 3), torch.ones(1, 3, dtype=torch.bool))


def test_the_tokens_that_tell_of_a_frame() -> None:
    """By what a token depends on: the values of one frame and no other's, and what is said once of the whole chunk."""
    conditions = ConditionSet({"text": {"num_tokens": 4}, "keyboard": {}, "camera": {}}, 8).eval()
    places = conditions.frame_places(3)

    def tokens(values: list[dict[str, Any]]) -> Tensor:
        return conditions(conditions.prepare(values, 3), 3)[0, 0]

    def differ(values: list[dict[str, Any]]) -> list[int]:
        return (tokens(values) != tokens(still)).any(-1).nonzero()[:, 0].tolist()

    still = [{"keyboard": {}, "camera": [0.0, 0.0], "text": "calm"}] * 3
    said = differ([{**frame, "text": "wild"} for frame in still])
    assert len(said) == 4
    for frame, own in enumerate(places):
        moved = list(still)
        moved[frame] = {"keyboard": {"jump": 1}, "camera": [3.0, 0.0], "text": "calm"}
        assert len(differ(moved)) == 2 and sorted(own) == sorted(said + differ(moved))
    nothing = conditions.tokens_per_chunk(3)
    ahead = conditions.frame_places(3, ahead=1)
    for frame, told in enumerate(ahead):
        after = [token for token in places[frame + 1] if token not in said] if frame < 2 else [nothing] * 2
        assert told == places[frame] + after, "what is said once of the chunk is not told twice"
