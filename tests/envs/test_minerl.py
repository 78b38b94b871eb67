"""Minecraft as a world, against a worker that has MineRL's spaces and manners and no game behind them.

MINERL_TEST_PYTHONS names interpreters, separated by colons, that have an old gym of their own: everything is run in
each. MINERL_PYTHON names one that has MineRL itself, whose own imitation of a game is then played too.
"""

from __future__ import annotations

import ast
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium
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
from tests.envs import processes
from tests.envs.processes import alive, wait
from worldmodel.data.clips import ClipSet

ROOT = Path(__file__).parents[2]
FAKE = Path(__file__).parent / "fake_minerl"
WORLD = "worldmodel/MineRL-v0"
SIMPLE = ["forward", "back", "left", "right", "jump", "sneak", "sprint", "attack"]
OLD_GYMS = [path for path in os.environ.get("MINERL_TEST_PYTHONS", "").split(":") if path]


def program(path: Path, body: str) -> str:
    path.write_text(body)
    path.chmod(0o755)
    return str(path)


def interpreter(folder: Path, path: str, *packages: Path) -> str:
    """An interpreter that finds these packages too."""
    places = ":".join(map(str, packages))
    return program(folder / "python", f'#!/bin/sh\nPYTHONPATH={places}:$PYTHONPATH exec {path} "$@"\n')


@pytest.fixture(scope="module", params=[sys.executable, *OLD_GYMS])
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter with the old gym (one as small as it can be, where it has none) and the stand-in for MineRL."""
    folder = tmp_path_factory.mktemp("interpreter")
    if request.param == sys.executable:
        return interpreter(folder, request.param, FAKE)
    (folder / "minerl").symlink_to(FAKE / "minerl")
    return interpreter(folder, request.param, folder)


@pytest.fixture
def made(python: str) -> Iterator[list[MineRL]]:
    """Filled by `make`, and closed."""
    made: list[MineRL] = []
    yield made
    for env in made:
        env.close()


def make(made: list[MineRL], python: str, environment: str, **kwargs: object) -> MineRL:
    kwargs = {"patience_s": 60.0, "start_patience_s": 120.0, **kwargs}
    env = gymnasium.make(WORLD, environment=environment, python=python, disable_env_checker=True, **kwargs).unwrapped
    assert isinstance(env, MineRL)
    made.append(env)
    return env


def folders() -> set[Path]:
    return processes.folders("worldmodel-minerl-*")


# what is mapped how


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


# what goes wrong


def test_no_interpreter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MINERL_PYTHON", raising=False)
    with pytest.raises(GameError, match=r"python=.*MINERL_PYTHON; docs/minerl.md") as caught:
        gymnasium.make(WORLD)
    assert caught.value.kind == "missing"
    sent = pickle.loads(pickle.dumps(caught.value))  # as from a process that records
    assert sent.kind == "missing" and str(sent) == str(caught.value)
    monkeypatch.setenv("MINERL_PYTHON", str(tmp_path / "nowhere"))
    with pytest.raises(GameError, match=r"MINERL_PYTHON must be the path .* got '/.*nowhere'") as caught:
        MineRL()
    assert caught.value.kind == "missing"
    with pytest.raises(GameError, match=r"python must be the path .* got 'no-such-python'"):
        MineRL(python="no-such-python")


def test_another_system_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(GameError, match="runs on Linux only, this is darwin"):
        MineRL(python=sys.executable)


def test_an_interpreter_without_minerl_or_gym(tmp_path: Path) -> None:
    before = folders()
    (tmp_path / "gym").symlink_to(FAKE / "gym")
    with pytest.raises(
        GameError, match=r"minerl cannot be imported.*No module named 'minerl'.*docs/minerl.md"
    ) as caught:
        MineRL(python=interpreter(tmp_path, f"{sys.executable} -S", tmp_path))
    assert caught.value.kind == "missing"
    with pytest.raises(GameError, match=r"gym cannot be imported"):
        MineRL(python=interpreter(tmp_path, f"{sys.executable} -S", tmp_path / "empty"))
    (tmp_path / "minerl.py").write_text("raise RuntimeError('of another age')")
    with pytest.raises(GameError, match=r"minerl cannot be imported \(RuntimeError: of another age\)"):
        MineRL(python=interpreter(tmp_path, f"{sys.executable} -S", tmp_path))
    assert folders() <= before


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            f"#!{sys.executable}\nimport os, sys\nos.write(int(sys.argv[3]), b'{{\"protocol\": 99}}\\n')\n",
            r"speaks protocol 1, it answered \{'protocol': 99\}",
        ),
        (
            f"#!{sys.executable}\nimport os, sys\nos.write(int(sys.argv[3]), b'hello\\n')\n",
            "answer in JSON, got b'hello'",
        ),
        ("#!/bin/sh\necho this is no snake\n", "interpreter ended.*this is no snake"),
        ("neither script nor program\n", "Exec format error"),
        ("#!/bin/sh\nsleep 1000\n", "did not answer within 2 s"),
    ],
    ids=["protocol", "no-json", "no-python", "no-program", "silent"],
)
def test_what_is_no_worker_is_named(tmp_path: Path, body: str, message: str) -> None:
    before = folders()
    with pytest.raises(GameError, match=rf"(?s)must be a Python of 3\.7 or later.*{message}") as caught:
        MineRL(python=program(tmp_path / "python", body), start_patience_s=2.0 if "sleep" in body else 60.0)
    assert caught.value.kind == "version" and folders() <= before


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ("MineRLTrechop-v0", "no environment 'MineRLTrechop-v0', did you mean 'MineRLTreechop-v0'.*MineRLNavigate-v0"),
        ("MineRLTreechopVectorObf-v0", "cannot be walked about in: it must take the keys forward .* it takes vector$"),
        ("MineRLNoJump-v0", "must take the keys forward back left right jump and a camera"),
        ("MineRLNarrow-v0", r"from -180 to 180 degrees.*camera: shape and range \[\[2\], -10.0, 10.0\]"),
        ("MineRLNoNoop-v0", r"must say by no_op\(\) or noop\(\)"),
    ],
)
def test_an_environment_that_does_not_fit(python: str, environment: str, message: str) -> None:
    before = folders()
    with pytest.raises(ValueError, match=message):
        MineRL(python=python, environment=environment)
    assert folders() <= before


def test_a_module_beside_minerl_can_bring_environments(made: list[MineRL], python: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import minerl\nminerl.register('Mine-v0')\n")
    path = interpreter(tmp_path, python, tmp_path)
    env = make(made, path, "mine:Mine-v0")
    assert env.reset(seed=0)[0].shape == (64, 64, 3)
    with pytest.raises(GameError, match="yours cannot be imported"):
        make(made, path, "yours:Mine-v0")


@pytest.mark.parametrize(
    ("manner", "kind", "message"),
    [
        ("Hangs", "hung", "did not answer within 1 s"),
        ("Dies", "died", r"interpreter ended \(killed by signal 9\)"),
        ("Raises", "died", "RuntimeError: Attempted to step"),
        ("Lost", "died", "MineRL lost its game: Connection timed out!"),
        ("Resizes", "refused", r"pictures must be \(64, 64, 3\) uint8, got \(32, 64, 3\)"),
    ],
)
def test_a_game_lost_in_a_step(made: list[MineRL], python: str, manner: str, kind: str, message: str) -> None:
    before = folders()
    env = make(made, python, f"MineRL{manner}-v0", patience_s=1.0 if kind == "hung" else 60.0)
    env.reset(seed=0)
    with pytest.raises(GameError, match=message) as caught:
        env.step({})
    assert caught.value.kind == kind and env.failures == {kind: 1} and folders() <= before
    with pytest.raises(GameError, match="call reset first"):
        env.step({})
    frame, info = env.reset(seed=0)  # starts another
    assert frame.std() > 5 and info["num_failures"] == 1


@pytest.mark.parametrize(
    ("manner", "failures", "message"),
    [
        ("HangsAtReset", {"hung": 1}, "did not answer within 3 s"),
        ("DiesAtReset", {"died": 2}, r"(?s)interpreter ended \(exit status 7\).*java: no such luck"),
        ("Blank", {"blank": 2}, "draws nothing: 40 pictures are of one colour"),
    ],
)
def test_a_game_that_does_not_start(
    made: list[MineRL], python: str, manner: str, failures: dict[str, int], message: str
) -> None:
    before = folders()
    env = make(made, python, f"MineRL{manner}-v0", start_patience_s=3.0 if "hung" in failures else 120.0)
    with pytest.raises(GameError, match=message) as caught:
        env.reset(seed=0)
    assert env.failures == failures and caught.value.kind in failures and folders() <= before


def test_a_game_that_is_slow_to_draw_is_waited_for(made: list[MineRL], python: str) -> None:
    frame, _ = make(made, python, "MineRLSlow-v0").reset(seed=0)
    assert frame.std() > 5


def test_nothing_is_left_after_closing(made: list[MineRL], python: str) -> None:
    before = folders()
    env = make(made, python, "MineRLTreechop-v0")
    env.reset(seed=0)
    pids = env.step({})[4]["pids"]  # the interpreter, its game, and a daemon that its game left behind
    assert len(pids) == 3 and all(map(alive, pids)) and len(folders() - before) == 1
    env.close()
    assert not any(map(alive, pids)) and folders() <= before
    env.close()  # once more does no harm


def test_nothing_is_left_after_a_crash_of_ours(python: str) -> None:
    before = folders()
    code = (
        "import gymnasium, envs, json, sys, time\n"
        f"env = gymnasium.make({WORLD!r}, python={python!r})\nenv.reset(seed=0)\n"
        "print(json.dumps(env.step({'keyboard': {}, 'camera': [0, 0]})[4]['pids']), flush=True)\ntime.sleep(1000)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pids = json.loads(process.stdout.readline())
    assert all(map(alive, pids)) and len(folders() - before) == 1
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait(lambda: not any(map(alive, pids)) and folders() <= before, "an end of all that was started")


@pytest.mark.parametrize(
    "wrong",
    [{"size": 8}, {"size": (64, 4096)}, {"patience_s": 0.0}, {"start_patience_s": -1}, {"render_mode": "human"}],
)
def test_wrong_arguments(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        MineRL(**wrong)  # type: ignore[arg-type]


def test_wrong_options(made: list[MineRL], python: str) -> None:
    with pytest.raises(ValueError, match="unknown reset option 'position'"):
        make(made, python, "MineRLTreechop-v0").reset(options={"position": [0, 0, 0]})


def test_the_worker_stands_alone_in_an_old_python() -> None:
    source = (ROOT / "envs" / "minerl" / "worker.py").read_text()
    tree = ast.parse(source, feature_version=(3, 7))
    imports = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    froms = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imports == {"importlib", "json", "mmap", "os", "sys", "traceback", "gym", "numpy"}
    assert froms == {"__future__", "typing"}
    with pytest.raises(SyntaxError):  # so that the check above is one
        ast.parse("(x := 1)", feature_version=(3, 7))


# MineRL itself


@pytest.fixture(scope="module")
def genuine(tmp_path_factory: pytest.TempPathFactory) -> str:
    """MineRL's interpreter, which finds a module that registers MineRL's own imitation of a game."""
    path = os.environ.get("MINERL_PYTHON")
    if not path:
        pytest.skip("MINERL_PYTHON names no interpreter with MineRL (docs/minerl.md)")
    done = subprocess.run([path, "-c", "import minerl"], capture_output=True, text=True, timeout=200)
    if done.returncode:
        pytest.skip(f"{path} cannot import minerl: {done.stderr[-300:]}")
    folder = tmp_path_factory.mktemp("genuine")
    (folder / "imitation.py").write_text(
        "from minerl.herobraine.env_specs.navigate_specs import Navigate\n"
        "Navigate(dense=False, extreme=False).register(fake=True)\n"
    )
    return interpreter(folder, path, folder)


def test_the_genuine_spaces(genuine: str) -> None:
    for environment in ("MineRLTreechop-v0", "MineRLNavigate-v0", "MineRLBasaltFindCave-v0"):
        env = MineRL(python=genuine, environment=environment)
        keys = list(env.action_space["keyboard"].spaces)
        assert keys[: len(SIMPLE)] == SIMPLE and env.observation_space.shape in ((64, 64, 3), (360, 640, 3))
        assert ("use" in keys) == ("Basalt" in environment) and not set(env.unmapped) & set(KEYS)
        env.close()


def test_the_genuine_imitation_of_a_game(genuine: str) -> None:
    env = MineRL(python=genuine, environment="imitation:FakeMineRLNavigate-v0", size=32)
    frame, info = env.reset(seed=1)
    assert frame.shape == (32, 32, 3) and frame.std() > 5 and info["inventory"] == {"dirt": 0}
    for _ in range(3):
        frame, reward, terminated, truncated, info = env.step({"keyboard": {"forward": 1}, "camera": [1.0, -2.0]})
    assert (reward, terminated, truncated) == (0.0, False, False) and -180 <= info["compass"]["angle"] <= 180
    env.close()
    assert env.failures == {}
