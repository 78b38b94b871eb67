"""What the other one says, while the face listens."""

from conditions.audio import Audio
from conditions.registry import register


@register("listen")
class Listen(Audio):
    """The same as `audio`, of the other speaker."""
