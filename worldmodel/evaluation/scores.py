"""Pictures against pictures, many at a time.

Shapes: N pictures, H W pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worldmodel.metrics import psnr, ssim

CEILING_DB = 100.0  # what equal pictures count as; their PSNR is infinite, which neither averages nor is JSON
PART = 64  # pictures scored at once, to bound memory


def score(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    """PSNR and SSIM of each pair of pictures.

    Args:
        a, b: [..., H, W, 3] uint8.

    Returns:
        [..., 2] float64: PSNR in dB, at most 100, and SSIM.
    """
    leading = a.shape[:-3]
    x, y = (np.ascontiguousarray(part).reshape(-1, *part.shape[-3:]) for part in (a, b))
    parts = []
    for first in range(0, len(x), PART):
        pair = x[first : first + PART], y[first : first + PART]
        parts.append(np.stack([psnr(*pair).clamp(max=CEILING_DB).numpy(), ssim(*pair).numpy()], axis=-1))
    return np.concatenate(parts).astype(np.float64).reshape(*leading, 2)


def pooled_db(values_db: NDArray[np.float64]) -> float:
    """PSNR of the mean squared error over many pictures.

    The mean of decibels would let a handful of still clips, where copying a frame is exact, outweigh all others.

    Args:
        values_db: PSNR of each picture, in dB.

    Returns:
        dB; 100 if all are.
    """
    return float(-10.0 * np.log10(np.mean(10.0 ** (-values_db / 10.0))))


def summary(scores: NDArray[np.float64]) -> dict[str, float]:
    """The figures of a set of scored pictures.

    Args:
        scores: [N, 2] from `score`.

    Returns:
        psnr_db: PSNR of the mean squared error. psnr_mean_db: mean of the pictures' PSNR. ssim: mean SSIM.
    """
    return {
        "psnr_db": pooled_db(scores[:, 0]),
        "psnr_mean_db": float(scores[:, 0].mean()),
        "ssim": float(scores[:, 1].mean()),
    }
