"""Interpreters and worlds.

MINERL_TEST_PYTHONS names interpreters, separated by colons, that have an old gym of their own: everything is run in
each.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

import envs  # noqa: F401  registers the ids
from envs.minerl.env import MineRL
from tests.envs.minerl.games import FAKE, OLD_GYMS, interpreter


@pytest.fixture(scope="module", params=[sys.executable, *OLD_GYMS])
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter with the old gym (one as small as it can be, where it has none) and the stand-in for MineRL."""
    folder = tmp_path_factory.mktemp("interpreter")
    if request.param == sys.executable:
        return interpreter(folder, request.param, FAKE)
    (folder / "minerl").symlink_to(FAKE / "minerl")
    return interpreter(folder, request.param, folder)


@pytest.fixture
def made(python: str) -> Iterator[list[MineRL]]:
    """Filled by `make`, and closed."""
    made: list[MineRL] = []
    yield made
    for env in made:
        env.close()
