"""The Fréchet distance of two sets of features, each taken for a normal distribution: FID of images, FVD of videos.

Shapes: N features, D their width.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Moments = tuple[NDArray[np.float64], NDArray[np.float64]]  # mean [D], covariance [D, D]


def moments(features: NDArray[np.floating]) -> Moments:
    """Returns the mean and the covariance (over N - 1, as FID's authors have it) of features [N, D], N >= 2.

    Raises:
        ValueError: for fewer features, or another shape.
    """
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"features must be [N, D] with N at least 2, got {features.shape}: measure on more frames")
    x = features.astype(np.float64)
    return x.mean(axis=0), np.atleast_2d(np.cov(x, rowvar=False))


def frechet_distance(one: Moments, other: Moments) -> float:
    """Returns |m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^½), Heusel et al. 2017 (arXiv 1706.08500), equation 6.

    The product's root has the trace of that of C1^½ C2 C1^½, which is symmetric: its eigenvalues are real, and those
    below 0 by rounding are taken as 0. So fewer features than dimensions are no trouble for it.

    Args:
        one: from `moments`.
        other: the same, of the same width.
    """
    (mean_1, cov_1), (mean_2, cov_2) = one, other
    values, vectors = np.linalg.eigh(cov_1)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    product = root @ cov_2 @ root
    shared = np.sqrt(np.linalg.eigvalsh((product + product.T) / 2).clip(min=0)).sum()
    distance = ((mean_1 - mean_2) ** 2).sum() + np.trace(cov_1) + np.trace(cov_2) - 2 * shared
    return float(max(distance, 0.0))
