"""The microphone, as mono at 16 kHz.

Shapes: S samples a frame.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from conditions.encoders.sound import SAMPLE_RATE
from player.sources.base import SourceError, Tell

LATE_S = 0.5  # without a sample for so long, the microphone counts as gone
RETRY_S = 2.0  # from one try to open it again to the next
BACKLOG_S = 1.0  # sound that may wait; what is older is left out, so that the face does not lag behind

Receive = Callable[[NDArray[np.float32]], None]  # takes new samples [n], from a thread of the device's own


class Stream(Protocol):
    """An open device."""

    @property
    def active(self) -> bool:
        """Whether sound still comes."""

    def close(self) -> None:
        """Closes it."""


class Microphone:
    """The microphone as a source: it never ends, and while it is gone it is silent.

    Args:
        samples_per_frame: S.
        tell: is told when the microphone vanishes, when it is back, and when sound had to be left out.
        open_stream: opens a device that passes what it hears on; the system's default one by default.
        clock: seconds, for waiting.

    Raises:
        SourceError: if there is no microphone, or the extra `mic` is not installed.
    """

    def __init__(
        self,
        samples_per_frame: int,
        tell: Tell,
        open_stream: Callable[[Receive], Stream] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._size, self._tell, self._clock = samples_per_frame, tell, clock
        self._open = open_default if open_stream is None else open_stream
        self._pieces: deque[NDArray[np.float32]] = deque()
        self._waiting = 0  # samples in _pieces
        self._left_out = 0  # samples that waited too long, since that was last told
        self._arrived = threading.Condition()
        self._gone = False
        self._due = self._tried = self._heard = 0.0  # of the next silent frame; of the last try; of the last sound
        self._stream: Stream | None = self._open(self._receive)

    @property
    def frames(self) -> None:
        """It does not end."""
        return None

    def read(self) -> NDArray[np.float32]:
        """Returns the next [S] float32, waiting for it; and for silence, when it is due, where it is gone."""
        if self._stream is None:
            self._reopen()
        until = self._due if self._gone else self._clock() + LATE_S
        with self._arrived:
            while self._waiting < self._size and (left := until - self._clock()) > 0:
                if not self._gone and self._stream is not None and not _is_active(self._stream):
                    break
                self._arrived.wait(min(left, 0.05))
            self._drop_old()
            if self._waiting >= self._size:
                if self._gone:
                    self._gone = False
                    self._tell("the microphone is back")
                return self._take(self._size)
            value = np.zeros(self._size, np.float32)
            last = self._take(self._waiting)
            value[: len(last)] = last
        self._lose()
        return value

    def close(self) -> None:
        """Closes the microphone."""
        stream, self._stream = self._stream, None
        if stream is not None:
            close_device(stream, "microphone", self._tell)

    def _receive(self, samples: NDArray[np.float32]) -> None:
        with self._arrived:
            # A device that breaks may say anything; the space of sound is [-1, 1].
            self._pieces.append(np.clip(np.nan_to_num(samples), -1.0, 1.0).astype(np.float32))
            self._waiting += len(samples)
            late = self._waiting - int(BACKLOG_S * SAMPLE_RATE)
            if late > 0:  # while the world is paused, too
                self._take(late)
                self._left_out += late
            self._heard = self._clock()
            self._arrived.notify_all()

    def _take(self, count: int) -> NDArray[np.float32]:
        """Removes and returns the first samples that wait; the lock is held."""
        taken, need = [], count
        while need:
            piece = self._pieces.popleft()
            taken.append(piece[:need])
            if len(piece) > need:
                self._pieces.appendleft(piece[need:])
            need -= len(taken[-1])
        self._waiting -= count
        return np.concatenate(taken) if taken else np.zeros(0, np.float32)

    def _drop_old(self) -> None:
        if self._left_out:
            late, self._left_out = self._left_out + self._waiting - self._size, 0
            self._take(self._waiting - self._size)
            self._tell(f"the world was slower than the microphone, or paused: {late / SAMPLE_RATE:.1f} s are left out")

    def _lose(self) -> None:
        """Goes on in silence, at the pace of the microphone: what the world's work takes is no longer waited for."""
        now = self._clock()
        if not self._gone:
            self._gone, self._due = True, now
            self._tell("the microphone is gone: silence goes on in its place, and it is looked for again")
        self._due = max(self._due, now - BACKLOG_S) + self._size / SAMPLE_RATE
        if self._stream is not None and (not _is_active(self._stream) or now - self._heard >= LATE_S):
            self.close()
            self._tried = now

    def _reopen(self) -> None:
        now = self._clock()
        if now - self._tried < RETRY_S:
            return
        self._tried = self._heard = now
        try:
            self._stream = self._open(self._receive)
        except SourceError:
            pass  # said already; the next try comes


def _is_active(stream: Stream) -> bool:
    try:
        return stream.active
    except Exception:  # as of `close_device`
        return False


def close_device(stream: Stream, what: str, tell: Tell) -> None:
    """Closes a microphone or a loudspeaker, which may have been pulled out: never raises, but tells."""
    try:
        stream.close()
    except Exception as error:  # whatever a driver raises for a device pulled out: it is gone either way
        tell(f"the {what} could not be closed: {error}")


def sounddevice() -> Any:
    """Returns the module of the extra `mic`, for recording and playing.

    Raises:
        SourceError: if it, or the PortAudio library that it speaks to, is not installed.
    """
    try:
        import sounddevice as module
    except ModuleNotFoundError as error:
        raise SourceError(
            "the microphone and the loudspeaker need sounddevice, which is not installed: "
            "pip install 'worldmodel[mic]', or pip install sounddevice"
        ) from error
    except OSError as error:
        raise SourceError(f"sounddevice needs PortAudio ({error}): on Debian, apt install libportaudio2") from error
    return module


def started(kind: str, channels: int, callback: Callable[..., None], problem: str) -> Any:
    """Opens the system's default device at 16 kHz and starts it.

    Args:
        kind: class of sounddevice, "InputStream" or "OutputStream".
        channels: of the sound.
        callback: takes a block [n, channels], n, its times and its flags.
        problem: what to say, {} being the reason, where there is none or it cannot be opened.

    Raises:
        SourceError: if there is none, or it cannot be opened.
    """
    module = sounddevice()
    try:
        stream = getattr(module, kind)(samplerate=SAMPLE_RATE, channels=channels, dtype="float32", callback=callback)
        try:
            stream.start()
        except module.PortAudioError:
            with suppress(module.PortAudioError):
                stream.close()
            raise
    except (module.PortAudioError, ValueError) as error:
        raise SourceError(problem.format(error)) from error
    return stream


def open_default(receive: Receive) -> Stream:
    """Opens the system's default microphone.

    Raises:
        SourceError: if there is none, or it cannot be opened.
    """

    def heard(indata: NDArray[np.float32], frames: int, when: Any, status: Any) -> None:
        receive(indata[:, 0].copy())

    opened: Stream = started(
        "InputStream", 1, heard, "no microphone can be opened: {}: plug one in, or give --audio a file"
    )
    return opened
