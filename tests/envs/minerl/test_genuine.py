"""MineRL itself, where MINERL_PYTHON names an interpreter that has it: its spaces, and its own imitation of a game."""

from __future__ import annotations

import os
import subprocess

import pytest

import envs  # noqa: F401  registers the ids
from conditions.keyboard import KEYS
from envs.minerl.env import MineRL
from tests.envs.minerl.games import SIMPLE, interpreter


@pytest.fixture(scope="module")
def genuine(tmp_path_factory: pytest.TempPathFactory) -> str:
    """MineRL's interpreter, which finds a module that registers MineRL's own imitation of a game."""
    path = os.environ.get("MINERL_PYTHON")
    if not path:
        pytest.skip("MINERL_PYTHON names no interpreter with MineRL (docs/minerl.md)")
    done = subprocess.run([path, "-c", "import minerl"], capture_output=True, text=True, timeout=200)
    if done.returncode:
        pytest.skip(f"{path} cannot import minerl: {done.stderr[-300:]}")
    folder = tmp_path_factory.mktemp("genuine")
    (folder / "imitation.py").write_text(
        "from minerl.herobraine.env_specs.navigate_specs import Navigate\n"
        "Navigate(dense=False, extreme=False).register(fake=True)\n"
    )
    return interpreter(folder, path, folder)


def test_the_genuine_spaces(genuine: str) -> None:
    for environment in ("MineRLTreechop-v0", "MineRLNavigate-v0", "MineRLBasaltFindCave-v0"):
        env = MineRL(python=genuine, environment=environment)
        keys = list(env.action_space["keyboard"].spaces)
        assert keys[: len(SIMPLE)] == SIMPLE and env.observation_space.shape in ((64, 64, 3), (360, 640, 3))
        assert ("use" in keys) == ("Basalt" in environment) and not set(env.unmapped) & set(KEYS)
        env.close()


def test_the_genuine_imitation_of_a_game(genuine: str) -> None:
    env = MineRL(python=genuine, environment="imitation:FakeMineRLNavigate-v0", size=32)
    frame, info = env.reset(seed=1)
    assert frame.shape == (32, 32, 3) and frame.std() > 5 and info["inventory"] == {"dirt": 0}
    for _ in range(3):
        frame, reward, terminated, truncated, info = env.step({"keyboard": {"forward": 1}, "camera": [1.0, -2.0]})
    assert (reward, terminated, truncated) == (0.0, False, False) and -180 <= info["compass"]["angle"] <= 180
    env.close()
    assert env.failures == {}
