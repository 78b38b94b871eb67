"""How long a frame takes, end to end and part by part, warm and cold, and whether memory grows.

    python -m benchmarks.step_latency --checkpoint checkpoints/blockworld --frames 2000 --append

*Cold* is the time from starting a new Python process to its first frame. *Warm* is every step after the first few,
under random play. The parts are the session's own: conditions, backbone, head (all solver steps) and decode.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks import results
from worldmodel import WorldModel
from worldmodel.evaluation import machine
from worldmodel.evaluation.scripts import random_play
from worldmodel.session import Session

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("conditions", "backbone", "head", "decode")
COLD = "import sys; from benchmarks import step_latency as s; s.first_frame(sys.argv[1], sys.argv[2] or None)"


def open_session(checkpoint: str, device: str | None, num_streams: int = 1) -> Session:
    """A session from the checkpoint's own starting clips, or from noise where it has none."""
    world = WorldModel.from_pretrained(checkpoint, device=device)
    if world.starts():
        return world.session(num_streams=num_streams)
    frame = world.config.frame
    noise = np.random.default_rng(0).integers(0, 256, (8, frame.height, frame.width, 3), dtype=np.uint8)
    return world.session(first_frames=[noise] * num_streams if num_streams > 1 else noise, num_streams=num_streams)


def first_frame(checkpoint: str, device: str | None) -> None:
    """What a cold process does: loads, makes one frame, and says so."""
    open_session(checkpoint, device).step({})
    print("frame", flush=True)


def cold_seconds(checkpoint: str, device: str | None) -> float:
    """Seconds from the start of a new process to its first frame.

    Raises:
        RuntimeError: if the process fails, with what it said.
    """
    begun = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", COLD, str(Path(checkpoint).resolve()), device or ""],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        answer = process.stdout.readline()
        seconds = time.perf_counter() - begun
        if answer != "frame\n":
            raise RuntimeError(f"the cold start must make a frame, it said: {process.stderr.read()[-2000:]}")
    return seconds


def warm(session: Session, frames: int, warmup: int, seed: int = 0) -> dict[str, float]:
    """Steps a session under random play.

    Args:
        session: one or more streams.
        frames: steps that count.
        warmup: steps before them.
        seed: of the play.

    Returns:
        fps: frames per second of every stream over the whole run; slowest_fps: of the slowest 100 steps in a row;
        p50_ms and p95_ms of a step; NAME_p50_ms and NAME_p95_ms of each part; memory_mb: growth of resident memory.
    """
    known = session.world.conditions.names
    scripts = [random_play(np.random.default_rng([seed, row]), warmup + frames) for row in range(session.num_streams)]
    steps = [[{name: a[name] for name in a if name in known} for a in step] for step in zip(*scripts, strict=True)]
    single = session.num_streams == 1
    times = []
    memory = 0.0
    for number, actions in enumerate(steps):
        if number == warmup:
            memory = machine.rss_mb()
        begun = time.perf_counter()
        session.step(actions[0] if single else actions)
        times.append(time.perf_counter() - begun)
    measured = 1000 * np.array(times[warmup:])
    block = min(100, frames)
    slowest = np.convolve(measured, np.ones(block) / block, mode="valid").max()
    figures = {
        "fps": 1000 / float(measured.mean()),
        "slowest_fps": 1000 / float(slowest),
        "p50_ms": float(np.percentile(measured, 50)),
        "p95_ms": float(np.percentile(measured, 95)),
        "memory_mb": machine.rss_mb() - memory,
    }
    for part in PARTS:
        laps = session.latency[part][-frames:]
        figures[f"{part}_p50_ms"] = float(np.percentile(laps, 50))
        figures[f"{part}_p95_ms"] = float(np.percentile(laps, 95))
    return figures


def main(argv: list[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.step_latency",
        description="Measures a checkpoint's live streams.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--checkpoint", required=True, help="checkpoint folder, or its id on the hub")
    parser.add_argument("--frames", type=int, default=2000, help="steps that count; 10000 for the growth of memory")
    parser.add_argument("--warmup", type=int, default=50, help="steps before them")
    parser.add_argument("--streams", type=int, default=1, help="streams stepped together")
    parser.add_argument("--cold-starts", type=int, default=3, help="new processes timed to their first frame")
    parser.add_argument("--threads", type=int, default=0, help="threads of torch; 0 leaves it the choice")
    parser.add_argument("--device", help="where the model runs; the accelerator if there is one")
    parser.add_argument("--append", action="store_true", help="add a dated row to RESULTS.md")
    arguments = parser.parse_args(argv)
    if min(arguments.frames, arguments.streams) < 1 or min(arguments.warmup, arguments.cold_starts) < 0:
        parser.error("--frames and --streams must be at least 1, --warmup and --cold-starts at least 0")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    busy = results.load()
    try:
        cold = [cold_seconds(arguments.checkpoint, device) for _ in range(arguments.cold_starts)]
        session = open_session(arguments.checkpoint, device, arguments.streams)
    except (ValueError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    figures = warm(session, arguments.frames, arguments.warmup)
    parts = [
        {"part": part, "p50 [ms]": f"{figures[f'{part}_p50_ms']:.2f}", "p95 [ms]": f"{figures[f'{part}_p95_ms']:.2f}"}
        for part in PARTS
    ]
    whole = {"part": "a step", "p50 [ms]": f"{figures['p50_ms']:.2f}", "p95 [ms]": f"{figures['p95_ms']:.2f}"}
    results.show(f"{arguments.checkpoint}, {arguments.streams} stream(s), {arguments.frames} frames", [*parts, whole])
    worst = f"{max(cold):.1f}" if cold else "not measured"
    print(
        f"\n  {figures['fps']:.1f} FPS sustained ({figures['slowest_fps']:.1f} in the slowest 100 frames), first frame "
        f"of a new process {worst} s (the slowest of {len(cold)}), memory {figures['memory_mb']:+.1f} MB"
    )
    row = {
        "load": busy,
        "checkpoint": Path(arguments.checkpoint).name,
        "device": device,
        "streams": str(arguments.streams),
        "frames": str(arguments.frames),
        "FPS": f"{figures['fps']:.1f}",
        "slowest 100": f"{figures['slowest_fps']:.1f}",
        "step p50/p95 [ms]": f"{figures['p50_ms']:.1f} / {figures['p95_ms']:.1f}",
        **{f"{part} [ms]": f"{figures[f'{part}_p50_ms']:.1f} / {figures[f'{part}_p95_ms']:.1f}" for part in PARTS},
        "first frame, cold [s]": worst,
        "memory growth [MB]": f"{figures['memory_mb']:+.1f}",
    }
    if arguments.append:
        results.append("step_latency", [row])
        print(f"  added to {results.RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
