"""Keys held down during a frame, by Minecraft's names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gymnasium import spaces
from torch import Tensor

from conditions.base import Condition
from conditions.registry import register

KEYS = (
    *("forward", "back", "left", "right", "jump", "sneak", "sprint", "attack", "use"),
    *(f"hotbar.{slot}" for slot in range(1, 10)),
)


@register("keyboard")
class Keyboard(Condition):
    """One token a frame: a learned vector for each key that is down, summed.

    A raw value is a dict of the keys that are down, `{"forward": 1}`; keys not named are up.
    Packed: [T, K] uint8, columns in the order of `Config.keys`.
    """

    @dataclass
    class Config:
        """Options of the keyboard.

        Attributes:
            keys: the keys there are; their order is that of the stored columns.
        """

        keys: list[str] = field(default_factory=lambda: list(KEYS))

        def __post_init__(self) -> None:
            self.keys = [str(key) for key in self.keys]
            if not self.keys or len(set(self.keys)) != len(self.keys):
                raise ValueError(f"keyboard.keys must be different names, at least one, got {self.keys}")

    def __init__(self, config: Config, width: int) -> None:
        super().__init__(config, width, features=len(config.keys))

    @classmethod
    def make_space(cls, config: Any) -> spaces.Space:
        """Returns a Dict of one Discrete(2) per key."""
        return spaces.Dict([(key, spaces.Discrete(2)) for key in config.keys])

    def forward(self, x: Tensor) -> Tensor:
        """Turns [B, T, K] of 0 and 1 into [B, T, 1, K] of -0.5 and 0.5, so that both states of a key are learned."""
        return x.float().unsqueeze(-2) - 0.5
