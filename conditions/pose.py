"""Where the joints of a figure are, and how they move.

Shapes: B batch, T values, K joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from conditions.base import ArrayCondition
from conditions.registry import register
from conditions.values import check_array

JOINTS = (
    *("head_top", "chin", "left_eye", "right_eye", "nose", "mouth_left", "mouth_right"),
    *("neck", "left_shoulder", "right_shoulder"),
)
LOWEST, HIGHEST = -1.0, 2.0  # a joint may lie outside the picture, by its width at most


class KeyPoints(spaces.Box):
    """Points [K, 2] as a Box, of which any number may be NaN: these joints are not known."""

    def contains(self, x: Any) -> bool:
        """Returns whether x is such points."""
        return isinstance(x, np.ndarray) and x.dtype == self.dtype and super().contains(_known(x))


@register("pose")
class Pose(ArrayCondition):
    """Several tokens a frame from how far each joint moved since the frame before, through a linear layer.

    After the paper (arXiv 2508.19320): velocities fit any figure, wherever it stands. A raw value is
    [K, 2] float32, x to the right and y down, both in picture widths from the upper left corner; a joint that is NaN in
    either is missing, and so is its motion until it was seen twice in a row. Packed: [T, K, 2] float32.
    """

    @dataclass
    class Config:
        """Options of the pose.

        Attributes:
            joints: names of the K joints, in the order of the stored points.
            num_tokens: tokens per frame.
            features: width of each.
            scale: picture widths per frame that count as a fast motion.
            positions: whether the tokens tell where the joints are too; then the pose does not drift, but fits only
                figures placed alike.
        """

        joints: list[str] = field(default_factory=lambda: list(JOINTS))
        num_tokens: int = 10
        features: int = 32
        scale: float = 0.02
        positions: bool = False

        def __post_init__(self) -> None:
            self.joints = [str(joint) for joint in self.joints]
            if not self.joints or len(set(self.joints)) != len(self.joints):
                raise ValueError(f"pose.joints must be different names, at least one, got {self.joints}")
            if self.num_tokens < 1 or self.features < 1 or not self.scale > 0:
                raise ValueError(
                    f"pose.num_tokens and pose.features must be 1 or more and pose.scale above 0, got "
                    f"{self.num_tokens}, {self.features} and {self.scale}"
                )

    def __init__(self, config: Config, width: int) -> None:
        super().__init__(config, width, features=config.features, num_tokens=config.num_tokens, history=1)
        inputs = 3 * len(config.joints) * (2 if config.positions else 1)
        self.linear = nn.Linear(inputs, config.num_tokens * config.features)

    @classmethod
    def make_space(cls, config: Any) -> spaces.Space:
        """Returns the space of K points, NaN where a joint is not known."""
        return KeyPoints(LOWEST, HIGHEST, (len(config.joints), 2), np.float32)

    def noop(self) -> NDArray[np.float32]:
        """Returns points none of which is known."""
        return np.full(self.space.shape or (), np.nan, np.float32)

    def check_values(self, array: np.ndarray, stacked: bool) -> np.ndarray:
        """Checks points [K, 2]; NaN stays.

        Raises:
            ValueError: for another number of joints, infinity, or points far outside the picture.
        """
        joints = self.config.joints
        if array.ndim != 2 + stacked or array.shape[-2:] != (len(joints), 2):
            raise ValueError(
                f"{self.name} must be [{'T, ' if stacked else ''}{len(joints)}, 2], x and y of {', '.join(joints)}, "
                f"got {array.shape}: give NaN for joints that are missing, or set {self.name}.joints"
            )
        if array.dtype.kind != "f":
            return check_array(self.space, array, self.name, stacked)  # type: ignore[arg-type]
        missing = np.isnan(array)
        checked = check_array(self.space, _known(array), self.name, stacked)  # type: ignore[arg-type]
        return np.where(missing, np.float32(np.nan), checked).astype(np.float32)

    def prepare(self, values: np.ndarray | Sequence[Any]) -> Tensor:
        """Turns points into [T, K, 3]: x, y, and 1 where the joint is known; zeros where it is not."""
        points = self.column(values)
        known = ~np.isnan(points).any(axis=-1, keepdims=True)
        return torch.from_numpy(np.concatenate([np.where(known, points, 0), known], axis=-1).astype(np.float32))

    def forward(self, x: Tensor) -> Tensor:
        """Turns [B, T, 2, K, 3], every frame after the one before, into [B, T, num_tokens, features]."""
        before, now = x.to(self.linear.weight.dtype).unbind(dim=2)  # [B, T, K, 3]
        moves = now[..., 2:] * before[..., 2:]  # 1 where the motion is known
        inputs = [(now[..., :2] - before[..., :2]) * moves / self.config.scale, moves]
        if self.config.positions:
            inputs += [(now[..., :2] - 0.5) * 4 * now[..., 2:], now[..., 2:]]
        return self.linear(torch.cat(inputs, dim=-1).flatten(-2)).unflatten(-1, (self.num_tokens, self.features))


def _known(points: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(points), np.zeros((), points.dtype), points)
