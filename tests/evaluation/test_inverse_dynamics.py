"""The reader learns to read, fast, and treats both directions alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.evaluation.toyworld import play
from worldmodel.evaluation.control import accuracy
from worldmodel.evaluation.inverse_dynamics import IGNORED, InverseDynamics, Windows, train_reader
from worldmodel.evaluation.labels import Track, commands, label
from worldmodel.evaluation.motion import (
    BLOCKS,
    FEATURES,
    GAP,
    PAIRS,
    SIZE,
    features,
    match,
    mirrored,
    shrink,
    soften,
)
from worldmodel.evaluation.scripts import MOVES, TURNS, held_actions


def windows(seed: int) -> Windows:
    script, _ = held_actions(np.random.default_rng(seed), hold=18, settle=4)
    clip = play(seed, script)
    return Windows(features(shrink(clip.frames)), *label(commands(script, []), Track.of(clip.meta["info"])))


def share_right(reader: InverseDynamics, clip: Windows) -> list[float]:
    answers = zip(reader.read(clip.features), (clip.turn, clip.move), strict=True)
    return [float((answer == right)[right != IGNORED].mean()) for answer, right in answers]


def scene(seed: int = 0) -> torch.Tensor:
    """A soft random picture without a mean, twice as wide and high as needed."""
    noise = torch.randn(1, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))
    picture = torch.nn.functional.interpolate(noise, 2 * SIZE, mode="bicubic")[0, 0]
    return picture - picture.mean()


def test_it_learns_worlds_that_it_has_not_seen() -> None:
    reader = train_reader(Windows.join([windows(seed) for seed in range(6)]), steps=150, seed=0)
    turn, move = share_right(reader, Windows.join([windows(seed) for seed in range(100, 103)]))
    assert turn > 0.95 and move > 0.95


def test_it_saves_and_loads(tmp_path: Path) -> None:
    clip = windows(0)
    reader = train_reader(clip, steps=2, seed=0)
    reader.save(tmp_path / "reader.safetensors")
    again = InverseDynamics.load(tmp_path / "reader.safetensors")
    for a, b in zip(reader.read(clip.features), again.read(clip.features), strict=True):
        assert (a == b).all()
    with pytest.raises(FileNotFoundError, match="leave out --reader"):
        InverseDynamics.load(tmp_path / "other.safetensors")


def test_the_same_seed_gives_the_same_reader_and_leaves_the_global_one() -> None:
    state = torch.get_rng_state()
    a, b, c = (train_reader(windows(0), steps=2, seed=seed).state_dict() for seed in (5, 5, 6))
    assert all(torch.equal(a[key], b[key]) for key in a) and not all(torch.equal(a[key], c[key]) for key in a)
    assert torch.equal(state, torch.get_rng_state())


def test_a_class_that_never_occurs_is_named() -> None:
    clip = windows(0)
    only_left = Windows(clip.features, np.where(clip.turn == 2, IGNORED, clip.turn), clip.move)
    with pytest.raises(ValueError, match="no window of turning 'right'"):
        train_reader(only_left, steps=1, seed=0)


def test_it_reads_mirrored_windows_mirrored() -> None:
    clip, reader = windows(1), InverseDynamics().eval()
    turn, move = reader.read(clip.features)
    other_turn, other_move = reader.read(mirrored(clip.features))
    assert (turn == 2 - other_turn).all() and (move == other_move).all()


@pytest.mark.parametrize(("sideways", "downwards"), [(5, 0), (-6, 2), (0, -4), (0, 0)])
def test_matching_finds_the_displacement(sideways: int, downwards: int) -> None:
    whole = scene()
    a = whole[16 : 16 + SIZE, 16 : 16 + SIZE]
    b = whole[16 - downwards : 16 - downwards + SIZE, 16 - sideways : 16 - sideways + SIZE]
    found = match(a[None], b[None], 6, 6)
    assert found.shape == (1, *FEATURES[1:])
    inner = found[0, :2, 1:-1, 1:-1].mean((1, 2))
    assert inner.tolist() == pytest.approx([sideways / 6, downwards / 6], abs=0.05)


def test_what_is_blank_is_not_trusted() -> None:
    a = scene()[:SIZE, :SIZE].clone()
    a[: SIZE // 2] = 0
    sure = match(a[None], a[None], 4, 4)[0, 2]
    assert sure[: BLOCKS // 2 - 1].max() < sure[BLOCKS // 2 + 1 :].min() - 0.1


def test_features_of_mirrored_pictures_are_mirrored() -> None:
    rng = np.random.default_rng(0)
    whole = scene()
    offsets = np.cumsum(rng.integers(-1, 2, (GAP + 3, 2)), axis=0) + 16
    clip = torch.stack([whole[y : y + SIZE, x : x + SIZE] for y, x in offsets])
    assert torch.allclose(features(clip.flip(-1)), mirrored(features(clip)), atol=1e-3)


def test_features_need_a_window() -> None:
    clip = torch.rand(GAP + 70, SIZE, SIZE)
    assert features(clip[:GAP]).shape == (0, *FEATURES)
    assert features(clip).shape == (70, *FEATURES) and FEATURES[0] == len(PAIRS)
    assert torch.allclose(features(clip)[67:], features(clip[67:]), atol=1e-4)  # parts join without a seam
    assert torch.allclose(features(clip, 3), features(clip)[::3], atol=1e-4)


def test_shrinking_keeps_brightness_at_any_size() -> None:
    for size in (16, 64, 128, 200):
        small = shrink(np.full((2, size, size, 3), 51, np.uint8))
        assert small.shape == (2, SIZE, SIZE) and torch.allclose(small, torch.tensor(0.2), atol=1e-4)


def test_softening_blurs_and_flickers() -> None:
    sharp = scene()[:SIZE, :SIZE].expand(4, -1, -1)
    soft = soften(sharp, torch.Generator().manual_seed(0))
    assert soft.diff(dim=-1).abs().mean() < 0.9 * sharp.diff(dim=-1).abs().mean()
    assert 0 < soft.diff(dim=0).abs().mean() < 0.02


def test_accuracy_weighs_classes_alike() -> None:
    confusion = np.array([[1, 1, 0], [0, 96, 0], [0, 0, 0]])
    figures = accuracy(confusion, TURNS)
    assert figures["accuracy"] == pytest.approx((0.5 + 1.0) / 2)
    assert figures["recall"] == {"left": 0.5, "none": 1.0, "right": None}
    assert figures["num_windows"] == 98
    assert accuracy(np.zeros((3, 3), np.int64), MOVES)["accuracy"] == 0.0
