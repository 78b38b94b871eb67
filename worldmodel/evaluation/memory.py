"""Memory: look away and back, or all the way round. Is what one comes back to what one left?

The place that was left is the model's own picture of it, so that only forgetting counts, not blur. *Rendered* is the
same walk in the rendered world (what a perfect memory scores; clouds move), *elsewhere* another stream's place (what
no memory at all scores).

Shapes: S starts, H W pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodel.evaluation import plots
from worldmodel.evaluation.figure import Task
from worldmodel.evaluation.options import Unavailable
from worldmodel.evaluation.rollout import rollout
from worldmodel.evaluation.scores import score, summary
from worldmodel.evaluation.scripts import idle, turn_away_and_back
from worldmodel.evaluation.sheets import contact_sheet
from worldmodel.evaluation.worlds import drive_all

SETTLE = 8  # frames without input first, so that the player stands still
SHOWN = 3


def measure(task: Task) -> dict[str, Any]:
    """Turns away and back by each angle from several places.

    Returns:
        angles: {degrees: {"frames_away", "back", "away", "elsewhere", and "rendered" where the world can be driven}},
        each of the last four {psnr_db, psnr_mean_db, ssim}; truth: whether it could, and if not, why.

    Raises:
        Unavailable: if there is no player to turn, or no clip has the context's length.
    """
    task.needs_player()
    options = task.options
    places = task.held_out.beginnings(options.memory_starts, options.context_frames)
    if not places:
        raise Unavailable(f"clips must be at least {options.context_frames} frames long")
    starts = [task.held_out.start(place, options.context_frames) for place in places]
    figures: dict[str, Any] = {"angles": {}, "num_starts": len(starts), "settle_frames": SETTLE}
    columns: list[str] = []
    sheet: dict[str, list[NDArray[np.uint8]]] = {"truth": [], "generated": []}  # each a column of [S, H, W, 3]
    truth: dict[str, Any] = {"rendered": True}
    for angle in options.memory_angles:
        turning, farthest, back = turn_away_and_back(angle, options.memory_rate)
        script = idle(SETTLE) + turning
        what = f"{angle} degrees,"
        pictures = rollout(
            task.world, starts, [script] * len(starts), options.num_streams, options.seed, task.report, what
        )
        shown = [pictures[:, SETTLE - 1 + step] for step in (0, farthest, back)]  # frame k - 1 follows k actions
        figures["angles"][str(angle)] = {
            "frames_away": back,
            "back": summary(score(shown[2], shown[0])),
            "away": summary(score(shown[1], shown[0])),
        }
        if len(starts) > 1:
            figures["angles"][str(angle)]["elsewhere"] = summary(score(np.roll(shown[0], 1, axis=0), shown[0]))
        sheet["generated"] += shown if not columns else shown[1:]
        labels = ["half way round", "all round"] if angle == 360 else [f"{angle}° away", "back"]
        columns += labels if columns else ["left", *labels]
        if truth["rendered"]:
            driven, truth = drive_all(task, places, [script] * len(places))
            if driven is not None:
                real = [np.stack([d.frames[SETTLE + step] for d in driven]) for step in (0, farthest, back)]
                figures["angles"][str(angle)]["rendered"] = summary(score(real[2], real[0]))
                sheet["truth"] += real if not sheet["truth"] else real[1:]
    kinds = [kind for kind in ("truth", "generated") if len(sheet[kind]) == len(columns)]
    contact_sheet(
        task.out / "memory_sheet.png",
        [(kind, [part[row] for part in sheet[kind]]) for row in range(min(SHOWN, len(starts))) for kind in kinds],
        columns,
        groups=len(kinds),
    )
    figures["truth"] = truth
    plots.memory(task.out / "memory.png", figures["angles"])
    return figures
