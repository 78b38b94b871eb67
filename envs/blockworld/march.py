"""Rays through the grid: which block a ray meets first, and whether a point sees the sun."""

import math
from typing import Any

import numpy as np

from envs.blockworld.blocks import CUBE_KIND, FACE_TEXTURE, KIND, SPRITE_KIND, WATER_KIND
from envs.blockworld.grid import HEIGHT, MASK, TILE_MASK, TILE_SHIFT
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
) -> tuple[float, int, int, int, int, int, float, float, float]:
    """Follows a ray of unit direction d from o, at most `far` blocks.

    Returns:
        (t, x, y, z, face, block, part, wet, surface): distance, cell and face that was met (`NOTHING` if none,
        `SPRITE_FACE` for plants, of which `part` says bloom or stem), its id, blocks travelled in water, and the
        distance at which the ray first entered water (-1 never, 0 if it starts there).
    """
    blocks, tiles = grid.blocks, grid.tiles
    x, y, z = int(math.floor(ox)), int(math.floor(oy)), int(math.floor(oz))
    ix, iy, iz = 1.0 / dx if dx != 0.0 else 1e30, 1.0 / dy if dy != 0.0 else 1e30, 1.0 / dz if dz != 0.0 else 1e30
    sx, sy, sz = (1 if dx > 0 else -1), (1 if dy > 0 else -1), (1 if dz > 0 else -1)
    px, py, pz = (1 if dx > 0 else 0), (1 if dy > 0 else 0), (1 if dz > 0 else 0)
    ax, ay, az = abs(ix), abs(iy), abs(iz)
    tx, ty, tz = abs((x + px - ox) * ix), abs((y + py - oy) * iy), abs((z + pz - oz) * iz)
    ceiling = int(grid.ceiling)
    t, face, wet, entered, surface = 0.0, NOTHING, 0.0, -1.0, -1.0
    while True:
        top = int(tiles[(x >> TILE_SHIFT) & TILE_MASK, (z >> TILE_SHIFT) & TILE_MASK])
        if y >= top:
            if entered >= 0.0:
                wet += t - entered
                entered = -1.0
            if dy >= 0.0 and y >= ceiling:
                return far, x, y, z, NOTHING, 0, 0.0, wet, surface
            # nothing stands this high in the tile: go straight to where the ray leaves it
            x1 = (((x >> TILE_SHIFT) + px) << TILE_SHIFT) - ox
            z1 = (((z >> TILE_SHIFT) + pz) << TILE_SHIFT) - oz
            leave_x, leave_z = x1 * ix if dx != 0.0 else 1e30, z1 * iz if dz != 0.0 else 1e30
            leave_y = (top - oy) * iy if dy < 0.0 else 1e30
            t = max(t, min(leave_x, leave_z, leave_y))
            if t >= far:
                return far, x, y, z, NOTHING, 0, 0.0, wet, surface
            nx, ny, nz = int(math.floor(ox + dx * t)), int(math.floor(oy + dy * t)), int(math.floor(oz + dz * t))
            low_x, low_z = (x >> TILE_SHIFT) << TILE_SHIFT, (z >> TILE_SHIFT) << TILE_SHIFT
            nx, nz = min(max(nx, low_x), low_x + 7), min(max(nz, low_z), low_z + 7)
            if leave_y <= leave_x and leave_y <= leave_z:
                ny, face = top - 1, 3
            elif leave_x <= leave_z:
                nx, face = low_x + (8 if dx > 0 else -1), (0 if dx > 0 else 1)
            else:
                nz, face = low_z + (8 if dz > 0 else -1), (4 if dz > 0 else 5)
            x, y, z = nx, ny, nz
            if dy < 0.0 and not (leave_y <= leave_x and leave_y <= leave_z):
                y = max(y, top)
            tx, ty, tz = abs((x + px - ox) * ix), abs((y + py - oy) * iy), abs((z + pz - oz) * iz)
        if 0 <= y < HEIGHT:
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
                if kind == SPRITE_KIND:
                    s, part = _sprite(block, x, y, z, t, ox, oy, oz, dx, dy, dz)
                    if s > 0.0:
                        return s, x, y, z, SPRITE_FACE, block, part, wet, surface
        elif y < 0:
            return far, x, y, z, NOTHING, 0, 0.0, wet, surface
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
        if t >= far:
            if entered >= 0.0:
                wet += far - entered
            return far, x, y, z, NOTHING, 0, 0.0, wet, surface


@kernel
def sunlit(grid: Any, ox: float, oy: float, oz: float, dx: float, dy: float, dz: float) -> bool:
    """Whether nothing solid stands between o and the sun in direction d, whose components are all positive."""
    blocks, tiles = grid.blocks, grid.tiles
    x, y, z = int(math.floor(ox)), int(math.floor(oy)), int(math.floor(oz))
    ax, ay, az = 1.0 / dx, 1.0 / dy, 1.0 / dz
    tx, ty, tz = (x + 1 - ox) * ax, (y + 1 - oy) * ay, (z + 1 - oz) * az
    ceiling = int(grid.ceiling)
    while y < ceiling:
        if y < int(tiles[(x >> TILE_SHIFT) & TILE_MASK, (z >> TILE_SHIFT) & TILE_MASK]):
            if KIND[blocks[x & MASK, z & MASK, y]] == CUBE_KIND:
                return False
        if tx <= ty and tx <= tz:
            x += 1
            tx += ax
        elif ty <= tz:
            y += 1
            ty += ay
        else:
            z += 1
            tz += az
    return True


@kernel
def is_opaque(blocks: Any, x: int, y: int, z: int) -> bool:
    """Whether the cell holds a cube; below the world counts as one, above does not."""
    if y < 0:
        return True
    if y >= HEIGHT:
        return False
    return KIND[blocks[x & MASK, z & MASK, y]] == CUBE_KIND


NORMALS = np.array([[-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0], [0, 0, -1], [0, 0, 1]], np.int64)
