"""What a model costs: parameters, operations and memory, counted on the meta device, where nothing is computed.

Operations are those of torch's FlopCounterMode, two per multiply-add, attention counted without regard to its mask.

Shapes: B batch, T frames, N tokens per frame, S tokens of a window, D width, F frames per chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from worldmodel.backbone import Backbone
from worldmodel.head import Head
from worldmodel.world import WorldConfig, WorldModel

PARTS = ("backbone", "head", "decode")


def meta_world(config: WorldConfig) -> WorldModel:
    """The model without any memory: every shape, no weight."""
    with torch.device("meta"):
        return WorldModel(config).eval()


def count(module: nn.Module, trained: bool = False) -> int:
    """Parameters of a module, or those of them that are trained."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trained)


def parts(world: WorldModel) -> dict[str, nn.Module]:
    """A model's parts, in the order in which a frame passes them."""
    autoencoder = world.autoencoder
    return {"encoder": autoencoder.encoder, **world.dynamics_modules(), "decoder": autoencoder.decoder}


def flops(call: Callable[[], object]) -> int:
    """Operations of a call on the meta device."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call()
    return counter.get_total_flops()


def frame_flops(world: WorldModel, num_streams: int = 1) -> dict[str, float]:
    """Operations of one frame of B live streams, by part; the backbone's are the mean over a chunk's frames.

    Args:
        world: on the meta device.
        num_streams: B.

    Returns:
        backbone, head (all solver steps), decode, and encode, which only first frames and training clips need.
    """
    config, layout, width = world.config, world.layout, world.backbone.width
    cache = world.backbone.new_cache(num_streams, layout)
    head, height, breadth = world.head, config.frame.height, config.frame.width
    hidden = torch.empty(num_streams, world.frame_tokens, width, device="meta")
    noise = torch.empty(num_streams, world.frame_tokens, head.final_layer.out_features, device="meta")
    timestep = torch.empty(num_streams, device="meta")
    decoder = world.autoencoder.init_cache(num_streams, height, breadth)
    latents = torch.empty(num_streams, *world.latent_shape, device="meta")
    frame = torch.empty(num_streams, 3, height, breadth, device="meta")

    def chunk() -> None:
        for step in layout.steps:
            tokens = torch.empty(num_streams, step.stop - step.start, width, device="meta")
            world.backbone.step(tokens, layout, step, cache)

    guide = flops(lambda: head.guide(hidden))
    solver_step = flops(lambda: head(noise, timestep, hidden.new_empty(*hidden.shape[:2], head.config.hidden_size)))
    return {
        "backbone": flops(chunk) / config.layout.chunk_frames,
        "head": guide + config.flow.num_steps * solver_step,
        "decode": flops(lambda: world.autoencoder.decode_step(latents, decoder)),
        "encode": flops(lambda: world.autoencoder.encode_step(frame, decoder)),
    }


def frame_bytes(world: WorldModel, num_streams: int = 1, width: int = 2) -> dict[str, float]:
    """Bytes that one frame of B streams must at least move: weights once per pass, and the keys and values seen.

    Args:
        world: on any device.
        num_streams: B.
        width: bytes per number, 2 for bf16.

    Returns:
        As `frame_flops`; activations, which may stay on the chip, are left out.
    """
    model = world.backbone.model.config
    keys = 2 * model.num_hidden_layers * model.num_key_value_heads * world.backbone.head_width
    weights = count(world.backbone) - count(world.backbone.model.embed_tokens)
    return {
        "backbone": width * (weights + num_streams * world.layout.window_tokens * keys),
        "head": width * world.config.flow.num_steps * count(world.head),
        "decode": width * count(world.autoencoder.decoder),
        "encode": width * count(world.autoencoder.encoder),
    }


def window_tokens(world: WorldModel, frames: int) -> int:
    """S, tokens of a training window of T frames."""
    layout = world.layout
    return layout.sink_tokens + layout.count_chunks(frames) * layout.chunk_tokens


def window_flops(world: WorldModel, frames: int) -> dict[str, float]:
    """Operations of one training window of T frames: the forward pass of backbone and head.

    Args:
        world: on the meta device.
        frames: T, whole chunks.
    """
    draws, tokens = world.config.flow.draws, window_tokens(world, frames)
    batch = frames * draws
    head, width = world.head, world.config.head.hidden_size
    x = torch.empty(1, tokens, world.backbone.width, device="meta")
    hidden = torch.empty(frames, world.frame_tokens, world.backbone.width, device="meta")
    noise = torch.empty(batch, world.frame_tokens, head.final_layer.out_features, device="meta")
    guide = torch.empty(batch, world.frame_tokens, width, device="meta")
    solver = flops(lambda: head(noise, torch.empty(batch, device="meta"), guide))
    return {
        "backbone": flops(lambda: world.backbone(x, world.layout)),
        "head": flops(lambda: head.guide(hidden)) + solver,
    }


def activation_bytes(config: WorldConfig, frames: int) -> dict[str, float]:
    """Bytes that the backward pass of one window of T frames needs kept, were all of it bf16.

    A layer's share is what two layers keep beyond one. Scores of attention are left out: fused kernels keep none.

    Args:
        config: with or without gradient checkpointing, which keeps each layer's input and one layer's inside.
        frames: T, whole chunks.
    """
    world = meta_world(config)
    tokens, size = window_tokens(world, frames), world.backbone.width
    layers = config.backbone.num_hidden_layers

    def backbone(count: int) -> float:
        shape = replace(config.backbone, num_hidden_layers=count, vocab_size=1, gradient_checkpointing=False)
        with torch.device("meta"):
            model = Backbone(shape).to(torch.bfloat16)
        x = torch.empty(1, tokens, size, device="meta", dtype=torch.bfloat16)
        return _kept(lambda: model(x, world.layout), model, tokens)

    def head(count: int) -> float:
        values, batch = world.head.final_layer.out_features, frames * config.flow.draws
        with torch.device("meta"):
            model = Head(replace(config.head, num_layers=count), values, size, world.frame_tokens).to(torch.bfloat16)
        x = torch.empty(batch, world.frame_tokens, values, device="meta", dtype=torch.bfloat16)
        guide = torch.empty(batch, world.frame_tokens, config.head.hidden_size, device="meta", dtype=torch.bfloat16)
        return _kept(lambda: model(x, torch.empty(batch, device="meta"), guide), model, world.frame_tokens)

    one, two = backbone(1), backbone(2)
    inside = two - one
    if config.backbone.gradient_checkpointing:
        whole = one + layers * tokens * size * 2
    else:
        whole = one + (layers - 1) * inside
    first, second = head(1), head(2)
    return {"backbone": whole, "head": first + (config.head.num_layers - 1) * (second - first)}


def _kept(call: Callable[[], Tensor], model: nn.Module, tokens: int) -> float:
    """Bytes of the storages that a call on the meta device keeps for its backward pass, weights aside."""
    own = {p.untyped_storage()._cdata for p in model.parameters()}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.shape[-2:] != (tokens, tokens) and tensor.untyped_storage()._cdata not in own:
            kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        call()
    return float(sum(tensor.untyped_storage().nbytes() for tensor in kept.values()))
