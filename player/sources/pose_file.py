"""A pose from an npz file: key points [T, K, 2] in picture widths, NaN where a joint is missing.

Shapes: T frames of the file, K joints.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from conditions.pose import JOINTS
from player.sources.base import SourceError, Tell, existing

KEYS = ("pose", "key_points")  # the array's name; a file with a single array may call it anything
RATE, NAMES = "fps", "joints"  # beside it, both may be missing


class Poses:
    """Key points as a source, brought to another frame rate along straight lines.

    Args:
        points: [T, K, 2] float32, NaN where missing.
        rate: frames a second of the points.
        fps: frames a second asked for.
    """

    def __init__(self, points: NDArray[np.float32], rate: float, fps: float) -> None:
        self._points, self._step = points, rate / fps
        self._frame = 0

    @property
    def frames(self) -> int:
        """How many frames asked for they last."""
        return int(np.ceil(len(self._points) / self._step - 1e-9))

    def read(self) -> NDArray[np.float32] | None:
        """Returns the next frame's points [K, 2], or None after the last."""
        at = self._frame * self._step
        self._frame += 1
        before = int(at + 1e-9)
        if before >= len(self._points):
            return None
        share = at - before
        here = self._points[before]
        if share < 1e-6 or before + 1 == len(self._points):
            return here.copy()
        there = self._points[before + 1]
        return ((1 - share) * here + share * there).astype(np.float32)

    def close(self) -> None:
        """Nothing to let go of."""


def read_poses(path: str | Path, space: spaces.Box, fps: float, tell: Tell, option: str = "--pose") -> Poses:
    """Reads a pose file.

    Args:
        path: npz with `pose` [T, K, 2], NaN = missing; with `fps`, if they were not taken at that of the world; with
            `joints`, their names, if these are in another order. Or an npy of the pose alone.
        space: of one frame's points, [K, 2].
        fps: frames a second of the world.
        tell: is told what was changed.
        option: where the file was named, for errors.

    Raises:
        SourceError: if there is no such file, or it holds anything else, or another number of joints.
    """
    path = existing(path, "pose file", option)
    held = _load(path)
    others = [name for name in held if name not in (RATE, NAMES)]
    name = next((key for key in KEYS if key in held), others[0] if len(others) == 1 else None)
    if name is None:
        raise SourceError(f"{path} must hold an array 'pose' [T, K, 2], it holds {', '.join(held) or 'nothing'}")
    points = _in_order(held[name], held.get(NAMES), space, path)
    rate = _rate(held[RATE], path) if RATE in held else fps
    return Poses(_within(points, space, path, tell), rate, fps)


def _load(path: Path) -> dict[str, np.ndarray]:
    """Returns the arrays of an npz file; that of an npy file, as a recorded clip has one, is the pose."""
    try:
        loaded = np.load(path, allow_pickle=False)
    except Exception as error:  # a damaged zip or header can raise anything, from zlib, zipfile, tokenize, struct ...
        reason = "" if "pickle" in str(error) else f": {error}"  # what numpy advises for these is no good advice
        raise SourceError(f"{path} must be an npz file with an array 'pose' [T, K, 2], and is none{reason}") from error
    if not isinstance(loaded, np.lib.npyio.NpzFile):
        return {KEYS[0]: loaded}
    with loaded as arrays:
        try:
            return {name: arrays[name] for name in arrays.files}
        except Exception as error:  # as above
            raise SourceError(f"{path} is damaged: {error}: write it again by numpy.savez") from error


def _rate(held: np.ndarray, path: Path) -> float:
    """Returns checked frames a second."""
    if held.dtype.kind not in "iuf" or held.size != 1:
        got = repr(held.item()) if held.size == 1 else f"{held.dtype} {held.shape}"
        raise SourceError(f"{path}: fps must be one number, the frames a second of the pose, got {got}")
    rate = float(held.item())
    if not 0 < rate < 1000:
        raise SourceError(f"{path}: fps must be above 0 and below 1000 frames a second, got {rate}")
    return rate


def _in_order(points: np.ndarray, names: np.ndarray | None, space: spaces.Box, path: Path) -> NDArray[np.float32]:
    """Returns checked points with their joints in the order of the condition."""
    joints, _ = space.shape
    if points.dtype.kind not in "iuf" or points.ndim != 3 or points.shape[2] != 2 or not len(points):
        raise SourceError(
            f"{path}: the pose must be numbers [T, {joints}, 2], x and y of each joint in each frame, got "
            f"{points.dtype} {points.shape}"
        )
    if points.shape[1] != joints:
        known = f" ({', '.join(JOINTS)})" if joints == len(JOINTS) else ""
        raise SourceError(
            f"{path} has {points.shape[1]} joints, and this world's pose has {joints}{known}: give these, with NaN "
            "for those that are not known"
        )
    points = points.astype(np.float32)
    if names is None or joints != len(JOINTS):
        return points
    order = [str(name) for name in names.ravel()]
    if sorted(order) != sorted(JOINTS):
        raise SourceError(f"{path}: joints must be {', '.join(JOINTS)} in any order, got {', '.join(order)}")
    return points[:, [order.index(joint) for joint in JOINTS]]


def _within(points: NDArray[np.float32], space: spaces.Box, path: Path, tell: Tell) -> NDArray[np.float32]:
    """Makes joints that lie nowhere near the picture missing ones."""
    missing = np.isnan(points).any(axis=2)
    wild = ~missing & ~((points >= space.low) & (points <= space.high)).all(axis=2)
    if wild.any():
        tell(
            f"{path}: {wild.sum()} of {wild.size} joints lie outside {space.low.min():g} to {space.high.max():g} "
            "picture widths and count as missing: are they in pixels?"
        )
    if (missing | wild).all():
        tell(f"{path}: every joint is missing in every frame")
    elif missing.any():
        tell(f"{path}: {missing.sum()} of {missing.size} joints are missing (NaN)")
    return np.where(np.expand_dims(missing | wild, 2), np.float32(np.nan), points)
