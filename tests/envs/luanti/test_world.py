"""The real game as a world, played: where `make luanti` installed it."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import envs  # noqa: F401  registers the ids
import play
from conditions.keyboard import KEYS
from envs import record
from envs.errors import GameError
from envs.luanti.env import Luanti
from envs.luanti.game import find_program
from envs.luanti.settings import DEGREES_PER_PIXEL
from tests.envs.luanti.games import WORLD, folders
from tests.envs.processes import alive
from worldmodel.data.clips import ClipSet
from worldmodel.data.video import decode_video


def _missing() -> str:
    try:
        find_program("minetest")
        import Xlib  # noqa: F401
    except (GameError, ImportError) as error:
        return str(error)
    programs = [program for program in ("Xvfb", "cc") if shutil.which(program) is None]
    return f"not installed: {' '.join(programs)}" if programs else ""


MISSING = _missing()
game = pytest.mark.skipif(bool(MISSING), reason=f"{MISSING} (make luanti)")
slow = pytest.mark.timeout(1500)  # a real game, drawn by the processor of a machine that may be busy
SMALL = {"size": 64, "viewing_range": 30, "patience_s": 300.0}


def changed(frame: np.ndarray, other: np.ndarray) -> float:
    """Share of pixels that differ clearly: land that comes into view a little late is little of the picture."""
    return float((np.abs(frame.astype(int) - other).max(axis=-1) > 16).mean())


@pytest.fixture(scope="module")
def world() -> Iterator[Luanti]:
    env = gymnasium.make(WORLD, **SMALL).unwrapped
    assert isinstance(env, Luanti)
    yield env
    env.close()


@game
@slow
def test_check_env(world: Luanti) -> None:
    check_env(world, skip_render_check=False)
    assert world.failures == {}


@game
@slow
def test_a_seed_is_a_place_and_what_was_done_there_is_undone(world: Luanti) -> None:
    first, at_first = world.reset(seed=3)
    other, elsewhere = world.reset(seed=4)
    assert changed(first, other) > 0.5
    assert np.abs(elsewhere["position"] - at_first["position"]).max() > 2
    world.reset(seed=3, options={"pitch": 50.0})
    for key, count in (("attack", "num_dug"), ("use", "num_placed")):
        for _ in range(40):
            _, _, _, _, info = world.step({"keyboard": {key: 1}})
            if info[count]:
                break
        (event,) = info["events"]
        assert info[count] == 1 and event["kind"] == {"attack": "dig", "use": "place"}[key]
        assert np.abs(np.array(event["position"]) + 0.5 - info["position"]).max() < 6 and ":" in event["block"]
        for _ in range(3):
            world.step({})
    again, at_again = world.reset(seed=3)
    np.testing.assert_allclose(at_again["position"], at_first["position"], atol=0.02)
    assert at_again["yaw"] == pytest.approx(at_first["yaw"], abs=0.01)
    assert changed(first, again) < 0.05


@game
@slow
def test_an_action_at_t_shows_in_frame_t_plus_1(world: Luanti) -> None:
    """Turning moves the picture in the frame of that step: not one before, and not one later."""
    still, _ = world.reset(seed=3)
    turns = np.array([0, 0, 4.5, 0, 0, -4.5, 0, 9, -9, 0, 0, 4.5, 4.5, 0, -9, 0, 0])
    frames, yaws = [still], []
    for turn in turns:
        frame, _, _, _, info = world.step({"camera": [0.0, turn]})
        frames.append(frame)
        yaws.append(info["yaw"])
    change = np.abs(np.diff(np.array(frames, int), axis=0)).mean(axis=(1, 2, 3))  # change[t]: from frame t to t + 1
    moved = change > 1.0
    np.testing.assert_array_equal(moved, turns != 0)
    for shift in (-1, 1):
        assert (moved != (np.roll(turns, shift) != 0)).any()
    steps = np.diff([yaws[0], *yaws])
    np.testing.assert_allclose((steps + 180) % 360 - 180, [0.0, *turns[1:]], atol=0.08)


@game
@slow
def test_right_is_right_and_down_is_down(world: Luanti) -> None:
    """The picture goes the other way than the view."""
    frame, _ = world.reset(seed=3)
    pixels = 2 * np.tan(np.radians(35.0)) / 64  # tangent of a pixel in the middle
    for camera, axis in (([0.0, 5.1], 1), ([5.1, 0.0], 0)):
        turned, _, _, _, _ = world.step({"camera": camera})
        expected = round(np.tan(np.radians(5.1)) / pixels)
        middle = turned[16:48, 16:48].astype(int)
        errors = {
            shift: np.abs(np.roll(frame.astype(int), -shift, axis)[16:48, 16:48] - middle).mean()
            for shift in range(-10, 11)
        }
        assert abs(min(errors, key=errors.__getitem__) - expected) <= 1
        frame = turned


@game
@slow
def test_keys_move_the_player_in_their_step(world: Luanti) -> None:
    _, info = world.reset(seed=3, options={"yaw": 0.0})
    start = info["position"]
    _, _, _, _, info = world.step({"keyboard": {"forward": 1}})
    first = info["position"] - start
    assert first[2] > 0.005 and abs(first[0]) < 1e-3  # yaw 0 looks to +z
    for _ in range(3):
        _, _, _, _, info = world.step({"keyboard": {"forward": 1}})
    before = info["position"]
    for _ in range(10):
        _, _, _, _, info = world.step({})
    stop = info["position"]
    assert np.abs(stop - before).max() < 0.5
    heights = [world.step({"keyboard": {"jump": 1}})[4]["position"][1] for _ in range(6)]
    assert heights[0] > stop[1] and heights[3] - stop[1] > 0.5


@game
@slow
def test_camera_is_exact_however_wide_the_turn(world: Luanti) -> None:
    _, info = world.reset(seed=3, options={"yaw": 10.0, "pitch": 0.0})
    total = 0.0
    for turn in (0.04, 0.04, 0.04, 0.04, 100.0, -180.0, 3.33):
        _, _, _, _, info = world.step({"camera": [0.0, turn]})
        total += turn
        assert abs((info["yaw"] - 10.0 - total + 180) % 360 - 180) <= DEGREES_PER_PIXEL / 2 + 1e-6
    _, _, _, _, info = world.step({"camera": [150.0, 0.0]})
    assert info["pitch"] == 89.5
    world.step({})  # in which the game says how it looked: an error, if not so


@game
@slow
def test_refuses(world: Luanti) -> None:
    with pytest.raises(ValueError, match="unknown reset option 'yau'.*yaw"):
        world.reset(options={"yau": 1})
    with pytest.raises(ValueError, match="position must be finite"):
        world.reset(options={"position": [0, np.nan, 0]})
    _, info = world.reset(seed=3)
    with pytest.raises(ValueError, match="is inside blocks"):
        world.reset(options={"position": info["position"] - [0, 2, 0]})
    _, again = world.reset(options={"position": info["position"], "yaw": 90.0, "pitch": -20.0})
    np.testing.assert_allclose(again["position"], info["position"], atol=0.02)
    assert (again["yaw"], again["pitch"]) == pytest.approx((90.0, -20.0), abs=0.01)
    with pytest.raises(ValueError, match="pitch must be"):
        world.reset(options={"pitch": 100})
    with pytest.raises(ValueError):
        world.step({"keyboard": {"fly": 1}})


@game
@slow
def test_a_killed_game_is_named_and_the_next_reset_starts_another(world: Luanti) -> None:
    first, _ = world.reset(seed=3)
    assert world._game is not None
    folder = world._game._household.folder
    processes = world._game._household._processes
    assert len(processes) == 2 and all(alive(process.pid) for process in processes)
    os.kill(processes[-1].pid, signal.SIGKILL)
    with pytest.raises(GameError, match="the game ended") as caught:
        for _ in range(3):
            world.step({})
    assert caught.value.kind == "died" and world.failures == {"died": 1}
    assert not folder.exists() and not any(alive(process.pid) for process in processes)
    with pytest.raises(GameError, match="call reset first"):
        world.step({})
    frame, info = world.reset(seed=3)
    assert frame.std() > 5 and info["num_failures"] == 1
    assert changed(first, frame) < 0.05  # another game, the same clouds
    world.close()


@game
@slow
def test_it_is_recorded(tmp_path: Path) -> None:
    before = folders()
    arguments = ["--world", WORLD, "--clips", "1", "--frames", "12", "--workers", "1", "--explorer", "random"]
    kwargs = [f"{name}={value}" for name, value in SMALL.items()]
    assert record.main([*arguments, "--out", str(tmp_path / "clips"), "--world-kwargs", *kwargs]) == 0
    (clip,) = ClipSet(tmp_path / "clips")
    assert clip.frames.shape == (12, 64, 64, 3) and clip.meta["fps"] == 20 and clip.meta["world_kwargs"] == SMALL
    assert list(clip.actions()[0]["keyboard"]) == list(KEYS) and clip.frames.std() > 5
    turns = np.array([action["camera"][1] for action in clip.actions()])
    turned = (np.diff(clip.meta["info"]["yaw"]) + 180) % 360 - 180  # action t leads from frame t to frame t + 1
    np.testing.assert_allclose(turned, turns, atol=DEGREES_PER_PIXEL)
    assert np.abs(turns).max() > 1
    assert folders() <= before


@game
@slow
def test_it_is_played(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = folders()
    (tmp_path / "script").write_text("1\n1 camera=0,20\n3 forward\n")
    arguments = ["--world", WORLD, "--headless", "--json", "--script", str(tmp_path / "script")]
    kwargs = [f"{name}={value}" for name, value in SMALL.items()]
    assert play.main([*arguments, "--out", str(tmp_path / "film.mp4"), "--world-kwargs", *kwargs]) == 0
    assert json.loads(capfd.readouterr().out)["frames"] == 5
    frames = decode_video((tmp_path / "film.mp4").read_bytes())
    assert frames.shape == (6, 64, 64, 3)
    change = np.abs(np.diff(frames.astype(int), axis=0)).mean(axis=(1, 2, 3))
    assert change[1] > 2 * change[0]  # it stood, and then turned
    assert folders() <= before
