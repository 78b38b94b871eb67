"""The spatial part gives the bits of diffusers' AutoencoderDC."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from worldmodel.autoencoder import Autoencoder, AutoencoderConfig

diffusers = pytest.importorskip("diffusers")

VARIANTS: dict[str, dict[str, Any]] = {
    # f32: both block types, batch norm, convolutional and interpolating resampling, as the public f32c32 for SANA
    "f32_sana": dict(
        latent_channels=4,
        attention_head_dim=8,
        encoder_block_types=["ResBlock"] * 3 + ["EfficientViTBlock"] * 3,
        decoder_block_types=["ResBlock"] * 3 + ["EfficientViTBlock"] * 3,
        encoder_block_out_channels=[8, 8, 16, 16, 32, 32],
        decoder_block_out_channels=[8, 8, 16, 16, 32, 32],
        encoder_layers_per_block=[1, 2, 1, 1, 2, 1],
        decoder_layers_per_block=[1, 1, 2, 1, 1, 1],
        encoder_qkv_multiscales=[[], [], [], [5], [5], [3, 5]],
        decoder_qkv_multiscales=[[], [], [], [5], [5], []],
        upsample_block_type="interpolate",
        downsample_block_type="conv",
        decoder_norm_types="rms_norm",
        decoder_act_fns="silu",
        scaling_factor=0.41407,
    ),
    # f64: six halvings, no full-resolution stage, batch norm and relu above, as the public f64c128
    "f64": dict(
        latent_channels=8,
        attention_head_dim=8,
        encoder_block_types=["ResBlock"] * 4 + ["EfficientViTBlock"] * 3,
        decoder_block_types=["ResBlock"] * 4 + ["EfficientViTBlock"] * 3,
        encoder_block_out_channels=[8, 8, 8, 16, 16, 32, 32],
        decoder_block_out_channels=[8, 8, 8, 16, 16, 32, 32],
        encoder_layers_per_block=[0, 1, 1, 1, 1, 1, 1],
        decoder_layers_per_block=[0, 1, 2, 1, 1, 1, 1],
        encoder_qkv_multiscales=[[], [], [], [], [], [], [5]],
        decoder_qkv_multiscales=[[], [], [], [], [5], [], []],
        decoder_norm_types=["batch_norm"] * 4 + ["rms_norm", "batch_norm", "rms_norm"],
        decoder_act_fns=["relu"] * 4 + ["silu"] * 3,
    ),
    # Residual blocks alone and no batch norm; the last activation and the shortcuts by config, as in DC-AE 1.5
    "f64_residual": dict(
        latent_channels=8,
        encoder_block_types="ResBlock",
        decoder_block_types="ResBlock",
        encoder_block_out_channels=[8, 8, 8, 16, 16, 32, 32],
        decoder_block_out_channels=[8, 8, 8, 16, 16, 32, 32],
        encoder_layers_per_block=[0, 2, 1, 1, 1, 1, 2],
        decoder_layers_per_block=[0, 1, 1, 1, 2, 1, 1],
        encoder_qkv_multiscales=[[]] * 7,
        decoder_qkv_multiscales=[[]] * 7,
        decoder_norm_types="rms_norm",
        decoder_act_fns="silu",
        decoder_conv_act_fn="silu",
        decoder_in_shortcut=False,
    ),
    "no_shortcuts": dict(
        latent_channels=4,
        encoder_block_types="ResBlock",
        decoder_block_types="ResBlock",
        encoder_block_out_channels=[8, 16, 16],
        decoder_block_out_channels=[8, 16, 16],
        encoder_layers_per_block=[0, 1, 1],
        decoder_layers_per_block=[0, 1, 1],
        encoder_qkv_multiscales=[[], [], []],
        decoder_qkv_multiscales=[[], [], []],
        upsample_block_type="interpolate",
        downsample_block_type="conv",
        decoder_norm_types="batch_norm",
        decoder_act_fns="gelu",
        encoder_out_shortcut=False,
        decoder_in_shortcut=False,
        decoder_conv_act_fn="silu",
    ),
}


def public_model(variant: str) -> Any:
    """Diffusers' own class with random weights and batch-norm statistics that are not those of a fresh layer."""
    torch.manual_seed(0)
    model = diffusers.AutoencoderDC(**VARIANTS[variant]).eval()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2.0)
            elif name.endswith("running_mean") or name.endswith("bias"):
                tensor.normal_(std=0.3)
            elif "norm" in name and name.endswith("weight"):
                tensor.uniform_(0.5, 1.5)
    return model


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("temporal_stages", [[], [-1]])
def test_public_weights_give_equal_bits(variant: str, temporal_stages: list[int], tmp_path: Path) -> None:
    public = public_model(variant)
    public.save_pretrained(tmp_path)
    ours = Autoencoder.from_pretrained(tmp_path, temporal_stages=temporal_stages)
    side = ours.spatial_compression
    frames = torch.rand(1, 3, 3, 2 * side, 3 * side) * 2 - 1
    with torch.no_grad():
        latents = public.encode(frames[0]).latent
        assert torch.equal(ours.encoder(frames[0], num_frames=3), latents)
        assert torch.equal(ours.decoder(latents, num_frames=3), public.decode(latents).sample)
        # Whole clips and single frames, through the public methods: one scaling factor stands for the statistics.
        ours.set_statistics(torch.zeros(ours.latent_channels), torch.ones(ours.latent_channels))
        assert torch.equal(ours.encode(frames)[0], latents)
        assert torch.equal(ours.decode(latents[None])[0], public.decode(latents).sample)
        cache = ours.init_cache(3, 2 * side, 3 * side)
        assert torch.equal(ours.encode_step(frames[0], cache), latents)
        assert torch.equal(ours.decode_step(latents, cache), public.decode(latents).sample)


@pytest.mark.parametrize("placement", ["block", "conv"])
@torch.no_grad()
def test_time_after_every_convolution_begins_as_nothing(placement: str, tmp_path: Path) -> None:
    """All stages look back, and the bits are still the public class's."""
    public = public_model("f64")
    public.save_pretrained(tmp_path)
    every = {"temporal_stages": [1, 2, 3, 4, 5, 6], "temporal_placement": placement}
    ours = Autoencoder.from_pretrained(tmp_path, **every)
    places = {name.split(".temporal.")[1].partition(".conv.")[0] for name in ours.state_dict() if ".temporal." in name}
    inside = {"1.in", "6.in", "2.0_conv1", "2.1_conv1"}  # of the first convolutions, and of residual blocks' first ones
    assert inside & places == (inside if placement == "conv" else set()) and {"1.0", "6.0"} <= places
    assert not any(place.endswith("_conv1") and place[0] in "456" for place in places)  # these stages mix by attention
    frames = torch.rand(3, 3, 64, 128) * 2 - 1
    latents = public.encode(frames).latent
    assert torch.equal(ours.encoder(frames, num_frames=3), latents)
    assert torch.equal(ours.decoder(latents, num_frames=3), public.decode(latents).sample)


@torch.no_grad()
def test_memory_formats_and_batch_sizes_give_equal_bits(tmp_path: Path) -> None:
    """Whatever is the same on both sides, channels-last too; without time, whose blocks return another format."""
    public = public_model("f64")
    public.save_pretrained(tmp_path)
    ours = Autoencoder.from_pretrained(tmp_path, temporal_stages=[])
    for layout in (torch.contiguous_format, torch.channels_last):
        public.to(memory_format=layout), ours.to(memory_format=layout)
        for count in (1, 4):
            frames = (torch.rand(count, 3, 128, 64) * 2 - 1).to(memory_format=layout)
            latents = public.encode(frames).latent
            assert torch.equal(ours.encoder(frames, num_frames=count), latents)
            assert torch.equal(ours.decoder(latents, num_frames=count), public.decode(latents).sample)


@torch.no_grad()
def test_no_norm_at_all(tmp_path: Path) -> None:
    """What the public class cannot be, residual blocks without any norm, is saved, loaded and streamed."""
    values = VARIANTS["f64_residual"] | {"encoder_norm_types": "none", "decoder_norm_types": "none"}
    config = AutoencoderConfig.from_dict({**values, "decoder_out_norm_type": "none", "temporal_heads": 2})
    model = Autoencoder(config).eval()
    assert not any("norm" in name for name in model.state_dict() if ".temporal." not in name)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    model.save_pretrained(tmp_path)
    again = Autoencoder.from_pretrained(tmp_path)
    frames = torch.rand(1, 3, 3, 64, 64) * 2 - 1
    latents, cache = model.encode(frames), again.init_cache(1, 64, 64)
    pictures = model.decode(latents)
    for index in range(3):
        for got, whole in (
            (again.encode_step(frames[:, index], cache), latents),
            (again.decode_step(latents[:, index], cache), pictures),
        ):
            torch.testing.assert_close(got, whole[:, index], rtol=0, atol=1e-5 * float(whole.abs().max()))


def test_scaling_factor_stands_for_the_statistics(tmp_path: Path) -> None:
    public = public_model("f32_sana")
    public.save_pretrained(tmp_path)
    ours = Autoencoder.from_pretrained(tmp_path)
    frames = torch.rand(1, 1, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        expected = public.encode(frames[0]).latent * 0.41407
        torch.testing.assert_close(ours.encode(frames)[0], expected, rtol=1e-5, atol=1e-6)


def test_our_folder_is_read_by_the_public_class(tmp_path: Path) -> None:
    ours = Autoencoder.from_pretrained(_saved(public_model("f64"), tmp_path / "a"), temporal_stages=[])
    ours.save_pretrained(tmp_path / "b")
    public = diffusers.AutoencoderDC.from_pretrained(tmp_path / "b")
    for tensor in public.state_dict(keep_vars=True).values():
        tensor.data = tensor.data.clone()  # out of the mapped file, whose alignment may choose other kernels
    frames = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        assert torch.equal(public.encode(frames).latent, ours.encoder(frames))


def _saved(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    return folder
