"""A start for training that already reconstructs: principal components, stage by stage.

Without norms, and with residual branches that begin at zero, the resampling layers of an autoencoder are a tree of
linear maps of 2x2 blocks. Here they become the principal components of the training pictures and their transposes, so
that training begins near the best linear autoencoder instead of at noise. On a CPU that is most of the way.

Shapes: N pictures, K components of a stage, H W the height and width of a stage, C latent channels.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from worldmodel.autoencoder.config import AutoencoderConfig
from worldmodel.autoencoder.dcae import Autoencoder
from worldmodel.autoencoder.spatial import DownBlock, UpBlock

# Components keep this power of their deviation. 1 is principal components as they are, which leaves fine detail
# minute beside brightness; 0 makes all alike, which lets detail outweigh what matters in the picture.
SPECTRUM_POWER = 0.5


def _principal(samples: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Components of samples [S, D]: vectors [D, count], what to divide each by [count], and mean [D], float64."""
    mean = samples.mean(dim=0)
    centred = samples - mean
    variances, vectors = torch.linalg.eigh(centred.T @ centred / len(samples))  # ascending
    deviations = variances.flip(0)[:count].clamp_min(1e-8).sqrt()
    return vectors.flip(1)[:, :count], deviations ** (1 - SPECTRUM_POWER), mean


def _set_down(block: DownBlock, analysis: Tensor, bias: Tensor, inputs: int) -> None:
    """Makes the first outputs of a strided block `analysis` [K, inputs * 4] of its first inputs."""
    count, weight = len(analysis), block.conv.weight
    target = torch.zeros(count, 4 * weight.shape[1], dtype=analysis.dtype)
    target[:, : 4 * inputs] = analysis
    if block.shortcut:
        row, column = torch.arange(count)[:, None], torch.arange(target.shape[1])
        target -= (column // block.group_size == row) / block.group_size
    weight[:count] = 0
    weight[:count, :, 1:, 1:] = rearrange(target, "o (c y x) -> o c y x", y=2, x=2).to(weight)
    cast(nn.Parameter, block.conv.bias)[:count] = bias.to(weight)


def _set_up(block: UpBlock, synthesis: Tensor, bias: Tensor) -> None:
    """Makes the first outputs of a shuffling block `synthesis` [4 * outputs, K] of its first K inputs."""
    count, weight = synthesis.shape[0], block.conv.weight
    target = torch.zeros(count, weight.shape[1], dtype=synthesis.dtype)
    target[:, : synthesis.shape[1]] = synthesis
    if block.shortcut:
        row, column = torch.arange(count)[:, None], torch.arange(weight.shape[1])
        target -= (row // block.repeats == column).to(target)
    weight[:count] = 0
    weight[:count, :, 1, 1] = target.to(weight)
    cast(nn.Parameter, block.conv.bias)[:count] = bias.to(weight)


def _check(config: AutoencoderConfig) -> None:
    layers = (config.encoder_layers_per_block[0], config.decoder_layers_per_block[0])
    expected = {
        "downsample_block_type": (config.downsample_block_type, "conv"),
        "upsample_block_type": (config.upsample_block_type, "pixel_shuffle"),
        "decoder_conv_act_fn": (config.decoder_conv_act_fn, "none"),
        "decoder_out_norm_type": (config.decoder_out_norm_type, "none"),
        "encoder_norm_types": (set(config.encoder_norm_types), {"none"}),
        "decoder_norm_types": (set(config.decoder_norm_types), {"none"}),
        "*_block_types": ({*config.encoder_block_types, *config.decoder_block_types}, {"ResBlock"}),
        "*_layers_per_block[0]": (layers, (0, 0)),
    }
    wrong = [f"autoencoder.{name} must be {want}, got {got}" for name, (got, want) in expected.items() if got != want]
    if wrong:
        raise ValueError(
            "a start from principal components needs a network that is linear at first: " + "; ".join(wrong)
        )


@torch.no_grad()
def initialize_linear(autoencoder: Autoencoder, frames: Tensor) -> None:
    """Sets the resampling layers to the principal components of pictures; residual branches keep their zeros.

    The latents are the components of the lowest resolution, turned by a fixed random rotation so that every channel
    has its share of all of them.

    Args:
        autoencoder: freshly made, changed in place.
        frames: [N, 3, H, W] in [-1, 1], a few hundred pictures of the training set.

    Raises:
        ValueError: if the config is not linear at first, or the pictures are too few to tell the components apart.
    """
    config = autoencoder.config
    _check(config)
    encoder, decoder = autoencoder.encoder, autoencoder.decoder
    widths = [min(pair) for pair in zip(encoder.widths, decoder.widths, strict=True)]
    # The components are sought in the pictures' own metric; what the network holds is x / scale.
    x, scale = frames, torch.ones(config.in_channels, dtype=torch.float64)
    for stage in range(1, config.num_stages):
        samples = rearrange(F.pixel_unshuffle(x, 2), "n d h w -> (n h w) d").double()
        kept = min(widths[stage], samples.shape[1])
        if len(samples) < 4 * samples.shape[1]:
            raise ValueError(
                f"{len(frames)} pictures are too few for {samples.shape[1]} dimensions at stage {stage}: give more"
            )
        vectors, divisor, mean = _principal(samples, kept)
        before = scale.repeat_interleave(4)
        analysis, synthesis = (vectors * before[:, None] / divisor).T, vectors * divisor / before[:, None]
        if stage == 1:
            down, up = encoder.conv_in, decoder.conv_out
        else:
            down = cast(nn.Sequential, encoder.down_blocks[stage - 1])[-1]
            up = cast(nn.Sequential, decoder.up_blocks[stage - 1])[0]
        _set_down(cast(DownBlock, down), analysis, -(mean @ vectors) / divisor, len(scale))
        _set_up(cast(UpBlock, up), synthesis, mean / before)
        height, width = x.shape[-2] // 2, x.shape[-1] // 2
        x = rearrange(((samples - mean) @ vectors).to(frames), "(n h w) d -> n d h w", h=height, w=width)
        scale = divisor
    _set_latents(autoencoder, len(scale))


def _set_latents(autoencoder: Autoencoder, count: int) -> None:
    """Makes the latents a rotation of the first of `count` components, and the decoder undo it."""
    channels = autoencoder.latent_channels
    generator = torch.Generator().manual_seed(0)
    kept = min(channels, count)
    rotation = torch.linalg.qr(torch.randn(channels, channels, generator=generator, dtype=torch.float64))[0][:, :kept]
    conv, group = autoencoder.encoder.conv_out, autoencoder.encoder.group_size
    target = torch.zeros(channels, conv.weight.shape[1], dtype=torch.float64)
    target[:, :kept] = rotation
    if group:
        target -= (torch.arange(target.shape[1]) // group == torch.arange(channels)[:, None]) / group
    _set_centre(conv, target)
    # Components that no latent carries are zero in the decoder: it reads all `count` of them.
    conv, repeats = autoencoder.decoder.conv_in, autoencoder.decoder.repeats
    target = torch.zeros(count, channels, dtype=torch.float64)
    target[:kept] = rotation.T
    if repeats:
        target -= (torch.arange(count)[:, None] // repeats == torch.arange(channels)).to(target)
    _set_centre(conv, target)


def _set_centre(conv: nn.Conv2d, matrix: Tensor) -> None:
    """Makes the first outputs of a 3x3 convolution `matrix` [outputs, inputs] of the same position."""
    conv.weight[: len(matrix)] = 0
    conv.weight[: len(matrix), :, 1, 1] = matrix.to(conv.weight)
    cast(nn.Parameter, conv.bias)[: len(matrix)] = 0
