"""The meadow: gentle hills, ponds, trees that can be told apart from afar, boulders, and patches of flowers.

It is a calm world of large shapes, made to be learned by small models.
"""

from typing import Any

from envs.blockworld.blocks import IDS
from envs.blockworld.grid import HEIGHT, SIZE
from envs.blockworld.jit import kernel
from envs.blockworld.noise import hash3, noise2, uniform

BEDROCK, GRASS, DIRT, STONE, SAND, WATER = (
    IDS[name] for name in ("bedrock", "grass", "dirt", "stone", "sand", "water")
)
OAK_LOG, OAK_LEAVES = IDS["oak_log"], IDS["oak_leaves"]
BIRCH_LOG, BIRCH_LEAVES, CHERRY_LEAVES = IDS["birch_log"], IDS["birch_leaves"], IDS["cherry_leaves"]
POPPY, DANDELION = IDS["poppy"], IDS["dandelion"]
SEA_LEVEL = 22
SPACING = 16


@kernel
def shape_land(blocks: Any, heights: Any, seed: int) -> None:
    """Gentle grass hills with a few ponds, whose banks are sand."""
    for x in range(SIZE):
        for z in range(SIZE):
            hills = 6.0 * noise2(x / 64, z / 64, SIZE // 64, seed) + 2.0 * noise2(x / 32, z / 32, SIZE // 32, seed + 1)
            level = 4.6 + hills
            height = int(SEA_LEVEL + (level if level > 0.0 else 2.5 * level))  # ponds are steeper than hills
            heights[x, z] = height
            column = blocks[x, z]
            column[0] = BEDROCK
            column[1 : height - 3] = STONE
            column[height - 3 : height] = DIRT
            column[height] = GRASS
            if level < 0.4:
                column[height - 1 : height + 1] = SAND
                column[height + 1 : SEA_LEVEL + 1] = WATER


@kernel
def _canopy(blocks: Any, x: int, y: int, z: int, rx: float, ry: float, leaves: int) -> None:
    """An ellipsoid of leaves, `rx` wide and `ry` high about its centre, wherever there is air."""
    for dx in range(-3, 4):
        for dz in range(-3, 4):
            for dy in range(-3, 4):
                if (dx * dx + dz * dz) / (rx * rx) + dy * dy / (ry * ry) <= 1.0 and 0 <= y + dy < HEIGHT:
                    if blocks[(x + dx) % SIZE, (z + dz) % SIZE, y + dy] == 0:
                        blocks[(x + dx) % SIZE, (z + dz) % SIZE, y + dy] = leaves


@kernel
def place_trees(blocks: Any, heights: Any, seed: int) -> None:
    """At most one tree in every SPACING x SPACING columns, of three kinds that can be told apart from afar."""
    for i in range(SIZE // SPACING):
        for j in range(SIZE // SPACING):
            density = 0.45 + 0.35 * noise2(i / 4, j / 4, SIZE // SPACING // 4, seed + 900)
            if uniform(i, 1, j, seed) > density:
                continue
            x = i * SPACING + 3 + hash3(i, 2, j, seed) % (SPACING - 6)
            z = j * SPACING + 3 + hash3(i, 3, j, seed) % (SPACING - 6)
            y = heights[x, z]
            if blocks[x, z, y] != GRASS:
                continue
            kind = uniform(i, 4, j, seed)
            log, leaves = (OAK_LOG, OAK_LEAVES)
            if kind > 0.9:
                leaves = CHERRY_LEAVES
            elif kind > 0.65:
                log, leaves = BIRCH_LOG, BIRCH_LEAVES
            trunk = 5 + hash3(i, 5, j, seed) % 2
            if leaves == BIRCH_LEAVES:
                trunk += 1
                _canopy(blocks, x, y + trunk, z, 2.3, 3.0, leaves)
            else:
                _canopy(blocks, x, y + trunk, z, 3.2, 2.3, leaves)
            for k in range(1, trunk + 1):
                blocks[x, z, y + k] = log


@kernel
def place_boulders(blocks: Any, heights: Any, seed: int) -> None:
    """A rounded stone in about one of twenty SPACING x SPACING squares, clear of the trees."""
    for i in range(SIZE // SPACING):
        for j in range(SIZE // SPACING):
            if uniform(i, 6, j, seed) > 0.05 or uniform(i, 1, j, seed) < 0.5:
                continue
            x, z = i * SPACING + 8, j * SPACING + 8
            y = heights[x, z]
            if blocks[x, z, y] != GRASS:
                continue
            radius = 1.6 + uniform(i, 7, j, seed)
            for dx in range(-3, 4):
                for dz in range(-3, 4):
                    for dy in range(-1, 3):
                        if dx * dx + dz * dz + 1.6 * dy * dy <= radius * radius:
                            blocks[(x + dx) % SIZE, (z + dz) % SIZE, y + dy + 1] = STONE


@kernel
def place_flowers(blocks: Any, heights: Any, seed: int) -> None:
    """Patches of one colour each."""
    for x in range(SIZE):
        for z in range(SIZE):
            y = heights[x, z] + 1
            if blocks[x, z, y - 1] != GRASS or blocks[x, z, y] != 0:
                continue
            patch = noise2(x / 16, z / 16, SIZE // 16, seed + 700)
            if patch > 0.55 and uniform(x, 8, z, seed) < 0.22:
                blocks[x, z, y] = POPPY
            elif patch < -0.55 and uniform(x, 8, z, seed) < 0.22:
                blocks[x, z, y] = DANDELION
