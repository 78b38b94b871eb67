"""What a configuration needs, before anything is bought: memory, speed, storage and time.

    python -m worldmodel.training.plan config=configs/midas-3b.yaml gpu=h200 gpus=64 hours=20000

Parameters and operations are counted from the configuration on the meta device. Times are operations over peak speed
and bytes over bandwidth, the larger of the two: floors that no program passes; training is reckoned at a share of the
peak, `mfu`. Nothing here was measured.

Shapes: C latent channels, h w latent, H W pixels, T frames.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from conditions.values import nearest
from worldmodel.config import Config, load_config
from worldmodel.training.cost import (
    PARTS,
    activation_bytes,
    count,
    frame_bytes,
    frame_flops,
    meta_world,
    parts,
    window_flops,
    window_tokens,
)
from worldmodel.training.fsdp import layers
from worldmodel.world import WorldModel

OWN = ("gpu", "gpus", "hours", "mfu", "bits_per_pixel")
STRATEGIES = ("DDP", "ZeRO-2", "FSDP2")
DAY = 86400.0


@dataclass(frozen=True)
class Gpu:
    """A GPU as its maker states it (data sheets of NVIDIA): dense bf16, no sparsity."""

    flops: float  # per second
    bandwidth: float  # bytes per second
    memory: float  # bytes


GPUS = {
    "a100": Gpu(312e12, 2.04e12, 80e9),
    "h100": Gpu(989e12, 3.35e12, 80e9),
    "h200": Gpu(989e12, 4.8e12, 141e9),
    "b200": Gpu(2250e12, 8.0e12, 180e9),
}


@dataclass
class Plan:
    """What to reckon for.

    Attributes:
        gpu: which.
        gpus: how many train together.
        hours: of video.
        mfu: share of the GPU's peak that training reaches.
        bits_per_pixel: of the stored clips.
    """

    gpu: str = "h200"
    gpus: int = 64
    hours: float = 20_000.0
    mfu: float = 0.4
    bits_per_pixel: float = 0.2

    def __post_init__(self) -> None:
        if self.gpu not in GPUS:
            raise ValueError(f"unknown gpu {self.gpu!r}{nearest(self.gpu, list(GPUS))}")
        if self.gpus < 1 or self.hours <= 0 or not 0 < self.mfu <= 1 or self.bits_per_pixel <= 0:
            raise ValueError(
                f"gpus must be 1 or more, hours and bits_per_pixel above 0 and mfu in (0, 1], got {self.gpus}, "
                f"{self.hours}, {self.bits_per_pixel} and {self.mfu}"
            )


def floor_seconds(flops: float, size: float, gpu: Gpu) -> float:
    """The time that a GPU needs at least for so many operations and bytes."""
    return max(flops / gpu.flops, size / gpu.bandwidth)


def states(world: WorldModel, strategy: str, gpus: int) -> dict[str, float]:
    """Bytes on each GPU for weights, gradients, optimiser and moving average of the dynamics.

    DDP and FSDP2 hold weights, gradients, AdamW's two moments and the average in fp32; ZeRO-2 as DeepSpeed has it in
    bf16: weights and gradients in bf16, a master copy, the moments and the average in fp32. What is frozen
    (autoencoder, word embedding) is whole, in fp32. FSDP2 gathers what it computes with: two layers in bf16 (one comes
    while the other computes), and all that is no layer in fp32, with its gradient.

    Args:
        world: on any device.
        strategy: one of STRATEGIES.
        gpus: that share.
    """
    trained = sum(p.numel() for p in world.dynamics_parameters())
    frozen = count(world) - trained
    if strategy == "DDP":
        sizes = {"weights": 4.0, "gradients": 4.0, "optimizer": 8.0, "average": 4.0}
        return {**{name: size * trained for name, size in sizes.items()}, "frozen": 4.0 * frozen}
    if strategy == "ZeRO-2":
        shares = {"gradients": 2.0, "optimizer": 12.0, "average": 4.0}
        shared = {name: size * trained / gpus for name, size in shares.items()}
        return {"weights": 2.0 * trained, **shared, "frozen": 4.0 * frozen}
    layer_sizes = [count(module) for module in layers(world)]
    shares = {"weights": 4.0, "gradients": 4.0, "optimizer": 8.0, "average": 4.0}
    shared = {name: size * trained / gpus for name, size in shares.items()}
    gathered = 2 * 2.0 * max(layer_sizes) + 2 * 4.0 * (trained - sum(layer_sizes))
    return {**shared, "frozen": 4.0 * frozen, "gathered": gathered}


def training_flops(world: WorldModel, frames: int) -> float:
    """Operations of one window's training: forward, twice that backward, and the backbone again where recomputed."""
    forward = window_flops(world, frames)
    again = forward["backbone"] if world.config.backbone.gradient_checkpointing else 0.0
    return 3 * sum(forward.values()) + again


def storage(config: Config, plan: Plan) -> dict[str, float]:
    """Frames of all the video, and bytes of clips and of latents (float16)."""
    frame = config.model.frame
    frames = plan.hours * 3600 * frame.fps
    side = config.model.autoencoder.spatial_compression
    latent = config.model.autoencoder.latent_channels * (frame.height // side) * (frame.width // side)
    clips = frames * frame.height * frame.width * plan.bits_per_pixel / 8
    return {"frames": frames, "clips": clips, "latents": frames * latent * 2}


def stage_of(config: Config) -> str:
    """The stage that is reckoned: post-training where the configuration asks for it, dynamics elsewhere."""
    return "posttraining" if config.stage == "posttraining" else "dynamics"


def report(config: Config, plan: Plan) -> str:
    """The whole plan as text."""
    world, gpu = meta_world(config.model), GPUS[plan.gpu]
    return "\n\n".join([_parts(world), *(part(config, world, plan, gpu) for part in (_live, _memory, _data))])


def _parts(world: WorldModel) -> str:
    rows = [("part", "parameters", "trained", "bf16")]
    for name, module in parts(world).items():
        total = count(module)
        trained = count(module, trained=True) if name not in ("encoder", "decoder") else 0
        rows.append((name, f"{total:,}", f"{trained:,}", _size(2.0 * total)))
    return "Parts (trained after the autoencoder)\n" + _table(rows)


def _live(config: Config, world: WorldModel, plan: Plan, gpu: Gpu) -> str:
    fps, layout = config.model.frame.fps, world.layout
    tokens = layout.chunk_tokens / layout.config.chunk_frames
    flops, size = frame_flops(world), frame_bytes(world)
    rows, total = [("part", "GFLOP", "bytes moved", "floor")], 0.0
    for name in PARTS:
        seconds = floor_seconds(flops[name], size[name], gpu)
        rows.append((name, f"{flops[name] / 1e9:,.1f}", _size(size[name]), f"{1000 * seconds:.2f} ms"))
        total += seconds
    rows.append(
        ("frame", f"{sum(flops[n] for n in ('backbone', 'head', 'decode')) / 1e9:,.1f}", "", f"{1000 * total:.2f} ms")
    )
    return (
        f"One live stream on one {plan.gpu}, bf16, per frame\n{_table(rows)}\n"
        f"  {tokens:.1f} tokens a frame enter the backbone, {tokens * fps:,.0f} a second at {fps:g} fps; "
        f"its window holds {layout.window_tokens:,}\n  at best {1 / total:,.0f} frames a second; real time is {fps:g}"
    )


def _memory(config: Config, world: WorldModel, plan: Plan, gpu: Gpu) -> str:
    phase = getattr(config.training, stage_of(config))
    windows = max(1, phase.batch_size // phase.accumulation // plan.gpus)
    kept = sum(activation_bytes(config.model, phase.frames).values()) * windows
    columns = [states(world, strategy, plan.gpus) for strategy in STRATEGIES]
    names = list(dict.fromkeys(name for column in columns for name in column))
    rows: list[tuple[str, ...]] = [("GB on each GPU", *STRATEGIES)]
    rows += [(name, *(f"{column.get(name, 0.0) / 1e9:.1f}" for column in columns)) for name in names]
    rows.append((f"activations, {windows} windows", *[f"{kept / 1e9:.1f}"] * len(columns)))
    totals = [sum(column.values()) + kept for column in columns]
    rows.append(("all", *(f"{total / 1e9:.1f}" for total in totals)))
    rows.append((f"fits {gpu.memory / 1e9:.0f} GB", *("yes" if total < gpu.memory else "no" for total in totals)))
    return (
        f"Memory of stage={stage_of(config)} on {plan.gpus} x {plan.gpu}\n{_table(rows)}\n"
        "  activations as if all were bf16; autocast keeps some in fp32, and the allocator wants a tenth more"
    )


def _data(config: Config, world: WorldModel, plan: Plan, gpu: Gpu) -> str:
    phase, need = getattr(config.training, stage_of(config)), storage(config, plan)
    tokens, flops = window_tokens(world, phase.frames), training_flops(world, phase.frames)
    speed = plan.mfu * gpu.flops
    windows = need["frames"] / phase.frames
    epoch = windows * flops / speed / DAY
    encode = need["frames"] * frame_flops(world)["encode"] / speed / DAY
    lines = [
        f"Training on windows of {phase.frames} frames, {tokens:,} tokens, at {plan.mfu:.0%} of {plan.gpu}'s peak",
        f"  {flops / 1e12:,.0f} TFLOP a window; {speed / flops * tokens:,.0f} tokens and "
        f"{speed / flops * phase.frames:,.0f} frames a second and GPU",
        f"{plan.hours:,.0f} hours of video",
        f"  {need['frames']:,.0f} frames; clips {_size(need['clips'])} at {plan.bits_per_pixel:g} bits a pixel, "
        f"latents {_size(need['latents'])}",
        f"  encoding once: {encode:,.1f} GPU-days; one epoch of {stage_of(config)}: {_days(epoch)} GPU-days, "
        f"{epoch / plan.gpus:,.1f} days on {plan.gpus}",
    ]
    if phase.epochs is not None:
        steps, days = phase.epochs * windows / phase.batch_size, phase.epochs * epoch
        lines.append(
            f"  {phase.epochs:g} epochs: {steps:,.0f} steps of {phase.batch_size} windows, {_days(days)} GPU-days, "
            f"{_days(days / plan.gpus)} days on {plan.gpus}"
        )
    return "\n".join(lines)


def _days(days: float) -> str:
    return f"{days:,.0f}" if days >= 10 else f"{days:,.1f}"


def _size(size: float) -> str:
    for unit, scale in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size / 1e3:.1f} kB"


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  " + "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    )


def read(arguments: Sequence[str]) -> tuple[Config, Plan]:
    """Splits the command line into the configuration's settings and the plan's own.

    Raises:
        ValueError: for a value that is no number, or an unknown GPU or setting.
    """
    own: Mapping[str, str] = {key: value for key, _, value in (a.partition("=") for a in arguments) if key in OWN}
    config = load_config([a for a in arguments if a.partition("=")[0] not in OWN])
    kinds = {"gpu": str, "gpus": int, "hours": float, "mfu": float, "bits_per_pixel": float}
    return config, Plan(**{name: kinds[name](value) for name, value in own.items()})


def main(arguments: Sequence[str]) -> None:
    """Prints the plan.

    Raises:
        SystemExit: with the reason, for settings that are wrong.
    """
    try:
        print(report(*read(arguments)))
    except ValueError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main(sys.argv[1:])
