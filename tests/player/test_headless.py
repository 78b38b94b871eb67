"""play.py without a display: the whole program, from its command line to its files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import play
from player.play import Play
from player.recorder import Recorder
from player.scripts import Action
from tests.player.conftest import PATCH, START_ACTIONS, Patch
from tests.player.test_recorder import read_film

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """play.py as a program of its own, with no display but what `environment` gives it."""
    clean = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    clean.pop("SDL_VIDEODRIVER", None)
    command = [sys.executable, str(ROOT / "play.py"), *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env={**clean, **environment}, stdout=pipe, stderr=pipe, text=True)


def test_a_script_becomes_a_film_and_figures(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "walk.txt").write_text("10 forward\n5 camera=0,4\n")
    out = tmp_path / "walk.mp4"
    options = ["--frames", "40", "--script", "walk.txt", "--out", str(out), "--json"]
    assert play.main(["--checkpoint", str(checkpoint), "--headless", *options]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["frames"] == 39 and figures["files"] == [str(out)]
    assert 0 < figures["p50_ms"] <= figures["p95_ms"] and figures["fps"] > 0 and figures["first_frame_s"] > 0
    assert read_film(out).shape == (40, 16, 16, 3)
    actions = [json.loads(line) for line in out.with_suffix(".jsonl").read_text().splitlines()]
    turn, forward = {"keyboard": {}, "camera": [0, 4]}, {"keyboard": {"forward": 1}, "camera": [0, 0]}
    assert actions == (3 * ([forward] * 10 + [turn] * 5))[:39]


def test_without_frames_a_script_is_played_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "walk.txt").write_text("7 forward")
    assert play.main(["--world", PATCH, "--headless", "--script", "walk.txt", "--out", "walk.mp4"]) == 0
    assert len(read_film(Path("walk.mp4"))) == 8
    told = capsys.readouterr().out
    assert "7 frames in" in told and "FPS, frame time p50" in told and "p95" in told and "wrote walk.mp4" in told


def test_a_films_actions_play_it_again(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frame by frame as they were filmed: x264 itself does not give the same film of the same frames every time."""
    films: dict[Path, list[np.ndarray]] = {}
    write = Recorder.write

    def spy(recorder: Recorder, frame: np.ndarray, action: Action | None, sound: np.ndarray | None = None) -> None:
        films.setdefault(recorder.path, []).append(frame.copy())
        write(recorder, frame, action, sound)

    monkeypatch.setattr(Recorder, "write", spy)
    base = ["--checkpoint", str(checkpoint), "--headless", "--seed", "5"]
    assert play.main([*base, "--frames", "30", "--out", "first.mp4"]) == 0
    assert play.main([*base, "--script", "first.jsonl", "--out", "second.mp4"]) == 0
    first, second = (np.stack(films[Path(f"{name}.mp4")]) for name in ("first", "second"))
    assert len(first) == 30 and (first[0] != first[-1]).any()
    assert (first == second).all()


def test_a_script_is_read_before_its_file_becomes_the_films(checkpoint: Path) -> None:
    base = ["--checkpoint", str(checkpoint), "--headless", "--seed", "5"]
    assert play.main([*base, "--frames", "9", "--out", "film.mp4"]) == 0
    actions = Path("film.jsonl").read_text()
    assert play.main([*base, "--script", "film.jsonl", "--out", "film.mp4"]) == 0
    assert actions == Path("film.jsonl").read_text() and actions.count("\n") == 8
    assert play.main([*base, "--script", "none.txt", "--out", "film.mp4"]) == 2
    assert actions == Path("film.jsonl").read_text()


def test_a_game_that_dies_is_said_and_its_film_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step = Patch.step

    def dying(self: Patch, action: Action) -> Any:
        if self.steps == 5:
            raise gymnasium.error.Error("the game has ended: killed")
        return step(self, action)

    monkeypatch.setattr(Patch, "step", dying)
    assert play.main(["--world", PATCH, "--headless", "--frames", "20", "--out", "short.mp4"]) == 2
    error = capsys.readouterr().err
    assert error == "play.py: the game has ended: killed; what was played until then is kept\n"
    assert len(read_film(Path("short.mp4"))) == 6


def test_side_by_side_and_every_command(checkpoint: Path) -> None:
    turn = "2 camera=0,40\n"
    Path("all.txt").write_text(f"{turn}picture\nswap\n{turn}side-by-side\n{turn}new\n{turn}")
    arguments = ["--checkpoint", str(checkpoint), "--start", "0", "--headless", "--script", "all.txt"]
    assert play.main([*arguments, "--side-by-side", "--out", "all.mp4"]) == 0
    both, one = read_film(Path("all.mp4")), read_film(Path("all-2.mp4"))
    # Generated beside rendered, whichever of them the player is in; then the rendered one alone, and elsewhere.
    assert (both.shape, one.shape) == ((5, 16, 32, 3), (4, 16, 16, 3))
    halves = [both[0, :, 16:], both[2, :, 16:], both[4, :, 16:], one[1], one[3]]
    degrees = [half[..., 1].mean() - START_ACTIONS for half in halves]
    assert degrees == pytest.approx([0, 80, 160, 240, 80 + START_ACTIONS], abs=12)
    assert len(list(Path("recordings").glob("*.png"))) == 1


def test_seed_and_start_choose_where_to_begin(checkpoint: Path) -> None:
    for index in range(3):
        arguments = ["--checkpoint", str(checkpoint), "--headless", "--frames", "1", "--start", str(index)]
        assert play.main([*arguments, "--out", f"{index}.mp4"]) == 0
        frame = read_film(Path(f"{index}.mp4"))[0]
        assert frame.mean(axis=(0, 1))[1] == pytest.approx(START_ACTIONS * (index + 1), abs=4)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--world", PATCH, "--guidance", "2"], "--guidance is for a generated world"),
        (["--world", PATCH, "--side-by-side"], "needs a generated world"),
        (["--world-kwargs", "size=16"], "are for --world"),
        (["--headless", "--scale", "2"], "--headless opens none"),
        (["--frames", "0"], "--frames must be 1 or more"),
        (["--checkpoint", "x", "--world", PATCH, "--start", "1"], "give one of them"),
    ],
)
def test_options_that_cannot_take_effect(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        play.main(arguments)
    assert caught.value.code == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--world", "tests/Pach-v0"], "no world is called 'tests/Pach-v0'"),
        (["--world", PATCH, "--world-kwargs", "sise=16"], "did you mean 'size'?"),
        (["--world", "tests.player.conftst:Patch-v0"], "names a module that cannot be imported"),
        (["--world", PATCH, "--world-kwargs", "size=wide"], "cannot be made with {'size': 'wide'}"),
        (["--world", PATCH, "--script", "none.txt"], "no script at none.txt"),
        (["--world", PATCH, "--out", "film.avi"], "must end in .mp4"),
        (["--world", PATCH, "--out", "nowhere/film.mp4"], "no folder nowhere"),
        (["--checkpoint", "checkpoints/blockwold"], "checkpoints/blockwold"),
    ],
)
def test_what_cannot_be_played_is_said_in_one_line(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("checkpoints").mkdir()
    assert play.main([*arguments, "--headless"]) == 2
    error = capsys.readouterr().err
    assert told in error and error.startswith("play.py: ") and error.count("\n") == 1


def test_a_start_out_of_range_is_refused(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert play.main(["--checkpoint", str(checkpoint), "--headless", "--start", "3"]) == 2
    assert "0 … 2" in capsys.readouterr().err


def test_no_display_means_a_walk_without_one(checkpoint: Path) -> None:
    process = run("--checkpoint", str(checkpoint), "--threads", "1")
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    lines = [line for line in err.splitlines() if "display" in line.lower()]
    assert len(lines) == 1 and "neither DISPLAY nor WAYLAND_DISPLAY is set" in lines[0]
    assert "FPS" in out and "p95" in out and "wrote play.mp4" in out
    assert len(read_film(Path("play.mp4"))) == play.WALK_FRAMES


def test_told_to_stop_it_finishes_the_film(checkpoint: Path) -> None:
    options = ["--headless", "--frames", "1000000", "--out", "long.mp4", "--threads", "1"]
    process = run("--checkpoint", str(checkpoint), *options)
    actions, until = Path("long.jsonl"), time.monotonic() + 60
    while not (actions.exists() and actions.stat().st_size > 1000) and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "interrupted" in err and "wrote long.mp4" in out and "Traceback" not in err
    assert len(read_film(Path("long.mp4"))) == len(actions.read_text().splitlines()) + 1


@pytest.fixture
def interrupted() -> Iterator[None]:
    """Python's own answer to SIGINT, which is ignored in a job in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupted")
def test_told_to_stop_twice_it_finishes_the_film(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second time while the film is being finished."""
    step, close, steps = Play.step, Recorder.close, 0

    def stepped(self: Play, action: dict[str, Any]) -> None:
        nonlocal steps
        step(self, action)
        steps += 1
        if steps == 5:
            signal.raise_signal(signal.SIGINT)

    def closing(self: Recorder) -> list[Path]:
        signal.raise_signal(signal.SIGINT)
        return close(self)

    monkeypatch.setattr(Play, "step", stepped)
    monkeypatch.setattr(Recorder, "close", closing)
    assert play.main(["--checkpoint", str(checkpoint), "--headless", "--frames", "99", "--out", "twice.mp4"]) == 0
    assert "wrote twice.mp4" in capsys.readouterr().out and len(read_film(Path("twice.mp4"))) == 6


def test_help_needs_no_model() -> None:
    code = "import atexit, sys, play; atexit.register(lambda: print('torch' in sys.modules)); play.main(['--help'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "Tab" in done.stdout and "20 forward sprint camera=0,3" in done.stdout
    assert done.stdout.endswith("False\n"), done.stderr
