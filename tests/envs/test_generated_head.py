"""worldmodel/Generated-v0 with a reference picture and chunks of several frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import envs  # noqa: F401
from tests.talking import SAMPLES, talking_world
from tests.tiny import tiny_frames, tiny_world
from worldmodel import WorldModel

ID = "worldmodel/Generated-v0"
CHUNK = 3


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints") / "head"
    talking_world(CHUNK).save_pretrained(folder)
    return folder


def actions(count: int, seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    words = ("calm", "happy", "sad")
    return [
        {"audio": rng.uniform(-1, 1, SAMPLES).astype(np.float32), "text": words[index // CHUNK % 3]}
        for index in range(count)
    ]


def test_chunks_are_gathered_and_come_later_by_a_chunk_less_one(checkpoint: Path) -> None:
    portrait, done = tiny_frames(1)[0], actions(3 * CHUNK)
    env = gymnasium.make(ID, checkpoint=checkpoint).unwrapped
    first, info = env.reset(seed=3, options={"reference": portrait})
    assert env.delay == CHUNK - 1 and info == {"start": None} and (first == portrait).all()
    seen = [env.step(action)[0] for action in [*done, *actions(CHUNK - 1, seed=9)]]
    assert all((frame == portrait).all() for frame in seen[: CHUNK - 1])  # nothing was imagined yet

    seeded = int(gymnasium.utils.seeding.np_random(3)[0].integers(2**31))
    session = WorldModel.from_pretrained(checkpoint).session(
        seed=seeded, first_frames=portrait[None], reference=portrait
    )
    whole = np.concatenate([session.step_chunk(done[at : at + CHUNK]) for at in range(0, len(done), CHUNK)])
    assert (np.stack(seen[CHUNK - 1 :]) == whole).all()


def test_a_reset_forgets_half_a_chunk_and_may_bring_another_portrait(checkpoint: Path) -> None:
    env = gymnasium.make(ID, checkpoint=checkpoint).unwrapped
    portraits, done = tiny_frames(2), actions(2 * CHUNK)

    def play(portrait: np.ndarray) -> np.ndarray:
        env.reset(seed=0, options={"reference": portrait})
        return np.stack([env.step(action)[0] for action in done])

    first = play(portraits[0])
    env.step(done[0])  # half a chunk
    other, again = play(portraits[1]), play(portraits[0])
    assert (first == again).all() and (first[CHUNK:] != other[CHUNK:]).any()


def test_the_portrait_is_looked_at_beyond_the_first_frame(checkpoint: Path) -> None:
    env, frames = gymnasium.make(ID, checkpoint=checkpoint).unwrapped, tiny_frames(3)

    def play(reference: np.ndarray) -> np.ndarray:
        env.reset(seed=0, options={"first_frames": frames[:1], "reference": reference})
        return np.stack([env.step(action)[0] for action in actions(2 * CHUNK)])

    assert (play(frames[1]) != play(frames[2]))[CHUNK:].any()


def test_it_is_a_gymnasium_environment(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    from worldmodel.data.clips import Clip

    columns: dict[str, Any] = {"text": ["calm"] * 2}
    talking_world(1).save_pretrained(tmp_path / "head", starts=[Clip("start", tiny_frames(3), columns, {"fps": 12.5})])
    env = gymnasium.make(ID, checkpoint=tmp_path / "head", render_mode="rgb_array").unwrapped
    assert env.delay == 0
    check_env(env)
    assert env.reset(seed=0)[1] == {"start": 0}  # the clip's first frame is then the portrait


def test_what_does_not_fit(checkpoint: Path, tmp_path: Path) -> None:
    env = gymnasium.make(ID, checkpoint=checkpoint).unwrapped
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step({})
    with pytest.raises(ValueError, match="reference"):
        env.reset(seed=0)  # no starting clips: a portrait is asked for
    with pytest.raises(ValueError, match="16x16"):
        env.reset(seed=0, options={"reference": tiny_frames(1)[0, :8]})
    env.reset(seed=0, options={"reference": tiny_frames(1)[0]})
    with pytest.raises(ValueError, match="audio"):
        env.step({"audio": np.zeros(5, np.float32)})  # at once, not when the chunk is whole
    tiny_world().save_pretrained(tmp_path / "plain")
    plain = gymnasium.make(ID, checkpoint=tmp_path / "plain").unwrapped
    with pytest.raises(ValueError, match="no reference picture"):
        plain.reset(seed=0, options={"reference": tiny_frames(1)[0]})
