"""A worker that has MineRL's spaces and manners and no game behind them, and interpreters that find it."""

from __future__ import annotations

import os
from pathlib import Path

import gymnasium

import envs  # noqa: F401  registers the ids
from envs.minerl.env import MineRL
from tests.envs import processes

ROOT = Path(__file__).parents[3]
FAKE = Path(__file__).parent / "fake"
WORLD = "worldmodel/MineRL-v0"
SIMPLE = ["forward", "back", "left", "right", "jump", "sneak", "sprint", "attack"]
OLD_GYMS = [path for path in os.environ.get("MINERL_TEST_PYTHONS", "").split(":") if path]


def program(path: Path, body: str) -> str:
    path.write_text(body)
    path.chmod(0o755)
    return str(path)


def interpreter(folder: Path, path: str, *packages: Path) -> str:
    """An interpreter that finds these packages too."""
    places = ":".join(map(str, packages))
    return program(folder / "python", f'#!/bin/sh\nPYTHONPATH={places}:$PYTHONPATH exec {path} "$@"\n')


def make(made: list[MineRL], python: str, environment: str, **kwargs: object) -> MineRL:
    kwargs = {"patience_s": 60.0, "start_patience_s": 120.0, **kwargs}
    env = gymnasium.make(WORLD, environment=environment, python=python, disable_env_checker=True, **kwargs).unwrapped
    assert isinstance(env, MineRL)
    made.append(env)
    return env


def folders() -> set[Path]:
    return processes.folders("worldmodel-minerl-*")
