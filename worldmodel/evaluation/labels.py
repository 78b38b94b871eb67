"""Which windows of a clip show a turn or a walk clearly enough to ask a reader about, and the right answer.

A window at t covers frames t to t + GAP and the GAP actions between. Its answer is the commanded action. Not asked are
windows in which the command changes, steps sideways (they look like slow turns), walks while the view turns or looks
steeply up or down, while jumping or sneaking, and walks that the world did not let happen (a wall, a last slide).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from worldmodel.evaluation.inverse_dynamics import IGNORED
from worldmodel.evaluation.motion import GAP
from worldmodel.evaluation.scripts import Action

SETTLE = 3  # steps before a window in which the walk must have been commanded too: speed builds up over a few
TURNING = 1.5  # degrees per step that count as a turn
STEADY = 0.3  # degrees per step that still count as none
LEVEL = 30.0  # degrees up or down at which a walk can still be seen
WALKED = 0.04  # blocks per step, on average over a window, that count as having walked
STOOD = 0.015  # blocks per step that still count as having stood


@dataclass(frozen=True)
class Commands:
    """What the player was told in each of T steps.

    Attributes:
        camera: [T, 2] degrees of pitch and yaw per step.
        walk: [T] index into MOVES; both keys at once are none; IGNORED while jumping, sneaking or stepping sideways.
        sideways: [T] whether a step to the side is among it.
    """

    camera: NDArray[np.float64]
    walk: NDArray[np.int64]
    sideways: NDArray[np.bool_]


@dataclass(frozen=True)
class Track:
    """Where the player was in each of T frames, as far as it is known.

    Attributes:
        positions: [T, 3] blocks, height second, or None.
        pitch: [T] degrees, down is positive, or None.
    """

    positions: NDArray[np.float64] | None = None
    pitch: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, info: Mapping[str, Sequence[Any]]) -> Track:
        """The track in a clip's record of infos, name -> T values."""
        values = {name: np.asarray(info[name], dtype=np.float64) for name in ("position", "pitch") if name in info}
        return cls(values.get("position"), values.get("pitch"))

    def cut(self, first: int, frames: int) -> Track:
        """The track of a stretch."""
        parts = (None if part is None else part[first : first + frames] for part in (self.positions, self.pitch))
        return Track(*parts)


def commands(actions: Sequence[Action], keys: Sequence[str]) -> Commands:
    """Reads the camera and the walk out of raw actions.

    Args:
        actions: one mapping per step; keyboard is a mapping of key to 0 or 1, or an array in the order of `keys`.
        keys: the checkpoint's keys.
    """
    camera = np.array([np.asarray(a.get("camera", (0, 0)), dtype=np.float64)[:2] for a in actions]).reshape(-1, 2)
    held = {
        key: np.array([_pressed(a.get("keyboard", {}), key, keys) for a in actions], dtype=np.int64)
        for key in ("forward", "back", "left", "right", "jump", "sneak")
    }
    sideways = (held["left"] + held["right"]) > 0
    unclear = sideways | (held["jump"] > 0) | (held["sneak"] > 0)
    return Commands(camera, np.where(unclear, IGNORED, 1 + held["forward"] - held["back"]), sideways)


def label(told: Commands, track: Track) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Answers for every window of a clip of T frames.

    Args:
        told: the T - 1 commands.
        track: where the player was in the T frames.

    Returns:
        [T - GAP] turn as an index into TURNS and [T - GAP] walk as an index into MOVES; IGNORED where ambiguous.

    Raises:
        ValueError: if the lengths do not fit together.
    """
    steps = len(told.walk)
    known = {len(part) for part in (track.positions, track.pitch) if part is not None}
    if known - {steps + 1}:
        raise ValueError(f"T frames have T - 1 commands and T places, got {steps} commands and {sorted(known)} places")
    if steps < GAP:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    pitched, turned = (sliding_window_view(told.camera[:, axis], GAP) for axis in (0, 1))  # [T - GAP, GAP]
    turn = np.full(len(turned), IGNORED, np.int64)
    turn[(turned <= -TURNING).all(1)] = 0
    turn[(np.abs(turned) <= STEADY).all(1)] = 1
    turn[(turned >= TURNING).all(1)] = 2
    turn[sliding_window_view(told.sideways, GAP).any(1)] = IGNORED
    held = sliding_window_view(np.concatenate([np.full(SETTLE, IGNORED), told.walk]), GAP + SETTLE)
    clear = (held == held[:, -1:]).all(1) & (turn == 1) & (np.abs(pitched) <= STEADY).all(1)
    move = held[:, -1]
    if track.positions is not None:
        way = np.linalg.norm((track.positions[GAP:] - track.positions[:-GAP])[:, [0, 2]], axis=1) / GAP
        clear &= np.where(move == 1, way <= STOOD, way >= WALKED)
    if track.pitch is not None:
        clear &= np.abs(track.pitch[:-GAP]) <= LEVEL
    return turn, np.where(clear, move, IGNORED)


def _pressed(keyboard: Any, key: str, keys: Sequence[str]) -> int:
    if isinstance(keyboard, dict):
        return int(keyboard.get(key, 0))
    return int(np.asarray(keyboard)[list(keys).index(key)]) if key in keys else 0
