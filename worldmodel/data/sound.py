"""The sound of a film or a sound file, in time: mono or stereo at 16 kHz, silence where none is.

Shapes: C channels, n samples at 16 kHz.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import av
import av.error
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from numpy.typing import NDArray

from conditions.encoders.sound import SAMPLE_RATE

GAP_S = 0.02  # missing sound from this length on is filled with silence, so that what follows keeps its time


def decode_sound(container: InputContainer, stream: AudioStream) -> tuple[NDArray[np.float32] | None, str]:
    """Decodes a stream from the moment at which its file begins.

    Args:
        container: the open file.
        stream: one of its streams; more than two channels are mixed into one.

    Returns:
        [C, n] float32 at 16 kHz, None where nothing could be decoded; and the damage met on the way, empty if none.
    """
    layout = stream.layout.name if stream.channels <= 2 else "mono"
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=SAMPLE_RATE)
    damage: list[str] = []
    blocks: list[NDArray[np.float32]] = []
    for frame in _frames(container, stream, damage):
        blocks += [part.to_ndarray().astype(np.float32) for part in resampler.resample(frame)]
    if blocks:
        blocks += [part.to_ndarray().astype(np.float32) for part in resampler.resample(None)]
    sound = np.concatenate(blocks, axis=1) if sum(block.shape[1] for block in blocks) else None
    return sound, damage[0] if damage else ""


def _frames(container: InputContainer, stream: AudioStream, damage: list[str]) -> Iterator[av.AudioFrame]:
    """Yields a stream's frames without gaps: silence stands where packets were lost, or before a late start."""
    now = 0  # samples yielded
    begins = Fraction(container.start_time or 0, av.time_base)  # the file; an mp3's is later by its encoder's delay
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError as error:
            damage.append(f"it breaks off ({error.strerror})")
            return
        if packet is None:
            return
        try:
            frames = packet.decode()
        except av.error.FFmpegError as error:
            damage.append(str(error.strerror))
            continue
        for frame in frames:
            if frame.pts is not None and frame.time_base is not None:
                missing = round((frame.pts * frame.time_base - begins) * frame.rate) - now
                if missing > GAP_S * frame.rate:
                    now += missing
                    yield _silence(frame, missing)
            now += frame.samples
            frame.pts = None
            yield frame


def _silence(like: av.AudioFrame, samples: int) -> av.AudioFrame:
    planes = np.zeros_like(like.to_ndarray())
    width = samples if like.format.is_planar else samples * like.layout.nb_channels
    value = 128 if like.format.name.startswith("u8") else 0
    frame = av.AudioFrame.from_ndarray(
        np.full((len(planes), width), value, planes.dtype), format=like.format.name, layout=like.layout.name
    )
    frame.sample_rate = like.rate
    return frame
