"""A stretch of one person's sound, and which phone is said when.

Shapes: S samples at 16 kHz.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16000


@dataclass(frozen=True)
class Phone:
    """One sound of speech.

    Attributes:
        start, stop: its first sample, and the one after its last.
        symbol: in the International Phonetic Alphabet.
        viseme: how the mouth looks, one of `visemes.VISEMES`.
    """

    start: int
    stop: int
    symbol: str
    viseme: str


@dataclass(frozen=True, eq=False)
class Track:
    """Mono sound at 16 kHz with its phones.

    Attributes:
        samples: [S] float32 in [-1, 1].
        phones: in order, without overlap; where there is none the mouth rests.
        text: what is said, if anything.
        language: of the text, as espeak-ng names it.

    Raises:
        ValueError: for samples that are not finite mono float in [-1, 1], or phones out of order or outside them.
    """

    samples: NDArray[np.float32]
    phones: tuple[Phone, ...] = ()
    text: str = ""
    language: str = ""

    def __post_init__(self) -> None:
        samples = np.asarray(self.samples)
        if samples.ndim != 1 or samples.dtype.kind != "f":
            raise ValueError(f"samples must be mono float [S], got {samples.shape} {samples.dtype}: mix and scale them")
        if not np.isfinite(samples).all() or (len(samples) and np.abs(samples).max() > 1.0):
            raise ValueError(f"samples must be finite, within -1 and 1, got a peak of {np.abs(samples).max()}")
        object.__setattr__(self, "samples", samples.astype(np.float32))
        object.__setattr__(self, "phones", tuple(self.phones))
        end = 0
        for phone in self.phones:
            if not end <= phone.start <= phone.stop <= len(samples):
                raise ValueError(
                    f"phones must follow one another within {len(samples)} samples, got {phone.symbol!r} from "
                    f"{phone.start} to {phone.stop} after {end}"
                )
            end = phone.stop

    @property
    def duration_s(self) -> float:
        """How long it is, in seconds."""
        return len(self.samples) / SAMPLE_RATE

    def slice(self, start: int, stop: int) -> NDArray[np.float32]:
        """Returns samples start to stop - 1 as [stop - start] float32, zeros where the track has ended."""
        result = np.zeros(stop - start, np.float32)
        part = self.samples[start:stop]
        result[: len(part)] = part
        return result

    def speaks(self, start: int, stop: int) -> bool:
        """Whether a phone sounds within samples start to stop - 1."""
        return any(phone.start < stop and phone.stop > start for phone in self.phones)

    def fitted(self, length: int) -> Track:
        """Returns it cut or padded with silence to `length` samples."""
        phones = [replace(phone, stop=min(phone.stop, length)) for phone in self.phones if phone.start < length]
        return replace(self, samples=self.slice(0, length), phones=tuple(phones))

    def with_gain(self, gain: float) -> Track:
        """Returns it louder or softer, clipped to [-1, 1]."""
        return replace(self, samples=np.clip(self.samples * np.float32(gain), -1.0, 1.0))

    def over(self, background: NDArray[np.floating]) -> Track:
        """Returns it with a background [S] added, clipped to [-1, 1].

        Raises:
            ValueError: if the background has another length.
        """
        if background.shape != self.samples.shape:
            raise ValueError(f"the background must be {self.samples.shape} samples, got {background.shape}")
        mixed = np.clip(self.samples + background, -1.0, 1.0).astype(np.float32)
        return replace(self, samples=mixed)


def silence(length: int) -> Track:
    """Returns `length` samples of nothing."""
    return Track(np.zeros(length, np.float32))


def joined(tracks: Iterable[Track]) -> Track:
    """Returns tracks one after another as one."""
    tracks = list(tracks)
    phones: list[Phone] = []
    start = 0
    for track in tracks:
        phones += [replace(phone, start=phone.start + start, stop=phone.stop + start) for phone in track.phones]
        start += len(track.samples)
    samples = np.concatenate([track.samples for track in tracks]) if tracks else np.zeros(0, np.float32)
    return Track(samples, tuple(phones), " ".join(_distinct(t.text for t in tracks)), _first(tracks))


def resampled(samples: NDArray[np.floating], rate_from: int, rate_to: int = SAMPLE_RATE) -> NDArray[np.float32]:
    """Resamples [S] without delay, through its spectrum: sample s of the one is at s * rate_to / rate_from."""
    step = np.gcd(rate_from, rate_to)
    up, down = rate_to // step, rate_from // step
    padding = rate_from // 10  # so that the end does not ring into the start
    blocks = -(-(len(samples) + padding) // down)
    padded = np.zeros(blocks * down)
    padded[: len(samples)] = samples
    length = blocks * up
    spectrum = np.fft.rfft(padded)[: length // 2 + 1]
    spectrum = np.pad(spectrum, (0, length // 2 + 1 - len(spectrum)))
    result = np.fft.irfft(spectrum, length) * (up / down)
    return result[: round(len(samples) * up / down)].astype(np.float32)


def _distinct(texts: Iterable[str]) -> Sequence[str]:
    return [text for text in texts if text]


def _first(tracks: Sequence[Track]) -> str:
    return next((track.language for track in tracks if track.language), "")
