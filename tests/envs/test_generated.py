"""worldmodel/Generated-v0: a checkpoint behind Gymnasium's interface."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import envs  # noqa: F401
from tests.tiny import SIZE, tiny_actions, tiny_frames, tiny_world
from worldmodel import WorldModel
from worldmodel.data.clips import Clip

ID = "worldmodel/Generated-v0"
STARTS = 3


def start(index: int, frames: int = 5) -> Clip:
    actions = tiny_actions(frames - 1, seed=index)
    columns = {name: [action[name] for action in actions] for name in ("keyboard", "camera")}
    return Clip(f"start-{index}", tiny_frames(frames, seed=index), columns, {"fps": 20.0})


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    tiny_world().save_pretrained(folder, starts=[start(index) for index in range(STARTS)])
    return folder


@pytest.fixture
def env(checkpoint: Path) -> gymnasium.Env:
    return gymnasium.make(ID, checkpoint=checkpoint)


def play(env: gymnasium.Env, actions: list[dict[str, Any]]) -> np.ndarray:
    return np.stack([env.step(action)[0] for action in actions])


def test_it_is_a_gymnasium_environment(checkpoint: Path, recwarn: pytest.WarningsRecorder) -> None:
    check_env(gymnasium.make(ID, checkpoint=checkpoint, render_mode="rgb_array").unwrapped)
    told = [str(warning.message) for warning in recwarn]
    assert all("symmetric and normalized" in message for message in told), told  # degrees are neither


def test_its_spaces_and_pace_are_the_checkpoints(env: gymnasium.Env, checkpoint: Path) -> None:
    assert env.observation_space == gymnasium.spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)
    assert env.action_space == WorldModel.from_pretrained(checkpoint).conditions.spaces
    assert env.metadata["render_fps"] == 20


def test_the_seed_chooses_start_and_frames(env: gymnasium.Env) -> None:
    actions = tiny_actions(4)
    seen = set()
    for seed in range(12):
        _, info = env.reset(seed=seed)
        first = play(env, actions)
        seen.add(info["start"])
        _, again = env.reset(seed=seed)
        assert again == info
        assert (play(env, actions) == first).all()
    assert seen == set(range(STARTS))


def test_another_seed_is_another_dream_of_the_same_start(env: gymnasium.Env) -> None:
    actions = tiny_actions(4)
    dreams = []
    for seed in (1, 2):
        env.reset(seed=seed, options={"start": 0})
        dreams.append(play(env, actions))
    assert (dreams[0] != dreams[1]).any()


def test_it_starts_where_the_clip_ends(env: gymnasium.Env, checkpoint: Path) -> None:
    clips = WorldModel.from_pretrained(checkpoint).starts()
    for index in range(STARTS):
        frame, info = env.reset(seed=0, options={"start": index})
        assert info["start"] == index
        assert (frame == clips[index].frames[-1]).all()


def test_it_is_the_session(env: gymnasium.Env, checkpoint: Path) -> None:
    frames, first, actions = tiny_frames(6, seed=9), tiny_actions(5, seed=9), tiny_actions(5)
    frame, info = env.reset(seed=3, options={"first_frames": frames, "actions": first})
    assert (frame == frames[-1]).all() and info == {"start": None}
    got = play(env, actions)
    env.reset(seed=3, options={"first_frames": frames, "actions": first})
    noise_seed = int(np.random.Generator(np.random.PCG64(np.random.SeedSequence(3))).integers(2**31))
    world = WorldModel.from_pretrained(checkpoint)
    session = world.session(seed=noise_seed, first_frames=frames, first_conditions=first)
    assert (got == np.stack([session.step(action) for action in actions])).all()


def test_actions_steer(env: gymnasium.Env) -> None:
    ends = []
    for action in ({"keyboard": {"forward": 1}}, {"keyboard": {"back": 1}}, {}):
        env.reset(seed=0)
        ends.append(play(env, [action] * 3)[-1])
    assert (ends[0] != ends[1]).any() and (ends[0] != ends[2]).any()


def test_frames_given_without_actions(env: gymnasium.Env) -> None:
    env.reset(seed=0, options={"first_frames": tiny_frames(1)})
    assert play(env, tiny_actions(2)).shape == (2, SIZE, SIZE, 3)


def test_render_is_the_latest_frame(checkpoint: Path) -> None:
    env = gymnasium.make(ID, checkpoint=checkpoint, render_mode="rgb_array")
    frame, _ = env.reset(seed=0)
    assert (env.render() == frame).all()
    frame, *_ = env.step({"keyboard": {"jump": 1}})
    assert (env.render() == frame).all()


def test_a_frame_handed_out_is_the_callers_own(env: gymnasium.Env) -> None:
    frame, _ = env.reset(seed=0, options={"start": 1})
    frame[:] = 0
    again, _ = env.reset(seed=0, options={"start": 1})
    assert again.any()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"strat": 1}, "'strat', did you mean 'start'?"),
        ({"start": STARTS}, "0 … 2"),
        ({"start": -1}, "0 … 2"),
        ({"actions": []}, "give both"),
        ({"start": 0, "first_frames": tiny_frames(2)}, "give one"),
        ({"first_frames": tiny_frames(2), "actions": []}, "2 first frames"),
        ({"first_frames": tiny_frames(2).astype(np.float32)}, "uint8"),
        ({"first_frames": tiny_frames(2)[:, :8]}, "16"),
    ],
)
def test_options_that_do_not_fit(env: gymnasium.Env, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError) as caught:
        env.reset(seed=0, options=options)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "action", [{"keybord": {}}, {"keyboard": {"forwad": 1}}, {"camera": [0.0, float("nan")]}, {"camera": [0.0, 400.0]}]
)
def test_actions_outside_the_space(env: gymnasium.Env, action: dict[str, Any]) -> None:
    env.reset(seed=0)
    with pytest.raises(ValueError):
        env.step(action)


def test_a_step_before_the_first_reset(checkpoint: Path) -> None:
    env = gymnasium.make(ID, checkpoint=checkpoint).unwrapped
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step({})


def test_a_missing_checkpoint_names_the_nearest_and_what_to_do(checkpoint: Path) -> None:
    with pytest.raises(ValueError) as caught:
        gymnasium.make(ID, checkpoint=checkpoint.with_name("tinny"))
    assert str(checkpoint) in str(caught.value) and "make train" in str(caught.value)


def test_a_checkpoint_without_starts_says_how_to_start(tmp_path: Path) -> None:
    tiny_world().save_pretrained(tmp_path / "bare")
    env = gymnasium.make(ID, checkpoint=tmp_path / "bare")
    with pytest.raises(ValueError, match="first_frames"):
        env.reset(seed=0)
    env.reset(seed=0, options={"first_frames": tiny_frames(2)})


def test_a_render_mode_that_there_is_none_of(checkpoint: Path) -> None:
    from envs.generated import GeneratedWorld

    with pytest.raises(ValueError, match="human"):
        GeneratedWorld(checkpoint, render_mode="human")
