"""`worldmodel/BlockWorld-v0`: the world of blocks as a Gymnasium environment."""

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

import conditions
from conditions.values import nearest
from envs.actions import complete
from envs.blockworld import physics
from envs.blockworld.biomes import MEADOW, mix_of
from envs.blockworld.blocks import BREAK_TICKS, HOTBAR, IDS, KIND, SPRITE_KIND, UNBREAKABLE, WATER_KIND
from envs.blockworld.grid import HEIGHT, MASK, SIZE, set_block
from envs.blockworld.march import NORMALS
from envs.blockworld.render import draw_held, render
from envs.blockworld.scene import build_scene, set_clouds
from envs.blockworld.styles import STYLES
from envs.blockworld.terrain import generate

ATTACK_EVERY, USE_EVERY = 5, 4


class BlockWorld(gymnasium.Env[NDArray[np.uint8], dict[str, Any]]):
    """A first-person world of blocks at 20 Hz, with Minecraft's keys, camera degrees and motion.

    `step` takes a dict of `keyboard` (dict of keys) and `camera` ([pitch, yaw] degrees of this step; pitch > 0 looks
    down, yaw > 0 turns right); names and keys that are left out do nothing. The view turns first, then the player
    acts and moves, and the frame that is returned shows the result.

    `attack` breaks the block in the middle of the view, `use` places the block of the current `hotbar` slot against
    it, both within 4.5 blocks. With `instant_break` a block goes on the tick that `attack` goes down and every 5th
    tick while it is held; otherwise the key must be held for the block's own time, while cracks spread over it.
    `use` acts on the tick that it goes down and every 4th tick while it is held.

    The world wraps around every 512 blocks, so it has no edge; `info["position"]` does not wrap.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}

    def __init__(
        self,
        size: int | tuple[int, int] = (128, 128),
        fov: float = 70.0,
        biome: str | Mapping[str, float] = "default",
        world_seed: int | None = None,
        depth: bool = False,
        instant_break: bool | None = None,
        render_mode: str | None = "rgb_array",
    ) -> None:
        """Makes a world; blocks appear on `reset`.

        Args:
            size: Frame as (height, width) or one side, in pixels, 16 to 4096.
            fov: Vertical field of view in degrees, 10 to 150.
            biome: "meadow", the calm world that small models learn; "default", some of every biome; one of
                `biomes.BIOMES`; or a dict of these and their weights, {"forest": 2, "desert": 1}.
            world_seed: Seed of the terrain; by default drawn from the seed given to `reset`.
            depth: Whether `info["depth"]` is filled: [H, W] float32, blocks from the eye to the first surface.
            instant_break: Whether blocks break at once; by default only in the meadow.
            render_mode: "rgb_array" or None.

        Raises:
            ValueError: For a value outside these bounds.
        """
        sides = (size, size) if isinstance(size, int) else tuple(size)
        if len(sides) != 2 or not all(isinstance(side, int) and 16 <= side <= 4096 for side in sides):
            raise ValueError(f"size must be (height, width) of 16 to 4096 pixels, got {size!r}")
        height, width = sides
        if not 10.0 <= fov <= 150.0:
            raise ValueError(f"fov must be 10 to 150 degrees, got {fov!r}")
        if biome != MEADOW:
            mix_of(biome)  # refuses what it does not know
        if world_seed is not None and not isinstance(world_seed, (int, np.integer)):
            raise ValueError(f"world_seed must be a whole number or None, got {world_seed!r}")
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode must be 'rgb_array' or None, got {render_mode!r}")
        self.render_mode = render_mode
        self.biome, self.fov, self.world_seed = biome, float(fov), world_seed
        self.instant_break = biome == MEADOW if instant_break is None else instant_break
        self._with_depth = depth
        self._scene = build_scene(STYLES[MEADOW if biome == MEADOW else "default"])
        self._frame = np.zeros((height, width, 3), np.uint8)
        self._depth = np.zeros((height, width), np.float32)
        self._colours = np.zeros((height, width, 3), np.float32)
        self._keys = np.zeros((height, width), np.int64)
        self.observation_space = spaces.Box(0, 255, (height, width, 3), np.uint8)
        self.condition_configs = {"camera": {"level": True}}  # as it is told by info["pitch"]
        self.action_space = spaces.Dict(
            {"keyboard": conditions.space("keyboard"), "camera": conditions.space("camera")}
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Builds the world anew and puts the player on open ground.

        Args:
            seed: Seed of the starting place, and of the terrain where no `world_seed` was given.
            options: "position" ([x, y, z] of the feet), "yaw" and "pitch" (degrees) place the player; what is left
                out is chosen by the seed.

        Returns:
            The frame [H, W, 3] uint8 and info: "position" [3] float64, "yaw", "pitch", and "depth" if asked for.

        Raises:
            ValueError: For an unknown option or a position inside blocks.
        """
        super().reset(seed=seed)
        options = dict(options or {})
        for name in options:
            if name not in ("position", "yaw", "pitch"):
                raise ValueError(f"unknown reset option {name!r}{nearest(name, ('position', 'yaw', 'pitch'))}")
        drawn = int(self.np_random.integers(2**31))
        terrain_seed = drawn if self.world_seed is None else self.world_seed
        self._grid = generate(terrain_seed, self.biome)
        set_clouds(self._scene, terrain_seed)
        x, y, z = self._open_ground()
        if options.get("position") is not None:
            place = np.asarray(options["position"], np.float64)
            if place.shape != (3,) or not np.isfinite(place).all() or not 0 < place[1] < 4 * HEIGHT:
                raise ValueError(f"position must be finite [x, y, z] with 0 < y < {4 * HEIGHT}, got {place.tolist()}")
            x, y, z = place.tolist()
            if not physics.is_free(self._grid.blocks, x, y, z, physics.TALL_SNEAKING):
                raise ValueError(f"position {[x, y, z]} is inside blocks, place the player where there is room")
        drawn_yaw = float(self.np_random.uniform(-180.0, 180.0))
        self._body = physics.new_body(x, y, z)
        self._yaw = self._angle(options, "yaw", drawn_yaw, 360.0)
        self._pitch = self._angle(options, "pitch", 0.0, 90.0)
        self._held, self._ticks, self._swing = IDS[HOTBAR[0]], 0, 0.0
        self._attack_ticks = self._use_ticks = 0
        self._target: tuple[int, int, int] | None = None
        self._scene.progress = 0.0
        for _ in range(3):  # settle on the ground
            if options.get("position") is None:
                physics.tick(self._grid.blocks, self._body, 0.0, 0, 0, False, False, False)
        self._draw()
        return self._frame.copy(), self._info()

    def step(self, action: Mapping[str, Any]) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Lives through one tick of 50 ms.

        Args:
            action: "keyboard" and "camera" as in `action_space`; either may be missing or None, and so may keys.

        Returns:
            Frame [H, W, 3] uint8, reward 0, terminated False, truncated False, info as from `reset`.

        Raises:
            ValueError: For an unknown name or key, or a value outside its space.
        """
        action = complete(self.action_space, action)
        keys, (pitch, yaw) = action["keyboard"], action["camera"]
        self._pitch = min(max(self._pitch + float(pitch), -90.0), 90.0)
        self._yaw = (self._yaw + float(yaw) + 180.0) % 360.0 - 180.0
        for slot, name in enumerate(HOTBAR, 1):
            if keys[f"hotbar.{slot}"]:
                self._held = IDS[name]
        physics.tick(
            self._grid.blocks,
            self._body,
            self._yaw,
            keys["forward"] - keys["back"],
            keys["right"] - keys["left"],
            bool(keys["jump"]),
            bool(keys["sneak"]),
            bool(keys["sprint"]),
        )
        self._attack(bool(keys["attack"]))
        self._use(bool(keys["use"]))
        self._swing = 1.0 if keys["attack"] or keys["use"] else 0.0
        self._ticks += 1
        self._draw()
        return self._frame.copy(), 0.0, False, False, self._info()

    def render(self) -> NDArray[np.uint8] | None:
        """The current frame, [H, W, 3] uint8."""
        return self._frame.copy() if self.render_mode == "rgb_array" else None

    @staticmethod
    def _angle(options: Mapping[str, Any], name: str, default: float, limit: float) -> float:
        value = default if options.get(name) is None else float(options[name])
        if not -limit <= value <= limit:
            raise ValueError(f"{name} must be {-limit:g} to {limit:g} degrees, got {value}")
        return value

    def _open_ground(self) -> tuple[float, float, float]:
        """A place on dry natural ground with nothing overhead and no step or plant right beside it."""
        ground = (IDS["grass"], IDS["sand"], IDS["snowy_grass"])
        blocks, tops = self._grid.blocks, self._grid.tops
        for attempt in range(4000):
            x, z = (int(value) for value in self.np_random.integers(0, SIZE, 2))
            top = int(tops[x, z])
            around = [int(tops[(x + i) & MASK, (z + j) & MASK]) for i in (-1, 0, 1) for j in (-1, 0, 1)]
            level = max(around) - min(around) <= (0 if attempt < 2000 else 1)
            if level and blocks[x, z, top - 1] in ground:
                return x + 0.5, float(top), z + 0.5
        return 0.5, float(tops[0, 0]), 0.5

    def _eye(self) -> tuple[float, float, float]:
        body = self._body
        return float(body[physics.X]), float(body[physics.Y] + body[physics.EYE]), float(body[physics.Z])

    def _attack(self, held: bool) -> None:
        """Breaks the block in view: at once and every ATTACK_EVERY ticks, or after its own time."""
        self._scene.progress = 0.0
        ticks, self._attack_ticks = self._attack_ticks, 0
        last, self._target = self._target, None
        if not held:
            return
        found, x, y, z, _ = physics.look_at(self._grid.blocks, *self._eye(), self._yaw, self._pitch)
        needed = int(BREAK_TICKS[self._grid.blocks[x & MASK, z & MASK, y]]) if found else UNBREAKABLE
        if self.instant_break:
            self._attack_ticks = ticks + 1
            if needed < UNBREAKABLE and ticks % ATTACK_EVERY == 0:
                self._set(x, y, z, 0)
        elif needed < UNBREAKABLE:
            ticks = ticks + 1 if last == (x, y, z) else 1
            if ticks >= needed:
                self._set(x, y, z, 0)
            else:
                self._attack_ticks, self._target = ticks, (x, y, z)
                self._scene.target, self._scene.progress = self._target, ticks / needed

    def _set(self, x: int, y: int, z: int, block: int) -> None:
        """Puts a block; a plant goes with the ground below it, and water beside a hole flows in."""
        blocks = self._grid.blocks
        if block == 0:
            if y + 1 < HEIGHT and KIND[blocks[x & MASK, z & MASK, y + 1]] == SPRITE_KIND:
                set_block(self._grid, x, y + 1, z, 0)
            for dx, dy, dz in ((0, 1, 0), (1, 0, 0), (-1, 0, 0), (0, 0, 1), (0, 0, -1)):
                if y + dy < HEIGHT and KIND[blocks[(x + dx) & MASK, (z + dz) & MASK, y + dy]] == WATER_KIND:
                    block = IDS["water"]
        set_block(self._grid, x, y, z, block)

    def _use(self, held: bool) -> None:
        if not held:
            self._use_ticks = 0
            return
        ready = self._use_ticks % USE_EVERY == 0
        self._use_ticks += 1
        if not ready:
            return
        found, x, y, z, face = physics.look_at(self._grid.blocks, *self._eye(), self._yaw, self._pitch)
        if not found:
            return
        if KIND[self._grid.blocks[x & MASK, z & MASK, y]] != SPRITE_KIND:  # plants give way, blocks are built upon
            x, y, z = x + int(NORMALS[face, 0]), y + int(NORMALS[face, 1]), z + int(NORMALS[face, 2])
        if 0 < y < HEIGHT and not physics.overlaps(self._body, x, y, z, physics.TALL):
            self._set(x, y, z, self._held)

    def _draw(self) -> None:
        self._scene.drift = self._scene.cloud_drift * self._ticks / self.metadata["render_fps"]
        render(
            self._grid,
            self._scene,
            *self._eye(),
            self._yaw,
            self._pitch,
            self.fov,
            self._frame,
            self._depth,
            self._colours,
            self._keys,
        )
        draw_held(self._scene.textures, self._held, self._swing, self._frame)

    def _info(self) -> dict[str, Any]:
        info: dict[str, Any] = {"position": self._body[:3].copy(), "yaw": self._yaw, "pitch": self._pitch}
        if self._with_depth:
            info["depth"] = self._depth.copy()
        return info
