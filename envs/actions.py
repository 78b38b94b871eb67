"""Actions as worlds take them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gymnasium import spaces

from conditions import get, known
from conditions.values import check


def complete(space: spaces.Space[dict[str, Any]], action: Any) -> dict[str, Any]:
    """Checks an action; conditions that are missing or None become no-ops.

    Raises:
        ValueError: if it is no dict, for an unknown name (naming the nearest), or for a value outside its space.
    """
    if isinstance(action, Mapping) and isinstance(space, spaces.Dict):
        action = {
            name: get(name).asked(value) if name in space.spaces and known(name) else value
            for name, value in action.items()
            if value is not None
        }
    return check(space, action, "action")
