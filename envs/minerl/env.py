"""`worldmodel/MineRL-v0`: Minecraft as a Gymnasium environment."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from PIL import Image

import conditions
from conditions.keyboard import KEYS
from conditions.values import nearest
from envs.actions import complete
from envs.errors import GameError
from envs.minerl.game import Game, find_python

STARTS = 2  # attempts to start a game that dies or draws nothing
BLANK_STEPS = 40  # that a game may take until it has drawn something
PLACE = ("xpos", "ypos", "zpos")


class MineRL(gymnasium.Env[NDArray[np.uint8], dict[str, Any]]):
    """Minecraft at 20 Hz, as MineRL 0.4 and 1.0 offer it, run by an interpreter of its own.

    `step` takes a dict of `keyboard` (dict of keys) and `camera` ([pitch, yaw] degrees of this step; pitch > 0 looks
    down, yaw > 0 turns right); names and keys that are left out do nothing. The keyboard has the keys that the
    environment has; what else that takes (`craft`, `place`, `inventory`, …) is left at its no-op.

    An action at t produces frame t + 1: MineRL waits for the game. A seed is passed on to it and chooses the land; two
    episodes of one seed need not be equal, for the game runs in threads of its own. An environment that takes no seed
    warns when it is given one.

    Attributes:
        condition_configs: the camera's, and the keyboard's where the environment lacks keys of the default one.
        unmapped: actions of the environment that are left at their no-op.
        failures: how often a game did not start or was lost, by kind; see GameError.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}

    def __init__(
        self,
        environment: str = "MineRLTreechop-v0",
        size: int | tuple[int, int] | None = None,
        python: str | None = None,
        patience_s: float = 120.0,
        start_patience_s: float = 900.0,
        render_mode: str | None = "rgb_array",
    ) -> None:
        """Starts MineRL's interpreter and makes the environment in it; the game is started by the first `reset`.

        Args:
            environment: a MineRL id, or "module:id", which imports the module first.
            size: Frame as (height, width) or one side, in pixels, each the mean of the area that it covers; by default
                the environment's own.
            python: MineRL's interpreter; by default that of the environment variable MINERL_PYTHON.
            patience_s: How long a step may take before the game counts as hung.
            start_patience_s: The same of making the environment and of a reset, each of which may start a game.
            render_mode: "rgb_array" or None.

        Raises:
            ValueError: For a value outside these bounds, or an environment that there is not or that cannot be walked
                about in.
            GameError: If the interpreter is missing, does not run, or cannot import MineRL.
        """
        sides = (size, size) if isinstance(size, int) else None if size is None else tuple(size)
        if sides is not None and (
            len(sides) != 2 or not all(isinstance(side, int) and 16 <= side <= 2048 for side in sides)
        ):
            raise ValueError(f"size must be (height, width) of 16 to 2048 pixels, got {size!r}")
        for name, seconds in (("patience_s", patience_s), ("start_patience_s", start_patience_s)):
            if not seconds > 0:
                raise ValueError(f"{name} must be above 0, got {seconds!r}")
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode must be 'rgb_array' or None, got {render_mode!r}")
        self.render_mode = render_mode
        self.failures: dict[str, int] = {}
        self._start = (find_python(python), environment, float(patience_s), float(start_patience_s))
        self._game: Game | None = Game(*self._start)
        layout = self._game.layout
        self._seeds, self.unmapped = layout.seeds, layout.others
        self._size = sides or (layout.height, layout.width)
        self._frame = np.zeros((*self._size, 3), np.uint8)
        self._over = True
        self.condition_configs: dict[str, dict[str, Any]] = {"camera": {"level": True}}  # where info has "pitch"
        if layout.keys != KEYS:
            self.condition_configs["keyboard"] = {"keys": list(layout.keys)}
        self.observation_space = spaces.Box(0, 255, self._frame.shape, np.uint8)
        self.action_space = spaces.Dict(
            {
                "keyboard": conditions.space("keyboard", self.condition_configs.get("keyboard")),
                "camera": conditions.space("camera"),
            }
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Begins an episode, in a land that the environment chooses by its seed.

        Args:
            seed: Passed on to MineRL; without one, a seed is drawn that follows from the last one given.
            options: none are known.

        Returns:
            The frame [H, W, 3] uint8 and info: all that the environment tells besides its picture, by MineRL's names
            (`inventory`, `equipped_items`, `compass`, `location_stats`, …) as numbers, text and dicts of them, of more
            than 100 counts those that are not 0; where it tells its place, "position" [3] float64 in blocks and "yaw"
            and "pitch" in degrees; "wall_ms"; "num_failures".

        Raises:
            ValueError: For an option.
            GameError: If the game does not start.
        """
        super().reset(seed=seed)
        began = time.perf_counter()
        for name in options or {}:
            raise ValueError(f"unknown reset option {name!r}{nearest(name, ())}")
        if seed is not None and not self._seeds:
            gymnasium.logger.warn(f"{self._start[1]} takes no seed: it begins anywhere")
        drawn = int(self.np_random.integers(2**31)) if seed is None else seed
        for attempt in range(STARTS):
            try:
                told = self._begin(drawn if self._seeds else None)
                break
            except GameError as error:
                self._lose(error)
                if attempt + 1 == STARTS or error.kind not in ("died", "blank"):
                    raise
        self._over = False
        return self._frame.copy(), self._info(told, began)

    def step(self, action: Mapping[str, Any]) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Lives through 50 ms of the game.

        Args:
            action: "keyboard" and "camera" as in `action_space`; either may be missing or None, and so may keys.

        Returns:
            Frame [H, W, 3] uint8, the environment's reward, whether the episode ended, whether it was cut off for its
            length, info as from `reset`.

        Raises:
            ValueError: For an unknown name or key, or a value outside its space.
            GameError: If the game is lost, or the episode is over; `reset` begins another.
        """
        began = time.perf_counter()
        action = complete(self.action_space, action)
        if self._game is None or self._over:
            raise GameError("refused", "there is no episode: call reset first")
        try:
            reply = self._game.step(
                [key for key, held in action["keyboard"].items() if held], action["camera"].tolist()
            )
        except GameError as error:
            self._lose(error)
            raise
        self._see(self._game)
        self._over = reply["terminated"] or reply["truncated"]
        info = self._info(reply["told"], began)
        return self._frame.copy(), reply["reward"], reply["terminated"], reply["truncated"], info

    def render(self) -> NDArray[np.uint8] | None:
        """The current frame, [H, W, 3] uint8."""
        return self._frame.copy() if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Ends the game and its interpreter, and removes what they left."""
        game, self._game = self._game, None
        if game is not None:
            game.close()

    def _begin(self, seed: int | None) -> dict[str, Any]:
        """Starts an episode, and goes on until there is a picture."""
        if self._game is None:
            self._game = Game(*self._start)
        told = self._game.reset(seed)
        for _ in range(BLANK_STEPS):
            if self._game.picture.min() != self._game.picture.max():
                break
            told = self._game.step([], [0.0, 0.0])["told"]
        else:
            raise GameError("blank", f"the game draws nothing: {BLANK_STEPS} pictures are of one colour")
        self._see(self._game)
        return told

    def _lose(self, error: GameError) -> None:
        self.failures[error.kind] = self.failures.get(error.kind, 0) + 1
        self._over = True
        self.close()

    def _see(self, game: Game) -> None:
        self._frame = game.picture.copy()
        if self._frame.shape[:2] != self._size:
            image = Image.fromarray(self._frame).resize(self._size[::-1], Image.Resampling.BOX)
            self._frame = np.array(image)

    def _info(self, told: dict[str, Any], began: float) -> dict[str, Any]:
        place = told.get("location_stats", {})
        if all(name in place for name in PLACE):
            told["position"] = np.array([place[name] for name in PLACE], np.float64)
        told |= {name: float(place[name]) for name in ("yaw", "pitch") if name in place}
        seconds, failures = time.perf_counter() - began, sum(self.failures.values())
        return {**told, "wall_ms": seconds * 1000.0, "num_failures": failures}
