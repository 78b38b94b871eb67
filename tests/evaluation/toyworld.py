"""A rendered world of a few lines: turning moves a pattern sideways, walking moves it up. Registers `tests/Toy-v0`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

import conditions
from worldmodel.data.clip_writer import ClipWriter
from worldmodel.data.clips import Clip
from worldmodel.evaluation.scripts import Action, held_actions, idle, random_play

SIZE = 16
FPS = 20.0
STEP = 0.25  # blocks
PX_PER_DEGREE = 0.25
PX_PER_BLOCK = 4.0


class Toy(gymnasium.Env[np.ndarray, dict[str, Any]]):
    """Sees a window of a large repeating pattern of coloured blocks, three pixels a side."""

    metadata = {"render_modes": [], "render_fps": 20}

    def __init__(self, size: int = SIZE) -> None:
        self.observation_space = spaces.Box(0, 255, (size, size, 3), np.uint8)
        self.action_space = spaces.Dict(
            {"keyboard": conditions.space("keyboard"), "camera": conditions.space("camera")}
        )
        self.size = size

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        pattern = np.random.default_rng(seed).integers(0, 256, (24, 30, 3), dtype=np.uint8)
        self.pattern = pattern.repeat(3, axis=0).repeat(3, axis=1)  # 90 pixels are a whole turn
        self.yaw, self.walked = 0.0, 0.0
        return self._see()

    def step(self, action: Action) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.yaw += float(np.asarray(action.get("camera", (0, 0)))[1])
        keys = action.get("keyboard", {})
        self.walked += STEP * (keys.get("forward", 0) - keys.get("back", 0))
        return (frame := self._see())[0], 0.0, False, False, frame[1]

    def _see(self) -> tuple[np.ndarray, dict[str, Any]]:
        rows = (np.arange(self.size) + round(self.walked * PX_PER_BLOCK)) % self.pattern.shape[0]
        columns = (np.arange(self.size) + round(self.yaw * PX_PER_DEGREE)) % self.pattern.shape[1]
        return self.pattern[np.ix_(rows, columns)], {"position": [0.0, 64.0, self.walked], "yaw": self.yaw}


if "tests/Toy-v0" not in gymnasium.registry:
    gymnasium.register(id="tests/Toy-v0", entry_point="tests.evaluation.toyworld:Toy")


def play(seed: int, script: list[Action]) -> Clip:
    """A clip of the toy world under a script."""
    env = Toy()
    frame, info = env.reset(seed=seed)
    frames, positions = [frame], [info["position"]]
    for action in script:
        frame, _, _, _, info = env.step(action)
        frames.append(frame)
        positions.append(info["position"])
    columns = {name: [action[name] for action in script] for name in ("keyboard", "camera")}
    meta = {"fps": FPS, "world": "tests/Toy-v0", "world_kwargs": {}, "seed": seed, "info": {"position": positions}}
    return Clip(f"{seed:06d}", np.stack(frames), columns, meta)


def write_clips(folder: Path, count: int, frames: int, still: bool = False) -> Path:
    """A clip set of `count` toy worlds: under random play, every other one under held actions; or under no input."""
    with ClipWriter(folder / "shard-000000.tar") as writer:
        for seed in range(count):
            rng = np.random.default_rng(seed)
            script = held_actions(rng, 17, 4)[0] if seed % 2 else random_play(rng, frames - 1)
            writer.write(play(seed, idle(frames - 1) if still else script[: frames - 1]))
    return folder
