"""Pose: is each joint where it was told to be?

Only frames whose pose is given are asked about, and of these only joints inside the picture. *Still* is a head that
stays as the first picture shows it: what a model that does not listen would score.

Shapes: T frames, K joints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodel.evaluation.figure import Task
from worldmodel.evaluation.heads import plots
from worldmodel.evaluation.heads.streams import Shown, Told, as_told, draw_shown
from worldmodel.evaluation.heads.truth import truth_of
from worldmodel.evaluation.options import Unavailable
from worldmodel.evaluation.scripts import Action

MARK = (255, 40, 40)


def measure(task: Task) -> dict[str, Any]:
    """Measures how far joints are from where they were told to be.

    Returns:
        generated, rendered (what the reader makes of the recorded frames), still: each {"mean", "px", "p95"} of the
        distances, in picture widths and in pixels; joints: {name: mean of the generated frames, None where
        none is in the picture}; seconds: [(s, mean)] over the clips' time; num_clips, num_frames.

    Raises:
        Unavailable: if there is no such head, or no clip's pose is given.
    """
    task.needs_head("pose")
    performance = as_told(task)
    told = [each for each in performance.told if given(each.actions).any()]
    if not told:
        raise Unavailable("no clip's pose is given: record more with python -m envs.record")
    width = task.world.config.frame.width
    joints = list(task.world.conditions["pose"].config.joints)
    distances: dict[str, NDArray[np.float64]] = {
        name: np.concatenate([_distances(task, each, name) for each in told])
        for name in ("generated", "rendered", "still")
    }
    figures: dict[str, Any] = {name: _summary(values, width) for name, values in distances.items()}
    figures["joints"] = {
        name: None if np.isnan(column).all() else float(np.nanmean(column))
        for name, column in zip(joints, distances["generated"].T, strict=True)
    }
    figures["seconds"] = _over_time(task, told)
    figures |= {"num_clips": len(told), "num_frames": int(sum(given(each.actions).sum() for each in told))}
    plots.pose(task.out / "pose.png", figures)
    _sheet(task)
    return figures


def given(actions: Sequence[Action]) -> NDArray[np.bool_]:
    """[T] whether a frame's pose is given, by every joint."""
    return np.array(["pose" in action and bool(np.isfinite(action["pose"]).all()) for action in actions])


def _distances(task: Task, told: Told, source: str) -> NDArray[np.float64]:
    """[N, K] of the frames whose pose is given, NaN for joints outside the picture."""
    truth = told.truth
    points = truth_of(task, told.clip).key_points[:1] if source == "still" else getattr(told, source).key_points
    distances = np.linalg.norm(points - truth.key_points, axis=-1).astype(np.float64)
    distances[~truth.inside] = np.nan
    return distances[given(told.actions)]


def _summary(distances: NDArray[np.float64], width: int) -> dict[str, float]:
    mean = float(np.nanmean(distances))
    return {"mean": mean, "px": mean * width, "p95": float(np.nanpercentile(distances, 95))}


def _over_time(task: Task, told: Sequence[Told]) -> list[tuple[float, float]]:
    """The generated frames' mean distance in each second of the clips."""
    fps = task.world.config.frame.fps
    sums: dict[int, list[float]] = {}
    for each in told:
        steps = np.flatnonzero(given(each.actions))
        for step, value in zip(steps, np.nanmean(_distances(task, each, "generated"), axis=1), strict=True):
            sums.setdefault(int(step / fps), []).append(float(value))
    return [(second + 0.5, float(np.mean(values))) for second, values in sorted(sums.items())]


def _sheet(task: Task) -> None:
    """Generated frames with the joints marked that were wanted."""
    performance = as_told(task)
    by_clip: Mapping[int, Told] = {each.clip: each for each in performance.told}

    def edit(shown: Shown, frames: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        wanted = by_clip[shown.clip].truth.key_points[shown.at]
        return [marked(frame, points) for frame, points in zip(frames, wanted, strict=True)]

    draw_shown(task.out / "pose_sheet.png", performance, lambda index: f"{index + 1}", edit)


def marked(frame: NDArray[np.uint8], points: NDArray[np.floating]) -> NDArray[np.uint8]:
    """A picture [H, W, 3] with joints [K, 2], in picture widths, marked by dots of 3 pixels a side."""
    marked_frame = frame.copy()
    height, width = frame.shape[:2]
    for x, y in (points * width).round().astype(int):
        if 1 <= x < width - 1 and 1 <= y < height - 1:
            marked_frame[y - 1 : y + 2, x - 1 : x + 2] = MARK
    return marked_frame
