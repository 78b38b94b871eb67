"""Mel-frequency cepstral coefficients as SyncNet was trained on: 13 of them, 100 times a second, of sound at 16 kHz.

Those of the package python_speech_features with its defaults: 26 triangular filters on whole bins of a transform of
512, no window, emphasis 0.97, lifter 22, the log energy in place of coefficient 0.

Shapes: n samples, m windows.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from conditions.encoders.sound import SAMPLE_RATE

WINDOW, STEP, TRANSFORM = 400, 160, 512  # samples: 25 ms, 10 ms
FILTERS, COEFFICIENTS, LIFTER, EMPHASIS = 26, 13, 22, 0.97
TINY = np.finfo(np.float64).eps


def mfcc(samples: NDArray[np.int16]) -> NDArray[np.float64]:
    """Returns coefficients [m, 13] of samples [n] int16; the last window is filled with zeros."""
    x = samples.astype(np.float64)
    x = np.concatenate([x[:1], x[1:] - EMPHASIS * x[:-1]])
    count = 1 + max(0, -(-(len(x) - WINDOW) // STEP))
    x = np.concatenate([x, np.zeros(max(0, (count - 1) * STEP + WINDOW - len(x)))])
    windows = np.lib.stride_tricks.sliding_window_view(x, WINDOW)[::STEP][:count]  # [m, 400]
    power = np.abs(np.fft.rfft(windows, TRANSFORM)) ** 2 / TRANSFORM  # [m, 257]
    energy = power.sum(axis=1)
    bands = power @ _filters().T  # [m, 26]
    found = np.log(np.where(bands == 0, TINY, bands)) @ _cosines().T  # [m, 13]
    found *= 1 + LIFTER / 2 * np.sin(np.pi * np.arange(COEFFICIENTS) / LIFTER)
    found[:, 0] = np.log(np.where(energy == 0, TINY, energy))
    return found


@functools.cache
def _filters() -> NDArray[np.float64]:
    """Triangles [26, 257], evenly spread over the mel scale from 0 to 8 kHz."""
    highest = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, highest, FILTERS + 2) / 2595) - 1)
    edges = np.floor((TRANSFORM + 1) * hertz / SAMPLE_RATE).astype(int)
    filters = np.zeros((FILTERS, TRANSFORM // 2 + 1))
    for row, (low, peak, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        filters[row, low:peak] = (np.arange(low, peak) - low) / (peak - low)
        filters[row, peak:high] = (high - np.arange(peak, high)) / (high - peak)
    return filters


@functools.cache
def _cosines() -> NDArray[np.float64]:
    """The orthonormal cosine transform of type II, its first rows, [13, 26]."""
    angles = np.pi / FILTERS * np.outer(np.arange(COEFFICIENTS), np.arange(FILTERS) + 0.5)
    scale = np.full((COEFFICIENTS, 1), np.sqrt(2 / FILTERS))
    scale[0] = np.sqrt(1 / FILTERS)
    return scale * np.cos(angles)
