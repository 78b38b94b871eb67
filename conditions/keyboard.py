"""Keys held down during a frame, by Minecraft's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium import spaces
from torch import Tensor

from conditions.base import Column, Condition
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
            turn: degrees of yaw in a step from which on a recorded turn counts as the key `left` or `right`, in place
                of a step aside: directions as keys, without a camera. 0 for keys as they were pressed.
        """

        keys: list[str] = field(default_factory=lambda: list(KEYS))
        turn: float = 0.0

        def __post_init__(self) -> None:
            self.keys = [str(key) for key in self.keys]
            if not self.keys or len(set(self.keys)) != len(self.keys):
                raise ValueError(f"keyboard.keys must be different names, at least one, got {self.keys}")
            if not 0 <= self.turn <= 180 or (self.turn and not {"left", "right"} <= set(self.keys)):
                raise ValueError(
                    f"keyboard.turn must be 0 to 180 degrees, and above 0 keys must have left and right, got "
                    f"{self.turn} with {self.keys}"
                )

    def __init__(self, config: Config, width: int) -> None:
        super().__init__(config, width, features=len(config.keys))

    @classmethod
    def make_space(cls, config: Any) -> spaces.Space:
        """Returns a Dict of one Discrete(2) per key."""
        return spaces.Dict([(key, spaces.Discrete(2)) for key in config.keys])

    @property
    def sources(self) -> tuple[str, ...]:
        """The keyboard, and the camera where turns count as keys."""
        return ("keyboard", "camera") if self.config.turn else ("keyboard",)

    def adopt(self, stored: Mapping[str, tuple[Condition, Column]]) -> Column | None:
        """As for every condition; a key that is not among `keys` is left out, one that the clip lacks is up."""
        if "keyboard" not in stored or stored["keyboard"][0].config == self.config:
            return super().adopt(stored)
        condition, (values, present) = stored["keyboard"]
        pressed = dict(zip(condition.config.keys, np.asarray(condition.column(values)).T, strict=True))
        if self.config.turn and not condition.config.turn:
            if "camera" not in stored:
                return None
            yaw, there = np.asarray(stored["camera"][1].values)[:, 1], stored["camera"][1].present
            pressed |= {"left": yaw <= -self.config.turn, "right": yaw >= self.config.turn}
            present = present & there
        up = np.zeros(len(present), np.uint8)
        packed = [np.asarray(pressed.get(key, up), np.uint8) for key in self.config.keys]
        return Column(np.stack(packed, axis=1), present)

    def forward(self, x: Tensor) -> Tensor:
        """Turns [B, T, K] of 0 and 1 into [B, T, 1, K] of -0.5 and 0.5, so that both states of a key are learned."""
        return x.float().unsqueeze(-2) - 0.5
