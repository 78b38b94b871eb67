"""Worlds small enough to record in a test; each frame shows the action that led to it."""

from __future__ import annotations

import time
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

import conditions


class FakeWorld(gymnasium.Env):
    """Red says whether forward was down in the step before, green how fast the view turned, blue which seed it is.

    Args:
        size: of the frame, in pixels.
        delay: seconds a step takes.
        ends_after: steps until the episode ends, 0 for never.
        keys: of the keyboard; the default ones when None.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}

    def __init__(
        self, size: int = 16, delay: float = 0.0, ends_after: int = 0, keys: list[str] | None = None, told: bool = True
    ) -> None:
        self.size, self.delay, self.ends_after = size, delay, ends_after
        configs: dict[str, Any] = {"keyboard": {"keys": keys}} if keys else {}
        if told:
            self.condition_configs = configs
        names = ("keyboard", "camera")
        self.action_space = spaces.Dict([(name, conditions.space(name, configs.get(name))) for name in names])
        self.observation_space = spaces.Box(0, 255, (size, size, 3), np.uint8)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.blue = int(self.np_random.integers(256))
        self.position = np.zeros(3)
        self.steps = 0
        return self._frame(0, 0.0), self._info()

    def step(self, action: dict) -> tuple[np.ndarray, float, bool, bool, dict]:
        time.sleep(self.delay)
        self.steps += 1
        self.position = self.position + [action["keyboard"].get("forward", 0), 0, 0]
        frame = self._frame(action["keyboard"].get("forward", 0), float(action["camera"][1]))
        return frame, 0.0, self.steps == self.ends_after, False, self._info()

    def _frame(self, forward: int, yaw: float) -> np.ndarray:
        colour = (50 + 150 * forward, 128 + 5 * yaw, self.blue)
        return np.broadcast_to(np.clip(colour, 0, 255).astype(np.uint8), (self.size, self.size, 3)).copy()

    def _info(self) -> dict[str, Any]:
        return {"position": self.position, "note": "not a number"}


gymnasium.register("Fake-v0", entry_point=FakeWorld)
