"""DC-AE 1.5 in its authors' own layout: the same function under our keys, at every full-size shape."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from worldmodel.assemble import read_autoencoder
from worldmodel.autoencoder import Autoencoder, AutoencoderConfig, dcgen

CHANNELS, WIDTHS, LAYERS, SCALE = 8, [8, 8, 16, 16], [0, 2, 1, 2], 0.5


class Wrapped(nn.Module):
    """A module held under a name, as DC-Gen holds what it wraps."""

    def __init__(self, **held: nn.Module) -> None:
        super().__init__()
        for name, module in held.items():
            self.add_module(name, module)


def conv(inputs: int, outputs: int, bias: bool = True) -> Wrapped:
    return Wrapped(conv=nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias))


def operations(*modules: nn.Module) -> Wrapped:
    return Wrapped(op_list=nn.ModuleList(modules))


def scale_and_shift(width: int) -> nn.Module:
    norm = nn.Module()
    norm.weight, norm.bias = nn.Parameter(torch.rand(width) + 0.5), nn.Parameter(torch.randn(width))
    return norm


class OfTheAuthors(nn.Module):
    """DC-AE 1.5 written down from its description, with DC-Gen's names of modules."""

    def __init__(self) -> None:
        super().__init__()

        def residual(width: int) -> Wrapped:
            second = conv(width, width, bias=False)
            second.norm = scale_and_shift(width)
            return Wrapped(main=Wrapped(conv1=conv(width, width), conv2=second))

        def resampling(inputs: int, outputs: int) -> Wrapped:
            return Wrapped(main=Wrapped(conv=conv(inputs, outputs)))

        last = len(WIDTHS) - 1
        down, up = [], []
        for stage, (width, layers) in enumerate(zip(WIDTHS, LAYERS, strict=True)):
            blocks = [residual(width) for _ in range(layers)]
            joined = layers and stage < last
            down.append(operations(*blocks, *([resampling(width, WIDTHS[stage + 1] // 4)] if joined else [])))
            blocks = [residual(width) for _ in range(layers)]
            up.append(operations(*([resampling(WIDTHS[stage + 1], 4 * width)] if joined else []), *blocks))
        self.encoder = Wrapped(
            project_in=Wrapped(conv=conv(3, WIDTHS[1] // 4)),
            stages=nn.ModuleList(down),
            project_out=operations(conv(WIDTHS[-1], CHANNELS)),
        )
        self.decoder = Wrapped(
            project_in=conv(CHANNELS, WIDTHS[-1]),
            stages=nn.ModuleList(up),
            project_out=operations(scale_and_shift(WIDTHS[1]), nn.SiLU(), Wrapped(conv=conv(WIDTHS[1], 12))),
        )

    @staticmethod
    def normed(x: Tensor, norm: nn.Module) -> Tensor:
        x = x / (x.square().mean(1, keepdim=True) + 1e-5).sqrt()
        return x * norm.weight[:, None, None] + norm.bias[:, None, None]

    def residual(self, x: Tensor, block: nn.Module) -> Tensor:
        second = block.main.conv2
        return x + self.normed(second.conv(F.silu(block.main.conv1.conv(x))), second.norm)

    def encode(self, x: Tensor) -> Tensor:
        x = F.pixel_unshuffle(self.encoder.project_in.conv.conv(x), 2)
        for stage, layers in zip(self.encoder.stages, LAYERS, strict=True):
            for index, block in enumerate(stage.op_list):
                if index < layers:
                    x = self.residual(x, block)
                else:
                    y = F.pixel_unshuffle(block.main.conv.conv(x), 2)
                    x = y + F.pixel_unshuffle(x, 2).unflatten(1, (y.shape[1], -1)).mean(2)
        return self.encoder.project_out.op_list[0].conv(x)

    def decode(self, x: Tensor) -> Tensor:
        x = self.decoder.project_in.conv(x)
        for stage, layers in reversed(list(zip(self.decoder.stages, LAYERS, strict=True))):
            for index, block in enumerate(stage.op_list):
                if len(stage.op_list) - index > layers:
                    y = F.pixel_shuffle(block.main.conv.conv(x), 2)
                    x = y + F.pixel_shuffle(x.repeat_interleave(4 * y.shape[1] // x.shape[1], 1), 2)
                else:
                    x = self.residual(x, block)
        norm, _, out = self.decoder.project_out.op_list
        return F.pixel_shuffle(out.conv.conv(F.silu(self.normed(x, norm))), 2)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(dcgen.MODELS, "tiny-1.5", (CHANNELS, WIDTHS, LAYERS, SCALE))
    (tmp_path / "config.json").write_text(json.dumps({"model_name": "tiny-1.5", "model_cfg": None}))
    torch.manual_seed(0)
    save_file(OfTheAuthors().state_dict(), tmp_path / "model.safetensors")
    return tmp_path


def own_config(**changes: object) -> AutoencoderConfig:
    values = dcgen.fields_of({"model_name": "tiny-1.5"})
    return AutoencoderConfig.from_dict({**values, "temporal_stages": [-1], "temporal_heads": 2, **changes})


@torch.no_grad()
def test_it_is_the_same_function(folder: Path) -> None:
    torch.manual_seed(0)
    theirs = OfTheAuthors()
    ours, origin = read_autoencoder(folder, own_config())
    frames = torch.rand(2, 3, 16, 24) * 2 - 1
    latents = theirs.encode(frames)
    torch.testing.assert_close(ours.encoder(frames), latents, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.decoder(latents), theirs.decode(latents), atol=1e-5, rtol=1e-5)
    assert "temporal blocks: zero" in origin
    ours.set_statistics(torch.zeros(CHANNELS), torch.full((CHANNELS,), 2.0))
    torch.testing.assert_close(ours.encode(frames[None])[0], latents / 2, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("name", "count"), [("dc-ae-f32c128-1.5", 6), ("dc-ae-f64c128-1.5", 7)])
def test_the_models_are_built_at_full_width(name: str, count: int) -> None:
    config = AutoencoderConfig.from_dict({**dcgen.fields_of({"model_name": name}), "temporal_stages": []})
    with torch.device("meta"):
        model = Autoencoder(config)
    assert (config.num_stages, config.spatial_compression, config.latent_channels) == (count, 2 ** (count - 1), 128)
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    assert shapes["encoder.conv_out.weight"] == (128, 1024, 3, 3)
    assert shapes["decoder.up_blocks.2.10.conv2.weight"] == (512, 512, 3, 3)
    assert shapes["encoder.down_blocks.4.4.conv.weight"] == (256, 1024, 3, 3)


def test_what_is_not_read_is_named(folder: Path) -> None:
    with pytest.raises(ValueError, match="latent_channels must be 8, got 4"):
        read_autoencoder(folder, replace(own_config(), latent_channels=4))
    weights = OfTheAuthors().state_dict()
    weights["encoder.stages.1.op_list.9.main.conv1.conv.bias"] = weights.pop("decoder.project_in.conv.weight")
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(ValueError) as caught:
        read_autoencoder(folder, own_config())
    assert "decoder.conv_in.weight: expected (16, 8, 3, 3), missing in the file" in str(caught.value)
    assert "encoder.down_blocks.1.9.conv1.bias: unknown here" in str(caught.value)
    (folder / "config.json").write_text(json.dumps({"model_name": "dc-ae-f64c128-in-1.0"}))
    with pytest.raises(ValueError, match="did you mean 'dc-ae-f64c128-1.5'.*-diffusers"):
        read_autoencoder(folder, own_config())
