"""The land: biomes, and what is kept of it beside the blocks."""

import numpy as np
import pytest

import envs  # noqa: F401  registers the ids
from envs.blockworld.biomes import BIOMES, mix_of
from envs.blockworld.blocks import IDS
from envs.blockworld.grid import SIZE, measure, set_block
from envs.blockworld.terrain import generate
from tests.envs.blockworld.worlds import make


def test_world_wraps_without_a_seam():
    for biome in ("meadow", "default"):
        tops = generate(3, biome).tops.astype(int)
        inside = np.abs(np.diff(tops, axis=0)).mean()
        assert np.abs(tops[0] - tops[-1]).mean() < 2 * inside + 0.5
        assert np.abs(tops[:, 0] - tops[:, -1]).mean() < 2 * inside + 0.5


def test_tops_and_tiles_follow_edits():
    grid = generate(3, "meadow")
    generator = np.random.default_rng(1)
    for _ in range(200):
        x, z, y = (int(v) for v in generator.integers((-SIZE, -SIZE, 1), (SIZE, SIZE, 64)))
        set_block(grid, x, y, z, int(generator.integers(2) * IDS["stone"]))
    tops, tiles, ceiling = grid.tops.copy(), grid.tiles.copy(), grid.ceiling
    measure(grid)
    assert (tops == grid.tops).all() and (tiles == grid.tiles).all() and ceiling >= grid.ceiling


def test_default_world_has_what_it_promises():
    blocks = generate(1, "default").blocks
    present = set(np.unique(blocks))
    wanted = "water sand grass snowy_grass snow stone oak_log oak_leaves spruce_leaves cactus coal_ore diamond_ore"
    assert {IDS[name] for name in wanted.split()} <= present
    below = blocks[:, :, 3:15]
    assert 0.01 < (below == 0).mean() < 0.3  # caves
    wet = blocks == IDS["water"]
    assert not (wet[:, :, 1:] & (blocks[:, :, :-1] == 0)).any()  # no water hangs in the air


@pytest.mark.parametrize("biome", [*BIOMES, {"desert": 1, "forest": 3.0}])
def test_biomes_give_a_start_on_open_ground(biome):
    env = make(biome=biome, size=32)
    for seed in range(2):
        _, info = env.reset(seed=seed)
        x, y, z = (int(v) for v in np.floor(info["position"]))
        column = env._grid.blocks[x % SIZE, z % SIZE]
        assert column[y - 1] in (IDS["grass"], IDS["sand"], IDS["snowy_grass"]) and (column[y:] == 0).all()


def test_mix_is_shares():
    assert mix_of({"desert": 1, "forest": 3.0}).tolist() == [0.0, 0.75, 0.25, 0.0, 0.0]
    assert mix_of("default").sum() == pytest.approx(1.0)
