"""The real game as a world: its parts, and what it says where the game is missing, dies or hangs. No game is needed."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import envs  # noqa: F401  registers the ids
import play
from envs.errors import GameError
from envs.luanti.env import Luanti
from envs.luanti.gate import Gate
from envs.luanti.household import Household
from envs.luanti.settings import configuration, vertical_setting
from tests.envs.luanti import fake_luanti
from tests.envs.luanti.games import WORLD, folders
from tests.envs.processes import alive, wait

ROOT = Path(__file__).parents[3]
needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (make luanti)")
needs_display = pytest.mark.skipif(
    shutil.which("Xvfb") is None or find_spec("Xlib") is None, reason="no Xvfb or python-xlib (make luanti)"
)


def program(folder: Path, body: str) -> str:
    """A program that says it is the game, and does something else."""
    path = folder / "minetest"
    path.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "Minetest 5.6.1 (Linux)" && exit\n{body}\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_a_missing_game_says_what_to_run() -> None:
    with pytest.raises(GameError, match="make luanti") as caught:
        gymnasium.make(WORLD, program="no-such-game")
    assert caught.value.kind == "missing"
    sent = pickle.loads(pickle.dumps(caught.value))  # as from a process that records
    assert sent.kind == "missing" and str(sent) == str(caught.value)


def test_another_version_is_named(tmp_path: Path) -> None:
    path = program(tmp_path, "")
    Path(path).write_text("#!/bin/sh\necho 'Luanti 5.10.0 (Linux)'\n")
    with pytest.raises(GameError, match=r"must be Minetest 5\.6, got 5\.10\.0") as caught:
        Luanti(program=path)
    assert caught.value.kind == "version"


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 32},
        {"size": (128, 4096)},
        {"fov": 10.0},
        {"world_seed": -1},
        {"hour": 25.0},
        {"viewing_range": 1},
        {"patience_s": 0.0},
        {"render_mode": "human"},
    ],
)
def test_wrong_arguments(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        Luanti(**wrong)  # type: ignore[arg-type]


def test_settings() -> None:
    text = configuration(128, 128, 70.0, 5, 12.0, 80)
    values = dict(line.split(" = ", 1) for line in text.splitlines() if line and not line.startswith("#"))
    assert values["bind_address"] == "127.0.0.1" and values["time_speed"] == "0" and values["fixed_map_seed"] == "5"
    assert len(values) == len([line for line in text.splitlines() if line and not line.startswith("#")])  # none twice
    codes = [value for name, value in values.items() if name.startswith("keymap_")]
    assert len(codes) == len(set(codes)) == 18
    assert vertical_setting(70.0, 16 / 9) == 70.0 and vertical_setting(70.0, 1.0) == pytest.approx(70 / 1.6**0.5)


@needs_cc
def test_the_gate_lets_one_picture_through_at_a_time(tmp_path: Path) -> None:
    """A program of ours in the game's place, which draws nothing and reads the clock."""
    source = tmp_path / "loop.c"
    source.write_text(
        "#include <stdio.h>\n#include <time.h>\nvoid glXSwapBuffers(void *, unsigned long);\n"
        "void glGetIntegerv(unsigned what, int *view) { view[2] = 64; view[3] = 64; (void)what; }\n"
        "void glPixelStorei(unsigned a, int b) { (void)a; (void)b; }\n"
        "static unsigned char shade;\n"
        "void glReadPixels(int x, int y, int w, int h, unsigned a, unsigned b, void *to)\n"
        "{ unsigned char *p = to; (void)x; (void)y; (void)a; (void)b; \n"
        "for (int i = 0; i < w * h * 3; i++) p[i] = shade; }\n"
        "int main(void) { for (;;) { struct timespec t; clock_gettime(CLOCK_MONOTONIC_RAW, &t);\n"
        'printf("%ld.%09ld %ld\\n", (long)t.tv_sec, t.tv_nsec, (long)time(0)); fflush(stdout);\n'
        "shade++; glXSwapBuffers(0, 0); } }\n"
    )
    stub = tmp_path / "stub.c"
    stub.write_text("void glXSwapBuffers(void *a, unsigned long b) { (void)a; (void)b; }\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "libstub.so", stub], check=True)
    command = ["cc", "-rdynamic", "-o", tmp_path / "loop", source, f"-L{tmp_path}", "-lstub", f"-Wl,-rpath,{tmp_path}"]
    subprocess.run(command, check=True)
    gate = Gate(tmp_path, 64, 64)
    environment = {**os.environ, **gate.environment}
    process = subprocess.Popen(
        [tmp_path / "loop"], env=environment, pass_fds=gate.fds, stdout=subprocess.PIPE, text=True
    )
    gate.started()
    assert process.stdout is not None
    times = []
    for number, seconds in enumerate((0.05, 0.0, 1.5, 0.05), 1):
        assert gate.wait(60)
        clock, date = process.stdout.readline().split()
        times.append(float(clock))
        assert date == "1000"
        assert gate.passed == number and (gate.picture == number).all()
        time.sleep(0.05)  # of which its clock knows nothing
        gate.open(seconds)
    np.testing.assert_allclose(np.diff(times), [0.05, 0.0, 1.5], atol=1e-6)
    assert gate.wait(60)
    gate.close()
    assert process.wait(timeout=60) == 0  # nobody at the gate: it ends by itself


def test_a_household_leaves_nothing(tmp_path: Path) -> None:
    household = Household(60)
    process = household.start(["sleep", "1000"])
    (household.folder / "something").write_text("x")
    household.close()
    assert process.poll() == -signal.SIGKILL and not household.folder.exists()
    household.close()  # once more does no harm


def test_a_household_ends_with_a_crash_of_ours() -> None:
    code = (
        "import sys, time; from envs.luanti.household import Household; h = Household(60)\n"
        "p = h.start(['sleep', '1000']); print(p.pid, h.folder, flush=True); time.sleep(1000)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid, folder = process.stdout.readline().split()
    assert alive(int(pid)) and Path(folder).exists()
    process.kill()
    process.wait()
    wait(lambda: not alive(int(pid)) and not Path(folder).exists(), "an end of all that was started")


@needs_cc
@needs_display
@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ("echo 'ERROR[Main]: no such luck' >&2; exit 3", "died", "no such luck"),
        ("sleep 1000", "hung", "drew nothing for"),
    ],
)
def test_a_game_that_dies_or_hangs_is_named_and_counted(tmp_path: Path, body: str, kind: str, message: str) -> None:
    before = folders()
    env = Luanti(program=program(tmp_path, body), patience_s=1.0 if kind == "hung" else 60.0)
    with pytest.raises(GameError, match=message) as caught:
        env.reset(seed=0)
    assert caught.value.kind == kind and env.failures == {kind: 3}
    assert folders() <= before
    env.close()


@needs_cc
@needs_display
def test_the_game_finds_settings_without_hud_and_chat(tmp_path: Path) -> None:
    """What the game reads when it starts: in the picture is nothing but the world and what the hand holds."""
    found = tmp_path / "found"
    env = Luanti(program=program(tmp_path, f"cp -r . {found}; exit 3"))
    with pytest.raises(GameError, match="the game ended"):
        env.reset(seed=0)
    lines = (found / "minetest.conf").read_text().splitlines()
    settings = dict(line.split(" = ", 1) for line in lines if line and not line.startswith("#"))
    off = ("show_debug", "show_statusline_on_connect", "enable_minimap", "enable_particles")
    assert {settings[name] for name in off} == {"false"} and settings["node_highlighting"] == "none"
    assert "load_mod_worldmodel = true" in (found / "world" / "world.mt").read_text()
    mod = (found / "world" / "worldmods" / "worldmodel" / "init.lua").read_text()
    (flags,) = re.findall(r"hud_set_flags\(\{(.*?)\}\)", mod, re.DOTALL)
    for part in ("hotbar", "healthbar", "breathbar", "crosshair", "minimap", "basic_debug"):
        assert re.search(rf"\b{part} = false", flags), part
    for said in ("send_join_message", "send_leave_message", "get_server_status"):  # what would be chat
        assert re.search(rf"minetest\.{said} = function\(\)( return \"\")? end", mod), said
    for path in [*found.rglob("init.lua")]:
        assert not re.search(r"chat_send|show_formspec|hud_add|\bprint\(|display_chat_message", path.read_text()), path


def test_a_missing_xvfb_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = folders()
    path = program(tmp_path, "sleep 1000")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "rm").symlink_to("/bin/rm")  # all that the household's keeper runs
    env = Luanti(program=path)
    with pytest.raises(GameError, match="Xvfb is not installed: run `make luanti`") as caught:
        env.reset(seed=0)
    assert caught.value.kind == "missing" and env.failures == {"missing": 1}
    assert folders() <= before


@needs_cc
@needs_display
def test_a_game_that_hangs_in_a_later_step_is_named_and_the_next_reset_starts_another(tmp_path: Path) -> None:
    env = Luanti(size=64, program=fake_luanti.build(tmp_path), patience_s=60.0)
    env.reset(seed=0, options={"yaw": 30.0})
    _, _, _, _, info = env.step({})
    assert info["yaw"] == pytest.approx(30.0) and env.failures == {} and env._game is not None
    game, folder = env._game._process, env._game._household.folder
    env._game.settings = replace(env._game.settings, patience_s=0.5)
    os.kill(game.pid, signal.SIGSTOP)
    with pytest.raises(GameError, match="the game drew nothing for 0.5 s") as caught:
        env.step({"keyboard": {"forward": 1}})
    assert caught.value.kind == "hung" and env.failures == {"hung": 1}
    assert not alive(game.pid) and not folder.exists()
    with pytest.raises(GameError, match="call reset first"):
        env.step({})
    _, info = env.reset(seed=0)
    assert info["num_failures"] == 1
    env.close()


def test_play_says_that_the_game_is_missing(capfd: pytest.CaptureFixture[str]) -> None:
    assert play.main(["--world", WORLD, "--headless", "--world-kwargs", "program=no-such-game"]) == 2
    assert "run `make luanti`" in capfd.readouterr().err


@needs_cc
def test_a_missing_display_is_named(tmp_path: Path) -> None:
    pytest.importorskip("Xlib", reason="python-xlib is not installed (make luanti)")
    env = Luanti(program=program(tmp_path, "sleep 1000"), display=":4242")
    with pytest.raises(GameError, match="':4242' cannot be opened") as caught:
        env.reset(seed=0)
    assert caught.value.kind == "display" and env.failures == {"display": 1}
