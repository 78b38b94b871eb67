"""A rendered world that tells where one stands by its colours, and a tiny checkpoint with clips recorded in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import conditions
from player.game import Game
from player.worlds import World, open_world
from tests.tiny import SIZE, tiny_config
from worldmodel import WorldModel
from worldmodel.data.clips import Clip

FPS = 100.0
PATCH = "tests/Patch-v0"
START_ACTIONS = 4


class Patch(gymnasium.Env[np.ndarray, dict[str, Any]]):
    """Red: steps forward. Green: degrees turned. Blue: the seed. It ends after `length` steps, if that is given."""

    metadata = {"render_modes": [], "render_fps": FPS}

    def __init__(self, size: int = SIZE, length: int | None = None) -> None:
        self.observation_space = spaces.Box(0, 255, (size, size, 3), np.uint8)
        self.action_space = spaces.Dict({name: conditions.space(name) for name in ("keyboard", "camera")})
        self.length = length

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.place = [0.0, 0.0, float(seed or 0)]
        self.steps = 0
        return self.frame(), {}

    def step(self, action: dict[str, Any]) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.place[0] += action.get("keyboard", {}).get("forward", 0)
        self.place[1] += float(action.get("camera", (0, 0))[1])
        self.steps += 1
        return self.frame(), 0.0, self.steps == self.length, False, {}

    def frame(self) -> np.ndarray:
        colour = np.array(self.place).round().astype(np.uint8)
        return np.broadcast_to(colour, self.observation_space.shape).copy()


gymnasium.register(PATCH, Patch)


def place(frame: np.ndarray) -> tuple[int, ...]:
    """Where a frame of Patch was seen from: steps forward, degrees turned, seed."""
    assert (frame == frame[0, 0]).all(), "not a frame of one colour"
    return tuple(frame[0, 0].tolist())


def record_start(index: int) -> Clip:
    """A clip of Patch: so many steps forward, turning by its own number of degrees in each."""
    world = Patch()
    action = {"keyboard": {"forward": 1}, "camera": [0.0, float(index + 1)]}
    frames = [world.reset(seed=index)[0], *(world.step(action)[0] for _ in range(START_ACTIONS))]
    keyboard, camera = [action["keyboard"]] * START_ACTIONS, [action["camera"]] * START_ACTIONS
    meta = {"fps": FPS, "world": PATCH, "world_kwargs": {"size": SIZE}, "seed": index}
    return Clip(f"start-{index}", np.stack(frames), {"keyboard": keyboard, "camera": camera}, meta)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny world with random weights and three starting clips."""
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    config = tiny_config()
    config.frame.fps = FPS
    WorldModel(config).save_pretrained(folder, starts=[record_start(index) for index in range(3)])
    return folder


@pytest.fixture
def generated(checkpoint: Path) -> World:
    return open_world("worldmodel/Generated-v0", {"checkpoint": str(checkpoint)})


@pytest.fixture
def game(generated: World) -> Game:
    """The generated world, at its first start, with Patch behind it."""
    return Game(generated, start=0)
