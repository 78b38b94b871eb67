"""Tiny recordings with moving pictures: a bar moves exactly when an action says so.

A turn to the right moves the red bar right, one to the left left; walking forward moves the blue bar down.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from worldmodel.data.clips import Clip
from worldmodel.data.video import encode_video

HEIGHT, WIDTH, STEP = 32, 48, 4


def steps(count: int, seed: int = 0) -> np.ndarray:
    """Returns [count, 2] of what each step asks for: (-1 left, 0 or 1 right), and (0 or 1 forward), never both."""
    random = np.random.default_rng(seed)
    return np.array([[0, 0], [0, 1], [-1, 0], [1, 0]])[random.choice(4, count, p=[0.4, 0.2, 0.2, 0.2])]


def film(asked: np.ndarray) -> np.ndarray:
    """Returns [len(asked) + 1, H, W, 3] uint8: step t leads from frame t to frame t + 1."""
    places = np.concatenate([[[8, 8]], [8, 8] + STEP * np.cumsum(asked, axis=0)])
    frames = np.full((len(places), HEIGHT, WIDTH, 3), 40, np.uint8)
    for frame, (x, y) in zip(frames, places, strict=True):
        frame[:, np.arange(x, x + STEP) % WIDTH, 0] = 220
        frame[np.arange(y, y + STEP) % HEIGHT, :, 2] = 220
    return frames


def mp4(asked: np.ndarray, fps: float = 20.0) -> bytes:
    """Returns the film as a file."""
    return encode_video(film(asked), fps, crf=4)


def seen(frames: np.ndarray) -> np.ndarray:
    """Returns [T-1, 2] of how the bars moved, as `steps` gives it."""
    height, width = frames.shape[1:3]
    red = frames[..., 0].astype(float).mean(1)  # [T, W]
    blue = frames[..., 2].astype(float).mean(2)  # [T, H]
    moves = np.stack([_moves(red, STEP * width // WIDTH), _moves(blue, STEP * height // HEIGHT)], 1)
    return moves


def _moves(profile: np.ndarray, step: int) -> np.ndarray:
    shifts = [-step, 0, step]
    errors = [np.abs(np.roll(profile[:-1], shift, axis=1) - profile[1:]).sum(1) for shift in shifts]
    return np.argmin(errors, axis=0) - 1


def asked(clip: Clip) -> np.ndarray:
    """Returns [T-1, 2] of what a clip's actions ask for, as `steps` gives it."""
    actions = clip.actions()
    turns = [float(np.sign(action["camera"][1])) if "camera" in action else 9 for action in actions]
    return np.array([[turn, action["keyboard"]["forward"]] for turn, action in zip(turns, actions, strict=True)])


def assert_aligned(clip: Clip) -> None:
    """Fails unless the bars move exactly when the actions say so, and neither a step earlier nor a step later."""
    said, moved = asked(clip), seen(clip.frames)
    np.testing.assert_array_equal(said, moved)
    assert (said[1:] != moved[:-1]).any() and (said[:-1] != moved[1:]).any()


def truncated(data: bytes) -> bytes:
    """Returns the first half of a file."""
    return data[: len(data) // 2]


def write(path: Path, data: bytes) -> None:
    """Writes a file and the folders that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
