"""Making a world by its id, with errors that say what to write instead."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec, load_env_creator

import envs  # noqa: F401  (registers the worlds)
from conditions.values import nearest

MAKERS_OWN = ("max_episode_steps",)  # what gymnasium.make itself takes and a recording may want


def make_world(world_id: str, kwargs: Mapping[str, Any]) -> gymnasium.Env[Any, Any]:
    """Makes a world, whichever package brings it.

    Args:
        world_id: a Gymnasium id such as worldmodel/BlockWorld-v0; "package.module:Id-v0" imports the module first.
        kwargs: arguments of the world's constructor, and `max_episode_steps` of `gymnasium.make`.

    Returns:
        The world, as `gymnasium.make` returns it, without its checker.

    Raises:
        ValueError: for an id or argument that there is none of (naming the nearest), an argument missing or of the
            wrong type, a package that the world needs and that is not installed, or what the world itself refuses.
        gymnasium.error.Error: for a game that cannot be started (`envs.errors.GameError`).
    """
    spec = world_spec(world_id)
    try:
        entry = spec.entry_point
        creator = load_env_creator(entry) if isinstance(entry, str) else entry
        assert creator is not None
        known = inspect.signature(creator).parameters
        if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in known.values()):
            for name in kwargs:
                if name not in known and name not in MAKERS_OWN:
                    raise ValueError(f"world {world_id} takes no argument {name!r}{nearest(name, known)}")
        return gymnasium.make(spec, disable_env_checker=True, **kwargs)
    except ImportError as error:
        raise ValueError(f"world {world_id} cannot be made: {missing_package(error)}") from error
    except TypeError as error:
        cause = error.__cause__ or error  # gymnasium repeats it with all arguments
        raise ValueError(f"world {world_id} cannot be made with {dict(kwargs)}: {cause}") from error


def world_spec(world_id: str) -> EnvSpec:
    """Finds what is registered under an id, after importing the module that it names before a colon.

    Raises:
        ValueError: if the module cannot be imported, or registers no such id (naming the nearest).
    """
    module, _, name = world_id.rpartition(":")
    if module:
        try:
            importlib.import_module(module)
        except (ImportError, TypeError) as error:  # TypeError: of a name that begins with a dot
            raise ValueError(f"world {world_id!r} names a module that cannot be imported: {error}") from error
    try:
        return gymnasium.spec(name)
    except gymnasium.error.Error as error:
        # Gymnasium's own are no worlds, whose action is a dict of conditions.
        known = [id for id, spec in gymnasium.registry.items() if not _is_gymnasiums(spec)]
        by_name = next((id for id in known if id.partition("/")[2].partition("-")[0].lower() == name.lower()), None)
        meant = nearest(name, known) if by_name is None else f", did you mean {by_name!r}?"
        raise ValueError(f"no world is called {world_id!r}{meant}") from error


def _is_gymnasiums(spec: EnvSpec) -> bool:
    entry = spec.entry_point
    return str(entry if isinstance(entry, str) else getattr(entry, "__module__", "")).startswith("gymnasium.")


def missing_package(error: ImportError) -> str:
    """Words what a world needs and the machine lacks; envs say in their own errors how to install it."""
    if type(error) is ModuleNotFoundError and str(error) == f"No module named {error.name!r}":
        return f"the Python package {error.name!r} is not installed"
    return str(error)
