"""play.py with a window, a microphone and a loudspeaker, all of them put in place of real ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pygame
import pytest
from PIL import Image

import play
from player import sound
from player.drive import Drive
from player.recorder import Recorder
from player.sources import microphone
from player.sources.sound_file import Sounds
from tests.player.sources.devices import FakeSounddevice, put_in_place
from tests.player.sources.sounds import write_sound
from tests.talking import SAMPLES, talking_world

BLOCK = 320  # samples, 20 ms
SAID, HEARD = 0.5, 0.25  # what the microphone hears, and what the other one says


class Devices:
    """Runs the devices that play.py opens at the pace of real ones.

    Attributes:
        played: what the loudspeaker was given, block by block.
    """

    def __init__(self, module: FakeSounddevice) -> None:
        self.module, self.played = module, []  # type: FakeSounddevice, list[np.ndarray]
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def opened(self, kind: str) -> list[Any]:
        return [stream for name, stream in self.module.opened if name == kind]

    def _run(self) -> None:
        while not self.over.wait(BLOCK / 16000):
            for stream in self.opened("InputStream"):
                if stream.calls == ["start"]:
                    stream.options["callback"](np.full((BLOCK, 1), SAID, np.float32), BLOCK, None, None)
            for stream in self.opened("OutputStream"):
                if stream.calls == ["start"]:
                    block = np.ones((BLOCK, stream.options["channels"]), np.float32)
                    stream.options["callback"](block, BLOCK, None, None)
                    self.played.append(block)


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> Iterator[Devices]:
    monkeypatch.setattr(microphone, "LATE_S", 60.0)  # on a busy machine they may be late, and are not gone
    monkeypatch.setattr(sound, "GONE_S", 60.0)
    running = Devices(put_in_place(monkeypatch))
    yield running
    running.over.set()
    running.thread.join()


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """A tiny head with a portrait, in a window of the dummy driver: the beginning of the command line."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.chdir(tmp_path)
    talking_world(3).save_pretrained(tmp_path / "head")
    Image.new("RGB", (40, 20), (200, 30, 30)).save("face.png")
    write_sound(Path("other.wav"), np.full((32000, 1), HEARD), 16000)
    yield ["--checkpoint", "head", "--portrait", "face.png"]
    pygame.quit()


@pytest.fixture
def actions(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was filmed of what was told."""
    seen: list[dict[str, Any]] = []
    write = Recorder.write

    def spy(recorder: Recorder, frame: np.ndarray, action: Any, sound: np.ndarray | None = None) -> None:
        seen.append({"sound": sound, **(action or {})})
        write(recorder, frame, action, sound)

    monkeypatch.setattr(Recorder, "write", spy)
    return seen


def test_who_speaks_into_the_microphone_moves_the_head_and_hears_no_echo(
    head: list[str], devices: Devices, actions: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert play.main([*head, "--audio", "mic", "--listen", "other.wav", "--frames", "14", "--out", "talk.mp4"]) == 0
    (mic,), (loudspeaker,) = devices.opened("InputStream"), devices.opened("OutputStream")
    assert mic.calls == loudspeaker.calls == ["start", "close"] and loudspeaker.options["channels"] == 1
    told = [action for action in actions if "audio" in action]
    assert len(told) == 13 and all((action["audio"] == SAID).all() for action in told)
    assert all(np.allclose(action["listen"], HEARD, atol=1e-3) for action in told)
    sounds = [action["sound"] for action in told if action["sound"] is not None]
    assert len(sounds) == 13 - 2  # the first come when their chunk of three does
    assert all(np.allclose(sound, SAID + HEARD, atol=1e-3) for sound in sounds)  # a film has both
    played = np.concatenate(devices.played)
    assert np.allclose(played[played != 0], HEARD, atol=1e-3) and (played != 0).sum() > SAMPLES
    assert "wrote talk.mp4" in capsys.readouterr().out


def test_a_microphone_alone_needs_no_loudspeaker(head: list[str], devices: Devices) -> None:
    began = time.monotonic()
    assert play.main([*head, "--audio", "mic", "--frames", "14"]) == 0
    assert time.monotonic() - began > 5 / 12.5  # it is the microphone that sets the pace
    assert devices.opened("InputStream")[0].calls == ["start", "close"] and not devices.opened("OutputStream")


def test_without_a_loudspeaker_the_window_is_silent(
    head: list[str], devices: Devices, capsys: pytest.CaptureFixture[str]
) -> None:
    devices.module.fails.add("open")
    assert play.main([*head, "--audio", "other.wav", "--frames", "8"]) == 0
    assert "no loudspeaker can be opened" in capsys.readouterr().err
    assert play.main([*head, "--audio", "mic", "--frames", "8"]) == 2  # a broken start
    assert "no microphone can be opened" in capsys.readouterr().err


def test_a_drive_knows_what_may_be_played_back() -> None:
    own, other = (Sounds(np.full(SAMPLES, level, np.float32), SAMPLES) for level in (SAID, HEARD))
    drive = Drive({"audio": own, "listen": other}, live=["audio"])
    action = drive.read()
    assert drive.is_live and drive.is_played and drive.frames == 1
    filmed, played = drive.sound(action), drive.sound(action, played=True)
    assert filmed is not None and played is not None
    assert np.allclose(filmed, SAID + HEARD) and np.allclose(played, HEARD) and played.shape == (SAMPLES, 1)
    alone = Drive({"audio": own}, live=["audio"])
    assert not alone.is_played and alone.sound({"audio": action["audio"]}, played=True) is None
