"""Runs small enough for tests: 16x16 pictures of a square that the keys move."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from tests.tiny import SIZE, tiny_config
from worldmodel.data.clip_writer import ClipWriter
from worldmodel.data.clips import Clip

ROOT = Path(__file__).parents[2]


def write_clips(folder: Path, num_clips: int = 4, num_frames: int = 12, clips_per_shard: int = 2) -> Path:
    """Clips of a bright square that `left` and `right` move over a gradient."""
    rng = np.random.default_rng(0)
    shade = np.linspace(40, 120, SIZE).astype(np.uint8)
    for shard in range(num_clips // clips_per_shard):
        with ClipWriter(folder / f"shard-{shard:06d}.tar") as writer:
            for number in range(shard * clips_per_shard, (shard + 1) * clips_per_shard):
                at, frames, keys = int(rng.integers(4, 9)), [], []
                for _ in range(num_frames):
                    frame = np.repeat(np.repeat(shade[:, None, None], SIZE, axis=1), 3, axis=2)
                    frame[5:11, at : at + 4] = (230, 200, 60)
                    frames.append(frame)
                    turn = int(rng.integers(-1, 2))
                    at = int(np.clip(at + turn, 0, SIZE - 4))
                    keys.append({"left": int(turn < 0), "right": int(turn > 0)})
                camera = [np.zeros(2, np.float32)] * (num_frames - 1)
                meta = {"fps": 20.0, "world": "test/Square-v0", "world_kwargs": {}, "seed": number}
                conditions = {"keyboard": keys[:-1], "camera": camera}
                writer.write(Clip(f"{number:06d}", np.stack(frames), conditions, meta))
    return folder


def write_config(path: Path, clips: Path, **training: object) -> Path:
    """A YAML file of a tiny run: a few steps of every phase, every step logged."""
    phase = {"steps": 4, "batch_size": 4, "warmup_steps": 2}
    values = {
        "model": asdict(tiny_config()),
        "data": {"clips": str(clips)},
        "training": {
            "log_every_steps": 1,
            "precision": "fp32",  # so that losses can be compared to the last digits on any processor
            "threads": 1,
            "num_starts": 2,
            "start_frames": 4,
            "spatial": {**phase, "frames": 1},
            "temporal": {**phase, "frames": 3},
            "joint": {**phase, "frames": 3},
            "refine": {**phase, "steps": 0, "frames": 3},
            "dynamics": {**phase, "frames": 5},
            **training,
        },
    }
    OmegaConf.save(OmegaConf.create(values), path)
    return path


def losses(folder: Path) -> list[float]:
    """The loss of every step that a stage's metrics.jsonl holds, in order; each step once."""
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records] == list(range(1, len(records) + 1))
    return [record["loss"] for record in records]


def command(*arguments: str, processes: int = 1, program: tuple[str, ...] = ("-m", "worldmodel.training")) -> list[str]:
    """The command line of a training run, as a user types it, or of a program around it."""
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--nproc_per_node", str(processes), "--standalone"]
    return [*launcher, *program, *arguments]


def launch(*arguments: str, check: bool = True, **how: Any) -> subprocess.CompletedProcess[str]:
    """Trains in processes of its own, `how` as `command` says; returns what they printed."""
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command(*arguments, **how), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done
