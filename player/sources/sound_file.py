"""Sound from a file: wav, flac, mp3, the sound of an mp4, whatever FFmpeg reads; as mono at 16 kHz, cut into frames.

Shapes: n samples at 16 kHz, S samples a frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from numpy.typing import NDArray

from conditions.encoders.sound import SAMPLE_RATE
from player.sources.base import SourceError, Tell, existing

FULL_SCALE = 0.999  # from here on a sample counts as clipped
CLIPPED = 1e-3  # share of samples from which on a sound is said to be clipped
SILENT = 1e-4  # peak
GAP_S = 0.02  # missing sound from this length on is filled with silence, so that what follows keeps its time


class Sounds:
    """A sound as a source: S samples a frame, then silence.

    Args:
        samples: [n] float32 in [-1, 1].
        samples_per_frame: S.
    """

    def __init__(self, samples: NDArray[np.float32], samples_per_frame: int) -> None:
        self.samples = samples
        self._size = samples_per_frame
        self._at = 0

    @property
    def frames(self) -> int:
        """How many frames the sound lasts, a part of one counted as one."""
        return -(-len(self.samples) // self._size)

    def read(self) -> NDArray[np.float32]:
        """Returns the next [S] float32, zeros where the sound has ended."""
        value = np.zeros(self._size, np.float32)
        part = self.samples[self._at : self._at + self._size]
        value[: len(part)] = part
        self._at += self._size
        return value

    def close(self) -> None:
        """Nothing to let go of."""


def read_sound(path: str | Path, tell: Tell, option: str = "--audio") -> NDArray[np.float32]:
    """Reads a file's sound as mono at 16 kHz.

    Args:
        path: of any container and codec that FFmpeg reads.
        tell: is told what was changed, and what is odd: another rate, several channels, clipping, silence, damage.
        option: where the file was named, for errors.

    Returns:
        [n] float32 in [-1, 1], n >= 1. Damage after the start leaves silence where it was.

    Raises:
        SourceError: if there is no such file, it is empty or broken from its start, or it holds no sound.
    """
    channels = _decode(existing(path, "sound file", option), tell, option)
    if len(channels) > 1:
        tell(f"{path}: {len(channels)} channels, mixed into one")
    return _checked(channels.mean(axis=0), str(path), tell)


def read_two_channels(
    path: str | Path, tell: Tell, option: str = "--duplex"
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Reads a conversation, one speaker a channel: as `read_sound`, but two of [n], the left channel's and the right's.

    Raises:
        SourceError: as `read_sound`, or if the file has any other number of channels.
    """
    channels = _decode(existing(path, "sound file", option), tell, option)
    if len(channels) != 2:
        raise SourceError(
            f"{option} wants a file of two channels, one for each speaker, and {path} has {len(channels)}: "
            "for one speaker give --audio, for two files --audio and --listen"
        )
    left, right = channels
    return _checked(left, f"{path}, left channel", tell), _checked(right, f"{path}, right channel", tell)


def _checked(samples: NDArray[np.float32], name: str, tell: Tell) -> NDArray[np.float32]:
    """Tells of clipping and silence, and keeps samples within [-1, 1]."""
    loud = np.abs(samples)
    share = float((loud >= FULL_SCALE).mean())
    if share >= CLIPPED:
        tell(f"{name}: clipped, {share:.1%} of it is at full scale; it is used as it is")
    if loud.max() < SILENT:
        tell(f"{name}: silent from beginning to end")
    return np.clip(samples, -1.0, 1.0, dtype=np.float32)


def _decode(path: Path, tell: Tell, option: str) -> NDArray[np.float32]:
    """Returns every channel of a file's first sound stream, [channels, n] at 16 kHz."""
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise SourceError(f"{path} holds no sound: give {option} a wav, flac, mp3, or an mp4 with a voice")
            stream = container.streams.audio[0]
            rate, count = stream.rate, stream.channels
            if not rate or not count:
                raise SourceError(f"{path} cannot be read as sound: its rate or its number of channels is not known")
            if rate != SAMPLE_RATE:
                lacks = f"; it has nothing above {rate / 2000:g} kHz" if rate < SAMPLE_RATE else ""
                tell(f"{path}: {rate} Hz, resampled to {SAMPLE_RATE} Hz{lacks}")
            blocks, damage = _blocks(container, stream)
    except av.error.FFmpegError as error:
        raise SourceError(f"{path} cannot be read as sound: {error.strerror}: give {option} a whole file") from error
    if not blocks or not (total := sum(block.shape[1] for block in blocks)):
        raise SourceError(f"{path} holds no sound (0 samples could be decoded): check {option}")
    if damage:
        tell(f"{path}: damaged, {damage}; {total / SAMPLE_RATE:.1f} s of it are used, with silence in the gaps")
    return np.concatenate(blocks, axis=1)


def _blocks(container: InputContainer, stream: AudioStream) -> tuple[list[NDArray[np.float32]], str]:
    """Returns blocks [channels, m] at 16 kHz, and the damage met on the way, empty if none."""
    layout = stream.layout.name if stream.channels <= 2 else "mono"
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=SAMPLE_RATE)
    damage: list[str] = []
    blocks: list[NDArray[np.float32]] = []
    for frame in _frames(container, stream, damage):
        blocks += [part.to_ndarray().astype(np.float32) for part in resampler.resample(frame)]
    if blocks:
        blocks += [part.to_ndarray().astype(np.float32) for part in resampler.resample(None)]
    return blocks, damage[0] if damage else ""


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
