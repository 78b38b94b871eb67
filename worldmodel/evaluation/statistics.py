"""What a stretch of pictures looks like in a few numbers: sharpness, colour, movement and the latents' moments.

Shapes: T frames, C latent channels, h w latent, H W pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
NAMES: dict[str, str] = {
    "gradient": "sharpness: mean gradient [levels/px]",
    "laplacian": "sharpness: Laplacian deviation [levels]",
    "red": "mean red [levels]",
    "green": "mean green [levels]",
    "blue": "mean blue [levels]",
    "contrast": "brightness deviation [levels]",
    "saturation": "mean saturation [levels]",
    "change": "change from frame to frame [levels]",
    "latent_mean": "latent mean",
    "latent_std": "latent deviation",
    "latent_extreme": "latent 99.9th percentile of |x|",
}


def frame_statistics(frames: NDArray[np.uint8], before: NDArray[np.uint8] | None = None) -> NDArray[np.float64]:
    """Measures each picture: the eight first entries of `NAMES`, in that order.

    Args:
        frames: [T, H, W, 3] uint8.
        before: [H, W, 3] uint8, the frame just before the first; without it the first frame's change is NaN.

    Returns:
        [T, 8] float64, in levels of 0..255: mean gradient magnitude, standard deviation of the Laplacian, mean red,
        green and blue, standard deviation of brightness, mean of (largest - smallest channel), and mean absolute
        difference from the frame before.
    """
    x = frames.astype(np.float32)
    luma = x @ LUMA  # [T, H, W]
    down, right = luma[:, 1:, :-1] - luma[:, :-1, :-1], luma[:, :-1, 1:] - luma[:, :-1, :-1]
    around = luma[:, :-2, 1:-1] + luma[:, 2:, 1:-1] + luma[:, 1:-1, :-2] + luma[:, 1:-1, 2:]
    laplacian = around - 4 * luma[:, 1:-1, 1:-1]
    first = np.full_like(luma[:1], np.nan) if before is None else (before.astype(np.float32) @ LUMA)[None]
    columns = [
        np.sqrt(down**2 + right**2).mean((1, 2)),
        laplacian.std((1, 2)),
        *(x[..., channel].mean((1, 2)) for channel in range(3)),
        luma.std((1, 2)),
        (x.max(-1) - x.min(-1)).mean((1, 2)),
        np.abs(np.diff(luma, axis=0, prepend=first)).mean((1, 2)),
    ]
    return np.stack(columns, axis=1).astype(np.float64)


def latent_statistics(latents: NDArray[np.float32]) -> NDArray[np.float64]:
    """Measures each frame's latents: the three last entries of `NAMES`, in that order.

    Args:
        latents: [T, C, h, w], normalised to unit variance over the training set.

    Returns:
        [T, 3] float64: mean, standard deviation, and 99.9th percentile of the absolute value.
    """
    x = latents.reshape(len(latents), -1).astype(np.float64)
    return np.stack([x.mean(1), x.std(1), np.percentile(np.abs(x), 99.9, axis=1)], axis=1)


def windows(values: NDArray[np.float64], length: int, stride: int | None = None) -> NDArray[np.float64]:
    """Means over windows of consecutive frames; a stretch at the end that does not fill a window is left out.

    Args:
        values: [T, S], one row a frame. NaN entries do not count.
        length: frames in a window.
        stride: frames between the starts of two windows; `length` by default.

    Returns:
        [num_windows, S]; no rows if T < length.
    """
    starts = range(0, len(values) - length + 1, stride or length)
    if not starts:
        return np.empty((0, values.shape[1]))
    return np.stack([np.nanmean(values[start : start + length], axis=0) for start in starts])
