"""How alike two pictures are.

Shapes: H W pixels, [...] any leading dimensions, one picture each.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from worldmodel.frames import to_model

DATA_RANGE = 2.0  # of pictures in [-1, 1]


def _pair(a: np.ndarray | Tensor, b: np.ndarray | Tensor) -> tuple[Tensor, Tensor]:
    """Both as float [..., 3, H, W] in [-1, 1]."""
    pair = [torch.as_tensor(x) for x in (a, b)]
    if pair[0].shape != pair[1].shape or (pair[0].dtype == torch.uint8) != (pair[1].dtype == torch.uint8):
        raise ValueError(
            "pictures must be two of one shape, both uint8 [..., H, W, 3] or both float [..., 3, H, W] in [-1, 1], "
            f"got {tuple(pair[0].shape)} {pair[0].dtype} and {tuple(pair[1].shape)} {pair[1].dtype}"
        )
    if pair[0].dtype == torch.uint8:
        return to_model(pair[0]), to_model(pair[1])
    return pair[0].float(), pair[1].float()


def psnr(a: np.ndarray | Tensor, b: np.ndarray | Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each pair of pictures.

    Args:
        a: uint8 [..., H, W, 3], or float [..., 3, H, W] in [-1, 1].
        b: the same shape and kind.

    Returns:
        [...] float32, in dB; infinite for equal pictures.

    Raises:
        ValueError: if shapes or kinds differ.
    """
    x, y = _pair(a, b)
    return 10.0 * torch.log10(DATA_RANGE**2 / (x - y).square().mean(dim=(-3, -2, -1)))


def ssim(a: np.ndarray | Tensor, b: np.ndarray | Tensor, window: int = 11, sigma: float = 1.5) -> Tensor:
    """Structural similarity of each pair of pictures (Wang et al. 2004), averaged over positions and colours.

    Args:
        a: uint8 [..., H, W, 3], or float [..., 3, H, W] in [-1, 1].
        b: the same shape and kind.
        window: side of the Gaussian window, in pixels.
        sigma: its deviation, in pixels.

    Returns:
        [...] float32, 1 for equal pictures.

    Raises:
        ValueError: if shapes or kinds differ, or pictures are smaller than the window.
    """
    x, y = _pair(a, b)
    if min(x.shape[-2:]) < window:
        raise ValueError(f"pictures must be at least {window} pixels high and wide, got {tuple(x.shape[-2:])}")
    leading = x.shape[:-3]
    x, y = x + 1.0, y + 1.0  # the ratio of means is defined for values from 0
    x, y = x.reshape(-1, 1, *x.shape[-2:]), y.reshape(-1, 1, *y.shape[-2:])
    offsets = torch.arange(window, device=x.device, dtype=x.dtype) - (window - 1) / 2
    kernel = torch.exp(-offsets.square() / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    stacked = torch.cat([x, y, x * x, y * y, x * y], dim=1)  # [N, 5, H, W]
    stacked = F.conv2d(stacked, kernel.view(1, 1, -1, 1).expand(5, 1, -1, 1), groups=5)
    stacked = F.conv2d(stacked, kernel.view(1, 1, 1, -1).expand(5, 1, 1, -1), groups=5)
    mean_x, mean_y, xx, yy, xy = stacked.unbind(dim=1)
    c1, c2 = (0.01 * DATA_RANGE) ** 2, (0.03 * DATA_RANGE) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    structure = (2 * (xy - mean_x * mean_y) + c2) / (xx - mean_x.square() + yy - mean_y.square() + c2)
    return (luminance * structure).mean(dim=(-2, -1)).view(*leading, -1).mean(dim=-1)
