"""The sound of any film at 16 kHz, found by its times.

Shapes: n samples, S samples of a frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError

from conditions.encoders.sound import SAMPLE_RATE, to_16_bit, to_float
from worldmodel.data.convert.common import Skip
from worldmodel.data.convert.files import Stored
from worldmodel.data.convert.pictures import opened

GAP_S = 0.02  # where the times are off by more than this, the sound is put where they say, anew


class Stretch(NamedTuple):
    """Sound without a gap: [channels, n] int16 from a sample on, counted from the file's zero."""

    begins: int
    samples: np.ndarray


class Sound:
    """All sound of a film, mono or a voice for each of two channels.

    Attributes:
        damage: what was met while decoding, or "".
    """

    def __init__(self, stored: Stored, apart: bool = False) -> None:
        """Decodes it.

        Args:
            stored: the file.
            apart: whether its two channels are kept apart, instead of mixed.

        Raises:
            Skip: if they are to be kept apart, and there are not two.
        """
        self.damage = ""
        self._stretches: list[Stretch] = []
        try:
            with opened(stored) as container:
                if not container.streams.audio:
                    if apart:
                        raise Skip("not two channels", "it holds no sound, and --listen wants one voice a channel")
                    return
                stream = container.streams.audio[0]
                if apart and stream.channels != 2:
                    raise Skip("not two channels", f"it has {stream.channels}, and --listen wants one voice a channel")
                for stretch in self._decode(container, stream, apart):
                    self._stretches.append(stretch)
        except FFmpegError as error:
            self.damage = str(error)

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._stretches)

    def at(self, second: float, samples: int, channel: int = 0) -> np.ndarray | None:
        """Returns [S] float32 from a second of the file's clock on; None where most of it is not known."""
        first = round(second * SAMPLE_RATE)
        value, known = np.zeros(samples, np.int16), np.zeros(samples, bool)
        for begins, sound in self._stretches:
            start, stop = max(first, begins), min(first + samples, begins + sound.shape[1])
            if start < stop:
                value[start - first : stop - first] = sound[channel, start - begins : stop - begins]
                known[start - first : stop - first] = True
        return to_float(value) if known.mean() > 0.5 else None

    def _decode(self, container: InputContainer, stream: AudioStream, apart: bool) -> Iterator[Stretch]:
        blocks: list[np.ndarray] = []
        resampler: av.AudioResampler | None = None
        begins, heard, kind = 0.0, 0.0, ("", "", 0)  # of the stretch: when it begins, how long it lasts, its form
        for frame in self._frames(container, stream):
            if apart and frame.layout.nb_channels != 2:
                self.damage = f"it turns to {frame.layout.nb_channels} channels"
                continue
            time = begins + heard if frame.time is None else frame.time
            now = frame.format.name, frame.layout.name, frame.sample_rate
            if resampler is None or kind != now or abs(time - begins - heard) > GAP_S:
                if resampler is not None:
                    yield _stretch(begins, [*blocks, *_resampled(resampler, None, apart)])
                layout = frame.layout.name if frame.layout.nb_channels <= 2 else "mono"
                resampler = av.AudioResampler(format="fltp", layout=layout, rate=SAMPLE_RATE)
                blocks, begins, heard, kind = [], time, 0.0, now
            heard += frame.samples / frame.sample_rate
            frame.pts = None
            blocks += _resampled(resampler, frame, apart)
        if resampler is not None:
            yield _stretch(begins, [*blocks, *_resampled(resampler, None, apart)])

    def _frames(self, container: InputContainer, stream: AudioStream) -> Iterator[av.AudioFrame]:
        """Yields what can be decoded; what is broken is left out, and the times tell where."""
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
            except FFmpegError as error:
                self.damage = f"it breaks off: {error}"
                return
            try:
                yield from (frame for frame in packet.decode() if not frame.is_corrupt and frame.samples)
            except FFmpegError as error:
                self.damage = str(error)


def _resampled(resampler: av.AudioResampler, frame: av.AudioFrame | None, apart: bool) -> list[np.ndarray]:
    blocks = [part.to_ndarray() for part in resampler.resample(frame)]
    return [to_16_bit(block if apart else block.mean(axis=0, keepdims=True)) for block in blocks]


def _stretch(begins: float, blocks: list[np.ndarray]) -> Stretch:
    samples = np.concatenate(blocks, axis=1) if blocks else np.zeros((1, 0), np.int16)
    return Stretch(round(begins * SAMPLE_RATE), samples)
