"""Opening worlds for play, with errors that say what to write instead."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
from gymnasium import spaces
from gymnasium.envs.registration import load_env_creator
from omegaconf import OmegaConf

import envs  # noqa: F401  (registers the worlds' ids)
from conditions.values import nearest

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
        world: an id such as worldmodel/BlockWorld-v0.
        kwargs: its constructor's arguments.

    Raises:
        WorldError: for an unknown id or argument, naming the nearest known one, or a world that takes no dict of
            conditions or shows no frames.
    """
    try:
        spec = gymnasium.spec(world)
    except gymnasium.error.Error as error:
        ours = [known for known in gymnasium.registry if known.startswith("worldmodel/")]
        raise WorldError(f"no world {world!r}{nearest(world, ours)}") from error
    entry = spec.entry_point
    creator = load_env_creator(entry) if isinstance(entry, str) else entry
    known = inspect.signature(creator).parameters if creator is not None else {}
    if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in known.values()):
        for name in kwargs:
            if name not in known:
                raise WorldError(f"{world} takes no {name!r}{nearest(name, known)}")
    made = gymnasium.make(world, disable_env_checker=True, **kwargs)
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
