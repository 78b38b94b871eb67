"""How far the view turns during a frame, and how far up or down it then looks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from conditions.base import ArrayCondition
from conditions.registry import register
from conditions.values import check_array

UPRIGHT = 90.0  # degrees of pitch, up or down, at which a view stops


@register("camera")
class Camera(ArrayCondition):
    """One token a frame from [pitch, yaw] in degrees per step: pitch > 0 looks down, yaw > 0 turns right.

    With `level` it also tells the pitch of the view after the step, so that a stream knows where the horizon is when it
    has not seen it for long. Such a raw value may be [pitch, yaw, level]; where the level is left out or NaN, a stream
    counts it on from the step before. Packed: [T, 2] float32, or [T, 3], NaN where the level is not known.
    """

    @dataclass
    class Config:
        """Options of the camera.

        Attributes:
            scale: degrees per step that count as a fast turn; features are finest below it.
            num_bands: sine and cosine pairs per axis; the k-th turns 2**k quarter turns over `scale`.
            level: whether values tell, besides, how far down the view looks after the step, in degrees.
        """

        scale: float = 30.0
        num_bands: int = 5
        level: bool = False

        def __post_init__(self) -> None:
            if not 0 < self.scale <= 180 or self.num_bands < 0:
                raise ValueError(
                    f"camera.scale must be above 0 and up to 180 degrees and camera.num_bands 0 or more, "
                    f"got {self.scale} and {self.num_bands}"
                )

    def __init__(self, config: Config, width: int) -> None:
        waves = 1 + 2 * config.num_bands
        super().__init__(
            config,
            width,
            features=2 * waves + config.level * (1 + waves),
            history=int(config.level),
            optional=config.level,
        )

    @classmethod
    def make_space(cls, config: Any) -> spaces.Space:
        """Returns a Box of [pitch, yaw], each up to half a turn either way."""
        return spaces.Box(-180.0, 180.0, (2,), np.float32)

    @classmethod
    def asked(cls, value: Any) -> Any:
        """Returns [pitch, yaw] of a raw value."""
        array = np.asarray(value)
        return array[:2] if array.shape == (3,) else value

    def check_values(self, array: np.ndarray, stacked: bool) -> np.ndarray:
        """Checks [pitch, yaw] or [pitch, yaw, level]; the level is NaN where it is left out, and gone without `level`.

        Raises:
            ValueError: for another shape, angles out of range, or NaN in pitch or yaw.
        """
        if array.ndim != 1 + stacked or array.shape[-1:] != (3,) or array.dtype.kind not in "biuf":
            checked = check_array(self.space, array, self.name, stacked)  # type: ignore[arg-type]
            unknown = np.full((*checked.shape[:-1], 1), np.nan, np.float32)
            return np.concatenate([checked, unknown], axis=-1) if self.config.level else checked
        checked = check_array(self.space, array[..., :2], self.name, stacked)  # type: ignore[arg-type]
        if not self.config.level:
            return checked
        level = array[..., 2:].astype(np.float32)
        if (np.abs(level) > UPRIGHT).any():
            raise ValueError(
                f"the level of {self.name} must be -90 to 90 degrees, NaN where unknown, got {level.ravel()[:8]}"
            )
        return np.concatenate([checked, level], axis=-1)

    def observe(self, value: Any, info: Mapping[str, Any]) -> Any:
        """Adds the level that the world tells as `info["pitch"]`."""
        if not self.config.level or "pitch" not in info:
            return value
        told = self.validate(value)
        told[2] = np.clip(float(info["pitch"]), -UPRIGHT, UPRIGHT)
        return told

    def follow(self, value: np.ndarray, before: np.ndarray | None) -> np.ndarray:
        """Counts a level that is not known on from the one before."""
        if self.config.level and before is not None and np.isnan(value[2]):
            value = value.copy()
            value[2] = np.clip(before[2] + value[0], -UPRIGHT, UPRIGHT)
        return value

    def asks(self, value: Any) -> bool:
        """Whether it turns the view."""
        return bool(self.validate(value)[:2].any())

    def obscure(self, x: Tensor, rows: Tensor) -> Tensor:
        """Makes the level unknown in clips [B] bool of x [B, T, 2, 3]."""
        level = x[..., 2:].masked_fill(rows[:, None, None, None], float("nan"))
        return torch.cat([x[..., :2], level], dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        """Turns [B, T, 2] degrees into [B, T, 1, features]: the angles over `scale`, and sines and cosines of them.

        With `level` x is [B, T, 2, 3], every value after the one before it; there follow whether the level is known, it
        over a quarter turn, and sines and cosines of that.
        """
        bands = range(self.config.num_bands)
        if not self.config.level:
            return _waves(x.float() / self.config.scale, bands).unsqueeze(-2)
        now = x[:, :, -1].float()  # [B, T, 3]
        known = (~now[..., 2:].isnan()).float()
        level = _waves(now[..., 2:].nan_to_num() / UPRIGHT, bands)
        return torch.cat([_waves(now[..., :2] / self.config.scale, bands), known, level * known], dim=-1).unsqueeze(-2)


def _waves(value: Tensor, bands: range) -> Tensor:
    """[..., A] to [..., A (1 + 2 bands)]: values, and sines and cosines of them, the k-th 2**k quarter turns a unit."""
    turns = [0.5 * math.pi * 2**band * value for band in bands]
    return torch.cat([value, *(wave for turn in turns for wave in (turn.sin(), turn.cos()))], dim=-1)
