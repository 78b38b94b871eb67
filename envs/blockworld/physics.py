"""How a player moves: Minecraft's rules and constants, in ticks of 50 ms and blocks.

A body is a float64 array of BODY numbers. Yaw 0 looks to +z and grows to the right (towards -x).
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.blockworld.blocks import CUBE_KIND, KIND, WATER_KIND
from envs.blockworld.grid import HEIGHT, MASK
from envs.blockworld.jit import kernel

X, Y, Z, VX, VY, VZ, EYE, ON_GROUND, BUMPED, IN_WATER = range(10)
BODY = 10
HALF_WIDTH, TALL, TALL_SNEAKING = 0.3, 1.8, 1.5
EYE_STANDING, EYE_SNEAKING = 1.62, 1.27
WALK, SPRINT, SNEAK = 0.1, 0.13, 0.3
AIR, AIR_SPRINT = 0.02, 0.026
JUMP, GRAVITY = 0.42, 0.08
GROUND_DRAG, AIR_DRAG, FALL_DRAG, WATER_DRAG = 0.546, 0.91, 0.98, 0.8
INPUT = 0.98
REACH = 4.5
EDGE = 1e-7


def new_body(x: float, y: float, z: float) -> NDArray[np.float64]:
    """A body at rest whose feet are at (x, y, z)."""
    body = np.zeros(BODY, np.float64)
    body[X], body[Y], body[Z], body[EYE] = x, y, z, EYE_STANDING
    return body


@kernel
def _kind(blocks: Any, x: int, y: int, z: int) -> int:
    if y >= HEIGHT:
        return 0
    if y < 0:
        return CUBE_KIND
    return int(KIND[blocks[x & MASK, z & MASK, y]])


@kernel
def is_free(blocks: Any, x: float, y: float, z: float, tall: float) -> bool:
    """Whether a body with its feet at (x, y, z) touches no solid block."""
    for i in range(int(math.floor(x - HALF_WIDTH + EDGE)), int(math.floor(x + HALF_WIDTH - EDGE)) + 1):
        for j in range(int(math.floor(z - HALF_WIDTH + EDGE)), int(math.floor(z + HALF_WIDTH - EDGE)) + 1):
            for k in range(int(math.floor(y + EDGE)), int(math.floor(y + tall - EDGE)) + 1):
                if _kind(blocks, i, k, j) == CUBE_KIND:
                    return False
    return True


@kernel
def _slide(blocks: Any, position: Any, axis: int, amount: float, tall: float) -> float:
    """Moves along one axis up to the first solid block; returns the way that was free."""
    low = np.array((position[0] - HALF_WIDTH, position[1], position[2] - HALF_WIDTH))
    high = np.array((position[0] + HALF_WIDTH, position[1] + tall, position[2] + HALF_WIDTH))
    start = low.copy()
    end = high.copy()
    if amount > 0:
        end[axis] += amount
    else:
        start[axis] += amount
    for i in range(int(math.floor(start[0] + EDGE)), int(math.floor(end[0] - EDGE)) + 1):
        for k in range(int(math.floor(start[1] + EDGE)), int(math.floor(end[1] - EDGE)) + 1):
            for j in range(int(math.floor(start[2] + EDGE)), int(math.floor(end[2] - EDGE)) + 1):
                if _kind(blocks, i, k, j) == CUBE_KIND:
                    cell = i if axis == 0 else k if axis == 1 else j
                    if amount > 0 and cell >= high[axis] - EDGE:
                        amount = min(amount, max(0.0, cell - high[axis]))
                    elif amount < 0 and cell + 1 <= low[axis] + EDGE:
                        amount = max(amount, min(0.0, cell + 1 - low[axis]))
    return amount


@kernel
def _hold_edge(blocks: Any, body: Any, dx: float, dz: float, tall: float) -> tuple[float, float]:
    """Shortens a sneaking step until there is ground below it, as Minecraft does, 0.05 at a time."""
    x, y, z = body[X], body[Y] - 0.6, body[Z]
    while dx != 0.0 and is_free(blocks, x + dx, y, z, tall):
        dx = 0.0 if abs(dx) <= 0.05 else dx - math.copysign(0.05, dx)
    while dz != 0.0 and is_free(blocks, x, y, z + dz, tall):
        dz = 0.0 if abs(dz) <= 0.05 else dz - math.copysign(0.05, dz)
    while dx != 0.0 and dz != 0.0 and is_free(blocks, x + dx, y, z + dz, tall):
        dx = 0.0 if abs(dx) <= 0.05 else dx - math.copysign(0.05, dx)
        dz = 0.0 if abs(dz) <= 0.05 else dz - math.copysign(0.05, dz)
    return dx, dz


@kernel
def tick(blocks: Any, body: Any, yaw: float, ahead: int, aside: int, jump: bool, sneak: bool, sprint: bool) -> None:
    """Moves a body by one tick.

    Args:
        blocks: [SIZE, SIZE, HEIGHT] uint8 of the grid.
        body: [BODY] float64, updated.
        yaw: Degrees.
        ahead: 1 forward, -1 back, 0 neither.
        aside: 1 right, -1 left, 0 neither.
        jump, sneak, sprint: Whether the key is down.
    """
    tall = TALL_SNEAKING if sneak else TALL
    if not sneak and not is_free(blocks, body[X], body[Y], body[Z], TALL):
        sneak, tall = True, TALL_SNEAKING  # no room to stand up
    feet = _kind(blocks, int(math.floor(body[X])), int(math.floor(body[Y] + 0.4)), int(math.floor(body[Z])))
    wet = feet == WATER_KIND
    on_ground = body[ON_GROUND] > 0.5
    sprint = sprint and ahead > 0 and not sneak
    forward, right = INPUT * ahead, INPUT * aside
    length = math.hypot(forward, right)
    if length > 1.0:
        forward, right = forward / length, right / length
    if sneak:
        forward, right = forward * SNEAK, right * SNEAK
    if wet:
        push = AIR_SPRINT * 1.6 if sprint else AIR
    elif on_ground:
        push = SPRINT if sprint else WALK
    else:
        push = AIR_SPRINT if sprint else AIR
    sin_yaw, cos_yaw = math.sin(math.radians(yaw)), math.cos(math.radians(yaw))
    if wet:
        if jump:
            body[VY] += 0.04
        elif sneak:
            body[VY] -= 0.04
    elif jump and on_ground:
        body[VY] = JUMP
        if sprint:
            body[VX] -= 0.2 * sin_yaw
            body[VZ] += 0.2 * cos_yaw
    body[VX] += push * (-sin_yaw * forward - cos_yaw * right)
    body[VZ] += push * (cos_yaw * forward - sin_yaw * right)

    dx, dy, dz = body[VX], body[VY], body[VZ]
    if sneak and on_ground and dy <= 0.0 and not wet:
        dx, dz = _hold_edge(blocks, body, dx, dz, tall)
    moved = _slide(blocks, body, 1, dy, tall)
    body[Y] += moved
    body[ON_GROUND] = 1.0 if dy < 0.0 and moved != dy else 0.0
    if moved != dy:
        body[VY] = 0.0
    bumped = False
    for turn in range(2):
        along_x = (turn == 0) == (abs(dx) >= abs(dz))
        axis, way = (X, dx) if along_x else (Z, dz)
        moved = _slide(blocks, body, axis, way, tall)
        body[axis] += moved
        if moved != way:
            bumped = True
        if moved != (body[VX] if along_x else body[VZ]):
            body[VX if along_x else VZ] = 0.0
    body[BUMPED] = 1.0 if bumped else 0.0
    if wet:
        body[VX] *= WATER_DRAG
        body[VY] = body[VY] * WATER_DRAG - 0.02
        body[VZ] *= WATER_DRAG
        if bumped and is_free(blocks, body[X] + dx, body[Y] + 0.6, body[Z] + dz, tall):
            body[VY] = 0.3  # climb out
    else:
        drag = GROUND_DRAG if on_ground else AIR_DRAG
        body[VX] *= drag
        body[VY] = (body[VY] - GRAVITY) * FALL_DRAG
        body[VZ] *= drag
    for axis in (VX, VZ):
        if abs(body[axis]) < 0.003:
            body[axis] = 0.0
    body[IN_WATER] = 1.0 if wet else 0.0
    body[EYE] += 0.5 * ((EYE_SNEAKING if sneak else EYE_STANDING) - body[EYE])


@kernel
def overlaps(body: Any, x: int, y: int, z: int, tall: float) -> bool:
    """Whether the block at (x, y, z) would stand inside the body."""
    return (
        x < body[X] + HALF_WIDTH
        and x + 1 > body[X] - HALF_WIDTH
        and y < body[Y] + tall
        and y + 1 > body[Y]
        and z < body[Z] + HALF_WIDTH
        and z + 1 > body[Z] - HALF_WIDTH
    )


@kernel
def look_at(blocks: Any, x: float, y: float, z: float, yaw: float, pitch: float) -> tuple[bool, int, int, int, int]:
    """Finds the block that an eye at (x, y, z) looks at, within REACH; water is looked through.

    Returns:
        (found, i, j, k, face): the cell as x, y, z and the face towards the eye, numbered as in
        `blocks.FACE_TEXTURE`.
    """
    cos_pitch = math.cos(math.radians(pitch))
    dx = -math.sin(math.radians(yaw)) * cos_pitch
    dy = -math.sin(math.radians(pitch))
    dz = math.cos(math.radians(yaw)) * cos_pitch
    i, j, k = int(math.floor(x)), int(math.floor(y)), int(math.floor(z))
    ax, ay, az = 1.0 / max(abs(dx), 1e-12), 1.0 / max(abs(dy), 1e-12), 1.0 / max(abs(dz), 1e-12)
    tx = ((i + 1 - x) if dx > 0 else (x - i)) * ax
    ty = ((j + 1 - y) if dy > 0 else (y - j)) * ay
    tz = ((k + 1 - z) if dz > 0 else (z - k)) * az
    face = 3
    while True:
        if tx <= ty and tx <= tz:
            t, face = tx, (0 if dx > 0 else 1)
            i += 1 if dx > 0 else -1
            tx += ax
        elif ty <= tz:
            t, face = ty, (2 if dy > 0 else 3)
            j += 1 if dy > 0 else -1
            ty += ay
        else:
            t, face = tz, (4 if dz > 0 else 5)
            k += 1 if dz > 0 else -1
            tz += az
        if t > REACH or j < 0:
            return False, i, j, k, face
        if j < HEIGHT:
            kind = KIND[blocks[i & MASK, k & MASK, j]]
            if kind != 0 and kind != WATER_KIND:
                return True, i, j, k, face
