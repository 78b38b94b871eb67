"""The blocks of a world: SIZE x SIZE columns that wrap around in x and z without a seam.

A grid is one NumPy record, which kernels take as one pointer and whose shapes they know when they are compiled:

- `blocks` [SIZE, SIZE, HEIGHT] uint8, ids by x, z, y, so that a column is one cache line;
- `tops` [SIZE, SIZE] uint8, one above the highest block of each column that is not air;
- `tiles` [SIZE / 8, SIZE / 8] uint8, the highest of `tops` in each 8x8 square of columns, and
- `ceiling` uint8, at least the highest of all: these two let rays skip the air.
"""

from typing import Any

import numpy as np

from envs.blockworld.jit import kernel

SIZE = 512
MASK = SIZE - 1
HEIGHT = 64
TILE_SHIFT = 3
TILE_SIZE = 1 << TILE_SHIFT
TILE_MASK = (SIZE >> TILE_SHIFT) - 1

GRID = np.dtype(
    [
        ("blocks", np.uint8, (SIZE, SIZE, HEIGHT)),
        ("tops", np.uint8, (SIZE, SIZE)),
        ("tiles", np.uint8, (SIZE >> TILE_SHIFT, SIZE >> TILE_SHIFT)),
        ("ceiling", np.uint8),
    ]
)


def new_grid() -> Any:
    """A grid of air."""
    return np.zeros(1, GRID).view(np.recarray)[0]


@kernel
def measure(grid: Any) -> None:
    """Fills `tops`, `tiles` and `ceiling` from `blocks`."""
    blocks, tops, tiles = grid.blocks, grid.tops, grid.tiles
    tiles[:] = 0
    highest = 0
    for x in range(SIZE):
        for z in range(SIZE):
            top = HEIGHT
            while top > 0 and blocks[x, z, top - 1] == 0:
                top -= 1
            tops[x, z] = top
            if top > tiles[x >> TILE_SHIFT, z >> TILE_SHIFT]:
                tiles[x >> TILE_SHIFT, z >> TILE_SHIFT] = top
            highest = max(highest, top)
    grid.ceiling = highest


@kernel
def set_block(grid: Any, x: int, y: int, z: int, block: int) -> None:
    """Puts `block` at (x, y, z), for any x and z and 0 <= y < HEIGHT, and keeps the rest of the grid true."""
    blocks, tops, tiles = grid.blocks, grid.tops, grid.tiles
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
            highest = max(highest, int(tops[i, j]))
    tiles[x0, z0] = highest
    grid.ceiling = max(int(grid.ceiling), highest)
