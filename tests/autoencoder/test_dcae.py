"""Statistics, folders, the training pass and its loss, and bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from worldmodel.autoencoder import (
    Autoencoder,
    AutoencoderConfig,
    ReconstructionLossConfig,
    reconstruction_loss,
    texture_loss,
)
from worldmodel.autoencoder.losses import blur


def tiny_config(**changes: object) -> AutoencoderConfig:
    values = dict(
        latent_channels=4,
        encoder_block_out_channels=[8, 16, 16],
        decoder_block_out_channels=[8, 16, 16],
        encoder_layers_per_block=[0, 1, 1],
        decoder_layers_per_block=[0, 1, 1],
        encoder_qkv_multiscales=[[]] * 3,
        decoder_qkv_multiscales=[[]] * 3,
        encoder_norm_types="none",
        decoder_norm_types="none",
        temporal_heads=2,
        temporal_stages=[-1],
    )
    return AutoencoderConfig.from_dict({**values, **changes})


def tiny(**changes: object) -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(tiny_config(**changes))


@torch.no_grad()
def test_statistics_normalise_latents() -> None:
    model, frames = tiny(), torch.rand(4, 3, 3, 32, 32) * 2 - 1
    raw = model.encode(frames)
    mean, std = raw.mean(dim=(0, 1, 3, 4)), raw.std(dim=(0, 1, 3, 4))
    before = model.decode(raw)
    model.set_statistics(mean, std)
    latents = model.encode(frames)
    torch.testing.assert_close(latents.mean(dim=(0, 1, 3, 4)), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(latents.std(dim=(0, 1, 3, 4)), torch.ones(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(model.decode(latents), before, atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match=r"std must be \[4\].*got \(3,\)"):
        model.set_statistics(mean, std[:3])
    with pytest.raises(ValueError, match="std positive"):
        model.set_statistics(mean, std * 0)


@torch.no_grad()
def test_save_and_load_round_trip(tmp_path: Path) -> None:
    model = tiny()
    for parameter in model.parameters():
        parameter.normal_(std=0.2)
    model.set_statistics(torch.arange(4.0), torch.arange(1.0, 5.0))
    model.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "diffusion_pytorch_model.safetensors"]
    again = Autoencoder.from_pretrained(tmp_path)
    assert again.config == model.config and not again.training
    frames = torch.rand(1, 7, 3, 16, 16) * 2 - 1
    assert torch.equal(again.encode(frames), model.eval().encode(frames))
    assert any(name.startswith("encoder.temporal.2.") for name in again.state_dict())


def test_a_folder_without_temporal_keys_starts_at_zero_residuals(tmp_path: Path) -> None:
    spatial = tiny(temporal_stages=[])
    spatial.save_pretrained(tmp_path)
    added = Autoencoder.from_pretrained(tmp_path, temporal_stages=[1, 2], temporal_placement="block")
    frames = torch.rand(1, 7, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        assert torch.equal(added.encode(frames), spatial.eval().encode(frames))
    assert len(list(added.temporal_parameters())) > 0
    # Zero residuals still learn: every temporal output weight gets a gradient at once.
    added.decode(added.encode(frames)).square().mean().backward()
    for name, parameter in added.named_parameters():
        if ".temporal." in name and ("conv.conv" in name or "to_out" in name):
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_weights_that_do_not_fit_are_all_listed(tmp_path: Path) -> None:
    tiny().save_pretrained(tmp_path)
    path = tmp_path / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    weights["encoder.conv_out.weight"] = torch.zeros(1, 2)
    del weights["decoder.conv_in.bias"]
    weights["decoder.extra"] = torch.zeros(3)
    save_file(weights, path)
    with pytest.raises(ValueError) as caught:
        Autoencoder.from_pretrained(tmp_path)
    message = str(caught.value)
    assert "3 keys" in message
    assert "encoder.conv_out.weight: expected (4, 16, 3, 3), got (1, 2)" in message
    assert "decoder.conv_in.bias: expected (16,), missing" in message
    assert "decoder.extra: unknown here, got (3,)" in message


def test_damaged_and_missing_files_are_named(tmp_path: Path) -> None:
    model = tiny()
    model.save_pretrained(tmp_path)
    weights = tmp_path / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ValueError, match="safetensors is damaged or incomplete"):
        Autoencoder.from_pretrained(tmp_path)
    weights.unlink()
    torch.save(model.state_dict(), tmp_path / "diffusion_pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match=r"found config.json, diffusion_pytorch_model.bin.*not read"):
        Autoencoder.from_pretrained(tmp_path)


def test_unknown_and_unfitting_fields_are_named(tmp_path: Path) -> None:
    tiny().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "latent_channel": 4}))
    with pytest.raises(ValueError, match="unknown autoencoder field 'latent_channel', did you mean 'latent_channels'"):
        Autoencoder.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="decoder_norm_types must be among .* did you mean 'batch_norm'"):
        tiny_config(decoder_norm_types="batchnorm")
    with pytest.raises(ValueError, match="decoder_layers_per_block must have 3 entries"):
        tiny_config(decoder_layers_per_block=[0, 1])
    with pytest.raises(ValueError, match=r"4 \* 16 must be a multiple of the next stage's 24"):
        tiny_config(encoder_block_out_channels=[8, 16, 24])
    with pytest.raises(ValueError, match="end in a multiple of latent_channels = 5"):
        tiny_config(latent_channels=5)
    with pytest.raises(ValueError, match="temporal_stages names stage 0.*no block to follow"):
        tiny_config(temporal_stages=[0])
    with pytest.raises(ValueError, match=r"block_out_channels\[2\] = 16 must be a multiple of .* = 6"):
        tiny_config(temporal_heads=3)


def test_parameters_are_of_one_phase_each() -> None:
    model = tiny()
    temporal, spatial = list(model.temporal_parameters()), list(model.spatial_parameters())
    assert {id(p) for p in temporal}.isdisjoint(id(p) for p in spatial)
    assert len(temporal) + len(spatial) == len(list(model.parameters())) and temporal and spatial


def test_texture_is_asked_for_where_the_target_has_it() -> None:
    generator = torch.Generator().manual_seed(0)
    smooth = torch.zeros(2, 4, 3, 32, 32)

    def grass(strength: float, still: bool = False) -> torch.Tensor:
        frames = torch.randn(smooth.shape, generator=generator) * strength
        return frames[:, :1].expand_as(frames) if still else frames

    target = grass(0.1)
    other, faint, frozen = grass(0.1), grass(0.05), grass(0.1, still=True)
    loss = {name: texture_loss(x, target) for name, x in locals().items() if name in ("other", "faint", "frozen")}
    blank = texture_loss(smooth, target)
    assert texture_loss(target, target) == 0 < loss["other"] < 0.2 * blank  # any grass as strong will do
    assert loss["other"] < loss["faint"] < blank and loss["other"] < loss["frozen"]
    assert texture_loss(smooth[:, :1], smooth[:, :1] + 0.5) < 1e-6  # no matter how bright
    noisy = (smooth + 0.01 * grass(1.0)).requires_grad_()
    texture_loss(noisy, target).backward()
    assert noisy.grad is not None and (noisy.grad * noisy).sum() < 0  # more of it lowers the loss


@pytest.mark.parametrize("size", [(5, 7), (1, 4), (2, 1)])
def test_blur_is_the_mean_of_the_neighbours_inside(size: tuple[int, int]) -> None:
    x = torch.rand(2, 3, *size, dtype=torch.float64)
    torch.testing.assert_close(blur(x), functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False))


def test_one_batch_is_learned() -> None:
    torch.manual_seed(0)
    frames = torch.nn.functional.interpolate(torch.rand(4, 3, 4, 4), scale_factor=4, mode="bilinear")[None] * 2 - 1
    model = tiny(latent_channels=8)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(150):
        terms = reconstruction_loss(model.decode(model.encode(frames)), frames, ReconstructionLossConfig())
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
        losses.append(terms["loss"].item())
    assert losses[-1] < 0.25 * losses[0]


def test_loss_terms() -> None:
    target = torch.rand(1, 2, 3, 16, 16) * 2 - 1
    config = ReconstructionLossConfig(l1=1.0, mse=2.0, gradient=3.0, ssim=4.0, texture=0.0)
    assert reconstruction_loss(target, target, config)["loss"].item() == pytest.approx(0, abs=1e-5)
    shifted = reconstruction_loss(target + 0.5, target, config)
    assert shifted["l1"].item() == pytest.approx(0.5, abs=1e-6)
    assert shifted["mse"].item() == pytest.approx(0.25, abs=1e-6)
    assert shifted["gradient"].item() == pytest.approx(0, abs=1e-6)  # an even shift moves no edge
    expected = shifted["l1"] + 2 * shifted["mse"] + 3 * shifted["gradient"] + 4 * shifted["ssim"]
    assert shifted["loss"].item() == pytest.approx(expected.item(), abs=1e-6)
    flat = reconstruction_loss(target.mean(dim=(-2, -1), keepdim=True).expand_as(target), target, config)
    assert flat["gradient"] > 0.3 and flat["ssim"] > 0.5
    assert set(reconstruction_loss(target, target, ReconstructionLossConfig(mse=0, gradient=0))) == {"loss", "l1"}
    with pytest.raises(ValueError, match="every weight"):
        reconstruction_loss(target, target, ReconstructionLossConfig(l1=0, mse=0, gradient=0))
    with pytest.raises(ValueError, match="one shape"):
        reconstruction_loss(target, target[:, :1], config)
