"""The colour of what a ray meets: texture, sunlight, ambient occlusion, water, fog, sky and clouds."""

import math
from typing import Any

from envs.blockworld.blocks import FACE_TEXTURE, IDS
from envs.blockworld.grid import MASK
from envs.blockworld.jit import kernel
from envs.blockworld.march import NORMALS, NOTHING, SPRITE_FACE, is_opaque, sunlit, trace
from envs.blockworld.noise import hash3, uniform
from envs.blockworld.scene import CLOUD_TEXELS
from envs.blockworld.textures import LEVEL_OFFSET

AMBIENT = (0.96, 0.96, 0.8, 1.0, 0.88, 0.88)
STEM = (0.30, 0.52, 0.20)
GRASS = IDS["grass"]


@kernel
def sky(scene: Any, dx: float, dy: float, dz: float) -> tuple[float, float, float]:
    """Clear sky in direction d: from the horizon's colour to the zenith's."""
    mix = 1.0 - math.exp(-2.6 * dy) if dy > 0.0 else 0.0
    r0, g0, b0 = scene.horizon[0], scene.horizon[1], scene.horizon[2]
    r1, g1, b1 = scene.zenith[0], scene.zenith[1], scene.zenith[2]
    return r0 + (r1 - r0) * mix, g0 + (g1 - g0) * mix, b0 + (b1 - b0) * mix


@kernel
def _cloud(scene: Any, x: float, z: float) -> float:
    """How much cloud hides the sky at (x, z) of the cloud plane, 0 to 1: square cells, or blended ones where soft."""
    u, v = x / scene.cloud_scale, z / scene.cloud_scale
    fu, fv = math.floor(u), math.floor(v)
    i, j = int(fu) % CLOUD_TEXELS, int(fv) % CLOUD_TEXELS
    if scene.cloud_soft == 0.0:
        return scene.clouds[i, j]
    a, b = u - fu, v - fv
    k, m = (i + 1) % CLOUD_TEXELS, (j + 1) % CLOUD_TEXELS
    left = scene.clouds[i, j] + (scene.clouds[i, m] - scene.clouds[i, j]) * b
    right = scene.clouds[k, j] + (scene.clouds[k, m] - scene.clouds[k, j]) * b
    return left + (right - left) * a


@kernel
def heavens(
    scene: Any,
    ox: float,
    oy: float,
    oz: float,
    dx: float,
    dy: float,
    dz: float,
) -> tuple[float, float, float, int]:
    """Sky with sun and clouds; the last value tells the inside of a sharp-edged cloud or of the sun from the rest."""
    r, g, b = sky(scene, dx, dy, dz)
    part = 0
    sx, sy, sz = scene.sun[0], scene.sun[1], scene.sun[2]
    toward = dx * sx + dy * sy + dz * sz
    if toward > 0.9:
        glow = 0.45 * math.exp((toward - 1.0) * 60.0)
        flat = math.sqrt(sx * sx + sz * sz)
        across = (dx * sz - dz * sx) / flat
        along = (dy - toward * sy) / flat
        if max(abs(across), abs(along)) < 0.085:
            return 1.0, 0.98, 0.86, 2
        r, g, b = r + glow * (1.0 - r), g + glow * (0.96 - g), b + glow * 0.6 * (0.9 - b)
    if dy > 0.02 and oy < scene.cloud_height:
        reach = (scene.cloud_height - oy) / dy
        fade = 1.0 - reach / 330.0
        if fade > 0.0:
            cover = _cloud(scene, ox + dx * reach + scene.drift, oz + dz * reach) * min(1.0, 2.0 * fade)
            part = 1 if scene.cloud_soft == 0.0 and cover > 0.0 else 0
            r, g, b = r + (0.98 - r) * cover, g + (0.985 - g) * cover, b + (1.0 - b) * cover
    return r, g, b, part


@kernel
def _texel(textures: Any, texture: int, u: float, v: float, lod: float) -> tuple[float, float, float]:
    """Nearest texel, blended between the two mip levels about `lod`."""
    lod = min(max(lod, 0.0), 4.0)
    level = min(int(lod), 3)
    mix = lod - level
    width = 16 >> level
    i = LEVEL_OFFSET[level] + int(v * width) * width + int(u * width)
    half = width >> 1
    j = LEVEL_OFFSET[level + 1] + int(v * half) * half + int(u * half)
    fine, coarse = textures[texture, i], textures[texture, j]
    return (
        fine[0] + (coarse[0] - fine[0]) * mix,
        fine[1] + (coarse[1] - fine[1]) * mix,
        fine[2] + (coarse[2] - fine[2]) * mix,
    )


@kernel
def _tint(scene: Any, x: int, z: int, lod: float) -> float:
    """How much drier (above 0) or deeper (below 0) than others a grass block is; nothing where blocks are specks."""
    patch = uniform((x & MASK) >> 2, 11, (z & MASK) >> 2, 0) - 0.5
    own = 0.5 * (hash3(x & MASK, 12, z & MASK, 0) % 3 - 1)
    near = min(max((5.0 - lod) * 0.5, 0.0), 1.0)
    return scene.tint * (0.6 * patch + 1.2 * own) * near


@kernel
def _occlusion(blocks: Any, x: int, y: int, z: int, face: int, u: float, v: float) -> float:
    """Smooth ambient occlusion at (u, v) of a face whose open cell is (x, y, z): 0 open to 1 buried."""
    ux, uy, uz, vx, vy, vz = 0, 0, 0, 0, 0, 0
    if face < 2:
        uz, vy = 1, 1
    elif face < 4:
        ux, vz = 1, 1
    else:
        ux, vy = 1, 1
    left = is_opaque(blocks, x - ux, y - uy, z - uz)
    right = is_opaque(blocks, x + ux, y + uy, z + uz)
    down = is_opaque(blocks, x - vx, y - vy, z - vz)
    up = is_opaque(blocks, x + vx, y + vy, z + vz)
    a = is_opaque(blocks, x - ux - vx, y - uy - vy, z - uz - vz)
    b = is_opaque(blocks, x + ux - vx, y + uy - vy, z + uz - vz)
    c = is_opaque(blocks, x - ux + vx, y - uy + vy, z - uz + vz)
    d = is_opaque(blocks, x + ux + vx, y + uy + vy, z + uz + vz)
    oa = 3 if left and down else left + down + a
    ob = 3 if right and down else right + down + b
    oc = 3 if left and up else left + up + c
    od = 3 if right and up else right + up + d
    low = oa + (ob - oa) * u
    high = oc + (od - oc) * u
    return (low + (high - low) * v) / 3.0


@kernel
def _openness(tops: Any, x: int, y: int, z: int) -> float:
    """How much sky a cell sees, judged by the columns around it: 1 under open sky, about 0 deep in a cave."""
    if y >= tops[x & MASK, z & MASK]:
        return 1.0
    seen = 0
    for radius in (1, 2, 4, 7):
        for i in range(-1, 2):
            for j in range(-1, 2):
                if y + radius // 4 >= tops[(x + i * radius) & MASK, (z + j * radius) & MASK]:
                    seen += 1
    return min(1.0, 0.2 + seen * 0.05)


@kernel
def surface(
    grid: Any,
    scene: Any,
    pixel: float,
    ox: float,
    oy: float,
    oz: float,
    dx: float,
    dy: float,
    dz: float,
    t: float,
    x: int,
    y: int,
    z: int,
    face: int,
    block: int,
    part: float,
) -> tuple[float, float, float, int]:
    """Colour of a block's face, lit but without fog.

    `pixel` is the angle of a pixel in radians.

    Returns:
        (r, g, b, lit): lit is 1 where the sun reaches.
    """
    blocks, tops = grid.blocks, grid.tops
    hx, hy, hz = ox + dx * t, oy + dy * t, oz + dz * t
    sx, sy, sz = scene.sun[0], scene.sun[1], scene.sun[2]
    if face == SPRITE_FACE:
        lit = 1 if sunlit(grid, hx, hy, hz, sx, sy, sz) else 0
        light = 1.0 - scene.sunlight + scene.sunlight * lit
        if part < 0.0:
            return STEM[0] * light, STEM[1] * light, STEM[2] * light, lit
        r, g, b = _texel(scene.textures, FACE_TEXTURE[block, 3], 0.5, 0.5, 4.0)
        if part < 1.0:
            light *= 0.72 + 0.45 * (hy - y)  # blades are darker towards the ground
        return r * light, g * light, b * light, lit
    nx, ny, nz = NORMALS[face]
    if face < 2:
        u, v = hz - z, hy - y
    elif face < 4:
        u, v = hx - x, hz - z
    else:
        u, v = hx - x, hy - y
    u, v = min(max(u, 0.0), 0.999999), min(max(v, 0.0), 0.999999)
    slant = abs(dx * nx + dy * ny + dz * nz)
    footprint = t * pixel * 20.0
    lod = 0.5 * math.log2((footprint * footprint + 1e-9) / (slant + 0.02))
    r, g, b = _texel(scene.textures, FACE_TEXTURE[block, face], u, 0.999999 - v, lod)
    if scene.tint > 0.0 and block == GRASS:
        dry = _tint(scene, x, z, lod)
        r, g, b = r * (1.0 + 1.6 * dry), g * (1.0 + 0.8 * dry), b * (1.0 + 0.8 * dry)
    if scene.progress > 0.0 and y == scene.target[1]:
        if x & MASK == scene.target[0] & MASK and z & MASK == scene.target[2] & MASK:
            if scene.cracks[int(v * 16.0), int(u * 16.0)] < scene.progress:
                r, g, b = 0.35 * r, 0.35 * g, 0.35 * b
    ax, ay, az = x + nx, y + ny, z + nz
    openness = _openness(tops, ax, ay, az)
    ambient = (1.0 - scene.sunlight) * AMBIENT[face] * openness
    if scene.lamp > 0.0 and openness < 1.0:
        ambient = max(ambient, AMBIENT[face] * scene.lamp * math.exp(-t / 9.0))
    ambient *= 1.0 - scene.occlusion * _occlusion(blocks, ax, ay, az, face, u, v)
    facing = nx * sx + ny * sy + nz * sz
    lit = 0
    if facing > 0.0 and sunlit(grid, hx + nx * 1e-3, hy + ny * 1e-3, hz + nz * 1e-3, sx, sy, sz):
        lit = 1
    sun = scene.sunlight * min(1.0, facing / sy) * lit
    return r * (0.96 * ambient + 1.04 * sun), g * (ambient + sun), b * (1.05 * ambient + 0.93 * sun), lit


@kernel
def colour_of_ray(
    grid: Any,
    scene: Any,
    pixel: float,
    ox: float,
    oy: float,
    oz: float,
    dx: float,
    dy: float,
    dz: float,
) -> tuple[float, float, float, float, int]:
    """What a ray from o in unit direction d sees.

    Returns:
        (r, g, b, depth, key): colour in [0, 1], distance to the first surface, water's included (`scene.far` for
        none), and an integer that differs between pixels across which a picture has an edge.
    """
    t, x, y, z, face, block, part, wet, wave = trace(grid, ox, oy, oz, dx, dy, dz, scene.far, True)
    fog_r, fog_g, fog_b = sky(scene, dx, dy, dz)
    if face == NOTHING:
        r, g, b, key = heavens(scene, ox, oy, oz, dx, dy, dz)
    else:
        r, g, b, lit = surface(grid, scene, pixel, ox, oy, oz, dx, dy, dz, t, x, y, z, face, block, part)
        plane = x if face < 2 else y if face < 4 else z
        if face == SPRITE_FACE:
            plane = x + 37 * z + (1000 if part > 0.0 else 0)
        key = 4 + lit + 2 * face + 32 * block + 2048 * (plane + 4096)
        fog = min(max((t - scene.fog_start) / (scene.far - scene.fog_start), 0.0), 1.0)
        fog *= fog * (3.0 - 2.0 * fog)
        if wave < 0.0:
            r, g, b = r + (fog_r - r) * fog, g + (fog_g - g) * fog, b + (fog_b - b) * fog
    if wave < 0.0:
        return r, g, b, t, key
    deep_r, deep_g, deep_b = scene.water[0], scene.water[1], scene.water[2]
    clear = math.exp(-wet / scene.clarity) if face != NOTHING or wave == 0.0 else 0.0
    r, g, b = deep_r + (r - deep_r) * clear, deep_g + (g - deep_g) * clear, deep_b + (b - deep_b) * clear
    if wave == 0.0:
        return r, g, b, t, key
    mirror = 0.12 + 0.55 * (1.0 - abs(dy)) ** 4
    sky_r, sky_g, sky_b = sky(scene, dx, abs(dy), dz)
    r, g, b = r + (sky_r - r) * mirror, g + (sky_g - g) * mirror, b + (sky_b - b) * mirror
    fog = min(max((wave - scene.fog_start) / (scene.far - scene.fog_start), 0.0), 1.0)
    fog *= fog * (3.0 - 2.0 * fog)
    r, g, b = r + (fog_r - r) * fog, g + (fog_g - g) * fog, b + (fog_b - b) * fog
    return r, g, b, wave, key | (1 << 40)
