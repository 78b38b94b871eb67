"""Opening worlds for play, with errors that say what to write instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
from gymnasium import spaces
from omegaconf import OmegaConf

from conditions import known
from envs.opening import make_world
from worldmodel.data.clips import codec

World = gymnasium.Env[Any, Any]


class WorldError(ValueError):
    """A world that cannot be opened or played as asked."""


def parse_kwargs(pairs: Sequence[str]) -> dict[str, Any]:
    """Reads `name=value` words into numbers, booleans, lists and text: size=128 biome=meadow.

    Raises:
        WorldError: for a word without `=`.
    """
    for pair in pairs:
        if not pair.partition("=")[0] or "=" not in pair:
            raise WorldError(f"--world-kwargs wants name=value words such as size=128 biome=meadow, got {pair!r}")
    made = OmegaConf.to_object(OmegaConf.from_dotlist(list(pairs)))
    assert isinstance(made, dict)
    return {str(name): value for name, value in made.items()}


def open_world(world: str, kwargs: Mapping[str, Any]) -> World:
    """Makes a world by its id.

    Args:
        world: an id such as worldmodel/BlockWorld-v0, or module:id.
        kwargs: its constructor's arguments.

    Raises:
        WorldError: where `make_world` raises ValueError, or for a world that takes no dict of conditions or shows no
            frames.
        gymnasium.error.Error: for a game that cannot be started.
    """
    try:
        made = make_world(world, kwargs)
    except ValueError as error:
        raise WorldError(str(error)) from error
    try:
        action_space_of(made)
        height_and_width(made)
    except WorldError:
        made.close()
        raise
    return made


def action_space_of(world: World) -> spaces.Dict:
    """The world's action space, a dict of conditions.

    Raises:
        WorldError: if it is anything else.
    """
    space = world.action_space
    if not isinstance(space, spaces.Dict):
        raise WorldError(f"only a world whose action is a dict of conditions can be played, this one takes {space}")
    return space


def height_and_width(world: World) -> tuple[int, int]:
    """The size of the world's frames in pixels.

    Raises:
        WorldError: if its observation is no frame.
    """
    shape = world.observation_space.shape
    if shape is None or len(shape) != 3 or shape[2] != 3:
        raise WorldError(f"only a world that shows [H, W, 3] frames can be played, this one: {world.observation_space}")
    return shape[0], shape[1]


def frame_rate(world: World) -> float:
    """Frames per second at which the world is meant to run."""
    return float(world.metadata.get("render_fps", 20))


def delay_of(world: World) -> int:
    """How many frames later than by a step an action is seen, in a world that makes several frames at a time."""
    return int(getattr(world.unwrapped, "delay", 0))


def observed(world: World, action: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, Any]:
    """A rendered world's action with what its `info` after the step tells of it, as a recorded clip has it."""
    configs = getattr(world.unwrapped, "condition_configs", {})
    return {
        name: codec(name, configs.get(name)).observe(value, info) if known(name) and value is not None else value
        for name, value in action.items()
    }
