"""Turn-taking: does the mouth rest while the other one speaks, and move when it is its turn?

Shapes: T frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodel.evaluation.figure import Task
from worldmodel.evaluation.heads import plots
from worldmodel.evaluation.heads.streams import as_told
from worldmodel.evaluation.heads.truth import CLOSED, Truth
from worldmodel.evaluation.options import Unavailable

SOURCES = ("generated", "rendered", "truth")


def measure(task: Task) -> dict[str, Any]:
    """Measures mouths in the turns of one's own and of the other.

    Returns:
        generated, rendered (the recorded frames as the reader reads them), truth: each {"other" | "own": as `turn`};
        num_clips.

    Raises:
        Unavailable: if there is no such head, or in no clip the other one speaks.
    """
    task.needs_head("audio", "listen")
    told = [
        each
        for each in as_told(task).told
        if all("listen" in action for action in each.actions) and (each.truth.listening & ~each.truth.speaking).any()
    ]
    if not told:
        raise Unavailable("in no clip the other one speaks: record more with python -m envs.record")
    figures: dict[str, Any] = {"num_clips": len(told)}
    for source in SOURCES:
        mouths = [getattr(each, source).aperture for each in told]
        figures[source] = turns(mouths, [each.truth for each in told])
    talking = sorted(told, key=lambda each: -min(each.truth.speaking.mean(), each.truth.listening.mean()))[0]
    plots.turns(
        task.out / "turns.png",
        (talking.truth.aperture, talking.generated.aperture),
        (talking.truth.speaking, talking.truth.listening),
        task.world.config.frame.fps,
    )
    return figures


def turns(mouths: Sequence[NDArray[np.floating]], truths: Sequence[Truth]) -> dict[str, Any]:
    """Figures of both turns.

    Returns:
        {"other": while only the other speaks and the true mouth is at rest, "own": while it speaks itself}: each
        {"aperture": mean, "movement": mean change from frame to frame, "closed": share, "num_frames"}, None where there
        is no such frame.
    """
    found: dict[str, Any] = {}
    for name in ("other", "own"):
        apertures, changes = [], []
        for mouth, truth in zip(mouths, truths, strict=True):
            asked = truth.speaking if name == "own" else truth.listening & ~truth.speaking & truth.silent
            apertures.append(mouth[asked])
            changes.append(abs(np.diff(mouth))[asked[1:] & asked[:-1]])
        aperture, change = np.concatenate(apertures), np.concatenate(changes)
        found[name] = {
            "aperture": float(aperture.mean()) if len(aperture) else None,
            "movement": float(change.mean()) if len(change) else None,
            "closed": float((aperture < CLOSED).mean()) if len(aperture) else None,
            "num_frames": len(aperture),
        }
    return found
