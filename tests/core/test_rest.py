"""Streams at rest: more noise on their past and no guidance, the longer nothing is asked of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from conditions import ConditionSet
from tests.tiny import tiny_actions, tiny_frames, tiny_world
from worldmodel.embedding import NoiseConfig

STILL: dict[str, Any] = {"keyboard": {}, "camera": [0.0, 0.0]}
ASKING: dict[str, Any] = {"keyboard": {"forward": 1}, "camera": [0.0, 0.0]}


def play(script: list[dict[str, Any]], guidance: float = 1.0, **noise: Any) -> np.ndarray:
    """What a stream shows under a script, [T, H, W, 3]."""
    world = tiny_world()
    world.config.noise = NoiseConfig(max_sigma=0.9, **noise)
    session = world.session(0, tiny_frames(3), tiny_actions(2), guidance=guidance)
    return np.stack([session.step(action) for action in script])


@pytest.mark.parametrize("nothing", [{}, STILL])
def test_at_rest_a_stream_is_one_of_the_resting_bucket_without_guidance(nothing: dict[str, Any]) -> None:
    rested = play([nothing] * 6, guidance=3.0, stream_bucket=1, rest_bucket=15, rest_frames=1)
    expected = play([nothing] * 6, stream_bucket=15)
    assert np.abs(rested.astype(int) - expected).max() <= 1  # rounding: guidance runs a larger batch
    assert np.abs(play([nothing] * 6, stream_bucket=1).astype(int) - expected).max() > 1


def test_a_stream_that_is_asked_for_something_never_rests() -> None:
    resting = {"stream_bucket": 1, "rest_bucket": 15, "rest_frames": 1}
    assert np.array_equal(play([ASKING] * 6, 3.0, **resting), play([ASKING] * 6, 3.0, stream_bucket=1))
    looking = {"camera": [0.0, 0.5]}
    assert np.array_equal(play([looking] * 3, **resting), play([looking] * 3, stream_bucket=1))


def test_rest_comes_by_and_by_and_ends_at_once() -> None:
    script = [ASKING] + [STILL] * 5 + [ASKING] * 2
    slowly, quickly = (play(script, stream_bucket=1, rest_bucket=15, rest_frames=frames) for frames in (4, 1))
    plain = play(script, stream_bucket=1)
    assert np.array_equal(slowly[0], plain[0])
    for frame in range(1, 4):  # a quarter of the way at each
        assert not np.array_equal(slowly[frame], plain[frame]) and not np.array_equal(slowly[frame], quickly[frame])

    world = tiny_world()
    world.config.noise = NoiseConfig(max_sigma=0.9, stream_bucket=1, rest_bucket=15, rest_frames=4)
    session = world.session(0, tiny_frames(3), tiny_actions(2))
    for action, quiet in zip(script, [0, 1, 2, 3, 4, 5, 0, 0], strict=True):
        session.step(action)
        assert session._streams.quiet == [quiet]


def test_at_rest_only_one_frame_in_so_many_becomes_the_past() -> None:
    world = tiny_world()
    world.config.noise = NoiseConfig(max_sigma=0.9, stream_bucket=1, rest_frames=2, rest_every=3)
    session = world.session(0, tiny_frames(3), tiny_actions(2))
    streams, kept = session._streams, []
    for _ in range(9):
        chunks = int(streams.cache.num_chunks)
        session.step(STILL)
        kept.append(int(streams.cache.num_chunks) - chunks)
        assert bool(kept[-1]) == bool((streams.before == streams.latents).all())
    assert kept == [1, 1, 0, 0, 1, 0, 0, 1, 0]


def test_a_memory_of_rest_is_kept_whole() -> None:
    world = tiny_world()
    world.config.noise = NoiseConfig(max_sigma=0.9, stream_bucket=1, rest_frames=2, rest_every=3)
    session = world.session(0, tiny_frames(4), [STILL] * 3)
    assert int(session._streams.cache.num_chunks) == 3 and session._streams.quiet == [3]


def test_what_was_not_kept_leaves_no_trace() -> None:
    """Once asked again, a stream goes on as one that never imagined the frames between, given its noise."""
    world = tiny_world()
    world.config.noise = NoiseConfig(max_sigma=0.9, stream_bucket=1, rest_frames=2, rest_every=100)
    rested, other = (world.session(0, tiny_frames(3), tiny_actions(2)) for _ in range(2))
    for step in range(12):
        rested.step(STILL)
        if step < 2:  # the second begins the rest, and is kept
            other.step(STILL)
    other._streams.generators[0].set_state(rested._streams.generators[0].get_state())
    rested.step(ASKING)
    other.step(ASKING)
    assert torch.equal(rested.latents, other.latents)


def test_rows_rest_on_their_own_and_a_fork_takes_its_source_s_rest() -> None:
    world = tiny_world()
    world.config.noise = NoiseConfig(max_sigma=0.9, stream_bucket=1, rest_bucket=15, rest_frames=4)
    pair = world.session(0, [tiny_frames(3)] * 2, [tiny_actions(2)] * 2, num_streams=2, guidance=2.0)
    single = world.session(1, tiny_frames(3), tiny_actions(2), guidance=2.0)
    for step in range(6):
        frames = pair.step([STILL, ASKING if step % 2 else STILL])
        assert np.abs(frames[1].astype(int) - single.step(ASKING if step % 2 else STILL)).max() <= 1
    pair.fork(0, 1)
    for _ in range(3):
        one, other = pair.step([STILL, STILL])
        assert np.array_equal(one, other)


def test_what_asks_for_something() -> None:
    conditions = ConditionSet({"keyboard": {}, "camera": {}, "text": {}, "audio": {}}, 8)
    for nothing in ({}, STILL, {"keyboard": {"forward": 0}}, {"text": ""}, {"audio": None}):
        assert not conditions.asks(nothing), nothing
    for something in (ASKING, {"camera": [0.0, -1.0]}, {"text": "calm"}, {**STILL, "text": "calm"}):
        assert conditions.asks(something), something
    with pytest.raises(ValueError, match="forward"):
        conditions.asks({"keyboard": {"foward": 1}})


@pytest.mark.parametrize(
    ("field", "value"), [("rest_bucket", 20), ("rest_bucket", -1), ("rest_frames", 0), ("rest_every", 0)]
)
def test_a_rest_that_cannot_be_is_refused(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=field):
        NoiseConfig(**{field: value})


def test_key_points_that_are_not_known_ask_for_nothing() -> None:
    conditions = ConditionSet({"pose": {}}, 8)
    unknown = conditions["pose"].noop()
    assert np.isnan(unknown).all() and not conditions.asks({"pose": unknown})
    assert conditions.asks({"pose": np.nan_to_num(unknown, nan=0.5)})
