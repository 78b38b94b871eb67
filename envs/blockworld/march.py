"""Rays through the grid: which block a ray meets first, and whether a point sees the sun."""

import math
from typing import Any

import numpy as np

from envs.blockworld.blocks import CUBE_KIND, FACE_TEXTURE, KIND, SPRITE_KIND, WATER_KIND
from envs.blockworld.grid import HEIGHT, MASK, TILE_MASK, TILE_SHIFT, TILE_SIZE
from envs.blockworld.jit import kernel
from envs.blockworld.textures import build_sprites

SPRITES = build_sprites()
SPRITE_NEAR, SPRITE_FAR = 20.0, 32.0
NOTHING, SPRITE_FACE = -1, 6


@kernel
def _sprite(
    block: int,
    x: int,
    y: int,
    z: int,
    t: float,
    ox: float,
    oy: float,
    oz: float,
    dx: float,
    dy: float,
    dz: float,
) -> tuple[float, float]:
    """Meets the two diagonal planes of a plant; returns distance (or -1) and +1 for bloom, -1 for stem.

    Between SPRITE_NEAR and SPRITE_FAR plants sink into the ground, so that none pops out of view.
    """
    grown = min(1.0, (SPRITE_FAR - t) / (SPRITE_FAR - SPRITE_NEAR))
    best, part = -1.0, 0.0
    if grown <= 0.0:
        return best, part
    for plane in range(2):
        sign = 1.0 if plane == 0 else -1.0
        slope = dx + sign * dz
        if abs(slope) < 1e-9:
            continue
        offset = 1.0 if plane == 0 else 0.0  # x + z = 1, or x - z = 0
        s = (offset - (ox - x) - sign * (oz - z)) / slope
        if s <= 0.01 or (best > 0.0 and s > best):
            continue
        u, height = ox + dx * s - x, oy + dy * s - y
        v = grown - height
        if 0.0 <= u < 1.0 and 0.0 <= v < 1.0 and height >= 0.0:
            texel = SPRITES[FACE_TEXTURE[block, 3], int(v * 16.0), int(u * 16.0)]
            if texel != 0.0:
                best, part = s, texel
    return best, part


@kernel
def trace(
    grid: Any,
    ox: float,
    oy: float,
    oz: float,
    dx: float,
    dy: float,
    dz: float,
    far: float,
    plants: bool,
) -> tuple[float, int, int, int, int, int, float, float, float]:
    """Follows a ray of unit direction d from o, at most `far` blocks, past plants or not.

    It goes from tile to tile, and from cell to cell only where it is as low as something in the tile.

    Returns:
        (t, x, y, z, face, block, part, wet, surface): distance, cell and face that was met (`NOTHING` if none,
        `SPRITE_FACE` for plants, of which `part` says bloom or stem), its id, blocks travelled in water, and the
        distance at which the ray first entered water (-1 never, 0 if it starts there).
    """
    blocks, tiles = grid.blocks, grid.tiles
    ix, iy, iz = 1.0 / dx if dx != 0.0 else 1e30, 1.0 / dy if dy != 0.0 else 1e30, 1.0 / dz if dz != 0.0 else 1e30
    sx, sy, sz = (1 if dx > 0 else -1), (1 if dy > 0 else -1), (1 if dz > 0 else -1)
    px, py, pz = (1 if dx > 0 else 0), (1 if dy > 0 else 0), (1 if dz > 0 else 0)
    ax, ay, az = abs(ix), abs(iy), abs(iz)
    tile_x, tile_z = int(math.floor(ox)) >> TILE_SHIFT, int(math.floor(oz)) >> TILE_SHIFT
    tile_tx = abs((((tile_x + px) << TILE_SHIFT) - ox) * ix)
    tile_tz = abs((((tile_z + pz) << TILE_SHIFT) - oz) * iz)
    # above all blocks and below them there is nothing to meet
    end = min(far, max(0.0, ((float(grid.ceiling) if dy > 0.0 else 0.0) - oy) * iy)) if dy != 0.0 else far
    t, side, wet, entered, surface = 0.0, NOTHING, 0.0, -1.0, -1.0
    while t < end:
        top = int(tiles[tile_x & TILE_MASK, tile_z & TILE_MASK])
        leave = min(tile_tx, tile_tz)
        down = (top - oy) * iy if dy < 0.0 else 0.0  # where it comes down to what stands in the tile
        if entered >= 0.0 and (down > t or (dy >= 0.0 and oy + dy * t >= top)):
            wet += t - entered
            entered = -1.0
        if down < min(leave, end) if dy < 0.0 else oy + dy * t < top:
            face = side
            if down > t:
                t, face = down, 3
            low_x, low_z = tile_x << TILE_SHIFT, tile_z << TILE_SHIFT
            x = min(max(int(math.floor(ox + dx * t)), low_x), low_x + TILE_SIZE - 1)
            z = min(max(int(math.floor(oz + dz * t)), low_z), low_z + TILE_SIZE - 1)
            y = min(int(math.floor(oy + dy * t)), top - 1)
            tx, ty, tz = abs((x + px - ox) * ix), abs((y + py - oy) * iy), abs((z + pz - oz) * iz)
            while 0 <= y < top and x >> TILE_SHIFT == tile_x and z >> TILE_SHIFT == tile_z:
                block = int(blocks[x & MASK, z & MASK, y])
                kind = KIND[block]
                if kind == WATER_KIND:
                    if entered < 0.0:
                        entered = t
                        if surface < 0.0:
                            surface = t
                else:
                    if entered >= 0.0:
                        wet += t - entered
                        entered = -1.0
                    if kind == CUBE_KIND and t > 0.0:
                        return t, x, y, z, face, block, 0.0, wet, surface
                    if plants and kind == SPRITE_KIND:
                        s, part = _sprite(block, x, y, z, t, ox, oy, oz, dx, dy, dz)
                        if s > 0.0:
                            return s, x, y, z, SPRITE_FACE, block, part, wet, surface
                if tx <= ty and tx <= tz:
                    t, face = tx, (0 if sx > 0 else 1)
                    x += sx
                    tx += ax
                elif ty <= tz:
                    t, face = ty, (2 if sy > 0 else 3)
                    y += sy
                    ty += ay
                else:
                    t, face = tz, (4 if sz > 0 else 5)
                    z += sz
                    tz += az
                if t >= end:
                    break
            if entered >= 0.0 and dy > 0.0 and y >= top:
                wet += t - entered
                entered = -1.0
        if tile_tx <= tile_tz:
            t, side = max(t, tile_tx), (0 if sx > 0 else 1)
            tile_x += sx
            tile_tx += TILE_SIZE * ax
        else:
            t, side = max(t, tile_tz), (4 if sz > 0 else 5)
            tile_z += sz
            tile_tz += TILE_SIZE * az
    if entered >= 0.0:
        wet += far - entered
    return far, 0, 0, 0, NOTHING, 0, 0.0, wet, surface


@kernel
def sunlit(grid: Any, ox: float, oy: float, oz: float, dx: float, dy: float, dz: float) -> bool:
    """Whether nothing solid stands between o and the sun in direction d."""
    return trace(grid, ox, oy, oz, dx, dy, dz, 1e9, False)[4] == NOTHING


@kernel
def is_opaque(blocks: Any, x: int, y: int, z: int) -> bool:
    """Whether the cell holds a cube; below the world counts as one, above does not."""
    if y < 0:
        return True
    if y >= HEIGHT:
        return False
    return KIND[blocks[x & MASK, z & MASK, y]] == CUBE_KIND


NORMALS = np.array([[-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0], [0, 0, -1], [0, 0, 1]], np.int64)
