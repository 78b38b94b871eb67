"""The sound of any file that FFmpeg reads, at 16 kHz and where its times say.

Shapes: n samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError

from conditions.encoders.sound import SAMPLE_RATE

GAP_S = 0.02  # where the times are off by more than this, the sound is put where they say, anew
LOUDEST = 2.0**32  # of floating samples, whatever full scale is to them; above it nothing can be meant
FLOATS = {"flt": "f4", "dbl": "f8"}  # how FFmpeg calls floating samples


class Stretch(NamedTuple):
    """Sound without a gap.

    Attributes:
        begins_s: of its first sample, by the file's clock.
        samples: [channels, n] float32 in [-1, 1]; more than two channels are mixed into one.
    """

    begins_s: float
    samples: np.ndarray


def stretches(container: InputContainer, stream: AudioStream, damage: list[str]) -> Iterator[Stretch]:
    """Decodes a stream; what is broken is left out, and the times tell where. Samples that are no numbers become 0.

    Args:
        container: the open file.
        stream: of it.
        damage: is given a line for whatever is met that cannot be decoded.

    Yields:
        Its sound in order, a stretch as long as neither its times nor its form jump.
    """
    blocks: list[np.ndarray] = []
    resampler: av.AudioResampler | None = None
    begins, heard, form = 0.0, 0.0, ("", "", 0)  # of the stretch: when it begins, how long it lasts, how it is stored
    for frame in _frames(container, stream, damage):
        time = begins + heard if frame.time is None else frame.time
        now = frame.format.name, frame.layout.name, frame.sample_rate
        if resampler is None or form != now or abs(time - begins - heard) > GAP_S:
            if resampler is not None and (blocks := [*blocks, *_resampled(resampler, None)]):
                yield Stretch(begins, np.concatenate(blocks, axis=1))
            if resampler is not None and (gap := time - begins - heard) > GAP_S:  # a decoder may leave out in silence
                damage.append(f"{gap:.2f} s are missing from {begins + heard:.2f} s on")
            layout = frame.layout.name if frame.layout.nb_channels <= 2 else "mono"
            resampler = av.AudioResampler(format="fltp", layout=layout, rate=SAMPLE_RATE)
            blocks, begins, heard, form = [], time, 0.0, now
        heard += frame.samples / frame.sample_rate
        frame.pts = None
        blocks += _resampled(resampler, frame)
    if resampler is not None and (blocks := [*blocks, *_resampled(resampler, None)]):
        yield Stretch(begins, np.concatenate(blocks, axis=1))


def _frames(container: InputContainer, stream: AudioStream, damage: list[str]) -> Iterator[av.AudioFrame]:
    packets = container.demux(stream)
    silenced = 0
    while True:
        try:
            packet = next(packets, None)
        except FFmpegError as error:
            damage.append(f"it breaks off ({error.strerror})")
            break
        if packet is None:
            break
        try:
            for frame in packet.decode():
                if frame.samples and not frame.is_corrupt:
                    silenced += _silence_wild(frame)
                    yield frame
        except FFmpegError as error:
            damage.append(str(error.strerror))
    if silenced:
        damage.append(f"{silenced} samples are no numbers (NaN or infinite)")


def _silence_wild(frame: av.AudioFrame) -> int:
    """Makes samples that are NaN, infinite or beyond all measure 0, before a filter spreads them; returns how many."""
    kind = FLOATS.get(frame.format.packed.name)
    if kind is None:
        return 0
    count = 0
    for plane in frame.planes:
        samples = np.frombuffer(bytes(plane), kind)
        wild = ~(np.abs(samples) <= LOUDEST)  # NaN compares as false
        if wild.any():
            count += int(wild.sum())
            plane.update(np.where(wild, np.zeros_like(samples), samples).tobytes())
    return count


def _resampled(resampler: av.AudioResampler, frame: av.AudioFrame | None) -> list[np.ndarray]:
    return [part.to_ndarray() for part in resampler.resample(frame)]
