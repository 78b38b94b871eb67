"""Hashes and gradient noise that repeat every `period` lattice cells, so a world can wrap without a seam."""

import math
from typing import Any

import numpy as np

from envs.blockworld.jit import kernel


@kernel
def hash3(x: int, y: int, z: int, seed: int) -> Any:
    """A 32-bit hash of three integers and a seed, as a non-negative int."""
    h = np.uint32(x) * np.uint32(0x8DA6B343) ^ np.uint32(y) * np.uint32(0xD8163841)
    h = np.uint32(h) ^ np.uint32(z) * np.uint32(0xCB1AB31F) ^ np.uint32(seed) * np.uint32(0x9E3779B1)
    h = np.uint32(h ^ (h >> np.uint32(16))) * np.uint32(0x7FEB352D)
    h = np.uint32(h)
    h = np.uint32(h ^ (h >> np.uint32(15))) * np.uint32(0x846CA68B)
    h = np.uint32(h)
    return np.int64(np.uint32(h ^ (h >> np.uint32(16))))


@kernel
def uniform(x: int, y: int, z: int, seed: int) -> float:
    """A hash in [0, 1)."""
    return hash3(x, y, z, seed) / 4294967296.0


@kernel
def _gradient2(
    ix: int,
    iz: int,
    dx: float,
    dz: float,
    period: int,
    seed: int,
) -> float:
    angle = uniform(ix % period, 0, iz % period, seed) * (2.0 * math.pi)
    return math.cos(angle) * dx + math.sin(angle) * dz


@kernel
def noise2(x: float, z: float, period: int, seed: int) -> float:
    """Perlin noise of the plane, about [-1, 1], repeating every `period` units in x and z."""
    fx, fz = math.floor(x), math.floor(z)
    ix, iz = int(fx), int(fz)
    u, v = x - fx, z - fz
    su, sv = u * u * u * (u * (u * 6 - 15) + 10), v * v * v * (v * (v * 6 - 15) + 10)
    a = _gradient2(ix, iz, u, v, period, seed)
    b = _gradient2(ix + 1, iz, u - 1, v, period, seed)
    c = _gradient2(ix, iz + 1, u, v - 1, period, seed)
    d = _gradient2(ix + 1, iz + 1, u - 1, v - 1, period, seed)
    top, bottom = a + su * (b - a), c + su * (d - c)
    return (top + sv * (bottom - top)) * 1.5


@kernel
def fractal2(x: float, z: float, period: int, octaves: int, seed: int) -> float:
    """`octaves` layers of `noise2`, each twice as fine and half as strong as the one before."""
    total, weight = 0.0, 1.0
    for octave in range(octaves):
        total += weight * noise2(x, z, period, seed + octave * 101)
        x, z, period, weight = x * 2, z * 2, period * 2, weight * 0.5
    return total


@kernel
def _gradient3(
    ix: int,
    iy: int,
    iz: int,
    dx: float,
    dy: float,
    dz: float,
    period: int,
    seed: int,
) -> float:
    """Perlin's twelve edge directions."""
    h = hash3(ix % period, iy, iz % period, seed) & 15
    u = dx if h < 8 else dy
    v = dy if h < 4 else (dx if h == 12 or h == 14 else dz)
    return (u if h & 1 == 0 else -u) + (v if h & 2 == 0 else -v)


@kernel
def noise3(x: float, y: float, z: float, period: int, seed: int) -> float:
    """Perlin noise of space, about [-1, 1], repeating every `period` units in x and z."""
    fx, fy, fz = math.floor(x), math.floor(y), math.floor(z)
    ix, iy, iz = int(fx), int(fy), int(fz)
    u, v, w = x - fx, y - fy, z - fz
    su, sv, sw = u * u * (3 - 2 * u), v * v * (3 - 2 * v), w * w * (3 - 2 * w)
    total = 0.0
    for i in range(2):
        for j in range(2):
            for k in range(2):
                weight = (su if i else 1 - su) * (sv if j else 1 - sv) * (sw if k else 1 - sw)
                total += weight * _gradient3(ix + i, iy + j, iz + k, u - i, v - j, w - k, period, seed)
    return total
