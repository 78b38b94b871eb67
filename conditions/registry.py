"""The conditions there are, by name.

A name is looked for, in this order, among classes already registered, in a file of this package with that name
(`conditions/audio.py` registers "audio"), and in the entry points of installed packages
(group `worldmodel.conditions`).
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from gymnasium import spaces

from conditions.base import Condition
from conditions.values import nearest

GROUP = "worldmodel.conditions"
_MACHINERY = {"base", "encoders", "registry", "set", "values"}
_classes: dict[str, type[Condition]] = {}
C = TypeVar("C", bound=type[Condition])


def register(name: str) -> Callable[[C], C]:
    """Decorates a `Condition` class and makes it known under a name.

    Args:
        name: lower case letters, digits and underscores; it names the entry of an action, the member of a clip
            and the folder in a checkpoint.

    Raises:
        ValueError: if the name is malformed or taken by another class.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"a condition's name must be lower case letters, digits and underscores, got {name!r}")

    def add(cls: C) -> C:
        known = _classes.get(name)
        if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            owner = f"{known.__module__}.{known.__qualname__}"
            raise ValueError(f"condition {name!r} is already {owner}: choose another name")
        cls.name = name
        _classes[name] = cls
        return cls

    return add


def get(name: str) -> type[Condition]:
    """Returns the class registered under a name, importing what brings it if need be.

    Raises:
        ValueError: if nothing brings that name (the nearest known one is named), or what should does not register it.
    """
    if name not in _classes:
        if name in _files():
            importlib.import_module(f"conditions.{name}")
        elif name in (points := _entry_points()):
            point = points[name]
            loaded = point.load()
            if name not in _classes and isinstance(loaded, type) and issubclass(loaded, Condition):
                register(name)(loaded)
        else:
            raise ValueError(f"no condition is called {name!r}{nearest(name, names())}")
    if name not in _classes:
        raise ValueError(f'condition {name!r} was found but not registered: decorate it @register("{name}")')
    return _classes[name]


def known(name: str) -> bool:
    """Returns whether `get` would find a name; at once for one that it has found before."""
    return name in _classes or name in names()


def names() -> list[str]:
    """Returns the names of all conditions that `get` would find, sorted."""
    return sorted({*_classes, *_files(), *_entry_points()})


def space(name: str, config: Mapping[str, Any] | Any | None = None) -> spaces.Space:
    """Returns the Gymnasium space of one raw value of a condition; builds no network.

    Args:
        name: a registered name.
        config: the condition's config, as its dataclass or a mapping; its defaults when None.

    Raises:
        ValueError: if the name or a config field is unknown.
    """
    cls = get(name)
    return cls.make_space(cls.make_config(config))


def _files() -> set[str]:
    package = importlib.import_module("conditions")
    return {module.name for module in pkgutil.iter_modules(package.__path__)} - _MACHINERY


def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}
