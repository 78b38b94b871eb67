"""Interactive world models: general conditional autoregressive video, pixels in, pixels out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worldmodel.session import Session
    from worldmodel.world import WorldConfig, WorldModel

__all__ = ["Session", "WorldConfig", "WorldModel"]


def __getattr__(name: str) -> Any:
    """Imports the model only when it is asked for: recording and reading clips start without transformers."""
    if name == "Session":
        from worldmodel.session import Session

        return Session
    if name in ("WorldConfig", "WorldModel"):
        from worldmodel import world

        return getattr(world, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
