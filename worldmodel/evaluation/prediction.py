"""Prediction: the model against the rendered truth under the same actions, and against two ways of not knowing.

The model starts from true frames and is then given only the actions. *Copy* shows the last true frame for ever;
*shuffled* is the model itself under the actions of another clip. A model that does not beat the first knows nothing
of how the world moves; one that does not beat the second does not listen.

Shapes: S starts, L frames predicted, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodel.evaluation import plots
from worldmodel.evaluation.figure import Task
from worldmodel.evaluation.heldout import Place
from worldmodel.evaluation.options import Unavailable
from worldmodel.evaluation.rollout import rollout
from worldmodel.evaluation.scores import score, summary
from worldmodel.evaluation.scripts import Action
from worldmodel.evaluation.sheets import contact_sheet
from worldmodel.evenly import evenly

WAYS = ("model", "copy", "shuffled")
CURVE_POINTS = 24
SHOWN = 4


def measure(task: Task) -> dict[str, Any]:
    """Scores predictions at every horizon.

    Returns:
        horizons: {frames: {"model" | "copy" | "shuffled": {psnr_db, psnr_mean_db, ssim}, "num_starts", "beats_psnr",
        "beats_ssim"}}; unavailable: {frames: why}; curve: the same scores over the frames of the longest rollout.

    Raises:
        Unavailable: if no clip is long enough for any horizon.
    """
    options = task.options
    rng = task.rng("prediction")
    pooled: dict[int, dict[str, list[NDArray[np.float64]]]] = {h: {way: [] for way in WAYS} for h in options.horizons}
    curve: dict[str, Any] = {}
    longest = 0
    for length, count in options.rollouts:
        places = task.held_out.places(count, options.context_frames + length, rng)
        if not places:
            continue
        scored = [h for h in options.horizons if h <= length]
        marks = np.unique(np.concatenate([scored, np.geomspace(1, length, CURVE_POINTS).round()])).astype(int)
        pictures, scores = _compare(task, places, length, marks)
        for horizon in scored:
            for way in WAYS:
                pooled[horizon][way].append(scores[way][:, list(marks).index(horizon)])
        if length > longest:
            longest = length
            curve = {"frames": marks.tolist()} | {
                way: [summary(scores[way][:, column]) for column in range(len(marks))] for way in WAYS
            }
            _draw(task, marks, scores, pictures)
    if not longest:
        raise Unavailable(
            f"clips must be at least {options.context_frames + options.rollouts[0][0]} frames long, "
            f"the longest has {task.held_out.longest()}: record longer ones with --frames"
        )
    figures: dict[str, Any] = {"horizons": {}, "unavailable": {}, "curve": curve}
    for horizon in options.horizons:
        if not pooled[horizon]["model"]:
            figures["unavailable"][str(horizon)] = (
                f"needs clips of {options.context_frames + _rollout_for(options.rollouts, horizon)} frames, "
                f"the longest has {task.held_out.longest()}"
            )
            continue
        ways = {way: summary(np.concatenate(pooled[horizon][way])) for way in WAYS}
        figures["horizons"][str(horizon)] = {
            **ways,
            "num_starts": sum(len(part) for part in pooled[horizon]["model"]),
            "beats_psnr": all(ways["model"]["psnr_db"] > ways[way]["psnr_db"] for way in WAYS[1:]),
            "beats_ssim": all(ways["model"]["ssim"] > ways[way]["ssim"] for way in WAYS[1:]),
        }
    return figures


def shuffle(scripts: Sequence[list[Action]]) -> list[list[Action]]:
    """Gives every start the actions of another; a single start gets its own in reverse order."""
    if len(scripts) == 1:
        return [scripts[0][::-1]]
    half = max(1, len(scripts) // 2)
    return [*scripts[half:], *scripts[:half]]


def _rollout_for(rollouts: Sequence[tuple[int, int]], horizon: int) -> int:
    """The shortest rollout that reaches a horizon."""
    return min((length for length, _ in rollouts if length >= horizon), default=horizon)


def _compare(
    task: Task, places: list[Place], length: int, marks: NDArray[np.int64]
) -> tuple[dict[str, NDArray[np.uint8]], dict[str, NDArray[np.float64]]]:
    """Rolls out and scores at the frames `marks`, counted from 1.

    Returns:
        Pictures at the marks by "truth", "model", "copy", "shuffled", each [S, M, H, W, 3]; and scores, [S, M, 2].
    """
    context = task.options.context_frames
    starts = [task.held_out.start(place, context) for place in places]
    scripts = [task.held_out.actions(place)[context - 1 :] for place in places]
    what = f"{length} frames,"
    pictures = {
        "truth": np.stack([task.held_out.frames(place)[context + marks - 1] for place in places]),
        "model": _at(task, starts, scripts, marks, f"{what} model,"),
        "shuffled": _at(task, starts, shuffle(scripts), marks, f"{what} shuffled actions,"),
    }
    last = np.stack([start.frames[-1] for start in starts])
    pictures["copy"] = np.broadcast_to(last[:, None], pictures["truth"].shape)
    return pictures, {way: score(pictures[way], pictures["truth"]) for way in WAYS}


def _at(
    task: Task, starts: list[Any], scripts: list[list[Action]], marks: NDArray[np.int64], what: str
) -> NDArray[np.uint8]:
    options = task.options
    return rollout(task.world, starts, scripts, options.num_streams, options.seed, task.report, what)[:, marks - 1]


def _draw(
    task: Task,
    marks: NDArray[np.int64],
    scores: dict[str, NDArray[np.float64]],
    pictures: dict[str, NDArray[np.uint8]],
) -> None:
    plots.prediction(task.out / "prediction.png", marks, scores)
    columns = evenly(range(len(marks)), 9)
    rows = [
        (label, [pictures[way][start, column] for column in columns])
        for start in range(min(SHOWN, len(pictures["truth"])))
        for label, way in (("truth", "truth"), ("generated", "model"))
    ]
    contact_sheet(task.out / "prediction_sheet.png", rows, [f"frame {marks[column]}" for column in columns], groups=2)
