"""How far the view turns during a frame."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from conditions.base import Condition
from conditions.registry import register


@register("camera")
class Camera(Condition):
    """One token a frame from [pitch, yaw] in degrees per step: pitch > 0 looks down, yaw > 0 turns right.

    Packed: [T, 2] float32.
    """

    @dataclass
    class Config:
        """Options of the camera.

        Attributes:
            scale: degrees per step that count as a fast turn; features are finest below it.
            num_bands: sine and cosine pairs per axis; the k-th turns 2**k quarter turns over `scale`.
        """

        scale: float = 30.0
        num_bands: int = 5

        def __post_init__(self) -> None:
            if not 0 < self.scale <= 180 or self.num_bands < 0:
                raise ValueError(
                    f"camera.scale must be above 0 and up to 180 degrees and camera.num_bands 0 or more, "
                    f"got {self.scale} and {self.num_bands}"
                )

    def __init__(self, config: Config, width: int) -> None:
        super().__init__(config, width, features=2 * (1 + 2 * config.num_bands))

    @classmethod
    def make_space(cls, config: Any) -> spaces.Space:
        """Returns a Box of [pitch, yaw], each up to half a turn either way."""
        return spaces.Box(-180.0, 180.0, (2,), np.float32)

    def forward(self, x: Tensor) -> Tensor:
        """Turns [B, T, 2] degrees into [B, T, 1, features]: the angles over `scale`, and sines and cosines of them."""
        value = x.float() / self.config.scale  # [B, T, 2]
        bands = [0.5 * math.pi * 2**band * value for band in range(self.config.num_bands)]
        waves = [wave for band in bands for wave in (band.sin(), band.cos())]
        return torch.cat([value, *waves], dim=-1).unsqueeze(-2)
