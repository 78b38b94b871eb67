"""Frames between their two forms: channels-last uint8 outside the autoencoder, [-1, 1] channels-first inside.

Shapes: B batch, T frames, H W pixels.
"""

from __future__ import annotations

import numpy as np
import torch
from einops import rearrange
from torch import Tensor


def to_model(frames: np.ndarray | Tensor, device: torch.device | str | None = None) -> Tensor:
    """Turns pictures into the autoencoder's input.

    Args:
        frames: [..., H, W, 3] uint8, red green blue.
        device: where the result lives; the frames' own device by default.

    Returns:
        [..., 3, H, W] float32 in [-1, 1].

    Raises:
        ValueError: if the frames are not uint8 or not three-channel.
    """
    if isinstance(frames, np.ndarray) and not frames.flags.writeable:  # torch would warn of it
        frames = frames.copy()
    x = torch.as_tensor(frames, device=device)
    if x.dtype != torch.uint8 or x.ndim < 3 or x.shape[-1] != 3:
        raise ValueError(
            f"frames must be [..., H, W, 3] uint8, got {tuple(x.shape)} {x.dtype}: "
            "convert with (x * 255).round().astype('uint8') and channels last"
        )
    return rearrange(x, "... h w c -> ... c h w").float() / 127.5 - 1.0


def to_frames(x: Tensor) -> Tensor:
    """Turns the autoencoder's output into pictures.

    Args:
        x: [..., 3, H, W] float, nominally in [-1, 1]; values outside are clipped.

    Returns:
        [..., H, W, 3] uint8.
    """
    x = ((x.float() + 1.0) * 127.5).round_().clamp_(0, 255).to(torch.uint8)
    return rearrange(x, "... c h w -> ... h w c")
