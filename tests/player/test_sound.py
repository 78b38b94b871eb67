"""The system's loudspeaker, by a sounddevice that the test puts in place of the real one."""

from __future__ import annotations

import numpy as np
import pytest

from player.sound import Loudspeaker
from player.sources.base import SourceError
from tests.player.sources.devices import FakeSounddevice, put_in_place


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> FakeSounddevice:
    return put_in_place(monkeypatch)


def test_the_system_s_loudspeaker_plays_what_is_written(devices: FakeSounddevice) -> None:
    now = [0.0]
    speaker = Loudspeaker(2, print, clock=lambda: now[0])
    ((kind, stream),) = devices.opened
    options = dict(stream.options)
    callback = options.pop("callback")
    assert (kind, options) == ("OutputStream", {"samplerate": 16000, "channels": 2, "dtype": "float32"})
    speaker.write(np.full((160, 2), 0.5, np.float32), 0.01)
    block = np.ones((200, 2), np.float32)
    callback(block, 200, None, None)
    assert (block[:160] == 0.5).all() and not block[160:].any()
    now[0] = 0.05
    assert speaker.seconds == 0  # it is heard so much later
    now[0] = 0.055
    assert speaker.seconds == pytest.approx(0.005)
    speaker.close()
    assert stream.calls == ["start", "close"]


@pytest.mark.parametrize("fails", ["open", "start"])
def test_a_loudspeaker_that_cannot_be_opened(devices: FakeSounddevice, fails: str) -> None:
    devices.fails.update({fails, "close"})
    with pytest.raises(SourceError, match="no loudspeaker can be opened"):
        Loudspeaker(1, print)


def test_closing_never_raises(devices: FakeSounddevice) -> None:
    told: list[str] = []
    speaker = Loudspeaker(1, told.append)
    devices.fails.add("close")
    speaker.close()
    assert told == ["the loudspeaker could not be closed: Unanticipated host error in close"]
