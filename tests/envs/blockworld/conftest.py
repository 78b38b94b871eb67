"""A meadow, and a plain of stone."""

import pytest

import envs  # noqa: F401  registers the ids
from envs.blockworld.blocks import IDS
from envs.blockworld.grid import measure, new_grid
from tests.envs.blockworld.worlds import FLOOR, make


@pytest.fixture(scope="module")
def meadow():
    return make(world_seed=7)


@pytest.fixture
def plain():
    """A floor of stone whose upper face is at y = FLOOR."""
    grid = new_grid()
    grid.blocks[:, :, :FLOOR] = IDS["stone"]
    measure(grid)
    return grid
