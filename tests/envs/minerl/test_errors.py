"""Minecraft as a world: interpreters and games that are missing, do not fit, die or hang, and what is left of them."""

from __future__ import annotations

import ast
import json
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest

import envs  # noqa: F401  registers the ids
from envs.errors import GameError
from envs.minerl.env import MineRL
from tests.envs.minerl.games import FAKE, ROOT, WORLD, folders, interpreter, make, program
from tests.envs.processes import alive, wait


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
