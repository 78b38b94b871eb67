"""Two talking heads in one picture, each listening to what the other says.

The pair is a world like any other: `audio` is the voice of the left one, `listen` that of the right one, and each
hears them the other way round. Whatever else an action has, both are told.

Shapes: H W pixels of one head.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from player.worlds import World, WorldError, action_space_of, delay_of, height_and_width

PAIR = ("audio", "listen")


class Duplex(gymnasium.Env[NDArray[np.uint8], dict[str, Any]]):
    """Two worlds of one kind beside each other.

    Args:
        left, right: worlds whose actions have both voices, with equal spaces.

    Raises:
        WorldError: if they cannot talk to each other.
    """

    def __init__(self, left: World, right: World) -> None:
        space = action_space_of(left)
        for name in PAIR:
            if name not in space.spaces:
                raise WorldError(
                    f"two heads in a conversation need the conditions {' and '.join(PAIR)}, this world has "
                    f"{', '.join(space.spaces)}: leave --duplex out"
                )
        if space != right.action_space or height_and_width(left) != height_and_width(right):
            raise WorldError("two heads in a conversation must be worlds of one kind and size")
        self._worlds = (left, right)
        height, width = height_and_width(left)
        self.action_space = space
        self.observation_space = spaces.Box(0, 255, (height, 2 * width, 3), np.uint8)
        self.metadata = dict(left.metadata)

    @property
    def left(self) -> World:
        """The left one."""
        return self._worlds[0]

    @property
    def delay(self) -> int:
        """Frames from an action to the frame that it leads to, beyond the one of a step."""
        return delay_of(self._worlds[0])

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Begins both, the right one with the next seed.

        Args:
            seed: of the left one.
            options: {"left": options, "right": options} of each, both may be missing.

        Returns:
            The frames beside each other [H, 2 W, 3] uint8, and {"left": info, "right": info}.
        """
        super().reset(seed=seed)
        options = options or {}
        frames, infos = [], {}
        for offset, (side, world) in enumerate(zip(("left", "right"), self._worlds, strict=True)):
            frame, infos[side] = world.reset(seed=None if seed is None else seed + offset, options=options.get(side))
            frames.append(frame)
        return np.concatenate(frames, axis=1), infos

    def step(self, action: Mapping[str, Any]) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Both live through one frame.

        Args:
            action: as either takes it; `audio` is the left one's voice, `listen` the right one's.

        Returns:
            Frames beside each other [H, 2 W, 3] uint8, reward 0, whether one has ended, and both infos.
        """
        audio, listen = (action.get(name) for name in PAIR)
        frames, infos, terminated, truncated = [], {}, False, False
        voices = ((audio, listen), (listen, audio))
        for side, world, pair in zip(("left", "right"), self._worlds, voices, strict=True):
            own = {**action, **dict(zip(PAIR, pair, strict=True))}
            own = {name: value for name, value in own.items() if value is not None}
            frame, _, ended, cut, infos[side] = world.step(own)
            terminated, truncated = terminated or bool(ended), truncated or bool(cut)
            frames.append(frame)
        return np.concatenate(frames, axis=1), 0.0, terminated, truncated, infos

    def close(self) -> None:
        """Closes both."""
        for world in self._worlds:
            world.close()
