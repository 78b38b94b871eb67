"""Curves over time against curves.

Shapes: T frames, L lags.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LAGS = range(-15, 16)  # frames
FLAT = 1e-3  # standard deviation below which a mouth does not move


def correlation(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Pearson's r of two curves; 0 if one does not move."""
    if min(len(a), len(b)) < 3 or min(a.std(), b.std()) < FLAT:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def lagged(generated: NDArray[np.floating], truth: NDArray[np.floating]) -> NDArray[np.float64]:
    """Pearson's r at every lag of LAGS, [L]; a lag above 0 is a mouth that comes too late."""
    length = len(truth)
    values = []
    for lag in LAGS:
        start, stop = max(0, -lag), length - max(0, lag)
        values.append(correlation(generated[start + lag : stop + lag], truth[start:stop]) if stop > start else 0.0)
    return np.array(values)
