"""Whether a clip's pictures move when its actions say so: a check on sources whose alignment nobody can vouch for.

Shapes: T frames, H W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from worldmodel.data.clips import Clip

MAX_LAG = 2  # steps to either side that are looked at
MIN_STEPS = 24  # fewer tell nothing
MIN_SCORE, MIN_LEAD = 0.2, 0.05  # of the variance explained, by the best lag and by it over the next
RESOLUTION = 64  # columns and rows that movement is measured in
WALK = ("forward", "back", "left", "right", "jump")


def best_lag(clip: Clip) -> int | None:
    """Measures by how many steps the pictures move later than the actions say: 0 if they are aligned.

    How much the picture changes, and how far it shifts sideways and up, is explained by the actions in a linear
    regression, at every lag up to MAX_LAG either way; the lag that explains most is the one.

    Args:
        clip: at least MIN_STEPS steps, with a keyboard or a camera.

    Returns:
        The lag; None if there is too little movement to tell it from its neighbours, or no such condition.
    """
    if not {"keyboard", "camera"} & set(clip.conditions):
        return None
    asked = np.array([_asked(action) for action in clip.actions()])
    moved = _moved(clip.frames)
    inner = slice(MAX_LAG, len(asked) - MAX_LAG)
    if len(asked) < MIN_STEPS:
        return None
    scores = [_explained(asked[inner], np.roll(moved, -lag, axis=0)[inner]) for lag in range(-MAX_LAG, MAX_LAG + 1)]
    order = np.argsort(scores)
    if scores[order[-1]] < MIN_SCORE or scores[order[-1]] - scores[order[-2]] < MIN_LEAD:
        return None
    return int(order[-1]) - MAX_LAG


def _asked(action: Mapping[str, Any]) -> list[float]:
    pitch, yaw = (float(angle) for angle in action.get("camera", (0.0, 0.0))[:2])
    keys = action.get("keyboard", {})
    return [pitch, yaw, abs(pitch), abs(yaw), *(float(keys.get(key, 0)) for key in WALK)]


def _moved(frames: np.ndarray) -> np.ndarray:
    """Returns [T-1, 3]: how much the picture changes, and how far it shifts to the right and down."""
    small = frames[:, :: max(1, frames.shape[1] // RESOLUTION), :: max(1, frames.shape[2] // RESOLUTION)]
    small = small.astype(np.float32)
    changed = np.abs(np.diff(small, axis=0)).mean(axis=(1, 2, 3))
    return np.stack([changed, _shift(small.mean(axis=1)), _shift(small.mean(axis=2))], axis=1)


def _shift(profiles: np.ndarray) -> np.ndarray:
    """Returns by how many entries each of the profiles [T, W, 3] is shifted against the one before it, [T-1]."""
    reach = profiles.shape[1] // 4
    shifts = np.arange(-reach, reach + 1)
    centre = profiles[1:, reach : profiles.shape[1] - reach]
    errors = [
        np.abs(centre - profiles[:-1, reach - shift : profiles.shape[1] - reach - shift]).mean(axis=(1, 2))
        for shift in shifts
    ]
    return shifts[np.argmin(errors, axis=0)].astype(np.float32)


def _explained(asked: np.ndarray, moved: np.ndarray) -> float:
    """Returns the share of the variance of `moved` that is linear in `asked`, the mean over what varies."""
    asked, moved = asked - asked.mean(axis=0), moved - moved.mean(axis=0)
    asked, moved = asked[:, asked.std(axis=0) > 1e-6], moved[:, moved.std(axis=0) > 1e-6]
    if not asked.size or not moved.size:
        return 0.0
    moved = moved / moved.std(axis=0)
    rest = moved - asked @ np.linalg.lstsq(asked, moved, rcond=None)[0]
    return 1.0 - float((rest**2).mean())
