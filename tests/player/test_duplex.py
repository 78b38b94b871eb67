"""Two heads in conversation."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import conditions
from player.duplex import Duplex
from player.worlds import WorldError, open_world
from tests.player.conftest import PATCH


class Ear(gymnasium.Env[np.ndarray, dict[str, Any]]):
    """Red: how loud it speaks. Green: how loud the other one does. Blue: the seed."""

    metadata = {"render_modes": [], "render_fps": 12.5}
    delay = 2

    def __init__(self, size: int = 16) -> None:
        self.observation_space = spaces.Box(0, 255, (size, size, 3), np.uint8)
        self.action_space = spaces.Dict({name: conditions.space(name) for name in ("audio", "listen", "text")})

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.blue, self.options = seed or 0, options
        return self.frame({}), {}

    def step(self, action: dict[str, Any]) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return self.frame(action), 0.0, False, action.get("text") == "end", {"text": action.get("text")}

    def frame(self, action: dict[str, Any]) -> np.ndarray:
        loud = [255 * np.abs(action[name]).max() if name in action else 0 for name in ("audio", "listen")]
        return np.broadcast_to(np.array((*loud, self.blue), np.uint8), self.observation_space.shape).copy()


def tone(level: float) -> np.ndarray:
    return np.full(1280, level, np.float32)


def test_each_hears_what_the_other_says() -> None:
    pair = Duplex(Ear(), Ear())
    first, _ = pair.reset(seed=7, options={"left": {"a": 1}})
    assert first.shape == (16, 32, 3) and first.shape == pair.observation_space.shape
    assert (first[0, 0, 2], first[0, -1, 2]) == (7, 8)
    assert (pair.left.unwrapped.options, pair.delay) == ({"a": 1}, 2)  # type: ignore[attr-defined]
    frame, _, terminated, truncated, info = pair.step({"audio": tone(1.0), "listen": tone(0.2), "text": "calm"})
    assert frame[0, 0].tolist() == [255, 51, 7] and frame[0, -1].tolist() == [51, 255, 8]
    assert info["left"]["text"] == info["right"]["text"] == "calm" and not terminated and not truncated
    frame, *_ = pair.step({"audio": tone(1.0)})
    assert frame[0, 0].tolist() == [255, 0, 7] and frame[0, -1].tolist() == [0, 255, 8]
    assert pair.step({"text": "end"})[3]
    pair.close()


def test_worlds_that_cannot_talk_to_each_other() -> None:
    with pytest.raises(WorldError, match="need the conditions audio and listen, this world has camera, keyboard"):
        Duplex(open_world(PATCH, {}), open_world(PATCH, {}))
    with pytest.raises(WorldError, match="one kind and size"):
        Duplex(Ear(), Ear(32))
