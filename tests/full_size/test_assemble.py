"""Public weights: tiny random folders of the public classes go in, a checkpoint with their outputs comes out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file
from transformers import AutoModel, Qwen2Config, Qwen2ForCausalLM

from tests.tiny import tiny_config
from worldmodel import checkpoint
from worldmodel.assemble import assemble, main, table
from worldmodel.flow import timestep_features
from worldmodel.head import HeadConfig
from worldmodel.world import WorldConfig, WorldModel

diffusers = pytest.importorskip("diffusers")
WORDS = 24


def config() -> WorldConfig:
    """A tiny world with PixArt's proportions and its cross-attention."""
    config = tiny_config()
    config.backbone = replace(config.backbone, vocab_size=WORDS)
    config.head = HeadConfig(kind="dit_cross", hidden_size=32, num_layers=2, num_attention_heads=2, mlp_ratio=4.0)
    return config


def qwen(folder: Path, **changes: object) -> Qwen2ForCausalLM:
    """A stock causal language model in several shards, its word embedding tied."""
    torch.manual_seed(1)
    values = dict(
        vocab_size=WORDS,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=True,
    )
    model = Qwen2ForCausalLM(Qwen2Config(**{**values, **changes})).eval()  # type: ignore[arg-type]
    model.save_pretrained(folder, max_shard_size="20KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    return model


def dcae(folder: Path) -> torch.nn.Module:
    """A stock AutoencoderDC in several shards, as wide as the tiny world's."""
    torch.manual_seed(2)
    own = tiny_config().autoencoder
    names = [f"{side}_{name}" for side in ("encoder", "decoder") for name in ("block_types", "block_out_channels")]
    names += ["encoder_layers_per_block", "decoder_layers_per_block", "encoder_qkv_multiscales"]
    names += ["decoder_qkv_multiscales", "decoder_norm_types", "decoder_act_fns", "latent_channels"]
    model = diffusers.AutoencoderDC(attention_head_dim=8, **{name: getattr(own, name) for name in names}).eval()
    model.save_pretrained(folder, max_shard_size="20KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    return model


def pixart(folder: Path, **changes: object) -> torch.nn.Module:
    """A stock PixArt transformer of three layers."""
    torch.manual_seed(3)
    values = dict(num_attention_heads=2, attention_head_dim=16, cross_attention_dim=32, num_layers=3, sample_size=8)
    model = diffusers.PixArtTransformer2DModel(**{**values, **changes}).eval()
    model.save_pretrained(folder)
    return model


@pytest.fixture()
def folders(tmp_path: Path) -> dict[str, Path]:
    qwen(tmp_path / "qwen"), dcae(tmp_path / "pipeline" / "vae"), pixart(tmp_path / "pipeline" / "transformer")
    return {"backbone": tmp_path / "qwen", "autoencoder": tmp_path / "pipeline", "head": tmp_path / "pipeline"}


@torch.no_grad()
def test_parts_give_what_the_public_classes_give(tmp_path: Path, folders: dict[str, Path]) -> None:
    """Through the command line and a saved checkpoint: hidden states, latents, pictures and blocks."""
    yaml = tmp_path / "c.yaml"
    yaml.write_text(OmegaConf.to_yaml(OmegaConf.structured({"model": OmegaConf.structured(config())})))
    out = tmp_path / "out"
    main([f"config={yaml}", f"out={out}", "dtype=float32", *(f"{name}={path}" for name, path in folders.items())])
    world = WorldModel.from_pretrained(out)

    stock, tokens = qwen(tmp_path / "again"), torch.randn(1, 6, 32)
    expected = stock.model(inputs_embeds=tokens).last_hidden_state
    own = AutoModel.from_pretrained(out / "backbone", attn_implementation="sdpa")
    torch.testing.assert_close(own(inputs_embeds=tokens).last_hidden_state, expected, atol=0, rtol=0)
    theirs = stock.model.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in world.backbone.model.state_dict().items())

    autoencoder, frames = dcae(tmp_path / "again-ae"), torch.rand(3, 3, 16, 16) * 2 - 1
    latents = world.autoencoder.encode(frames[None])[0]  # three frames in a row: time is a residual that is still zero
    expected = autoencoder.encode(frames).latent
    assert torch.equal(latents, expected)
    assert torch.equal(world.autoencoder.decode(latents[None])[0], autoencoder.decode(expected).sample)
    zero = [p for name, p in world.autoencoder.named_parameters() if "temporal" in name and "to_out" in name]
    assert zero and not any(p.any() for p in zero)

    transformer = pixart(tmp_path / "again-head")
    x, guide, timestep = torch.randn(2, 4, 32), torch.randn(2, 4, 32), torch.tensor([0.25, 0.75])
    modulation, _ = transformer.adaln_single(1000 * timestep, {"resolution": None, "aspect_ratio": None}, batch_size=2)
    ours = world.head.t_block(world.head.t_embedder(timestep_features(timestep, 256)))
    torch.testing.assert_close(ours, modulation, atol=1e-5, rtol=0)
    for block, public in zip(world.head.blocks, transformer.transformer_blocks, strict=False):
        expected = public(x, encoder_hidden_states=guide, timestep=modulation)
        got = block(x, modulation.view(2, 1, 6, 32).expand(-1, 4, -1, -1), guide)
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)
    assert not world.head.final_layer.weight.any()  # a head that has seen nothing yet predicts no motion


def test_the_table_says_what_came_from_where(folders: dict[str, Path]) -> None:
    _, sources = assemble(config(), backbone=folders["backbone"], autoencoder=folders["autoencoder"])
    text = table(sources)
    lines = {line.split()[0]: line for line in text.splitlines()}
    assert lines["backbone"].endswith(str(folders["backbone"])) and "bfloat16" in lines["backbone"]
    assert "vae (temporal blocks: zero)" in lines["autoencoder"]
    assert lines["head"].endswith("random") and lines["conditions/keyboard"].endswith("random")
    size = sum(p.numel() for p in sources[1].module.parameters())
    assert f"{size:,}" in lines["backbone"] and f"{2 * size:,}" in lines["backbone"]


def test_without_words_the_word_embedding_is_left_out(folders: dict[str, Path]) -> None:
    small = config()
    small.backbone = replace(small.backbone, vocab_size=1)
    world, _ = assemble(small, backbone=folders["backbone"])
    assert world.backbone.model.embed_tokens.weight.shape == (1, 32)


def test_pickled_weights_are_refused(tmp_path: Path, folders: dict[str, Path]) -> None:
    folder = folders["backbone"]
    for path in folder.glob("*.safetensors*"):
        path.unlink()
    torch.save({"model.norm.weight": torch.ones(32)}, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pickled weights only \(pytorch_model.bin\)"):
        assemble(config(), backbone=folder)
    with pytest.raises(ValueError, match="there is no folder .*nowhere"):
        assemble(config(), backbone=tmp_path / "nowhere")


def test_a_missing_shard_is_named(folders: dict[str, Path]) -> None:
    shard = sorted(folders["backbone"].glob("*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(ValueError, match=f"lacks .*{shard.name}"):
        assemble(config(), backbone=folders["backbone"])


def test_all_that_does_not_fit_is_listed_at_once(tmp_path: Path, folders: dict[str, Path]) -> None:
    folder = tmp_path / "wide"
    qwen(folder, intermediate_size=64, num_hidden_layers=3)
    with pytest.raises(ValueError) as caught:
        assemble(config(), backbone=folder)
    message = str(caught.value)
    assert "backbone.intermediate_size must be 64, got 48" in message
    assert "layers.0.mlp.gate_proj.weight must be (48, 32), got (64, 32)" in message
    assert "layers.1.mlp.down_proj.weight must be (32, 48), got (32, 64)" in message
    assert "layers.2.input_layernorm.weight (32,) is not known" in message

    with pytest.raises(ValueError, match="model_type 'qwen2', got None"):
        assemble(config(), backbone=folders["head"] / "transformer")
    with pytest.raises(ValueError, match="must be a PixArtTransformer2DModel .*got None"):
        assemble(config(), head=folders["backbone"])

    pixart(tmp_path / "other", attention_head_dim=8, cross_attention_dim=16, num_layers=1)
    with pytest.raises(ValueError) as caught:
        assemble(config(), head=tmp_path / "other")
    message = str(caught.value)
    assert "blocks.0.attn.qkv.weight must be (96, 32), got (16, 16) + (16, 16) + (16, 16)" in message
    assert "transformer_blocks.1.attn1.to_q.weight" in message and "is missing" in message

    wanted = config()
    wanted.autoencoder = replace(wanted.autoencoder, latent_channels=4, scaling_factor=0.5)
    with pytest.raises(ValueError) as caught:
        assemble(wanted, autoencoder=folders["autoencoder"])
    assert "autoencoder.latent_channels must be 8, got 4; autoencoder.scaling_factor" in str(caught.value)


def test_learned_time_is_kept(tmp_path: Path) -> None:
    """An autoencoder of ours, its temporal blocks trained, goes in as it is."""
    world = WorldModel(config())
    for parameter in world.autoencoder.temporal_parameters():
        torch.nn.init.normal_(parameter)
    world.autoencoder.save_pretrained(tmp_path)
    built, sources = assemble(config(), autoencoder=tmp_path, dtype=torch.float32)
    assert sources[0].origin == str(tmp_path)
    state = world.autoencoder.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in built.autoencoder.state_dict().items())


def test_a_damaged_shard_is_named(folders: dict[str, Path]) -> None:
    path = sorted(folders["backbone"].glob("*.safetensors"))[0]
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=f"{path.name} is damaged"):
        assemble(config(), backbone=folders["backbone"])
    state = {key: value[:1] for key, value in load_file(sorted(folders["backbone"].glob("*.safetensors"))[1]).items()}
    save_file(state, path)
    with pytest.raises(ValueError, match="is missing"):
        assemble(config(), backbone=folders["backbone"])


def test_the_command_line_refuses_with_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="error: say where the checkpoint goes: out=DIR"):
        main([])
    with pytest.raises(SystemExit, match="unknown dtype 'bfloat15', did you mean 'bfloat16'"):
        main([f"out={tmp_path / 'x'}", "dtype=bfloat15"])
    assert checkpoint.INDEX not in json.dumps([path.name for path in tmp_path.iterdir()])
