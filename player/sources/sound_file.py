"""Sound from a file: wav, flac, mp3, the sound of an mp4, whatever FFmpeg reads; as mono at 16 kHz, cut into frames.

Shapes: n samples at 16 kHz, S samples a frame.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from conditions.encoders.sound import SAMPLE_RATE
from player.sources.base import SourceError, Tell, existing
from worldmodel.data.sound import Stretch, stretches

FULL_SCALE = 0.999  # from here on a sample counts as clipped
CLIPPED = 1e-3  # share of samples from which on a sound is said to be clipped
SILENT = 1e-4  # peak
UNKNOWN = 0x7FFF0000  # bytes; what writes a wav into a pipe promises so many or more, as it cannot know


class Decoded(NamedTuple):
    """A file's sound.

    Attributes:
        samples: [channels, n] float32 at 16 kHz; more than two channels are mixed into one.
        channels: how many the file has.
    """

    samples: NDArray[np.float32]
    channels: int


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
    samples, channels = _decode(existing(path, "sound file", option), tell, option)
    if channels > 1:
        tell(f"{path}: {channels} channels, mixed into one")
    mixed = samples.mean(axis=0)
    if channels > 2:  # their sum may be louder than full scale, which is no fault of the file
        mixed /= max(1.0, float(np.abs(mixed).max()))
    return _checked(mixed, str(path), tell)


def read_two_channels(
    path: str | Path, tell: Tell, option: str = "--duplex"
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Reads a conversation, one speaker a channel: as `read_sound`, but two of [n], the left channel's and the right's.

    Raises:
        SourceError: as `read_sound`, or if the file has any other number of channels.
    """
    samples, channels = _decode(existing(path, "sound file", option), tell, option)
    if channels != 2:
        raise SourceError(
            f"{option} wants a file of two channels, one for each speaker, and {path} has {channels}: "
            "for one speaker give --audio, for two files --audio and --listen"
        )
    left, right = samples
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


def _decode(path: Path, tell: Tell, option: str) -> Decoded:
    """Returns a file's first sound stream, and tells how it is stored and what is broken."""
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
            damage: list[str] = []
            pieces = [piece for piece in stretches(container, stream, damage) if piece.samples.size]
            # Of the file: where an mp3's sound begins is later, by its encoder's delay.
            begins_s = (container.start_time or 0) / av.time_base
    except av.error.FFmpegError as error:
        raise SourceError(f"{path} cannot be read as sound: {error.strerror}: give {option} a whole file") from error
    if not pieces:
        raise SourceError(f"{path} holds no sound (0 samples could be decoded): check {option}")
    missing = _missing_of_wav(path)
    if missing:
        damage.append(f"it lacks {missing} bytes at its end that its header promises")
    if damage:
        seconds = sum(samples.shape[1] for _, samples in pieces) / SAMPLE_RATE
        kinds = "; ".join(list(dict.fromkeys(damage))[:3])
        tell(f"{path}: damaged, {kinds}; {seconds:.1f} s of it are used, with silence in the gaps")
    return Decoded(_joined(pieces, begins_s, 2 if count == 2 else 1), count)


def _missing_of_wav(path: Path) -> int:
    """Returns how many bytes of its sound a wav file lacks at its end, which FFmpeg hides; 0 for every other file."""
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return 0
        while len(chunk := file.read(8)) == 8:
            size = int.from_bytes(chunk[4:], "little")
            if chunk[:4] == b"data":
                there = path.stat().st_size - file.tell()
                return max(0, size - there) if size < UNKNOWN else 0
            file.seek(size + size % 2, os.SEEK_CUR)  # chunks begin at even bytes
    return 0


def _joined(pieces: list[Stretch], begins_s: float, channels: int) -> NDArray[np.float32]:
    """Lays stretches where their times say, with silence between them and before a late start: [channels, n]."""
    starts = [max(0, round((piece.begins_s - begins_s) * SAMPLE_RATE)) for piece in pieces]
    ends = [start + piece.samples.shape[1] for start, piece in zip(starts, pieces, strict=True)]
    sound = np.zeros((channels, max(ends)), np.float32)
    for start, end, piece in zip(starts, ends, pieces, strict=True):
        alike = len(piece.samples) == channels
        sound[:, start:end] = piece.samples if alike else piece.samples.mean(axis=0, keepdims=True)
    return sound
