"""The plan's counts against formulas written out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.full_size.twin import ROOT, full
from tests.tiny import tiny_config
from worldmodel.backbone import Backbone
from worldmodel.training import cost
from worldmodel.training.plan import GPUS, Plan, floor_seconds, main, read, states, storage, training_flops


def linear_per_token(world: object) -> int:
    """Multiply-adds of one backbone layer's matrices, per token."""
    c = world.backbone.model.config  # type: ignore[attr-defined]
    key_width = c.num_key_value_heads * c.hidden_size // c.num_attention_heads
    return 2 * c.hidden_size**2 + 2 * c.hidden_size * key_width + 3 * c.hidden_size * c.intermediate_size


@pytest.mark.parametrize("name", ["midas-3b", "minecraft-0.5b"])
def test_operations_of_backbone_and_head(name: str) -> None:
    config = full(name).model
    world = cost.meta_world(config)
    width, layers = config.backbone.hidden_size, config.backbone.num_hidden_layers
    layout, tokens = world.layout, cost.window_tokens(world, 48)
    assert tokens == 48 // layout.config.chunk_frames * layout.chunk_tokens

    whole = cost.window_flops(world, 48)
    assert whole["backbone"] == 2 * layers * tokens * (linear_per_token(world) + 2 * tokens * width)
    one = cost.frame_flops(world)
    entering, seen = layout.chunk_tokens, layout.window_tokens
    per_chunk = 2 * layers * entering * (linear_per_token(world) + 2 * seen * width)
    assert one["backbone"] == per_chunk / layout.config.chunk_frames

    e, n = 1152, 60
    block = n * 12 * e * e + 2 * n * n * e
    around = n * (128 * e + e * 6 * e + e * 128) + 256 * e + e * e  # in, adaLN-single, out; the timestep, once a frame
    guide = n * width * e
    assert one["head"] == 2 * (guide + 4 * (28 * block + around))
    assert whole["head"] == 2 * 48 * (guide + config.flow.draws * (28 * block + around))
    recomputed = 3 * (whole["backbone"] + whole["head"]) + whole["backbone"]
    assert training_flops(world, 48) == recomputed


def test_operations_of_the_autoencoder() -> None:
    """Every convolution and linear map, counted by its output, and the attention over time."""
    world = cost.meta_world(tiny_config())
    counted = 0

    def count(module: nn.Module, _: object, out: torch.Tensor) -> None:
        nonlocal counted
        if isinstance(module, nn.Conv2d):
            counted += 2 * out.numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            counted += 2 * out.numel() * module.in_features

    for module in world.autoencoder.decoder.modules():
        module.register_forward_hook(count)
    flops = cost.frame_flops(world)["decode"]
    positions, channels, seen = 4, 16, 6  # one temporal block, at the lowest resolution
    assert flops == counted + 2 * 2 * positions * channels * seen


def test_the_public_decoder_costs_what_is_known_of_it() -> None:
    assert cost.frame_flops(cost.meta_world(full("midas-3b").model))["decode"] == pytest.approx(2.6e12, rel=0.02)


def test_activations_grow_by_layers_and_checkpointing_drops_them() -> None:
    config = replace(tiny_config(), backbone=replace(tiny_config().backbone, num_hidden_layers=5))
    plain = cost.activation_bytes(config, 8)
    world = cost.meta_world(config)
    with torch.device("meta"):
        model = Backbone(config.backbone).to(torch.bfloat16)
    tokens = cost.window_tokens(world, 8)
    x = torch.empty(1, tokens, config.backbone.hidden_size, device="meta", dtype=torch.bfloat16)
    assert plain["backbone"] == cost._kept(lambda: model(x, world.layout), model, tokens)
    saving = replace(config, backbone=replace(config.backbone, gradient_checkpointing=True))
    assert 0 < cost.activation_bytes(saving, 8)["backbone"] < plain["backbone"] / 2
    assert cost.activation_bytes(saving, 8)["head"] == plain["head"]


def test_memory_of_each_strategy() -> None:
    world = cost.meta_world(full("midas-0.5b").model)
    trained = sum(p.numel() for p in world.dynamics_parameters())
    frozen = cost.count(world) - trained
    assert frozen == cost.count(world.autoencoder) + 151936 * 896
    assert sum(states(world, "DDP", 64).values()) == 20 * trained + 4 * frozen
    assert sum(states(world, "ZeRO-2", 64).values()) == pytest.approx(2 * trained + 18 * trained / 64 + 4 * frozen)
    layer = cost.count(world.backbone.model.layers[0])
    outside = trained - 24 * layer - sum(cost.count(block) for block in world.head.blocks)
    assert 0 < outside < 0.02 * trained
    largest = max(layer, *(cost.count(block) for block in world.head.blocks))
    gathered = 4 * largest + 8 * outside
    assert sum(states(world, "FSDP2", 64).values()) == pytest.approx(20 * trained / 64 + 4 * frozen + gathered)


def test_storage_and_floors() -> None:
    need = storage(full("midas-3b"), Plan(hours=20_000, bits_per_pixel=0.2))
    assert need["frames"] == 900_000_000
    assert need["latents"] == 900_000_000 * 128 * 60 * 2
    assert need["clips"] == pytest.approx(900_000_000 * 384 * 640 * 0.2 / 8)
    gpu = GPUS["h200"]
    assert floor_seconds(989e12, 1.0, gpu) == 1.0 and floor_seconds(1.0, 4.8e12, gpu) == 1.0


def test_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    config, plan = read([f"config={ROOT}/configs/minecraft-0.5b.yaml", "gpu=h100", "gpus=8"])
    assert (plan.gpu, plan.gpus, config.model.frame.fps) == ("h100", 8, 20)
    main([f"config={ROOT}/configs/minecraft-0.5b.yaml", "gpus=8", "hours=100"])
    text = capsys.readouterr().out
    assert "494,032,768" in text and "FSDP2" in text and "7,200,000 frames" in text and "1,240 a second" in text
    with pytest.raises(SystemExit, match="unknown gpu 'h20', did you mean 'h200'"):
        main(["gpu=h20"])
    with pytest.raises(SystemExit, match="unknown key gpu_count"):
        main(["gpu_count=3"])
