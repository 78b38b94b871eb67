"""Sound that nobody says: a sung line, noise, and music to speak over.

Singing comes from a small formant synthesiser of our own, so that it needs no library and its phones are exact.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from envs.speech.track import SAMPLE_RATE, Phone, Track
from envs.speech.visemes import visemes_of

# Formants in Hz, bandwidths 80, 100, 140 Hz; after Peterson and Barney (1952), rounded.
VOWELS = {
    "a": (750.0, 1200.0, 2600.0),
    "e": (500.0, 1850.0, 2550.0),
    "i": (290.0, 2300.0, 3000.0),
    "o": (480.0, 850.0, 2500.0),
    "u": (320.0, 750.0, 2300.0),
    "m": (250.0, 1000.0, 2200.0),
    "n": (280.0, 1500.0, 2400.0),
    "l": (360.0, 1200.0, 2700.0),
}
_BANDWIDTHS_HZ = (80.0, 100.0, 140.0)
_ONSETS = ("m", "l", "n", "")
_SCALE = (0, 2, 4, 7, 9, 12)  # semitones: no two of them clash


def sing(rng: np.random.Generator, length: int, voice_hz: float = 0.0) -> Track:
    """Sings a random line on la, mi, no, with vibrato.

    Args:
        rng: where the tune comes from.
        length: S, samples.
        voice_hz: the lowest note; drawn between 110 and 330 Hz if 0.

    Returns:
        A track of `length` samples, its phones known.
    """
    base = voice_hz or float(110.0 * 3.0 ** rng.random())
    samples = np.zeros(length)
    phones: list[Phone] = []
    at = int(rng.integers(0, SAMPLE_RATE // 4))
    stretch = float(rng.uniform(0.8, 1.4))
    while True:
        note_s = stretch * float(rng.choice((0.3, 0.3, 0.45, 0.6, 0.9)))
        onset, vowel = str(rng.choice(_ONSETS)), str(rng.choice(("a", "e", "i", "o", "u")))
        pitch_hz = base * 2 ** (int(rng.choice(_SCALE)) / 12)
        head, count = (int(0.09 * SAMPLE_RATE) if onset else 0), int(note_s * SAMPLE_RATE)
        gap = int(0.35 * SAMPLE_RATE) if rng.random() < 0.12 else int(0.02 * SAMPLE_RATE)
        if at + count + gap >= length:
            return Track(np.clip(samples, -1, 1).astype(np.float32), tuple(phones), language="song")
        samples[at : at + count] += _note(rng, pitch_hz, onset or vowel, vowel, head, count)
        if onset:
            phones.append(Phone(at, at + head, onset, visemes_of(onset)[0]))
        phones.append(Phone(at + head, at + count, vowel, visemes_of(vowel)[0]))
        at += count + gap


def noise(rng: np.random.Generator, length: int, loudness_db: float = -35.0) -> NDArray[np.float64]:
    """Returns [length] noise, its colour from white to brown, at a loudness in dB of full scale (RMS)."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    spectrum /= np.maximum(np.arange(len(spectrum)), 1.0) ** rng.uniform(0.0, 1.0)
    return _scaled(np.fft.irfft(spectrum, length), loudness_db)


def music(rng: np.random.Generator, length: int, loudness_db: float = -32.0) -> NDArray[np.float64]:
    """Returns [length] of plucked chords over a bass, at a loudness in dB of full scale (RMS)."""
    result = np.zeros(length)
    beat = int(SAMPLE_RATE * rng.uniform(0.25, 0.5))
    key_hz = 110.0 * 2 ** (int(rng.integers(0, 12)) / 12)
    chords = [(0, 4, 7), (5, 9, 12), (7, 11, 14), (9, 12, 16)]
    for index, at in enumerate(range(0, length, beat)):
        chord = chords[(index // 4) % 4]
        steps = [chord[index % 3] + 12] if index % 4 else [*chord, chord[0] - 12]
        for step in steps:
            count = min(length - at, 3 * beat)
            time_s = np.arange(count) / SAMPLE_RATE
            phase = 2 * np.pi * key_hz * 2 ** (step / 12) * time_s
            tone = np.sin(phase) + 0.4 * np.sin(2 * phase) + 0.15 * np.sin(3 * phase)
            result[at : at + count] += tone * np.exp(-4.0 * time_s) * np.minimum(time_s / 0.005, 1.0)
    return _scaled(result, loudness_db)


BACKGROUNDS: dict[str, Callable[[np.random.Generator, int, float], NDArray[np.float64]]] = {
    "noise": noise,
    "music": music,
}


def _note(
    rng: np.random.Generator, pitch_hz: float, onset: str, vowel: str, head: int, count: int
) -> NDArray[np.float64]:
    """One note [count]: harmonics weighted by formants that glide from the onset's to the vowel's."""
    time_s = np.arange(count) / SAMPLE_RATE
    vibrato = 1 + 0.012 * np.sin(2 * np.pi * 5.5 * time_s + rng.uniform(0, 6)) * np.minimum(time_s / 0.3, 1.0)
    phase = 2 * np.pi * np.cumsum(pitch_hz * vibrato) / SAMPLE_RATE
    glide = np.clip((np.arange(count) - head) / (0.04 * SAMPLE_RATE) + 0.5, 0.0, 1.0) if head else np.ones(count)
    result = np.zeros(count)
    for harmonic in range(1, int(min(60, 5000.0 / pitch_hz)) + 1):
        frequency = harmonic * pitch_hz
        soft, loud = (_response(frequency, VOWELS[name]) for name in (onset, vowel))
        soft *= 0.45 if head else 1.0
        result += (soft * (1 - glide) + loud * glide) * np.sin(harmonic * phase) / harmonic**0.6
    edge = np.minimum(np.minimum(np.arange(count), count - np.arange(count)) / (0.03 * SAMPLE_RATE), 1.0)
    return 0.22 * result * edge / max(np.sqrt(np.mean(result**2)), 1e-9)


def _response(frequency_hz: float, formants: tuple[float, float, float]) -> float:
    peaks = [
        weight / (1 + ((frequency_hz - formant) / width) ** 2)
        for formant, width, weight in zip(formants, _BANDWIDTHS_HZ, (1.0, 0.6, 0.3), strict=True)
    ]
    return sum(peaks) + 0.01


def _scaled(signal: NDArray[np.float64], loudness_db: float) -> NDArray[np.float64]:
    return signal * 10 ** (loudness_db / 20) / max(float(np.sqrt(np.mean(signal**2))), 1e-9)
