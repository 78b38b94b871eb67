"""The sound of a film: kept sample for sample while it is made, and put beside the picture as AAC when it is done.

Every packet has its time from where it stands: frame k of a film at k / fps, sample s of its sound at s / 16000. The
encoder's own 1024 samples of lead are outside the film, by the file's edit list.

Shapes: S samples a frame.
"""

from __future__ import annotations

import wave
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.packet import Packet
from numpy.typing import NDArray

from conditions.encoders.sound import SAMPLE_RATE, to_16_bit

BIT_RATE = 64_000  # a channel: 16 kHz speech by AAC without audible loss
BLOCK = 1024  # samples that AAC encodes together


class Soundtrack:
    """A wav file that grows with the film, and can be heard up to its last frame even if the program is killed.

    Attributes:
        path: of the file.
    """

    def __init__(self, path: Path, fps: Fraction, channels: int) -> None:
        self.path = path
        self._per_frame = SAMPLE_RATE / fps
        self._channels = channels
        self._frames, self._samples = 0, 0
        self._file = wave.open(str(path), "wb")
        self._file.setnchannels(channels)
        self._file.setsampwidth(2)
        self._file.setframerate(SAMPLE_RATE)

    def write(self, sound: NDArray[np.float32] | None) -> None:
        """Adds the sound of one frame, [S, channels] in [-1, 1], or silence; cut or filled so that no error adds up."""
        self._frames += 1
        length = round(self._frames * self._per_frame) - self._samples
        self._samples += length
        block = np.zeros((length, self._channels), np.int16)
        if sound is not None:
            block[: len(sound)] = to_16_bit(sound[:length])
        self._file.writeframes(block.astype("<i2").tobytes())

    def close(self) -> None:
        """Finishes the file."""
        self._file.close()


def joined(film: Path, sound: Path | None, out: Path) -> None:
    """Writes a plain mp4 of a film's picture, as it is, and of a sound.

    Args:
        film: an mp4 with a picture.
        sound: a wav file that begins with it, or None for a silent film.
        out: the file to write.
    """
    with av.open(str(film)) as source, av.open(str(out), "w", options={"movflags": "faststart"}) as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        voices: Iterator[Packet] = iter(())
        if sound is not None:
            with wave.open(str(sound), "rb") as file:
                channels, samples = file.getnchannels(), file.getnframes()
                voice = target.add_stream("aac", rate=SAMPLE_RATE, layout="mono" if channels == 1 else "stereo")
                voice.bit_rate = BIT_RATE * channels
                voice.time_base = Fraction(1, SAMPLE_RATE)
            voices = _encoded(sound, channels, samples, voice)
        waiting = next(voices, None)
        first: int | None = None  # of the fragments' times, which begin later by the frames that x264 looks ahead
        for packet in source.demux(stream):
            if packet.dts is None or packet.pts is None:
                continue
            first = packet.pts if first is None else first
            packet.pts, packet.dts = packet.pts - first, packet.dts - first
            now = packet.dts * packet.time_base
            while waiting is not None and _time(waiting) <= now:  # side by side, so that neither has to be kept
                target.mux(waiting)
                waiting = next(voices, None)
            packet.stream = copy
            target.mux(packet)
        while waiting is not None:
            target.mux(waiting)
            waiting = next(voices, None)


def _encoded(sound: Path, channels: int, samples: int, stream: AudioStream) -> Iterator[Packet]:
    with wave.open(str(sound), "rb") as file:
        for start in range(0, samples, BLOCK):
            block = np.frombuffer(file.readframes(BLOCK), "<i2").reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono" if channels == 1 else "stereo")
            frame.sample_rate = SAMPLE_RATE
            frame.pts, frame.time_base = start, Fraction(1, SAMPLE_RATE)
            yield from stream.encode(frame)
    yield from stream.encode(None)


def _time(packet: Packet) -> Fraction:
    assert packet.dts is not None and packet.time_base is not None
    return packet.dts * packet.time_base
