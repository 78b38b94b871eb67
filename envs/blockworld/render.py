"""Frames: one ray a pixel, four more where the picture has an edge, and the block in the player's hand."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.blockworld.blocks import FACE_TEXTURE
from envs.blockworld.grid import SIZE
from envs.blockworld.jit import kernel
from envs.blockworld.shade import colour_of_ray

AROUND = 4 * SIZE
"""The blocks and the clouds of every style repeat after this many blocks."""
EDGE = 0.08
SUBPIXELS = ((-0.125, -0.375), (0.375, -0.125), (0.125, 0.375), (-0.375, 0.125))


@kernel
def _direction(
    row: float,
    column: float,
    height: float,
    width: float,
    focal: float,
    cos_yaw: float,
    sin_yaw: float,
    cos_pitch: float,
    sin_pitch: float,
) -> tuple[float, float, float]:
    """Unit direction through a pixel position: yaw 0 looks to +z, 90 to -x; pitch 90 straight down."""
    right, up = (column - 0.5 * width) / focal, (0.5 * height - row) / focal
    forward = cos_pitch + up * sin_pitch
    dy = -sin_pitch + up * cos_pitch
    dx = -sin_yaw * forward - cos_yaw * right
    dz = cos_yaw * forward - sin_yaw * right
    length = math.sqrt(dx * dx + dy * dy + dz * dz)
    return dx / length, dy / length, dz / length


@kernel
def _is_edge(colours: Any, keys: Any, i: int, j: int) -> bool:
    """Whether the picture has an edge at a pixel: another surface next to it, in another colour."""
    height, width = keys.shape
    for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        k, m = min(max(i + down, 0), height - 1), min(max(j + right, 0), width - 1)
        if keys[i, j] != keys[k, m]:
            difference = 0.0
            for channel in range(3):
                difference += abs(colours[i, j, channel] - colours[k, m, channel])
            if difference > EDGE:
                return True
    return False


@kernel
def render(
    grid: Any,
    scene: Any,
    x: float,
    y: float,
    z: float,
    yaw: float,
    pitch: float,
    fov: float,
    frame: NDArray[np.uint8],
    depth: NDArray[np.float32],
    colours: NDArray[np.float32],
    keys: NDArray[np.int64],
) -> None:
    """Draws what an eye at (x, y, z) sees.

    Args:
        grid: As in `grid`.
        scene: As in `scene`.
        x, y, z: Eye in blocks.
        yaw, pitch: Degrees.
        fov: Vertical field of view in degrees.
        frame: [H, W, 3] uint8, written.
        depth: [H, W] float32 blocks, written.
        colours: [H, W, 3] float32, overwritten.
        keys: [H, W] int64, overwritten.
    """
    height, width = depth.shape
    x, z = x - math.floor(x / AROUND) * AROUND, z - math.floor(z / AROUND) * AROUND
    cos_yaw, sin_yaw = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
    cos_pitch, sin_pitch = math.cos(math.radians(pitch)), math.sin(math.radians(pitch))
    focal = 0.5 * height / math.tan(math.radians(0.5 * fov))
    pixel = 1.0 / focal
    for i in range(height):
        for j in range(width):
            dx, dy, dz = _direction(i + 0.5, j + 0.5, height, width, focal, cos_yaw, sin_yaw, cos_pitch, sin_pitch)
            r, g, b, t, key = colour_of_ray(grid, scene, pixel, x, y, z, dx, dy, dz)
            colours[i, j, 0], colours[i, j, 1], colours[i, j, 2] = r, g, b
            depth[i, j], keys[i, j] = t, key
    for i in range(height):
        for j in range(width):
            r, g, b = colours[i, j, 0], colours[i, j, 1], colours[i, j, 2]
            if _is_edge(colours, keys, i, j):
                r, g, b = 0.0, 0.0, 0.0
                for down, right in SUBPIXELS:
                    dx, dy, dz = _direction(
                        i + 0.5 + down, j + 0.5 + right, height, width, focal, cos_yaw, sin_yaw, cos_pitch, sin_pitch
                    )
                    sample = colour_of_ray(grid, scene, pixel, x, y, z, dx, dy, dz)
                    r, g, b = r + 0.25 * sample[0], g + 0.25 * sample[1], b + 0.25 * sample[2]
            frame[i, j, 0] = int(min(max(r, 0.0), 1.0) * 255.0 + 0.5)
            frame[i, j, 1] = int(min(max(g, 0.0), 1.0) * 255.0 + 0.5)
            frame[i, j, 2] = int(min(max(b, 0.0), 1.0) * 255.0 + 0.5)


@kernel
def draw_held(textures: Any, block: int, swing: float, frame: NDArray[np.uint8]) -> None:
    """Draws the block in hand at the lower right, seen from above its edge.

    Args:
        textures: [textures, 341, 3] float32 of the scene.
        block: Id.
        swing: 0 at rest to 1, how far the hand reaches out.
        frame: [H, W, 3] uint8, written.
    """
    height, width = frame.shape[0], frame.shape[1]
    size = 0.105 * height
    centre_row, centre_column = (0.95 - 0.08 * swing) * height, width - (0.14 + 0.06 * swing) * height
    for i in range(max(0, int(centre_row - 1.2 * size)), height):
        for j in range(max(0, int(centre_column - 1.1 * size)), min(width, int(centre_column + 1.1 * size) + 1)):
            r, g, b, hits = 0.0, 0.0, 0.0, 0
            for down, right in SUBPIXELS:
                row, column = (i + 0.5 + down - centre_row) / size, (j + 0.5 + right - centre_column) / size
                across, along = column / 0.87, row / 0.5
                u, v = (along + across) * 0.5 + 1.0, (along - across) * 0.5 + 1.0  # on the upper face
                if 0.0 <= u < 1.0 and 0.0 <= v < 1.0:
                    face, light = 3, 1.0
                elif across < 0.0:
                    face, light, u, v = 4, 0.72, across + 1.0, row - 0.5 * across
                else:
                    face, light, u, v = 1, 0.58, across, row + 0.5 * across
                if 0.0 <= u < 1.0 and 0.0 <= v < 1.0:
                    level = 1 if height < 256 else 0
                    texels = 16 >> level
                    texel = textures[
                        FACE_TEXTURE[block, face], 256 * level + int(v * texels) * texels + int(u * texels)
                    ]
                    r, g, b, hits = r + texel[0] * light, g + texel[1] * light, b + texel[2] * light, hits + 1
            if hits > 0:
                share = 0.25 * (4 - hits)
                frame[i, j, 0] = int(min(r * 0.25, 1.0) * 255.0 + share * frame[i, j, 0])
                frame[i, j, 1] = int(min(g * 0.25, 1.0) * 255.0 + share * frame[i, j, 1])
                frame[i, j, 2] = int(min(b * 0.25, 1.0) * 255.0 + share * frame[i, j, 2])
