"""Interactive world models: general conditional autoregressive video, pixels in, pixels out."""

from worldmodel.session import Session
from worldmodel.world import WorldConfig, WorldModel

__all__ = ["Session", "WorldConfig", "WorldModel"]
