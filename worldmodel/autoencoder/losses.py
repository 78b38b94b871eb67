"""What training the autoencoder minimises; no network is downloaded for it.

Shapes: B batch, T frames, H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from worldmodel.metrics import ssim


@dataclass
class ReconstructionLossConfig:
    """Weights of the terms; a term of weight 0 is not computed."""

    l1: float = 1.0
    mse: float = 1.0
    gradient: float = 0.5
    ssim: float = 0.0
    # Resolutions at which gradients are compared: full, half, …
    gradient_scales: int = 2
    # Deviation of the noise on latents in training, relative to theirs (Autoencoder.reconstruct).
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
    prediction, target = prediction.flatten(0, 1).float(), target.flatten(0, 1).float()
    terms: dict[str, Tensor] = {}
    if config.l1:
        terms["l1"] = F.l1_loss(prediction, target)
    if config.mse:
        terms["mse"] = F.mse_loss(prediction, target)
    if config.gradient:
        terms["gradient"] = gradient_loss(prediction, target, config.gradient_scales)
    if config.ssim:
        terms["ssim"] = 1.0 - ssim(prediction, target).mean()
    if not terms:
        raise ValueError("every weight of the reconstruction loss is 0: set one of l1, mse, gradient, ssim")
    loss = sum((getattr(config, name) * term for name, term in terms.items()), start=prediction.new_zeros(()))
    return {"loss": loss, **terms}
