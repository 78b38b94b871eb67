"""Rays against a slow walk through every cell."""

import numpy as np
import pytest

from envs.blockworld.blocks import CUBE_KIND, IDS, KIND, WATER_KIND
from envs.blockworld.grid import HEIGHT, MASK, set_block
from envs.blockworld.march import NOTHING, sunlit, trace
from envs.blockworld.terrain import generate

FAR = 60.0


def walk(grid, origin, direction, far):
    """What `trace` returns without plants, from all planes that the ray crosses: (t, cell, face, block, wet)."""
    crossings = []
    for axis in range(3):
        if direction[axis] == 0.0:
            continue
        ends = sorted((origin[axis], origin[axis] + far * direction[axis]))
        planes = np.arange(np.ceil(ends[0]), np.floor(ends[1]) + 1)
        face = 2 * axis + (direction[axis] < 0)
        crossings += [((plane - origin[axis]) / direction[axis], face) for plane in planes]
    crossings = [(0.0, NOTHING), *sorted(c for c in crossings if 0.0 < c[0] < far)]
    wet = 0.0
    for number, (t, face) in enumerate(crossings):
        leave = crossings[number + 1][0] if number + 1 < len(crossings) else far
        cell = np.floor(np.add(origin, np.multiply(direction, 0.5 * (t + leave)))).astype(int)
        if not 0 <= cell[1] < HEIGHT:
            continue
        block = int(grid.blocks[cell[0] & MASK, cell[2] & MASK, cell[1]])
        if KIND[block] == WATER_KIND:
            wet += leave - t
        elif KIND[block] == CUBE_KIND and t > 0.0:
            return t, tuple(cell), face, block, wet
    return far, None, NOTHING, 0, wet


def rays(grid, count, seed):
    """Eyes above the ground, in water and under trees; directions all around, some along an axis."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        x, z = rng.uniform(0, 512, 2)
        y = float(grid.tops[int(x), int(z)]) + rng.uniform(-2.0, 12.0)
        direction = rng.normal(size=3) * (1.0, 0.5, 1.0)
        if number % 10 == 0:
            direction[rng.integers(3)] = 0.0
        if number % 25 == 0:
            direction = np.eye(3)[rng.integers(3)] * rng.choice([-1, 1])
        yield (x, y, z), tuple(direction / np.linalg.norm(direction))


@pytest.mark.parametrize("biome", ["meadow", "default"])
def test_a_ray_meets_what_a_slow_walk_meets(biome):
    grid = generate(3, biome)
    for x in range(40, 60):  # a roof on pillars: rays pass over it, under it and end in it
        for z in range(40, 60):
            set_block(grid, x, int(grid.tops.max()), z, IDS["stone"])
    met = wet = 0
    for origin, direction in rays(grid, 1500, seed=5):
        t, x, y, z, face, block, _, depth, _ = trace(grid, *origin, *direction, FAR, False)
        true_t, cell, true_face, true_block, true_wet = walk(grid, origin, direction, FAR)
        assert (face, block) == (true_face, true_block), (origin, direction)
        assert t == pytest.approx(true_t, abs=1e-6)
        if cell is not None:
            assert (x, y, z) == cell, (origin, direction)
            assert depth == pytest.approx(true_wet, abs=1e-6)
        met, wet = met + (cell is not None), wet + (true_wet > 0.0)
    assert 250 < met < 1450
    assert wet > 15 or biome == "meadow"


def test_a_point_is_lit_where_a_slow_walk_past_plants_meets_nothing():
    grid = generate(3, "default")
    sun = np.array([0.45, 0.75, 0.35])
    sun = tuple(sun / np.linalg.norm(sun))
    lit = 0
    for origin, _ in rays(grid, 800, seed=6):
        expected = walk(grid, origin, sun, 300.0)[1] is None
        assert sunlit(grid, *origin, *sun) == expected, origin
        lit += expected
    assert 80 < lit < 760


def test_plants_are_met_before_what_is_behind_them():
    grid = generate(3, "meadow")
    plants = 0
    for origin, direction in rays(grid, 10_000, seed=7):
        near = trace(grid, *origin, *direction, FAR, True)[0]
        behind = trace(grid, *origin, *direction, FAR, False)[0]
        assert near <= behind
        plants += near < behind
    assert plants > 20
