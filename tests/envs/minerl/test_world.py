"""Minecraft as a world: what is mapped how, seen, recorded and played, against the stand-in for MineRL."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from PIL import Image

import envs  # noqa: F401  registers the ids
import play
from conditions.keyboard import KEYS
from envs import record
from envs.errors import GameError
from envs.minerl.env import MineRL
from tests.envs.minerl.games import SIMPLE, WORLD, make
from worldmodel.data.clips import ClipSet


def test_check_env(made: list[MineRL], python: str) -> None:
    env = make(made, python, "MineRLHumanSurvival-v0", size=(64, 96))
    check_env(env, skip_render_check=False)
    assert env.failures == {}


@pytest.mark.parametrize(
    ("environment", "keys", "unmapped"),
    [
        ("MineRLTreechop-v0", SIMPLE, set()),
        ("MineRLNavigate-v0", SIMPLE, {"place"}),
        ("MineRLObtainDiamond-v0", SIMPLE, {"craft", "place", "equip"}),
        ("MineRLHumanSurvival-v0", list(KEYS), {"drop", "inventory", "ESC", "pickItem", "swapHands"}),
    ],
)
def test_every_key_reaches_the_game_by_its_name(
    made: list[MineRL], python: str, environment: str, keys: list[str], unmapped: set[str]
) -> None:
    env = make(made, python, environment)
    assert list(env.action_space["keyboard"].spaces) == keys and set(env.unmapped) == unmapped
    assert {condition.name for condition in record.env_conditions(env)} == {"keyboard", "camera"}
    env.reset(seed=0)
    nothing = {**dict.fromkeys([*keys, *unmapped], 0), "camera": [0.0, 0.0]}
    nothing |= {name: "none" for name in unmapped & {"craft", "place", "equip"}}
    for key in keys:
        heard = env.step({"keyboard": {key: 1}})[4]["heard"]
        assert heard == {**nothing, key: 1}
    assert env.step({"camera": [-3.5, 170.25]})[4]["heard"] == {**nothing, "camera": [-3.5, 170.25]}
    assert env.step({})[4]["heard"] == env.step({"keyboard": None, "camera": None})[4]["heard"] == nothing
    with pytest.raises(ValueError, match=r"action.keyboard has no entry 'fly'"):
        env.step({"keyboard": {"fly": 1}})
    with pytest.raises(ValueError, match="camera must lie within"):
        env.step({"camera": [0, 181]})


def test_a_noop_by_its_old_name(made: list[MineRL], python: str) -> None:
    env = make(made, python, "MineRLOldNoop-v0")
    env.reset()
    assert env.step({})[4]["heard"]["forward"] == 0


def test_what_the_game_tells(made: list[MineRL], python: str) -> None:
    env = make(made, python, "MineRLHumanSurvival-v0")
    frame, info = env.reset(seed=1)
    assert frame.shape == (360, 640, 3)
    np.testing.assert_array_equal(info["position"], [1.5, 64.0, -7.25])
    assert info["inventory"] == {"item_7": 3} and info["location_stats"]["biome_id"] == 0
    frame, reward, terminated, truncated, info = env.step({"camera": [2.0, -5.0]})
    assert (reward, terminated, truncated) == (0.5, False, False)
    assert (info["pitch"], info["yaw"], info["isGuiOpen"]) == (2.0, -5.0, False)
    env = make(made, python, "MineRLNavigate-v0")
    _, info = env.reset()
    assert info["compass"] == {"angle": 12.5} and info["inventory"] == {"dirt": 0, "log": 3}
    assert "position" not in info


def test_an_action_at_t_is_in_frame_t_plus_1(made: list[MineRL], python: str) -> None:
    env = make(made, python, "MineRLTreechop-v0")
    first, _ = env.reset(seed=5)
    assert (first[:32] == 0).all()
    pressed = [1, 0, 0, 1, 1, 0]
    shown = [int(env.step({"keyboard": {"forward": key}})[0][0, 0, 0] > 0) for key in pressed]
    assert shown == pressed


def test_frames_are_resized_by_area(made: list[MineRL], python: str) -> None:
    small, whole = (make(made, python, "MineRLTreechop-v0", size=size) for size in (16, None))
    few, _ = small.reset(seed=2)
    many, _ = whole.reset(seed=2)
    np.testing.assert_allclose(few, many.reshape(16, 4, 16, 4, 3).mean(axis=(1, 3)), atol=1.0)
    assert small.observation_space.contains(few)
    many, _, _, _, _ = whole.step({"keyboard": {"jump": 1}})
    assert (many[:32] == 64).all() and np.array_equal(whole.render(), many)
    assert np.asarray(Image.fromarray(many)).shape == (64, 64, 3)


def test_seeds(made: list[MineRL], python: str) -> None:
    env = make(made, python, "MineRLTreechop-v0")
    frames = [env.reset(seed=seed)[0] for seed in (3, 4, 3)]
    after = env.reset()[0]  # a seed of its own, that follows from the last one
    assert np.array_equal(frames[0], frames[2]) and not np.array_equal(frames[0], frames[1])
    env.reset(seed=3)
    assert np.array_equal(env.reset()[0], after) and not np.array_equal(after, frames[0])
    env = make(made, python, "MineRLUnseeded-v0")
    with pytest.warns(UserWarning, match="MineRLUnseeded-v0 takes no seed"):
        env.reset(seed=3)


def test_an_episode_ends(made: list[MineRL], python: str) -> None:
    for environment, steps, end in (("MineRLTreechop-v0", 20, (False, True)), ("MineRLNavigate-v0", 30, (True, False))):
        env = make(made, python, environment)
        env.reset(seed=0)
        ends = [env.step({})[2:4] for _ in range(steps)]
        assert ends[:-1] == [(False, False)] * (steps - 1) and ends[-1] == end
        with pytest.raises(GameError, match="call reset first"):
            env.step({})
        env.reset()
        env.step({})


# through the ordinary registration


def test_it_is_recorded(python: str, tmp_path: Path) -> None:
    kwargs = [f"python={python}", "environment=MineRLNavigate-v0", "size=32"]
    arguments = ["--world", WORLD, "--clips", "2", "--frames", "20", "--workers", "1", "--explorer", "random"]
    arguments += ["--out", str(tmp_path / "clips")]
    assert record.main([*arguments, "--world-kwargs", *kwargs]) == 0
    clips = ClipSet(tmp_path / "clips")
    assert len(clips) == 2 and clips.size(0) == (32, 32) and clips.meta(0)["fps"] == 20
    clip = clips[0]
    forward = np.array([action["keyboard"]["forward"] for action in clip.actions()])
    jump = np.array([action["keyboard"]["jump"] for action in clip.actions()])
    shown = clip.frames[1:, 2:12, 2:12].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(shown, 128 * forward + 64 * jump, atol=16)
    assert list(clip.actions()[0]["keyboard"]) == SIMPLE and 0 < forward.sum() < 19


def test_it_is_played(python: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "script").write_text("3 forward camera=0,5\n2\n")
    arguments = ["--world", WORLD, "--headless", "--json", "--script", str(tmp_path / "script")]
    assert play.main([*arguments, "--world-kwargs", f"python={python}", "environment=MineRLTreechop-v0"]) == 0
    assert json.loads(capfd.readouterr().out)["frames"] == 5
    assert play.main([*arguments, "--world-kwargs", f"python={python}", "environment=MineRLTrechop-v0"]) == 2
    assert "did you mean 'MineRLTreechop-v0'" in capfd.readouterr().err
