"""What grows: oaks, birches, spruces, cactuses, grass and flowers. Each wraps around with the world."""

from typing import Any

import numpy as np

from envs.blockworld.biomes import NUMBERS
from envs.blockworld.blocks import IDS
from envs.blockworld.grid import HEIGHT, MASK, SIZE
from envs.blockworld.jit import kernel
from envs.blockworld.noise import hash3, noise2, uniform

GRASS, SNOWY_GRASS, SAND = IDS["grass"], IDS["snowy_grass"], IDS["sand"]
OAK_LOG, OAK_LEAVES, BIRCH_LOG, BIRCH_LEAVES = (
    IDS[name] for name in ("oak_log", "oak_leaves", "birch_log", "birch_leaves")
)
SPRUCE_LOG, SPRUCE_LEAVES, CACTUS, SNOW = (IDS[name] for name in ("spruce_log", "spruce_leaves", "cactus", "snow"))
POPPY, DANDELION, TALL_GRASS = IDS["poppy"], IDS["dandelion"], IDS["tall_grass"]
CELL = 8

TREES = np.array([[OAK_LOG, OAK_LEAVES], [BIRCH_LOG, BIRCH_LEAVES], [SPRUCE_LOG, SPRUCE_LEAVES]])
"""[kinds, 2] the wood and the leaves of each kind of tree."""

LAYERS = np.array([[2, 1], [2, 0], [1, 1], [1, 0]])
"""[layers, 2] radius of a broad tree's layers of leaves from the lowest up, and whether they have corners."""


@kernel
def _leaves(blocks: Any, x: int, y: int, z: int, radius: int, corners: bool, leaves: int) -> None:
    """One square layer of leaves, where there is air."""
    if not 0 <= y < HEIGHT:
        return
    for dx in range(-radius, radius + 1):
        for dz in range(-radius, radius + 1):
            if not corners and abs(dx) == radius and abs(dz) == radius:
                continue
            if blocks[(x + dx) & MASK, (z + dz) & MASK, y] == 0:
                blocks[(x + dx) & MASK, (z + dz) & MASK, y] = leaves


@kernel
def _broadleaf(blocks: Any, x: int, y: int, z: int, trunk: int, kind: int) -> None:
    """A trunk with two wide layers of leaves and two narrow ones, as Minecraft's oaks have."""
    log, leaves = int(TREES[kind, 0]), int(TREES[kind, 1])
    for layer in range(4):
        radius, corners = int(LAYERS[layer, 0]), LAYERS[layer, 1] != 0
        _leaves(blocks, x, y + trunk - 1 + layer, z, radius, corners, leaves)
    for k in range(1, trunk + 1):
        blocks[x, z, y + k] = log


@kernel
def _spruce(blocks: Any, x: int, y: int, z: int, trunk: int) -> None:
    """A tall trunk in a cone of leaves with a tip of snow."""
    for k in range(2, trunk + 1):
        left = trunk - k
        radius = min(2, 1 + left // 4) + (left % 2) - (1 if left < 2 else 0)
        _leaves(blocks, x, y + k, z, radius, left < 0, int(TREES[2, 1]))
    for k in range(1, trunk):
        blocks[x, z, y + k] = SPRUCE_LOG
    blocks[x, z, min(y + trunk, HEIGHT - 1)] = SPRUCE_LEAVES
    if y + trunk + 1 < HEIGHT:
        blocks[x, z, y + trunk + 1] = SNOW


@kernel
def place_trees(blocks: Any, heights: Any, kinds: Any, seed: int) -> None:
    """At most one tree or cactus in every CELL x CELL columns, as often as the biome has them."""
    for i in range(SIZE // CELL):
        for j in range(SIZE // CELL):
            x, z = i * CELL + 1 + hash3(i, 2, j, seed) % (CELL - 2), j * CELL + 1 + hash3(i, 3, j, seed) % (CELL - 2)
            y = heights[x, z]
            if uniform(i, 1, j, seed) > NUMBERS[kinds[x, z], 3]:
                continue
            ground, more = blocks[x, z, y], hash3(i, 5, j, seed)
            if ground == GRASS and y + 10 < HEIGHT:
                kind = int(noise2(x / 64, z / 64, SIZE // 64, seed + 60) > 0.25)  # oaks, with groves of birches
                _broadleaf(blocks, x, y, z, 4 + kind + more % (3 - kind), kind)
            elif ground == SNOWY_GRASS and y + 11 < HEIGHT:
                _spruce(blocks, x, y, z, 7 + more % 3)
            elif ground == SAND and NUMBERS[kinds[x, z], 4] == 0.0 and y > 24:
                for k in range(1, 2 + more % 3):
                    blocks[x, z, y + k] = CACTUS


@kernel
def place_plants(blocks: Any, heights: Any, kinds: Any, seed: int) -> None:
    """Tall grass, and flowers in patches of one colour."""
    for x in range(SIZE):
        for z in range(SIZE):
            y = heights[x, z] + 1
            chance = NUMBERS[kinds[x, z], 4]
            if chance == 0.0 or blocks[x, z, y - 1] != GRASS or blocks[x, z, y] != 0:
                continue
            patch = noise2(x / 16, z / 16, SIZE // 16, seed + 700)
            if abs(patch) > 0.5 and uniform(x, 8, z, seed) < 0.25:
                blocks[x, z, y] = POPPY if patch > 0.0 else DANDELION
            elif uniform(x, 9, z, seed) < chance * (1.0 + patch):
                blocks[x, z, y] = TALL_GRASS
