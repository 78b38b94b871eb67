"""Full-size configurations made narrow: every part, every layer and every option stays, only widths shrink."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.reduced import narrow
from conditions import Prepared, collate
from worldmodel.config import Config, load_config
from worldmodel.world import WorldModel

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("midas-3b", "midas-0.5b", "minecraft-3b", "minecraft-0.5b")


def full(name: str, *settings: str) -> Config:
    """A shipped configuration."""
    return load_config([f"config={ROOT / 'configs' / name}.yaml", *settings])


def narrow_world(name: str, seed: int = 0) -> WorldModel:
    """A narrow world in which what begins at zero has weights too, so that nothing is inert."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        world = WorldModel(narrow(full(name).model)).eval()
        for parameter in world.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1)
    return world


def raw_values(world: WorldModel, count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Random raw values of every condition, one mapping a frame."""
    for number, condition in enumerate(world.conditions):
        condition.space.seed(seed + number)
    samples = [{c.name: c.space.sample() for c in world.conditions} for _ in range(count)]
    return [{n: v[:40] if isinstance(v, str) else v for n, v in values.items()} for values in samples]


def random_batch(world: WorldModel, batch: int, frames: int) -> tuple[torch.Tensor, dict[str, Prepared]]:
    """Latents [B, T + 1, C, h, w] and the conditions of T frames."""
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(batch, frames + 1, *world.latent_shape, generator=generator)
    chunk = world.config.layout.chunk_frames
    rows = [world.conditions.prepare(raw_values(world, frames, seed=row), chunk) for row in range(batch)]
    return latents, collate(rows)


def picture(world: WorldModel, seed: int = 0) -> np.ndarray:
    """[H, W, 3] uint8 noise."""
    frame = world.config.frame
    return np.random.default_rng(seed).integers(0, 256, (frame.height, frame.width, 3), dtype=np.uint8)
