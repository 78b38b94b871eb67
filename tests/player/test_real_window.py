"""A real window on an X server of its own, with real keys and a real mouse."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.player.conftest import record_start
from tests.player.test_recorder import read_film
from tests.tiny import tiny_world

ROOT = Path(__file__).resolve().parents[2]
MISSING = [program for program in ("Xvfb", "xdotool") if shutil.which(program) is None]

pytestmark = [
    pytest.mark.window,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {' '.join(MISSING)}"),
]


@pytest.fixture
def display(tmp_path: Path) -> Iterator[str]:
    """An X server that keeps its screen in a file, screen/Xvfb_screen0."""
    (tmp_path / "screen").mkdir()
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "800x600x24", "-fbdir", str(tmp_path / "screen")]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as pipe:
        number = pipe.readline().strip()
    yield f":{number}"
    server.terminate()
    server.wait(timeout=10)


def screen(folder: Path) -> np.ndarray:
    """What the screen shows, [H, W, 3] uint8, from the X window dump that the server keeps."""
    data = (folder / "screen" / "Xvfb_screen0").read_bytes()
    header = np.frombuffer(data[:100], ">u4")
    width, height, line, colours = (int(header[index]) for index in (4, 5, 12, 19))
    pixels = np.frombuffer(data, np.uint8, height * line, int(header[0]) + 12 * colours)
    return pixels.reshape(height, line // 4, 4)[:, :width, 2::-1]


def wait(until: Callable[[], bool], what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, f"no {what} after {seconds} s"
        time.sleep(0.05)


def test_real_keys_and_a_real_mouse(display: str, tmp_path: Path) -> None:
    tiny_world().save_pretrained(tmp_path / "tiny", starts=[record_start(0)])  # 20 frames a second, as one plays
    environment = {name: value for name, value in os.environ.items() if name != "SDL_VIDEODRIVER"}
    environment["DISPLAY"] = display
    film, actions = tmp_path / "film.mp4", tmp_path / "film.jsonl"

    def done() -> list[dict[str, Any]]:
        return [json.loads(line) for line in actions.read_text().splitlines() if line.endswith("}")]

    def x(*command: str) -> None:
        subprocess.run(["xdotool", *command], env=environment, check=True, timeout=20)

    command = [sys.executable, str(ROOT / "play.py"), "--checkpoint", "tiny", "--threads", "1", "--out", str(film)]
    pipe = subprocess.PIPE
    game = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=pipe, stderr=pipe, text=True)
    try:
        wait(lambda: actions.exists() and len(done()) > 5, "frames")
        lit = screen(tmp_path).any(axis=2)
        assert lit.mean() > 0.2 and not lit[:5, :5].any()  # a window in the middle of the screen, and not all of it

        x("keydown", "w")
        wait(lambda: len(done()) > 0 and done()[-1]["keyboard"].get("forward") == 1, "step forward")
        x("keyup", "w")
        x("key", "--delay", "0", "space")  # down and up at once
        wait(lambda: any(action["keyboard"].get("jump") for action in done()), "jump")

        def turned() -> bool:
            x("mousemove_relative", "--", "20", "0")
            return any(action["camera"][1] > 0 for action in done())

        wait(turned, "turn to the right")
        x("click", "1")
        wait(lambda: any(action["keyboard"].get("attack") for action in done()), "attack")

        x("key", "p")
        steps = len(done())
        time.sleep(0.3)
        assert len(done()) <= steps + 10  # paused, but for what was under way
        x("key", "p")
        x("key", "F2")
        wait(lambda: len(list(tmp_path.glob("recordings/*.png"))) == 1, "picture")
        x("key", "Escape")
        x("mousemove_relative", "--", "-60", "0")
        time.sleep(0.3)
        assert not any(action["camera"][1] < 0 for action in done())  # the mouse is free, and turns nothing
    finally:
        game.terminate()
        out, err = game.communicate(timeout=60)
    assert game.returncode == 0, err
    assert "FPS" in out
    assert len(read_film(film)) == len(done()) + 1
