"""The mouth as far as the sound alone tells: for recordings whose phones are not known.

It is an estimate, not truth: loudness opens the jaw, the balance of the second formant's band against the first's says
wide or round, hiss shows the teeth. Against the true mouth of espeak-ng's speech, at 12.5 Hz, the opening correlates at
0.55 to 0.72 in each of ten languages, little better than loudness alone, and the width at 0.2 to 0.6. It cannot see
closures that make no sound, tell m from n, or a voice from music.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs.speech.track import SAMPLE_RATE
from envs.speech.visemes import PARTS, REST, SHAPES

FLOOR_DB, FULL_DB = -40.0, -14.0  # of full scale: the loudness of a closed and of a wide open mouth
_BANDS_HZ = ((80.0, 350.0), (350.0, 1000.0), (1000.0, 1600.0), (1600.0, 3200.0), (3600.0, 7800.0))


def estimate_mouth(samples: NDArray[np.floating]) -> NDArray[np.float64]:
    """Returns the likely mouth of a frame.

    Args:
        samples: [S] of the frame, 16 kHz, in [-1, 1].

    Returns:
        [K] as `visemes.PARTS`.
    """
    signal = np.asarray(samples, np.float64)
    if len(signal) < 64:
        return REST.copy()
    loudness_db = 10 * np.log10(np.mean((signal - signal.mean()) ** 2) + 1e-12)
    opening = float(np.clip((loudness_db - FLOOR_DB) / (FULL_DB - FLOOR_DB), 0.0, 1.0))
    if opening <= 0.0:
        return REST.copy()
    power = np.abs(np.fft.rfft(signal * np.hanning(len(signal)))) ** 2
    frequency = np.fft.rfftfreq(len(signal), 1 / SAMPLE_RATE)
    voice, low, middle, high, hiss = (power[(frequency >= a) & (frequency < b)].sum() + 1e-9 for a, b in _BANDS_HZ)
    total = voice + low + middle + high + hiss
    hissing = float(np.clip(2.5 * hiss / total - 0.5, 0.0, 1.0))
    brightness = np.log10(high / (low + middle))  # about -2 for u, -1.2 for a, 0 for i
    jaw = float(np.clip(0.35 + 0.9 * (low + middle) / total, 0.35, 1.0))  # a high first formant is an open jaw
    mouth = dict.fromkeys(PARTS, 0.0)
    mouth["open"] = opening**1.8 * (jaw * (1 - hissing) + 0.14 * hissing)
    mouth["wide"] = opening * float(np.clip(0.7 * (brightness + 1.3), -1.0, 0.8))
    mouth["teeth"] = opening * max(hissing, 0.4)
    return np.array([mouth[part] for part in PARTS])


def nearest_viseme(mouth: NDArray[np.floating]) -> str:
    """Returns the viseme whose shape is nearest to a mouth [K]."""
    return min(SHAPES, key=lambda name: float(np.square(np.asarray(SHAPES[name][0]) - mouth).sum()))
