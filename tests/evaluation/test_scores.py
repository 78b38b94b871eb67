"""Scores and statistics of pictures whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from worldmodel.evaluation.scores import CEILING_DB, pooled_db, score, summary
from worldmodel.evaluation.statistics import NAMES, frame_statistics, latent_statistics, windows


def picture(level: int) -> np.ndarray:
    return np.full((3, 16, 16, 3), level, np.uint8)


def test_equal_pictures_score_the_ceiling() -> None:
    values = score(picture(90), picture(90))
    assert values.shape == (3, 2)
    assert (values[:, 0] == CEILING_DB).all()
    assert values[:, 1] == pytest.approx(1.0)


def test_psnr_of_a_known_difference() -> None:
    values = score(picture(100), picture(110))
    assert values[:, 0] == pytest.approx(20 * np.log10(255 / 10), abs=1e-3)


def test_scores_keep_the_leading_shape() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 70, 16, 16, 3), dtype=np.uint8)
    values = score(frames, frames[::-1])
    assert values.shape == (2, 70, 2)
    assert values[0] == pytest.approx(values[1], abs=1e-4)


def test_pooled_db_is_that_of_the_mean_error() -> None:
    # Errors of 10 and of 0 levels squared average to 50: an exact copy cannot count for more than no error.
    values = np.array([20 * np.log10(255 / 10), CEILING_DB])
    assert pooled_db(values) == pytest.approx(10 * np.log10(255**2 / 50), abs=1e-3)
    assert summary(np.stack([values, [0.5, 1.0]], axis=1))["psnr_mean_db"] == pytest.approx(values.mean())


def named(frames: np.ndarray, before: np.ndarray | None = None) -> dict[str, np.ndarray]:
    return dict(zip(NAMES, frame_statistics(frames, before).T, strict=False))


def test_statistics_of_a_flat_picture() -> None:
    frames = np.zeros((2, 16, 16, 3), np.uint8)
    frames[..., 0], frames[..., 1], frames[..., 2] = 200, 100, 50
    values = named(frames)
    assert values["gradient"] == pytest.approx(0)
    assert values["laplacian"] == pytest.approx(0, abs=1e-4)
    assert values["contrast"] == pytest.approx(0, abs=1e-4)
    assert [values[name][0] for name in ("red", "green", "blue", "saturation")] == [200, 100, 50, 150]
    assert np.isnan(values["change"][0]) and values["change"][1] == 0


def test_sharpness_falls_with_blur_and_change_sees_movement() -> None:
    rng = np.random.default_rng(0)
    sharp = rng.integers(0, 256, (1, 32, 32, 3)).repeat(2, axis=0).astype(np.uint8)
    soft = ((sharp.astype(int) + np.roll(sharp, 1, 1) + np.roll(sharp, 1, 2)) // 3).astype(np.uint8)
    for name in ("gradient", "laplacian", "contrast"):
        assert (named(soft)[name] < 0.8 * named(sharp)[name]).all()
    assert named(picture(90), picture(100)[0])["change"] == pytest.approx([10, 0, 0], abs=1e-3)


def test_gradient_of_a_ramp_is_its_slope() -> None:
    ramp = np.broadcast_to((4 * np.arange(32))[None, None, :, None], (1, 32, 32, 3)).astype(np.uint8)
    assert named(ramp)["gradient"] == pytest.approx(4, abs=1e-3)
    assert named(ramp)["laplacian"] == pytest.approx(0, abs=1e-3)


def test_latent_statistics() -> None:
    latents = np.random.default_rng(0).normal(1.0, 2.0, (2, 64, 16, 16)).astype(np.float32)
    mean, std, extreme = latent_statistics(latents)[0]
    assert (mean, std) == pytest.approx((1.0, 2.0), abs=0.06)
    assert 5.5 < extreme < 9.0


def test_windows_are_means_and_leave_out_the_rest() -> None:
    values = np.arange(10, dtype=float)[:, None]
    assert windows(values, 4).ravel().tolist() == [1.5, 5.5]
    assert windows(values, 4, stride=3).ravel().tolist() == [1.5, 4.5, 7.5]
    assert windows(values, 11).shape == (0, 1)
