"""Under the ground: tunnels and halls carved out of the rock, and ores in their walls."""

from typing import Any

import numpy as np

from envs.blockworld.blocks import IDS
from envs.blockworld.grid import HEIGHT, MASK, SIZE
from envs.blockworld.jit import kernel
from envs.blockworld.noise import hash3, noise3, uniform

BEDROCK, STONE, WATER = IDS["bedrock"], IDS["stone"], IDS["water"]
STEP_ACROSS, STEP_UP = 4, 2
"""Cave noise is computed on this lattice and interpolated."""

# block, veins per 16x16 columns, highest y, blocks per vein
ORES = (
    (IDS["coal_ore"], 7, 56, 12),
    (IDS["iron_ore"], 6, 42, 8),
    (IDS["gold_ore"], 2, 20, 7),
    (IDS["diamond_ore"], 1, 12, 6),
    (IDS["dirt"], 2, 40, 26),
    (IDS["gravel"], 2, 40, 26),
)


@kernel
def _lattice(first: Any, second: Any, seed: int) -> None:
    """Fills two [SIZE/4, SIZE/4, HEIGHT/2 + 1] fields: tunnels where both are near 0, halls where the first is low."""
    for i in range(first.shape[0]):
        for j in range(first.shape[1]):
            for k in range(first.shape[2]):
                x, y, z = i * STEP_ACROSS / 32.0, k * STEP_UP / 16.0, j * STEP_ACROSS / 32.0
                first[i, j, k] = noise3(x, y, z, SIZE // 32, seed + 1000)
                second[i, j, k] = noise3(x, y, z, SIZE // 32, seed + 2000)


@kernel
def _carve(blocks: Any, heights: Any, first: Any, second: Any, sea_level: int) -> None:
    wide = first.shape[0]
    for x in range(SIZE):
        for z in range(SIZE):
            i, j = x // STEP_ACROSS, z // STEP_ACROSS
            i1, j1 = (i + 1) % wide, (j + 1) % wide
            u, v = (x % STEP_ACROSS) / STEP_ACROSS, (z % STEP_ACROSS) / STEP_ACROSS
            a, b, c, d = (1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v
            lowest = heights[x, z]
            for dx in range(-2, 3, 2):
                for dz in range(-2, 3, 2):
                    lowest = min(lowest, heights[(x + dx) & MASK, (z + dz) & MASK])
            top = heights[x, z] + 1 if lowest > sea_level + 2 else lowest - 4  # keep away from water
            for y in range(2, min(top, HEIGHT)):
                k, w = y // STEP_UP, (y % STEP_UP) / STEP_UP
                f = (1 - w) * (
                    a * first[i, j, k] + b * first[i1, j, k] + c * first[i, j1, k] + d * first[i1, j1, k]
                ) + w * (
                    a * first[i, j, k + 1]
                    + b * first[i1, j, k + 1]
                    + c * first[i, j1, k + 1]
                    + d * first[i1, j1, k + 1]
                )
                s = (1 - w) * (
                    a * second[i, j, k] + b * second[i1, j, k] + c * second[i, j1, k] + d * second[i1, j1, k]
                ) + w * (
                    a * second[i, j, k + 1]
                    + b * second[i1, j, k + 1]
                    + c * second[i, j1, k + 1]
                    + d * second[i1, j1, k + 1]
                )
                if f * f + s * s < 0.011 or f < -0.62 - 0.012 * (y - 8):
                    blocks[x, z, y] = 0


def carve(blocks: Any, heights: Any, seed: int, sea_level: int) -> None:
    """Carves caves, some of which open to the surface, none into water.

    Args:
        blocks: [SIZE, SIZE, HEIGHT] uint8, updated.
        heights: [SIZE, SIZE] int64, the surface before caves.
        seed: Seed.
        sea_level: y of the highest water.
    """
    shape = (SIZE // STEP_ACROSS, SIZE // STEP_ACROSS, HEIGHT // STEP_UP + 1)
    first, second = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    _lattice(first, second, seed)
    _carve(blocks, heights, first, second, sea_level)


@kernel
def place_ores(blocks: Any, seed: int) -> None:
    """Veins that wander through stone."""
    for ore in range(len(ORES)):
        block, veins, highest, length = ORES[ore]
        for i in range(SIZE // 16):
            for j in range(SIZE // 16):
                for vein in range(veins):
                    key = seed + 97 * ore + 13 * vein
                    x, z = i * 16 + hash3(i, 11, j, key) % 16, j * 16 + hash3(i, 12, j, key) % 16
                    y = 2 + hash3(i, 13, j, key) % (highest - 2)
                    for n in range(length):
                        if 0 < y < HEIGHT and blocks[x & MASK, z & MASK, y] == STONE:
                            blocks[x & MASK, z & MASK, y] = block
                        turn = uniform(i, 20 + n, j, key)
                        if turn < 0.33:
                            x += 1 if turn < 0.165 else -1
                        elif turn < 0.66:
                            z += 1 if turn < 0.495 else -1
                        else:
                            y += 1 if turn < 0.83 else -1
