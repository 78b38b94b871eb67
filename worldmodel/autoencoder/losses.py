"""What training the autoencoder minimises; no network is downloaded for it.

Shapes: B batch, T frames, H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from worldmodel.metrics import ssim

TEXTURE_SCALES = 2
TEXTURE_SIZE = 8  # pixels, the side of a neighbourhood
TEXTURE_FLOOR = 0.01  # detail weaker than this is as good as none


@dataclass
class ReconstructionLossConfig:
    """Weights of the terms; a term of weight 0 is not computed."""

    l1: float = 1.0
    mse: float = 1.0
    gradient: float = 0.5
    ssim: float = 0.0
    texture: float = 0.0  # in the phase `refine` only: see texture_loss
    # Resolutions at which gradients are compared: full, half, …
    gradient_scales: int = 2
    # Deviation of the noise on latents in training, relative to theirs.
    latent_noise: float = 0.1


def gradient_loss(prediction: Tensor, target: Tensor, scales: int) -> Tensor:
    """Mean absolute difference of horizontal and vertical differences: sharp edges where the target has them.

    Args:
        prediction: [N, 3, H, W].
        target: [N, 3, H, W].
        scales: number of resolutions, each half the one before.

    Returns:
        Scalar.
    """
    error = prediction - target  # differences are linear, hence those of the error are enough
    total = error.new_zeros(())
    for scale in range(scales):
        if scale:
            error = F.avg_pool2d(error, 2)
        total = total + error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return total / scales


def texture_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean difference of the local strength of fine detail, in frames and in what changes between them.

    Grass that cannot be reproduced blade by blade is smooth to a loss that compares pixels. This one asks for as much
    detail as the target has in each place, whatever it looks like; and, where there are several frames, that it moves
    and rests as the target's does.

    Args:
        prediction: [B, T, 3, H, W].
        target: [B, T, 3, H, W].

    Returns:
        Scalar.
    """
    total, count = prediction.new_zeros(()), 0
    pairs = [(prediction, target)]
    if prediction.shape[1] > 1:
        pairs.append((prediction.diff(dim=1), target.diff(dim=1)))
    for ours, theirs in pairs:
        ours, theirs = ours.flatten(0, 1), theirs.flatten(0, 1)
        for scale in range(TEXTURE_SCALES):
            if scale:
                ours, theirs = F.avg_pool2d(ours, 2), F.avg_pool2d(theirs, 2)
            total = total + F.l1_loss(local_detail(ours), local_detail(theirs))
            count += 1
    return total / count


def local_detail(x: Tensor) -> Tensor:
    """Root mean square of what a 3x3 blur removes, over neighbourhoods: [N, 3, H, W] to [N, 3, h, w]."""
    detail = x - blur(x)
    size = min(TEXTURE_SIZE, *x.shape[-2:])
    return (F.avg_pool2d(detail.square(), size, stride=max(1, size // 2)) + TEXTURE_FLOOR**2).sqrt()


def blur(x: Tensor) -> Tensor:
    """Mean of each place and its up to eight neighbours: [N, C, H, W] to the same, a side at a time.

    On a CPU it takes half the time of `avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)`, its oracle.
    """
    for dim, padding in ((-1, (1, 1)), (-2, (0, 0, 1, 1))):
        length = x.shape[dim]
        padded, inside = F.pad(x, padding), F.pad(x.new_ones(length), (1, 1))
        total = padded.narrow(dim, 0, length) + padded.narrow(dim, 1, length) + padded.narrow(dim, 2, length)
        count = inside.unfold(0, 3, 1).sum(dim=1)
        x = total / (count if dim == -1 else count[:, None])
    return x


def reconstruction_loss(prediction: Tensor, target: Tensor, config: ReconstructionLossConfig) -> dict[str, Tensor]:
    """Weighs the terms of the reconstruction loss.

    Args:
        prediction: [B, T, 3, H, W], nominally in [-1, 1].
        target: [B, T, 3, H, W] in [-1, 1].
        config: the weights.

    Returns:
        "loss", the scalar to minimise, and each computed term under its name, unweighted.

    Raises:
        ValueError: if the shapes differ, or all weights are 0.
    """
    if prediction.shape != target.shape:
        raise ValueError(f"prediction and target must have one shape, got {prediction.shape} and {target.shape}")
    # Frames come with their colours innermost, and a CPU pools such pictures at half the speed.
    prediction, target = prediction.float().contiguous(), target.float().contiguous()
    terms: dict[str, Tensor] = {}
    if config.texture:
        terms["texture"] = texture_loss(prediction, target)
    prediction, target = prediction.flatten(0, 1), target.flatten(0, 1)
    if config.l1:
        terms["l1"] = F.l1_loss(prediction, target)
    if config.mse:
        terms["mse"] = F.mse_loss(prediction, target)
    if config.gradient:
        terms["gradient"] = gradient_loss(prediction, target, config.gradient_scales)
    if config.ssim:
        terms["ssim"] = 1.0 - ssim(prediction, target).mean()
    if not terms:
        raise ValueError("every weight of the reconstruction loss is 0: set one of l1, mse, gradient, ssim, texture")
    loss = sum((getattr(config, name) * term for name, term in terms.items()), start=prediction.new_zeros(()))
    return {"loss": loss, **terms}
