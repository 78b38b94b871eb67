"""Public layouts at full width on the meta device, the hub, and several parts that do not fit at once."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from transformers import ByT5Tokenizer, T5Config, T5EncoderModel

from conditions.encoders.words import load_t5
from tests.full_size.test_assemble import config, dcae, pixart, qwen
from tests.full_size.twin import full
from tests.tiny import tiny_world
from worldmodel import WorldModel
from worldmodel.assemble import assemble, table
from worldmodel.autoencoder import Autoencoder, AutoencoderConfig
from worldmodel.backbone import Backbone, BackboneConfig
from worldmodel.head import Head
from worldmodel.pixart import from_pixart, positions
from worldmodel.training.cost import count

diffusers = pytest.importorskip("diffusers")

FIVE = ["ResBlock"] * 3 + ["EfficientViTBlock"] * 3
F32 = dict(
    latent_channels=32,
    encoder_block_types=FIVE,
    decoder_block_types=FIVE,
    encoder_block_out_channels=[128, 256, 512, 512, 1024, 1024],
    decoder_block_out_channels=[128, 256, 512, 512, 1024, 1024],
)
# As published with the weights: mit-han-lab/dc-ae-…-diffusers
PUBLIC: dict[str, dict[str, Any]] = {
    "f32c32-in-1.0": F32
    | dict(
        encoder_layers_per_block=[0, 4, 8, 2, 2, 2],
        decoder_layers_per_block=[0, 5, 10, 2, 2, 2],
        encoder_qkv_multiscales=[[]] * 6,
        decoder_qkv_multiscales=[[]] * 6,
        decoder_norm_types=["batch_norm"] * 3 + ["rms_norm"] * 3,
        decoder_act_fns=["relu"] * 3 + ["silu"] * 3,
        scaling_factor=0.3189,
    ),
    "f32c32-sana-1.0": F32
    | dict(
        encoder_layers_per_block=[2, 2, 2, 3, 3, 3],
        decoder_layers_per_block=[3, 3, 3, 3, 3, 3],
        encoder_qkv_multiscales=[[], [], [], [5], [5], [5]],
        decoder_qkv_multiscales=[[], [], [], [5], [5], [5]],
        downsample_block_type="Conv",
        upsample_block_type="interpolate",
        decoder_norm_types="rms_norm",
        decoder_act_fns="silu",
        scaling_factor=0.41407,
    ),
}


@pytest.mark.parametrize("name", ["f64c128-in-1.0", *PUBLIC])
def test_public_autoencoders_have_our_keys_and_shapes(name: str) -> None:
    own = full("midas-3b").model.autoencoder if name.startswith("f64") else AutoencoderConfig.from_dict(PUBLIC[name])
    theirs = {k: v for k, v in own.to_dict().items() if not k.startswith(("temporal", "encoder_norm", "encoder_act"))}
    del theirs["decoder_out_norm_type"]
    with torch.device("meta"):
        public, ours = diffusers.AutoencoderDC(**theirs), Autoencoder(replace(own, temporal_stages=[]))
    expected = {key: value.shape for key, value in public.state_dict().items()}
    found = {key: value.shape for key, value in ours.state_dict().items() if not key.startswith("latents_")}
    assert found == expected


def test_time_from_the_lowest_stages_to_every_block_at_full_size() -> None:
    """By two fields of the config; the public weights' keys stay what they are."""
    settings = ["model.autoencoder.temporal_stages=[1,2,3,4,5,6]", "model.autoencoder.temporal_placement=block"]
    with torch.device("meta"):
        few = Autoencoder(full("midas-3b").model.autoencoder)
        all_ = Autoencoder(full("midas-3b", *settings).model.autoencoder)
    spatial = [{key for key in model.state_dict() if ".temporal." not in key} for model in (few, all_)]
    assert spatial[0] == spatial[1]
    blocks = [
        sum(len(after) for side in (m.encoder, m.decoder) for after in side.temporal.values()) for m in (few, all_)
    ]
    layers = sum(all_.config.encoder_layers_per_block + all_.config.decoder_layers_per_block)
    assert blocks == [4, layers + 5 + 5]  # and after every resampling between the six stages, on either side


@pytest.mark.parametrize(
    ("size", "shape", "parameters"),
    [
        ("0.5B", (896, 4864, 24, 14, 2, 151936), 494_032_768),
        ("1.5B", (1536, 8960, 28, 12, 2, 151936), 1_543_714_304),
        ("3B", (2048, 11008, 36, 16, 2, 151936), 3_085_938_688),
        ("7B", (3584, 18944, 28, 28, 4, 152064), 7_615_616_512 - 152064 * 3584),  # its output layer is not tied
    ],
)
def test_every_size_of_qwen(size: str, shape: tuple[int, ...], parameters: int) -> None:
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    with torch.device("meta"):
        backbone = Backbone(BackboneConfig(**dict(zip((*names, "vocab_size"), shape, strict=True))))
    assert count(backbone) == parameters


def test_a_config_json_of_the_older_form(tmp_path: Path) -> None:
    """Qwen2.5's public folders name rope_theta at the top; one of another base is refused."""
    model = qwen(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    del values["rope_parameters"]
    for theta in (1e6, 1e4):
        (tmp_path / "config.json").write_text(json.dumps({**values, "rope_theta": theta, "use_sliding_window": False}))
        if theta == 1e6:
            world, _ = assemble(config(), backbone=tmp_path, dtype=torch.float32)
            assert torch.equal(world.backbone.model.norm.weight, model.model.norm.weight)
        else:
            with pytest.raises(ValueError, match="backbone.rope_theta must be 10000.0, got 1000000.0"):
                assemble(config(), backbone=tmp_path)


def test_parts_that_do_not_fit_are_named_together(tmp_path: Path) -> None:
    qwen(tmp_path / "qwen", intermediate_size=64)
    pixart(tmp_path / "head", attention_head_dim=8, cross_attention_dim=16)
    small = dict(block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2, norm_num_groups=4)
    diffusers.AutoencoderKL(**small, up_block_types=("UpDecoderBlock2D",) * 2).save_pretrained(tmp_path / "vae")
    with pytest.raises(ValueError) as caught:
        assemble(config(), tmp_path / "qwen", tmp_path / "vae", tmp_path / "head")
    message = str(caught.value)
    assert "vae: the autoencoder must be an AutoencoderDC, got 'AutoencoderKL'" in message
    assert "layers.0.mlp.gate_proj.weight must be (48, 32), got (64, 32)" in message
    assert "blocks.0.attn.qkv.weight must be (96, 32), got (16, 16) + (16, 16) + (16, 16)" in message


def test_a_checkpoints_faults_are_named_together(tmp_path: Path) -> None:
    folder = tmp_path / "world"
    tiny_world().save_pretrained(folder)
    (folder / "head" / "model.safetensors").unlink()
    (folder / "autoencoder" / "diffusion_pytorch_model.safetensors").unlink()
    index = json.loads((folder / "model_index.json").read_text())
    index["config"]["backbone"]["intermediate_size"] = 64
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError) as caught:
        WorldModel.from_pretrained(folder)
    message = str(caught.value)
    assert "autoencoder must hold" in message and "head has no *.safetensors" in message
    assert "layers.0.mlp.up_proj.weight must be (64, 32), got (48, 32)" in message
    dcae(tmp_path / "pipeline" / "vae")
    (tmp_path / "pipeline" / "model_index.json").write_text('{"_class_name": "SanaPipeline"}')
    with pytest.raises(ValueError, match="must be of a WorldModel, format 1, got 'SanaPipeline'"):
        WorldModel.from_pretrained(tmp_path / "pipeline")


def test_frozen_encoders_are_in_the_table(tmp_path: Path) -> None:
    """They are no part of a checkpoint; where they come from is said all the same."""
    world = config()
    world.conditions = {"text": {"encoder": "t5", "num_tokens": 4, "features": 8, "pretrained": "google/t5-v1_1-small"}}
    _, sources = assemble(world)
    line = next(line for line in table(sources).splitlines() if line.startswith("conditions/text"))
    assert line.endswith("random; google/t5-v1_1-small stays frozen beside it, read when first needed")


def test_a_t5_of_other_shapes_is_refused(tmp_path: Path) -> None:
    values = dict(vocab_size=24, d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2)
    T5EncoderModel(T5Config(**values)).save_pretrained(tmp_path)
    ByT5Tokenizer().save_pretrained(tmp_path)
    described = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**described, "d_ff": 32}))
    with pytest.raises(ValueError, match="must be a T5 with config.json"):
        load_t5(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps(described))
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-20])
    with pytest.raises(ValueError, match="must be a T5 with config.json"):
        load_t5(str(tmp_path))


def test_from_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An id is a folder of the hub's cache: here one that was downloaded before, and no network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    repository, commit = tmp_path / "cache" / "models--owner--world", "0123456789abcdef0123456789abcdef01234567"
    world = tiny_world()
    world.save_pretrained(tmp_path / "world")
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    shutil.move(tmp_path / "world", repository / "snapshots" / commit)
    found = WorldModel.from_pretrained("owner/world")
    assert found.folder == repository / "snapshots" / commit
    assert all(torch.equal(value, found.state_dict()[key]) for key, value in world.state_dict().items())
    with pytest.raises(ValueError, match="no checkpoint 'owner/wordl': neither a folder nor to be had from the hub"):
        WorldModel.from_pretrained("owner/wordl")


def test_gradient_checkpointing_changes_nothing_but_memory() -> None:
    gradients = []
    for saving in (False, True):
        torch.manual_seed(0)
        plain = config()
        world = WorldModel(replace(plain, backbone=replace(plain.backbone, gradient_checkpointing=saving))).train()
        assert world.backbone.model.is_gradient_checkpointing == saving
        torch.nn.init.normal_(world.head.final_layer.weight, std=0.1)
        latents = torch.randn(2, 5, *world.latent_shape, generator=torch.Generator().manual_seed(1))
        prepared = world.conditions.blank(2, 4, 1)
        world.loss(latents, prepared, torch.Generator().manual_seed(2))["loss"].backward()
        gradients.append({key: p.grad for key, p in world.backbone.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys() and len(gradients[0]) > 20
    for key, value in gradients[0].items():
        torch.testing.assert_close(gradients[1][key], value, atol=1e-7, rtol=1e-4)


def test_all_missing_shards_are_named(tmp_path: Path) -> None:
    qwen(tmp_path)
    gone = sorted(tmp_path.glob("*.safetensors"))[1:3]
    for path in gone:
        path.unlink()
    with pytest.raises(ValueError) as caught:
        assemble(config(), backbone=tmp_path)
    assert all(path.name in str(caught.value) for path in gone)


@pytest.mark.parametrize("kind", ["dit", "dit_cross", "mlp"])
def test_pixart_fills_the_head_at_full_size(kind: str) -> None:
    """Its 28 layers of 16 heads of 72; what is left is the way in, the way out and the places in the frame."""
    shape = dict(num_attention_heads=16, attention_head_dim=72, num_layers=28, cross_attention_dim=1152)
    with torch.device("meta"):
        public = diffusers.PixArtTransformer2DModel(**shape, in_channels=4, out_channels=8, sample_size=64)
        head = Head(full("midas-3b", f"model.head.kind={kind}").model.head, 128, 2048, 60)
    taken = from_pixart(dict(public.config) | {"_class_name": type(public).__name__}, public.state_dict(), head, "here")
    assert all(taken[key].shape == head.state_dict()[key].shape for key in taken)
    assert sum(value.numel() for value in taken.values()) > 0.98 * count(head)
    left = {key.partition(".")[0] for key in head.state_dict().keys() - taken.keys()}
    assert left == {"x_embedder", "position", "hidden_embedder", "final_layer"}


@pytest.mark.parametrize(("rows", "columns"), [(4, 4), (6, 10)])
def test_places_in_the_frame_are_told_as_to_pixart(rows: int, columns: int) -> None:
    public = diffusers.PixArtTransformer2DModel(
        num_attention_heads=2, attention_head_dim=16, num_layers=1, cross_attention_dim=32, sample_size=32
    )
    blank = torch.zeros(1, 4, 2 * rows, 2 * columns)
    public.pos_embed.proj.weight.data.zero_(), public.pos_embed.proj.bias.data.zero_()
    expected = public.pos_embed(blank)[0]
    torch.testing.assert_close(positions(public.config, rows, columns, 32), expected, rtol=0, atol=1e-5)
