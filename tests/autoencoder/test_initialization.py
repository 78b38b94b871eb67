"""The start from principal components is the best linear autoencoder."""

from __future__ import annotations

import pytest
import torch
from einops import rearrange
from torch import Tensor

from worldmodel.autoencoder import Autoencoder, AutoencoderConfig, initialize_linear


def linear(latent_channels: int, **changes: object) -> Autoencoder:
    torch.manual_seed(0)
    values = dict(
        latent_channels=latent_channels,
        encoder_block_out_channels=[16, 16, 64],
        decoder_block_out_channels=[24, 24, 96],
        encoder_layers_per_block=[0, 1, 1],
        decoder_layers_per_block=[0, 1, 2],
        encoder_qkv_multiscales=[[]] * 3,
        decoder_qkv_multiscales=[[]] * 3,
        encoder_norm_types="none",
        decoder_norm_types="none",
        decoder_out_norm_type="none",
        decoder_conv_act_fn="none",
        downsample_block_type="conv",
        encoder_out_shortcut=64 % latent_channels == 0,
        decoder_in_shortcut=96 % latent_channels == 0,
        temporal_stages=[-1],
    )
    return Autoencoder(AutoencoderConfig.from_dict({**values, **changes}))


def pictures() -> Tensor:
    """Smooth pictures with some noise, of a mean that is not zero."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(48, 3, 6, 6, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(16, 16), mode="bicubic")
    return (smooth * 1.2 - 0.3 + 0.05 * torch.randn(smooth.shape, generator=generator)).clamp(-1, 1)


@torch.no_grad()
def test_enough_latents_reconstruct_exactly() -> None:
    model, frames = linear(48), pictures()
    initialize_linear(model, frames)
    torch.testing.assert_close(model.decode(model.encode(frames[:, None]))[:, 0], frames, atol=1e-4, rtol=0)


@torch.no_grad()
def test_few_latents_reconstruct_as_principal_components_do() -> None:
    model, frames = linear(8), pictures()
    before = (model.decode(model.encode(frames[:, None]))[:, 0] - frames).square().mean()
    initialize_linear(model, frames)
    error = (model.decode(model.encode(frames[:, None]))[:, 0] - frames).square().mean()
    patches = rearrange(frames, "n c (h y) (w x) -> (n h w) (c y x)", y=4, x=4).double()
    residual = torch.linalg.eigvalsh(torch.cov(patches.T, correction=0))[:-8].sum() / 48
    assert error.item() == pytest.approx(residual.item(), rel=1e-3)
    assert error < 0.2 * before


@torch.no_grad()
def test_latents_share_the_components_evenly() -> None:
    model, frames = linear(8), pictures()
    initialize_linear(model, frames)
    deviations = model.encode(frames[:, None]).std(dim=(0, 1, 3, 4))
    assert deviations.max() < 4 * deviations.min()


def test_what_is_not_linear_at_first_is_refused() -> None:
    with pytest.raises(ValueError, match=r"encoder_norm_types must be \{'none'\}, got \{'rms_norm'\}"):
        initialize_linear(linear(8, encoder_norm_types="rms_norm"), pictures())
    with pytest.raises(ValueError, match="downsample_block_type must be conv, got pixel_unshuffle"):
        initialize_linear(linear(8, downsample_block_type="pixel_unshuffle"), pictures())
    with pytest.raises(ValueError, match="1 pictures are too few"):
        initialize_linear(linear(8), pictures()[:1, :, :8, :8])
