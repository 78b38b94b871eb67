"""A full-size model with random weights: how long each part takes, and how far that is from what the machine allows.

    python -m benchmarks.full_size --config configs/midas-3b.yaml --append               # on a GPU
    python -m benchmarks.full_size --config configs/midas-3b.yaml --reduced   # the same code, narrow, anywhere

Per part and frame: ms, bytes that must move, operations, the *floor* (operations over peak speed or bytes over
bandwidth, the larger) and how many times the floor it took. *First frame* is from a chunk's conditions to its first
decoded picture. Peaks are the maker's where the device is known, measured where not.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Generator

from benchmarks import results
from benchmarks.reduced import narrow
from worldmodel.config import load_config
from worldmodel.embedding import to_tokens
from worldmodel.evaluation import machine
from worldmodel.streams import PARTS, Stopwatch, Streams
from worldmodel.training.cost import frame_bytes, frame_flops, meta_world, window_tokens
from worldmodel.training.plan import GPUS, Gpu, floor_seconds
from worldmodel.world import WorldConfig, WorldModel

COUNTED = ("backbone", "head", "decode")


def device_of(device: torch.device, dtype: torch.dtype) -> tuple[str, Gpu]:
    """A device's name and peaks: stated where it is known, measured where not."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        known = next((gpu for key, gpu in GPUS.items() if key.upper() in name.upper()), None)
        if known is not None and dtype == torch.bfloat16:
            return name, known
    else:
        name = machine.line()
    a = torch.randn(1024, 1024, device=device, dtype=dtype)
    big = torch.zeros(1 << 26, device=device, dtype=torch.uint8)
    flops = 2 * 1024**3 / _best(lambda: a @ a, device)
    bandwidth = 2 * big.numel() / _best(big.clone, device)
    return f"{name} (peaks measured)", Gpu(flops, bandwidth, 0.0)


def _best(call: Callable[[], object], device: torch.device, times: int = 5) -> float:
    watch, seconds = Stopwatch(device), []
    for _ in range(times):
        begun = time.perf_counter()
        call()
        watch.lap("backbone")
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


@torch.inference_mode()
def stream(world: WorldModel, num_streams: int, chunks: int, warmup: int) -> dict[str, float]:
    """Runs live streams whose conditions are all missing, which costs the model the same.

    Args:
        world: on its device, in its dtype.
        num_streams: B.
        chunks: that count.
        warmup: chunks before them; enough to fill the window shows a full one.

    Returns:
        Milliseconds per frame of each part of PARTS, "frame" of all, and "first" until a chunk's first picture.
    """
    config = world.config
    shape = (num_streams, 1, 3, config.frame.height, config.frame.width)
    dtype = world.embedding.position.dtype
    begin = world.autoencoder.encode(torch.zeros(shape, device=world.device, dtype=dtype))[:, 0]
    reference = None
    if config.layout.reference != "none":
        reference = world.embedding.reference(to_tokens(begin, config.patch_size))
    generators = [Generator().manual_seed(row) for row in range(num_streams)]
    live = Streams(world, generators, 1.0, config.flow.num_steps, reference)
    live.latents = begin
    frames = config.layout.chunk_frames
    laps, first, whole = dict.fromkeys(PARTS, 0.0), [], []
    for number in range(warmup + chunks):
        begun = time.perf_counter()
        watch = Stopwatch(world.device)
        prepared = live.prepare([[{}] * frames] * num_streams)
        for index, latents in enumerate(live.chunk(prepared, watch)):
            world.autoencoder.decode_step(latents, live.decoder)
            watch.lap("decode")
            if index == 0 and number >= warmup:
                first.append(1000 * (time.perf_counter() - begun))
        if number >= warmup:
            whole.append(1000 * (time.perf_counter() - begun) / frames)
            for part, value in watch.laps.items():
                laps[part] += value / frames / chunks
    return {**laps, "frame": float(np.mean(whole)), "first": float(np.median(first))}


def stream_rows(config: WorldConfig, world: WorldModel, num_streams: int, figures: dict[str, float], gpu: Gpu) -> list:
    """The table of one number of streams."""
    plain, width = meta_world(config), world.embedding.position.element_size()
    flops, sizes = frame_flops(plain, num_streams), frame_bytes(plain, num_streams, width)
    rows = []
    for part in COUNTED:
        floor = 1000 * floor_seconds(flops[part], sizes[part], gpu)
        cells = {"streams": str(num_streams), "part": part, "ms": f"{figures[part]:.2f}"}
        cells |= {"MB": f"{sizes[part] / 1e6:,.1f}", "GFLOP": f"{flops[part] / 1e9:,.1f}", "floor ms": f"{floor:.3f}"}
        rows.append(cells | {"x floor": f"{figures[part] / floor:.1f}"})
    return rows


def train(world: WorldModel, frames: int, windows: int, steps: int) -> dict[str, float]:
    """Trains on one batch of random latents, conditions missing; the optimiser is AdamW.

    Args:
        world: in float32, on its device.
        frames: T of a window.
        windows: of a step.
        steps: the first warms up and does not count.

    Returns:
        step_ms, windows, frames and tokens per second, first and last loss, and peak_gb: the most memory held, of a GPU
        by torch, elsewhere by the whole process.
    """
    config, device = world.config, world.device
    world.train()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    parameters = list(world.dynamics_parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    latents = torch.randn(windows, frames + 1, *world.latent_shape, generator=Generator().manual_seed(0)).to(device)
    reference = None if config.layout.reference == "none" else latents[:, 0]
    prepared = world.conditions.blank(windows, frames, config.layout.chunk_frames)
    losses, times = [], []
    for _ in range(steps + 1):
        begun, watch = time.perf_counter(), Stopwatch(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            generator = Generator(device=device).manual_seed(0)  # the same noise each time, so that losses compare
            loss = world.loss(latents, prepared, generator, reference)["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
        watch.lap("head")
        times.append(time.perf_counter() - begun)
    seconds = float(np.mean(times[1:]))
    return {
        "step_ms": 1000 * seconds,
        "windows": windows / seconds,
        "frames": windows * frames / seconds,
        "tokens": windows * window_tokens(world, frames) / seconds,
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "peak_gb": peak_bytes(device) / 1e9,
    }


def peak_bytes(device: torch.device) -> int:
    """The most memory held so far: of a GPU by torch, elsewhere by the whole process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # which Linux counts in KiB


def build(config: WorldConfig, device: torch.device, dtype: torch.dtype) -> WorldModel:
    """A world with random weights, made on its device."""
    torch.manual_seed(0)
    with device:
        return WorldModel(config).to(dtype).eval()


def main(argv: list[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.full_size", description="Measures a full-size model.")
    parser.add_argument("--config", default="configs/midas-3b.yaml", help="which")
    parser.add_argument("--reduced", action="store_true", help="at small widths: the same code where no GPU is")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4, 16], help="streams stepped together")
    parser.add_argument("--chunks", type=int, default=10, help="chunks that count")
    parser.add_argument("--warmup", type=int, help="chunks before them; a full window by default")
    parser.add_argument("--train-steps", type=int, default=10, help="training steps that count; 0 leaves them out")
    parser.add_argument("--windows", type=int, default=2, help="of a training step")
    parser.add_argument("--device", help="where; the GPU if there is one")
    parser.add_argument("--append", action="store_true", help="add dated rows to RESULTS.md")
    arguments = parser.parse_args(argv)
    if min(*arguments.streams, arguments.chunks, arguments.windows) < 1 or arguments.train_steps < 0:
        parser.error("--streams, --chunks and --windows must be at least 1, --train-steps at least 0")
    device = torch.device(arguments.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    try:
        whole = load_config([f"config={arguments.config}"])
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if device.type == "cpu" and not arguments.reduced:
        parser.error("a full-size model wants a GPU, and none is to be seen: add --reduced")
    config = narrow(whole.model) if arguments.reduced else whole.model
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    what = f"{arguments.config}{', reduced' if arguments.reduced else ''}"
    name, gpu = device_of(device, dtype)
    print(f"{what} on {name}, {str(dtype).removeprefix('torch.')}, load {results.load()}")
    warmup = config.layout.window_chunks if arguments.warmup is None else arguments.warmup

    world, parts, frames = build(config, device, dtype), [], []
    for count in arguments.streams:
        figures = stream(world, count, arguments.chunks, warmup)
        parts += [{"model": what, **row} for row in stream_rows(config, world, count, figures, gpu)]
        row = {"model": what, "streams": str(count), "ms a frame": f"{figures['frame']:.2f}"}
        row |= {"FPS of each": f"{1000 / figures['frame']:.1f}", "first frame ms": f"{figures['first']:.1f}"}
        frames.append(row | {"fps wanted": f"{config.frame.fps:g}"})
    tables, learned = {"full_size parts": parts, "full_size frames": frames}, True
    del world
    if arguments.train_steps:
        length = 2 * config.layout.chunk_frames if arguments.reduced else whole.training.dynamics.frames
        figures = train(build(config, device, torch.float32), length, arguments.windows, arguments.train_steps)
        cells = {name: f"{value:,.3f}" if "loss" in name else f"{value:,.1f}" for name, value in figures.items()}
        tables["full_size training"] = [{"model": what, "T": str(length), **cells}]
        learned = figures["last_loss"] < figures["first_loss"]
    for title, rows in tables.items():
        results.show(title, rows)
        if arguments.append:
            results.append(title, rows)
    if not learned:
        print("error: the loss of the short training run did not fall", file=sys.stderr)
    return 0 if learned else 1


if __name__ == "__main__":
    sys.exit(main())
