"""Sound that is played live, and how much of it was heard: the clock that pictures are shown by.

A loudspeaker runs by a crystal of its own, off from the computer's clock by up to some hundred millionths, which is
seconds in a day. So nothing here counts by the computer's clock for longer than a block of sound lasts: frame k is
shown when its own sound is heard, and where sound has to wait for a frame, its clock waits with it.

Shapes: S samples a frame.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from conditions.encoders.sound import SAMPLE_RATE
from player.sources.base import Tell
from player.sources.microphone import Stream, close_device, started

GONE_S = 1.0  # without a call from the device for so long, the loudspeaker counts as gone
LIVE_PACE = 1.005  # of pictures that a live source paces: a little faster than it, so that it is the one waited for

Fill = Callable[[NDArray[np.float32]], None]  # fills a block [n, channels] that the device is about to play


class Outlet(Protocol):
    """Where sound goes, one frame's after another's."""

    def write(self, sound: NDArray[np.float32] | None, seconds: float) -> None:
        """Adds a frame's sound [S, channels], or silence, of so many seconds."""

    @property
    def seconds(self) -> float:
        """How much of what was written has been heard."""

    def close(self) -> None:
        """Lets go of the device."""


class Silent:
    """No loudspeaker: the time of what is written passes by the computer's clock, and waits where nothing is there.

    Args:
        pace: seconds of film a second.
        clock: seconds.
    """

    def __init__(self, pace: float = 1.0, clock: Callable[[], float] = time.perf_counter) -> None:
        self._pace, self._clock = pace, clock
        self._written = self._heard = 0.0
        self._then = clock()

    def write(self, sound: NDArray[np.float32] | None, seconds: float) -> None:
        """Adds so many seconds."""
        self._pass()
        self._written += seconds

    @property
    def seconds(self) -> float:
        """How much of what was written has passed."""
        self._pass()
        return self._heard

    def close(self) -> None:
        """Nothing to let go of."""

    def _pass(self) -> None:
        now = self._clock()
        self._heard = min(self._written, self._heard + (now - self._then) * self._pace)
        self._then = now


class Loudspeaker:
    """The loudspeaker. Where sound is late it plays silence, which its clock does not count.

    Args:
        channels: 1 or 2.
        tell: is told if it vanishes; the film then goes on by the computer's clock.
        open_stream: opens a device that asks for blocks, and says how many seconds later they are heard; the system's
            default one by default.
        clock: seconds.

    Raises:
        SourceError: if there is no loudspeaker, or the extra `mic` is not installed.
    """

    def __init__(
        self,
        channels: int,
        tell: Tell,
        open_stream: Callable[[int, Fill], tuple[Stream, float]] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._channels, self._tell, self._clock = channels, tell, clock
        self._blocks: deque[NDArray[np.float32]] = deque()
        self._lock = threading.Lock()
        self._handed = 0  # samples given to the device
        self._before = 0  # of these, before its last block
        self._called = clock()
        self._heard = 0.0
        self._instead: Silent | None = None
        self._owed = 0.0  # seconds, of samples that a frame's rounded time differs by
        opener = open_default if open_stream is None else open_stream
        self._latency = 0.0
        self._stream, self._latency = opener(channels, self._fill)

    def write(self, sound: NDArray[np.float32] | None, seconds: float) -> None:
        """Adds a frame's sound [S, channels] in [-1, 1], or silence, of so many seconds."""
        self._owed += seconds * SAMPLE_RATE
        length = round(self._owed)
        self._owed -= length
        block = np.zeros((length, self._channels), np.float32)
        if sound is not None:
            block[: len(sound)] = sound[:length]
        with self._lock:
            if self._instead is None:
                self._blocks.append(block)
                return
        self._instead.write(None, length / SAMPLE_RATE)

    @property
    def seconds(self) -> float:
        """How much of what was written has been heard."""
        with self._lock:
            if self._instead is None and self._blocks and self._clock() - self._called > GONE_S:
                self._leave()
            if self._instead is not None:
                return self._heard + self._instead.seconds
            since = self._clock() - self._called - self._latency
            now = min(self._before / SAMPLE_RATE + since, self._handed / SAMPLE_RATE)
            self._heard = max(self._heard, now)  # a clock does not go back, though calls of a device are not steady
            return self._heard

    def close(self) -> None:
        """Closes the device."""
        close_device(self._stream, "loudspeaker", self._tell)

    def _leave(self) -> None:
        """Goes on without the device."""
        self._tell("the loudspeaker is gone: the picture goes on without sound")
        left = self._handed / SAMPLE_RATE - self._heard + sum(map(len, self._blocks)) / SAMPLE_RATE
        self._blocks.clear()
        self._instead = Silent(clock=self._clock)
        self._instead.write(None, left)

    def _fill(self, out: NDArray[np.float32]) -> None:
        """Fills a block [n, channels] that the device is about to play."""
        with self._lock:
            self._called, self._before = self._clock(), self._handed
            done = 0
            while done < len(out) and self._blocks:
                block = self._blocks.popleft()
                part = block[: len(out) - done]
                out[done : done + len(part)] = part
                done += len(part)
                if len(block) > len(part):
                    self._blocks.appendleft(block[len(part) :])
            out[done:] = 0
            self._handed += done


def open_default(channels: int, fill: Fill) -> tuple[Stream, float]:
    """Opens the system's default loudspeaker.

    Raises:
        SourceError: if there is none, or it cannot be opened.
    """

    def play(outdata: NDArray[np.float32], frames: int, when: Any, status: Any) -> None:
        fill(outdata)

    stream = started("OutputStream", channels, play, "no loudspeaker can be opened: {}")
    return stream, float(stream.latency)
