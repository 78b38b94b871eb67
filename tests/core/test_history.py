"""Conditions that look back, in sessions and in windows: always as over the whole clip."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conditions import ConditionSet
from tests.tiny import tiny_config, tiny_frames
from worldmodel.data.clip_writer import ClipWriter
from worldmodel.data.clips import Clip, ClipSet
from worldmodel.data.latent_windows import LatentWindows
from worldmodel.data.latents import encode_clips
from worldmodel.data.windows import Starts
from worldmodel.streams import Streams
from worldmodel.world import WorldModel

CONDITIONS: dict[str, dict[str, Any]] = {
    "audio": {"features": 8, "num_mels": 8, "context_ms": 160},
    "listen": {"features": 8, "num_mels": 8, "context_ms": 160},
    "pose": {"features": 4, "num_tokens": 2},
    "text": {"features": 8, "num_tokens": 2, "max_length": 12, "num_layers": 1},
}
F = 3


@pytest.fixture(scope="module")
def world() -> WorldModel:
    torch.manual_seed(0)
    config = tiny_config(chunk_frames=F)
    config.conditions = CONDITIONS
    return WorldModel(config).eval()


def talk(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Values that come and go, one and another, from frame to frame."""
    rng = np.random.default_rng(seed)
    every = [
        {
            "audio": rng.uniform(-0.3, 0.3, 1280).astype(np.float32),
            "listen": rng.uniform(-0.3, 0.3, 1280).astype(np.float32),
            "pose": rng.uniform(0, 1, (10, 2)).astype(np.float32),
            "text": str(rng.choice(["calm", "glad"])),
        }
        for _ in range(count)
    ]
    return [{name: value for name, value in values.items() if rng.random() < 0.8} for values in every]


def streamed(world: WorldModel, streams: Streams, rows: list[list[dict[str, Any]]]) -> torch.Tensor:
    """[B, M, D] tokens of the next chunk."""
    return world.conditions(streams.prepare(rows), F)[:, 0]


@torch.no_grad()
def test_a_session_hears_its_first_conditions(world: WorldModel) -> None:
    values = talk(30)
    whole = world.conditions(world.conditions.prepare(values, F), F)[0]  # [10, M, D]
    session = world.session(0, tiny_frames(19), values[:18])  # longer than the window of 4 chunks
    for chunk in range(6, 10):
        tokens = streamed(world, session._streams, [values[chunk * F : chunk * F + F]])
        torch.testing.assert_close(tokens[0], whole[chunk], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_what_is_remembered_starts_before_the_window(world: WorldModel, monkeypatch: pytest.MonkeyPatch) -> None:
    values, seen = talk(18), []
    whole = world.conditions(world.conditions.prepare(values, F), F)[0]
    chunk = Streams.chunk
    monkeypatch.setattr(
        Streams, "chunk", lambda self, given, *rest, **more: seen.append(given) or chunk(self, given, *rest, **more)
    )
    world.session(0, tiny_frames(19), values)
    tokens = [world.conditions(given, F)[0, 0] for given in seen]
    assert len(tokens) == 4
    torch.testing.assert_close(torch.stack(tokens), whole[2:], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_every_row_has_a_past_of_its_own(world: WorldModel) -> None:
    one, other, third = talk(12), talk(12, seed=1), talk(12, seed=2)
    session = world.session(0, [tiny_frames(7)] * 2, [one[:6], other[:6]], num_streams=2, guidance=2.0)
    whole = [world.conditions(world.conditions.prepare(values, F), F)[0] for values in (one, other, third)]
    tokens = streamed(world, session._streams, [one[6:9], other[6:9]])  # [2 B, M, D]
    torch.testing.assert_close(tokens[0], whole[0][2], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(tokens[1], whole[1][2], atol=1e-5, rtol=1e-5)
    session.fork(0, 1)
    tokens = streamed(world, session._streams, [one[9:], one[9:]])
    torch.testing.assert_close(tokens[1], whole[0][3], atol=1e-5, rtol=1e-5)
    session.reset(1, tiny_frames(7), third[:6], seed=3)
    tokens = streamed(world, session._streams, [talk(3), third[6:9]])
    torch.testing.assert_close(tokens[1], whole[2][2], atol=1e-5, rtol=1e-5)


def test_a_refused_chunk_is_not_remembered(world: WorldModel) -> None:
    values = talk(9)
    session = world.session(0, tiny_frames(4), values[:3])
    past = session._streams.past
    with pytest.raises(ValueError, match="NaN"):
        session.step_chunk([values[3], {"audio": np.full(1280, np.nan, np.float32)}, {}])
    assert session._streams.past is past
    assert session.step_chunk(values[3:6]).shape == (F, 16, 16, 3)
    assert session._streams.past is not past and len(session._streams.past[0]) == world.conditions.history == 3


def test_a_world_that_does_not_look_back_keeps_no_past() -> None:
    conditions = ConditionSet({"keyboard": {}, "camera": {}}, 8)
    assert conditions.history == 0
    assert conditions.recall([], [{"keyboard": {"forward": 1}}] * 3) == []


def test_windows_hear_what_came_before_them(world: WorldModel, tmp_path: Path) -> None:
    values = [talk(14), talk(9, seed=1)]
    with ClipWriter(tmp_path / "clips" / "shard-000000.tar", world.conditions) as writer:
        for number, clip in enumerate(values):
            columns = {name: [value.get(name) for value in clip] for name in CONDITIONS}
            writer.write(Clip(f"{number}", tiny_frames(len(clip) + 1, number), columns, {"fps": 12.5}))
    encode_clips(world.autoencoder, ClipSet(tmp_path / "clips"), tmp_path / "latents", progress=False)
    windows = LatentWindows(tmp_path / "latents", world.conditions, frames=6, chunk_frames=F)
    starts = Starts([15, 10], 7)
    for index in range(len(windows)):
        clip, start = starts.find(index)
        start -= start % F  # captions come once a chunk
        prepared = windows[index].prepared
        whole = world.conditions.prepare(values[clip])
        for name in ("audio", "listen", "pose"):
            there = prepared[name].present[0]
            assert torch.equal(there, whole[name].present[0, start : start + 6])
            assert torch.equal(prepared[name].x[0][there], whole[name].x[0, start : start + 6][there])
    batch = windows.batch([0, 5])
    assert torch.isfinite(world.loss(batch.latents, batch.prepared)["loss"])


@torch.no_grad()
def test_a_checkpoint_hears_the_same(world: WorldModel, tmp_path: Path) -> None:
    values = talk(12)
    columns = {name: [value.get(name) for value in values[:3]] for name in CONDITIONS}
    world.save_pretrained(tmp_path / "checkpoint", starts=[Clip("start", tiny_frames(4), columns, {"fps": 12.5})])
    loaded = WorldModel.from_pretrained(tmp_path / "checkpoint")
    a, b = (model.conditions(model.conditions.prepare(values, F), F) for model in (world, loaded))
    assert torch.equal(a, b)
    again = loaded.starts()[0].actions()  # as they were, sound to 16 bits
    for one, other in zip(again, values[:3], strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_equal(one[name], world.conditions[name].validate(other[name]))
