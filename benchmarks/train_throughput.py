"""Frames per second of training, phase by phase, for a configuration.

    python -m benchmarks.train_throughput --config configs/blockworld.yaml --append

Runs the real stages for a few steps, on clips of drifting noise, in a folder that is thrown away: reading and decoding
clips, the optimisers and the moving average are all in the figure, as in a real run.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import results
from worldmodel.config import Config, load_config
from worldmodel.data.clip_writer import ClipWriter
from worldmodel.data.clips import Clip, codec
from worldmodel.training.__main__ import main as train

STAGES = {"autoencoder": ("spatial", "temporal", "joint"), "dynamics": ("dynamics",)}
NUM_CLIPS = 8


def write_clips(folder: Path, config: Config, frames: int, seed: int = 0) -> None:
    """Clips of the configured size and conditions: soft noise that drifts, and random actions."""
    rng = np.random.default_rng(seed)
    frame = config.model.frame
    conditions = [codec(name, values) for name, values in config.model.conditions.items()]
    with ClipWriter(folder / "shard-000000.tar", conditions) as writer:
        for number in range(NUM_CLIPS):
            coarse = rng.integers(0, 256, (frame.height // 8 + 1, frame.width // 8 + 1, 3), dtype=np.uint8)
            picture = coarse.repeat(8, axis=0).repeat(8, axis=1)[: frame.height, : frame.width]
            pictures = np.stack([np.roll(picture, step, axis=1) for step in range(frames)])
            columns = {}
            for condition in conditions:
                condition.space.seed(seed + number)
                columns[condition.name] = [condition.space.sample() for _ in range(frames - 1)]
            writer.write(Clip(f"{number:06d}", pictures, columns, {"fps": frame.fps, "seed": number}))


def throughput(arguments: list[str], steps: int) -> list[dict[str, str]]:
    """Trains every phase of a configuration for a few steps.

    Args:
        arguments: as for `python -m worldmodel.training`, without stage, run and clips.
        steps: of each phase; the first fifth warms up.

    Returns:
        A row per phase: its name, batch, frames of a window, and the median of frames per second.

    Raises:
        ValueError: for settings that cannot be loaded.
    """
    config = load_config(arguments)
    phases = {name: getattr(config.training, name) for stage in STAGES.values() for name in stage}
    every = max(1, steps // 5)
    with tempfile.TemporaryDirectory() as folder:
        run, clips = Path(folder) / "run", Path(folder) / "clips"
        write_clips(clips, config, max(phase.frames for phase in phases.values()) + 8)
        settings = [*arguments, f"run={run}", f"data.clips={clips}", f"training.log_every_steps={every}"]
        settings += [f"training.{name}.steps={steps}" for name in phases]
        for stage in ("autoencoder", "latents", "dynamics"):
            train([*settings, f"stage={stage}"])
        records = [
            json.loads(line) for stage in STAGES for line in (run / stage / "metrics.jsonl").read_text().splitlines()
        ]
    rows = []
    for name, phase in phases.items():
        speeds = [record["frames_per_second"] for record in records if record["phase"] == name]
        if speeds:
            rows.append(
                {
                    "phase": name,
                    "batch": str(phase.batch_size),
                    "frames": str(phase.frames),
                    "optimizer": phase.optimizer,
                    "frames/s": f"{float(np.median(speeds[1:] or speeds)):.1f}",
                }
            )
    return rows


def main(argv: list[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.train_throughput",
        description="Measures how many frames a second each phase of training takes.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--config", default="configs/blockworld.yaml", help="a run's YAML file")
    parser.add_argument("--steps", type=int, default=25, help="of each phase; the first fifth does not count")
    parser.add_argument("--append", action="store_true", help="add dated rows to RESULTS.md")
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="settings over the file's")
    arguments = parser.parse_args(argv)
    if arguments.steps < 2:
        parser.error(f"--steps must be at least 2, got {arguments.steps}")
    busy = results.load()
    try:
        rows = throughput([f"config={arguments.config}", *arguments.settings], arguments.steps)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    name = " ".join([Path(arguments.config).stem, *arguments.settings])
    rows = [{"load": busy, "config": name, **row} for row in rows]
    results.show(f"training {name}", rows)
    if arguments.append:
        results.append("train_throughput", rows)
        print(f"\n  added to {results.RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
