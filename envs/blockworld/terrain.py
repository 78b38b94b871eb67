"""Where blocks stand: a world of SIZE x SIZE columns that wraps around in x and z without a seam.

Arrays are [x, z, y], so that a column is one cache line. `Grid.tops` and `Grid.tiles` bound the blocks from above and
let rays skip the air.
"""

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from envs.blockworld.blocks import IDS
from envs.blockworld.features import place_boulders, place_flowers, place_trees
from envs.blockworld.noise import noise2

SIZE = 512
MASK = SIZE - 1
HEIGHT = 64
TILE_SHIFT = 3
TILE_MASK = (SIZE >> TILE_SHIFT) - 1
SEA_LEVEL = 22

BEDROCK, GRASS, DIRT, STONE, SAND, WATER = (
    IDS[name] for name in ("bedrock", "grass", "dirt", "stone", "sand", "water")
)


class Grid(NamedTuple):
    """The blocks of a world.

    Attributes:
        blocks: [SIZE, SIZE, HEIGHT] uint8 ids by x, z, y.
        tops: [SIZE, SIZE] uint8, one above the highest block of each column that is not air.
        tiles: [SIZE / 8, SIZE / 8] uint8, the highest of `tops` in each 8x8 square of columns.
        ceiling: [1] uint8, the highest of all.
    """

    blocks: NDArray[np.uint8]
    tops: NDArray[np.uint8]
    tiles: NDArray[np.uint8]
    ceiling: NDArray[np.uint8]


@numba.njit(cache=True)
def _fill_tops(blocks, tops, tiles):
    tiles[:] = 0
    for x in range(SIZE):
        for z in range(SIZE):
            top = HEIGHT
            while top > 0 and blocks[x, z, top - 1] == 0:
                top -= 1
            tops[x, z] = top
            if top > tiles[x >> TILE_SHIFT, z >> TILE_SHIFT]:
                tiles[x >> TILE_SHIFT, z >> TILE_SHIFT] = top


@numba.njit(cache=True)
def set_block(grid, x, y, z, block):
    """Puts `block` at (x, y, z), any x and z, 0 <= y < HEIGHT, and keeps `tops` and `tiles` true."""
    blocks, tops, tiles, ceiling = grid
    x, z = x & MASK, z & MASK
    blocks[x, z, y] = block
    top = HEIGHT
    while top > 0 and blocks[x, z, top - 1] == 0:
        top -= 1
    tops[x, z] = top
    x0, z0 = x >> TILE_SHIFT, z >> TILE_SHIFT
    highest = 0
    for i in range(x0 << TILE_SHIFT, (x0 + 1) << TILE_SHIFT):
        for j in range(z0 << TILE_SHIFT, (z0 + 1) << TILE_SHIFT):
            highest = max(highest, tops[i, j])
    tiles[x0, z0] = highest
    ceiling[0] = max(ceiling[0], highest)


@numba.njit(cache=True)
def _meadow(blocks, heights, seed):
    """Gentle grass hills with a few ponds, whose banks are sand."""
    banks = np.zeros((SIZE, SIZE), np.bool_)
    for x in range(SIZE):
        for z in range(SIZE):
            hills = 6.0 * noise2(x / 64, z / 64, SIZE // 64, seed) + 2.0 * noise2(x / 32, z / 32, SIZE // 32, seed + 1)
            level = 4.6 + hills
            banks[x, z] = level < 0.4
            heights[x, z] = int(SEA_LEVEL + (level if level > 0.0 else 2.5 * level))  # ponds are steeper than hills
    for x in range(SIZE):
        for z in range(SIZE):
            height = heights[x, z]
            column = blocks[x, z]
            column[0] = BEDROCK
            column[1 : height - 3] = STONE
            column[height - 3 : height] = DIRT
            column[height] = GRASS
            if banks[x, z]:
                column[height - 1 : height + 1] = SAND
                column[height + 1 : SEA_LEVEL + 1] = WATER


def generate(seed: int, biome: str) -> Grid:
    """Builds a world.

    Args:
        seed: Any integer; the same one gives the same world.
        biome: A key of `styles.STYLES`.
    """
    seed &= 0x7FFFFFFF
    blocks = np.zeros((SIZE, SIZE, HEIGHT), np.uint8)
    heights = np.zeros((SIZE, SIZE), np.int64)
    _meadow(blocks, heights, seed)
    place_trees(blocks, heights, seed)
    place_boulders(blocks, heights, seed)
    place_flowers(blocks, heights, seed)
    tops = np.zeros((SIZE, SIZE), np.uint8)
    tiles = np.zeros((SIZE >> TILE_SHIFT, SIZE >> TILE_SHIFT), np.uint8)
    _fill_tops(blocks, tops, tiles)
    return Grid(blocks, tops, tiles, np.array([tiles.max()], np.uint8))
