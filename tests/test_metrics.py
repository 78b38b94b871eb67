"""PSNR and SSIM against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from worldmodel.frames import to_model
from worldmodel.metrics import psnr, ssim


def pictures() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (2, 5, 24, 20, 3), dtype=np.uint8)
    noise = rng.integers(-20, 21, a.shape)
    return a, np.clip(a.astype(int) + noise, 0, 255).astype(np.uint8)


def test_psnr_is_its_definition_per_picture() -> None:
    a, b = pictures()
    error = ((a.astype(np.float64) - b) ** 2).mean(axis=(-3, -2, -1))
    np.testing.assert_allclose(psnr(a, b).numpy(), 10 * np.log10(255**2 / error), rtol=1e-5)
    torch.testing.assert_close(psnr(to_model(a), to_model(b)), psnr(a, b))
    assert psnr(a, a).isinf().all()


def test_ssim_is_its_definition_at_one_position() -> None:
    """An 11x11 picture has a single window: worked out in numpy, in 0 … 255."""
    a, b = (x[0, 0, :11, :11].astype(np.float64) for x in pictures())
    offsets = np.arange(11) - 5
    kernel = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    weights = (kernel / kernel.sum())[..., None]
    mean_a, mean_b = (weights * a).sum((0, 1)), (weights * b).sum((0, 1))
    var_a, var_b = (weights * (a - mean_a) ** 2).sum((0, 1)), (weights * (b - mean_b) ** 2).sum((0, 1))
    covariance = (weights * (a - mean_a) * (b - mean_b)).sum((0, 1))
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    expected = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    expected = (expected * (2 * covariance + c2) / (var_a + var_b + c2)).mean()
    assert ssim(a.astype(np.uint8), b.astype(np.uint8)).item() == pytest.approx(expected, abs=1e-5)


def test_ssim_shape_and_order() -> None:
    a, b = pictures()
    assert ssim(a, b).shape == (2, 5)
    torch.testing.assert_close(ssim(a, a), torch.ones(2, 5))
    assert (ssim(a, b) < 1).all() and (ssim(a, np.ascontiguousarray(b[..., ::-1, :, :])) < ssim(a, b)).all()


def test_bad_pictures_are_refused() -> None:
    a, b = pictures()
    with pytest.raises(ValueError, match="one shape"):
        psnr(a, b[:1])
    with pytest.raises(ValueError, match="both uint8"):
        psnr(a, b.astype(np.float32))
    with pytest.raises(ValueError, match="at least 11 pixels"):
        ssim(a[..., :8, :8, :], b[..., :8, :8, :])
