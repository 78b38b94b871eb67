"""`worldmodel/Luanti-v0`: a real voxel game as a Gymnasium environment."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

import conditions
from conditions.values import nearest
from envs.actions import complete
from envs.errors import GameError
from envs.luanti.game import PROGRAM, Game, Settings, find_program
from envs.luanti.settings import DEGREES_PER_PIXEL, SECONDS_PER_STEP

SPREAD = 200  # blocks from the world's middle within which a seed chooses a place
CANDIDATES = 200
MAX_PITCH = 89.5  # the game's own
STARTS = 3  # attempts to start a game that does not come up
STILL_STEPS, SETTLE_STEPS = 4, 80
STILL_S = 0.1  # which the threads that bring the land are given, too, before it counts as there
CALM_STEPS = 20  # until the sky's light, which follows the eye slowly, is that of the place
AROUND = 5  # directions looked at before a game begins, so that what is there is known


class Luanti(gymnasium.Env[NDArray[np.uint8], dict[str, Any]]):
    """The voxel game Luanti (Minetest 5.6), its unmodified program, at 20 Hz and in step.

    `step` takes a dict of `keyboard` (dict of keys) and `camera` ([pitch, yaw] degrees of this step; pitch > 0 looks
    down, yaw > 0 turns right); names and keys that are left out do nothing. The view turns by whole steps of 0.15
    degrees; what is left over is added to the next turn. `attack` digs the block in the middle of the view, `use`
    places the block of the `hotbar` slot chosen last.

    Between steps the game's clock stands still, and a step is 50 ms of it however long the machine takes: an action at
    t produces frame t + 1, always. `info["wall_ms"]` says how long it took.

    The land depends on `world_seed` alone, and the place in it on the seed given to `reset`; what was dug and placed is
    undone by `reset`. A reset within one game is a teleport.

    Attributes:
        failures: how often a game did not start or was lost, by kind; see errors.GameError.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}

    def __init__(
        self,
        size: int | tuple[int, int] = (128, 128),
        fov: float = 70.0,
        world_seed: int = 1,
        hour: float = 12.0,
        viewing_range: int = 80,
        display: str | None = None,
        program: str = PROGRAM,
        patience_s: float = 120.0,
        render_mode: str | None = "rgb_array",
    ) -> None:
        """Makes a world; the game is started by the first `reset`.

        Args:
            size: Frame as (height, width) or one side, in pixels, 64 to 2048.
            fov: Vertical field of view in degrees, 60 to 110.
            world_seed: Seed of the terrain.
            hour: Time of day, 0 to 24, at which the sun stands still.
            viewing_range: How far one sees, in blocks, 20 to 300.
            display: An X display such as ":0"; by default one without a screen is started.
            program: The game's program.
            patience_s: How long the game may take for a step before it counts as hung; three times that to start.
            render_mode: "rgb_array" or None.

        Raises:
            ValueError: For a value outside these bounds.
            GameError: If the game is not installed, or of another version.
        """
        sides = (size, size) if isinstance(size, int) else tuple(size)
        if len(sides) != 2 or not all(isinstance(side, int) and 64 <= side <= 2048 for side in sides):
            raise ValueError(f"size must be (height, width) of 64 to 2048 pixels, got {size!r}")
        if not 60.0 <= fov <= 110.0:
            raise ValueError(f"fov must be 60 to 110 degrees, got {fov!r}")
        if not isinstance(world_seed, (int, np.integer)) or not 0 <= world_seed < 2**63:
            raise ValueError(f"world_seed must be a whole number from 0, got {world_seed!r}")
        if not 0.0 <= hour <= 24.0:
            raise ValueError(f"hour must be 0 to 24, got {hour!r}")
        if not 20 <= viewing_range <= 300:
            raise ValueError(f"viewing_range must be 20 to 300 blocks, got {viewing_range!r}")
        if not patience_s > 0:
            raise ValueError(f"patience_s must be above 0, got {patience_s!r}")
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode must be 'rgb_array' or None, got {render_mode!r}")
        height, width = sides
        path = find_program(program)
        self._settings = Settings(
            height, width, float(fov), int(world_seed), float(hour), viewing_range, display, path, float(patience_s)
        )
        self.render_mode = render_mode
        self.failures: dict[str, int] = {}
        self._game: Game | None = None
        self._held: set[str] = set()
        self._yaw, self._pitch, self._owed = 0.0, 0.0, np.zeros(2)
        self._frame = np.zeros((height, width, 3), np.uint8)
        self.observation_space = spaces.Box(0, 255, (height, width, 3), np.uint8)
        self.condition_configs = {"camera": {"level": True}}  # as it is told by info["pitch"]
        self.action_space = spaces.Dict(
            {"keyboard": conditions.space("keyboard"), "camera": conditions.space("camera")}
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Puts the player on open ground, in a land as it was generated.

        Args:
            seed: Seed of the starting place.
            options: "position" ([x, y, z] of the feet), "yaw" and "pitch" (degrees) place the player; what is left
                out is chosen by the seed.

        Returns:
            The frame [H, W, 3] uint8 and info: "position" [3] float64 in blocks, with x as in Minecraft, where a yaw
            of 90 looks to -x; "yaw" and "pitch" in degrees; "events", a list of what was dug and placed in this step,
            {"kind", "position", "block"}; "num_dug" and "num_placed"; "wall_ms"; "num_failures".

        Raises:
            ValueError: For an unknown option, a value out of range, or a position inside blocks.
            GameError: If the game does not start, or is lost twice.
        """
        super().reset(seed=seed)
        began = time.perf_counter()
        options = {name: value for name, value in (options or {}).items() if value is not None}
        for name in options:
            if name not in ("position", "yaw", "pitch"):
                raise ValueError(f"unknown reset option {name!r}{nearest(name, ('position', 'yaw', 'pitch'))}")
        places = self.np_random.integers(-SPREAD, SPREAD, 2 * CANDIDATES)
        drawn = self.np_random.integers(-180, 180)
        yaw = _within(options, "yaw", float(drawn), 360.0)
        pitch = _within(options, "pitch", 0.0, MAX_PITCH)
        position = None if "position" not in options else _place(options["position"])
        for attempt in range(STARTS):
            try:
                game = self._started()
                if position is None:
                    position = self._find(game, places.tolist())
                self._settle(game, position, yaw, pitch)
                break
            except GameError as error:
                self._lose(error)
                if attempt + 1 == STARTS or error.kind in ("missing", "version", "display", "refused"):
                    raise
        self._see()
        return self._frame.copy(), self._info(time.perf_counter() - began)

    def step(self, action: Mapping[str, Any]) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Lives through 50 ms of the game.

        Args:
            action: "keyboard" and "camera" as in `action_space`; either may be missing or None, and so may keys.

        Returns:
            Frame [H, W, 3] uint8, reward 0, terminated False, truncated False, info as from `reset`.

        Raises:
            ValueError: For an unknown name or key, or a value outside its space.
            GameError: If the game is lost; `reset` starts another.
        """
        began = time.perf_counter()
        action = complete(self.action_space, action)
        if self._game is None:
            raise GameError("refused", "there is no game: call reset first")
        keys, (pitch, yaw) = action["keyboard"], action["camera"]
        try:
            self._turn(self._game, float(pitch), float(yaw), {key for key, held in keys.items() if held})
        except GameError as error:
            self._lose(error)
            raise
        self._see()
        return self._frame.copy(), 0.0, False, False, self._info(time.perf_counter() - began)

    def render(self) -> NDArray[np.uint8] | None:
        """The current frame, [H, W, 3] uint8."""
        return self._frame.copy() if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Ends the game and its display, and removes what they left."""
        game, self._game = self._game, None
        if game is not None:
            game.close()

    # placing

    def _started(self) -> Game:
        if self._game is None:
            self._game = Game(self._settings)
        return self._game

    def _lose(self, error: GameError) -> None:
        self.failures[error.kind] = self.failures.get(error.kind, 0) + 1
        self.close()

    def _find(self, game: Game, places: list[int]) -> tuple[float, float, float]:
        """Open ground at the first of some places (x, z, x, z, …) that has it, in the game's terms."""
        words = game.ask("find", 24, *places)
        if words[0] != "found":
            raise GameError("refused", f"no open ground in world_seed={self._settings.world_seed}: choose another")
        x, y, z = (float(word) for word in words[1:])
        return x, y - 0.5, z

    def _settle(self, game: Game, position: tuple[float, float, float], yaw: float, pitch: float) -> None:
        """Teleports, looks around until all there is has been drawn, and stands still."""
        still = np.zeros_like(self._frame)
        for turn in range(AROUND):
            reach = self._settings.viewing_range if turn == 0 else 0
            self._teleport(game, reach, position, yaw + 360.0 * turn / AROUND, 0.0)
            same = 0
            for _ in range(SETTLE_STEPS):
                game.step(SECONDS_PER_STEP, set())
                same = same + 1 if np.abs(game.picture.astype(int) - still).mean() < 0.2 else 0
                still = game.picture.copy()
                if same >= STILL_STEPS:
                    break
                if same:
                    time.sleep(STILL_S / STILL_STEPS)
        game.step(SECONDS_PER_STEP, {"hotbar.1"})
        self._teleport(game, 0, position, yaw, pitch)
        for _ in range(CALM_STEPS):
            game.step(SECONDS_PER_STEP, set())
        assert game.report is not None
        self._yaw, self._pitch = -game.report.look[0], -game.report.look[1]
        self._owed = np.zeros(2)
        self._held = set()

    def _teleport(self, game: Game, reach: int, position: tuple[float, float, float], yaw: float, pitch: float) -> None:
        if game.ask("place", reach, *position, -yaw, pitch) == ["blocked"]:
            x, y, z = position
            raise ValueError(
                f"position {[0.5 - x, y + 0.5, z + 0.5]} is inside blocks, place the player where there is room"
            )
        for _ in range(SETTLE_STEPS):
            game.step(SECONDS_PER_STEP, set())
            assert game.report is not None
            look = abs(math.remainder(game.report.look[0] + yaw, 360.0)) + abs(game.report.look[1] + pitch)
            if look < 0.1 and math.dist(game.report.position[::2], position[::2]) < 0.1:
                return
        raise GameError("refused", f"the game did not take the player to {position}: it reports {game.report}")

    # in step

    def _turn(self, game: Game, pitch: float, yaw: float, down: set[str]) -> None:
        """One step; a turn too wide for one motion of the mouse is begun in pictures in which no time passes."""
        wanted = np.array([yaw, pitch]) + self._owed
        wanted[1] = min(max(wanted[1], -MAX_PITCH - self._pitch), MAX_PITCH - self._pitch)
        pixels = np.round(wanted / DEGREES_PER_PIXEL).astype(int)
        self._owed = wanted - pixels * DEGREES_PER_PIXEL
        limit = min(self._frame.shape[:2]) // 2 - 2
        parts = max(1, math.ceil(np.abs(pixels).max() / limit))
        marks = np.round(np.outer(np.arange(parts + 1) / parts, pixels)).astype(int)
        motions = np.diff(marks, axis=0).tolist()
        for across, along in motions[:-1]:
            game.step(0.0, self._held, across, along)
        across, along = motions[-1]
        game.step(SECONDS_PER_STEP, down, across, along)
        self._check_look(game)
        self._held = down
        self._yaw += float(pixels[0]) * DEGREES_PER_PIXEL
        self._pitch = min(max(self._pitch + float(pixels[1]) * DEGREES_PER_PIXEL, -MAX_PITCH), MAX_PITCH)

    def _check_look(self, game: Game) -> None:
        """Compares where the game says, one step late, that it looked with where it was told to."""
        assert game.report is not None
        right = math.remainder(-game.report.look[0] - self._yaw, 360.0)
        down = -game.report.look[1] - self._pitch
        if max(abs(right), abs(down)) > DEGREES_PER_PIXEL / 2:
            raise GameError(
                "refused",
                f"the game looks {right:.2f} degrees to the right and {down:.2f} below of where it was told to: "
                "does something else move the pointer of its display, or take the keyboard from it?",
            )

    def _see(self) -> None:
        assert self._game is not None
        self._frame = self._game.picture.copy()

    def _info(self, seconds: float) -> dict[str, Any]:
        assert self._game is not None and self._game.report is not None
        report = self._game.report
        events = [{"kind": kind, "position": (-x, y, z), "block": block} for kind, x, y, z, block in report.events]
        x, y, z = report.position
        return {
            "position": np.array([0.5 - x, y + 0.5, z + 0.5]),
            "yaw": math.remainder(self._yaw, 360.0),
            "pitch": self._pitch,
            "events": events,
            "num_dug": sum(event["kind"] == "dig" for event in events),
            "num_placed": sum(event["kind"] == "place" for event in events),
            "wall_ms": seconds * 1000.0,
            "num_failures": sum(self.failures.values()),
        }


def _within(options: Mapping[str, Any], name: str, default: float, limit: float) -> float:
    value = float(options.get(name, default))
    if not -limit <= value <= limit:
        raise ValueError(f"{name} must be {-limit:g} to {limit:g} degrees, got {value}")
    return value


def _place(position: Any) -> tuple[float, float, float]:
    """A position of ours in the game's terms."""
    place = np.asarray(position, np.float64)
    if place.shape != (3,) or not np.isfinite(place).all() or np.abs(place).max() > 30000:
        raise ValueError(f"position must be finite [x, y, z] within 30000 blocks, got {place.tolist()}")
    x, y, z = place.tolist()
    return 0.5 - x, y - 0.5, z - 0.5
