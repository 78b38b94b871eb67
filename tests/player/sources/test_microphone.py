"""The microphone, with a device that the test speaks into."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest

from player.sources.base import SourceError
from player.sources.microphone import BACKLOG_S, RETRY_S, Microphone, Receive, sounddevice
from tests.player.sources.devices import FakeSounddevice, put_in_place

SIZE = 160


class Device:
    """Opens streams as long as it is plugged in."""

    def __init__(self) -> None:
        self.plugged, self.opened, self.active = True, 0, True
        self.now = 0.0

    def open(self, receive: Receive) -> Device:
        if not self.plugged:
            raise SourceError("no microphone can be opened")
        self.opened += 1
        self.active = True
        self.receive = receive
        return self

    def close(self) -> None:
        self.active = False

    def clock(self) -> float:
        self.now += 0.01  # time passes as it is looked at
        return self.now

    def say(self, values: np.ndarray) -> None:
        self.receive(values.astype(np.float32))


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> FakeSounddevice:
    return put_in_place(monkeypatch)


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def microphone(device: Device, told: list[str]) -> Microphone:
    return Microphone(SIZE, told.append, device.open, device.clock)


def test_blocks_of_any_length_become_frames(device: Device, microphone: Microphone, told: list[str]) -> None:
    spoken = np.linspace(-0.9, 0.9, 3 * SIZE)
    for start, stop in ((0, 100), (100, 101), (101, 470), (470, 480)):
        device.say(spoken[start:stop])
    heard = np.concatenate([microphone.read() for _ in range(3)])
    assert np.abs(heard - spoken).max() < 1e-6 and heard.dtype == np.float32 and not told
    assert microphone.frames is None


def test_what_a_device_says_is_kept_within_the_space(device: Device, microphone: Microphone) -> None:
    device.say(np.where(np.arange(SIZE) % 2, 7.0, np.nan))
    heard = microphone.read()
    assert np.isfinite(heard).all() and np.abs(heard).max() <= 1


def test_a_microphone_that_vanishes_is_silent_and_looked_for_until_it_is_back(
    device: Device, microphone: Microphone, told: list[str]
) -> None:
    device.say(np.full(SIZE + 40, 0.5))
    assert (microphone.read() == 0.5).all()
    device.plugged = device.active = False
    last = microphone.read()
    assert (last[:40] == 0.5).all() and not last[40:].any()
    assert len(told) == 1 and "the microphone is gone" in told[0]
    until = device.now + 2 * RETRY_S
    while device.now < until:
        assert not microphone.read().any()
    assert device.opened == 1 and len(told) == 1
    device.plugged = True
    until = device.now + 2 * RETRY_S
    while device.opened == 1 and device.now < until:
        assert not microphone.read().any()
    device.say(np.full(SIZE, 0.25))
    assert (microphone.read() == 0.25).all()
    assert device.opened == 2 and told[1] == "the microphone is back"


def test_a_microphone_that_opens_and_says_nothing_is_tried_again(
    device: Device, microphone: Microphone, told: list[str]
) -> None:
    until = device.now + 4 * RETRY_S
    while device.now < until:
        assert not microphone.read().any()
    assert 3 <= device.opened <= 5 and len(told) == 1


def test_silence_keeps_the_pace_of_what_is_gone(device: Device, told: list[str]) -> None:
    """A frame of silence comes when it is due: the world's own work, between two reads, is not waited for besides."""
    size, reads = 1600, 12  # a tenth of a second
    microphone = Microphone(size, told.append, device.open, device.clock)
    device.plugged = device.active = False
    microphone.read()
    begun = device.now
    for _ in range(reads):
        device.now += 0.06
        microphone.read()
    assert reads * 0.1 - 0.05 <= device.now - begun <= reads * 0.1 + 0.05


def test_what_waits_too_long_is_left_out(device: Device, microphone: Microphone, told: list[str]) -> None:
    device.say(np.linspace(0, 1, int(BACKLOG_S * 16000) + 3 * SIZE))
    assert microphone.read()[-1] == 1.0  # the newest frame
    assert len(told) == 1 and "slower than the microphone" in told[0] and "1.0 s are left out" in told[0]


def test_a_minute_of_pause_is_not_kept(device: Device, microphone: Microphone, told: list[str]) -> None:
    for _ in range(60):
        device.say(np.full(16000, 0.5))
    assert microphone._waiting <= BACKLOG_S * 16000 and not told
    assert microphone.read().any() and "or paused: 60.0 s are left out" in told[0]
    device.say(np.full(SIZE, 0.25))
    assert (microphone.read() == 0.25).all() and len(told) == 1


def test_no_microphone_is_a_broken_start(device: Device) -> None:
    device.plugged = False
    with pytest.raises(SourceError):
        Microphone(SIZE, print, device.open)


def test_the_system_s_microphone_is_heard_as_mono_at_16_khz(devices: FakeSounddevice) -> None:
    microphone = Microphone(SIZE, print)
    ((kind, stream),) = devices.opened
    options = dict(stream.options)
    callback = options.pop("callback")
    assert (kind, options) == ("InputStream", {"samplerate": 16000, "channels": 1, "dtype": "float32"})
    block = np.full((SIZE, 1), 0.5, np.float32)
    callback(block, SIZE, None, None)
    block[:] = 0  # the device writes its next block into the same memory
    assert (microphone.read() == 0.5).all()
    microphone.close()
    microphone.close()
    assert stream.calls == ["start", "close"]


@pytest.mark.parametrize("fails", ["open", "start"])
def test_a_microphone_that_cannot_be_opened_is_a_broken_start(devices: FakeSounddevice, fails: str) -> None:
    devices.fails.update({fails, "close"})
    with pytest.raises(SourceError, match="no microphone can be opened: .*give --audio a file"):
        Microphone(SIZE, print)
    assert [stream.calls for _, stream in devices.opened] == ([["start", "close"]] if fails == "start" else [])


def test_a_device_that_errs_counts_as_gone(devices: FakeSounddevice, told: list[str]) -> None:
    microphone = Microphone(SIZE, told.append)
    devices.fails.update({"active", "close", "open"})
    for _ in range(3):
        assert not microphone.read().any()
    assert len(told) == 2 and "the microphone is gone" in told[0]
    assert told[1] == "the microphone could not be closed: Unanticipated host error in close"
    microphone.close()
    assert len(devices.opened) == 1


def test_closing_never_raises(devices: FakeSounddevice, told: list[str]) -> None:
    microphone = Microphone(SIZE, told.append)
    devices.fails.add("close")
    microphone.close()
    microphone.close()
    assert told == ["the microphone could not be closed: Unanticipated host error in close"]


@pytest.mark.parametrize(
    ("error", "told"),
    [(ModuleNotFoundError("sounddevice"), r"worldmodel\[mic\]"), (OSError("PortAudio not found"), "libportaudio2")],
)
def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch, error: Exception, told: str) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "sounddevice":
            raise error
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SourceError, match=told):
        sounddevice()
