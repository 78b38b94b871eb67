"""Trees, boulders and flowers: what stands on the ground. Each wraps around with the world."""

import numba

from envs.blockworld.blocks import IDS
from envs.blockworld.noise import hash3, noise2, uniform

GRASS, STONE = IDS["grass"], IDS["stone"]
OAK_LOG, OAK_LEAVES = IDS["oak_log"], IDS["oak_leaves"]
BIRCH_LOG, BIRCH_LEAVES, CHERRY_LEAVES = IDS["birch_log"], IDS["birch_leaves"], IDS["cherry_leaves"]
POPPY, DANDELION = IDS["poppy"], IDS["dandelion"]
SPACING = 16


@numba.njit(cache=True)
def _canopy(blocks, x, y, z, rx, ry, leaves):
    """An ellipsoid of leaves, `rx` wide and `ry` high about its centre, wherever there is air."""
    size, height = blocks.shape[0], blocks.shape[2]
    for dx in range(-3, 4):
        for dz in range(-3, 4):
            for dy in range(-3, 4):
                if (dx * dx + dz * dz) / (rx * rx) + dy * dy / (ry * ry) <= 1.0 and 0 <= y + dy < height:
                    if blocks[(x + dx) % size, (z + dz) % size, y + dy] == 0:
                        blocks[(x + dx) % size, (z + dz) % size, y + dy] = leaves


@numba.njit(cache=True)
def place_trees(blocks, heights, seed):
    """At most one tree in every SPACING x SPACING columns, of three kinds that can be told apart from afar."""
    size = blocks.shape[0]
    for i in range(size // SPACING):
        for j in range(size // SPACING):
            density = 0.45 + 0.35 * noise2(i / 4, j / 4, size // SPACING // 4, seed + 900)
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


@numba.njit(cache=True)
def place_boulders(blocks, heights, seed):
    """A rounded stone in about one of twenty SPACING x SPACING squares, clear of the trees."""
    size = blocks.shape[0]
    for i in range(size // SPACING):
        for j in range(size // SPACING):
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
                            blocks[(x + dx) % size, (z + dz) % size, y + dy + 1] = STONE


@numba.njit(cache=True)
def place_flowers(blocks, heights, seed):
    """Patches of one colour each."""
    size = blocks.shape[0]
    for x in range(size):
        for z in range(size):
            y = heights[x, z] + 1
            if blocks[x, z, y - 1] != GRASS or blocks[x, z, y] != 0:
                continue
            patch = noise2(x / 16, z / 16, size // 16, seed + 700)
            if patch > 0.55 and uniform(x, 8, z, seed) < 0.22:
                blocks[x, z, y] = POPPY
            elif patch < -0.55 and uniform(x, 8, z, seed) < 0.22:
                blocks[x, z, y] = DANDELION
