"""Drift: does a long stream still look like the world it was trained on?

Sharpness, colour, movement and the latents' moments are averaged over windows of a stream, and must stay within the
range that such windows of rendered clips span. One half of the streams is played at random, the other not touched.

Shapes: B streams, T frames, S statistics.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodel.evaluation import plots
from worldmodel.evaluation.figure import Task
from worldmodel.evaluation.options import Unavailable
from worldmodel.evaluation.reconstruction import encode
from worldmodel.evaluation.rollout import stream
from worldmodel.evaluation.scripts import idle, random_play
from worldmodel.evaluation.sheets import contact_sheet
from worldmodel.evaluation.statistics import NAMES, frame_statistics, latent_statistics, windows

MODES = ("random play", "no input")
ROUNDING = 1e-6  # of a range's width: a window of rendered frames itself must never fall out by a rounding error
SHOWN_FRAMES = (1, 60, 300, 1000, 2000)


def measure(task: Task) -> dict[str, Any]:
    """Generates long streams and compares their windows with those of rendered clips.

    Returns:
        range: {statistic: [lowest, highest]} of the rendered windows; streams: {mode: {statistic: {"lowest",
        "highest", "within", "share_within"}}}; within: whether every window of every statistic is in range.

    Raises:
        Unavailable: if no clip is as long as a window.
    """
    task.needs_player()
    options = task.options
    rendered = _rendered(task)
    low, high = rendered.min(0), rendered.max(0)
    slack = ROUNDING * (high - low)
    values = _generated(task)  # mode -> [B, num_windows, S]
    figures: dict[str, Any] = {
        "names": NAMES,
        "window_frames": options.drift_window,
        "frames": options.drift_frames,
        "num_streams": options.drift_streams,
        "rendered_windows": len(rendered),
        "range": {name: [float(low[s]), float(high[s])] for s, name in enumerate(NAMES)},
        "streams": {},
        "values": {mode: values[mode].round(4).tolist() for mode in MODES},
    }
    for mode in MODES:
        inside = (values[mode] >= low - slack) & (values[mode] <= high + slack)
        figures["streams"][mode] = {
            name: {
                "lowest": float(values[mode][..., s].min()),
                "highest": float(values[mode][..., s].max()),
                "within": bool(inside[..., s].all()),
                "share_within": float(inside[..., s].mean()),
            }
            for s, name in enumerate(NAMES)
        }
    outside = [(mode, name) for mode in MODES for name in NAMES if not figures["streams"][mode][name]["within"]]
    figures["outside"] = [f"{name}, {mode}" for mode, name in outside]
    figures["within"] = not outside
    plots.drift(task.out / "drift.png", NAMES, low, high, values, options.drift_window)
    return figures


def _rendered(task: Task) -> NDArray[np.float64]:
    """Statistics of windows of rendered clips, [num_windows, S]."""
    length = task.options.drift_window
    places = task.held_out.places(task.options.drift_reference, length, task.rng("drift"))
    if not places:
        raise Unavailable(f"clips must be at least {length} frames long, the longest has {task.held_out.longest()}")
    rows = []
    for number, place in enumerate(places):
        frames = task.held_out.frames(place)
        latents = encode(task, frames)[0].float().cpu().numpy()
        values = np.concatenate([frame_statistics(frames), latent_statistics(latents)], axis=1)
        rows.append(windows(values, length))
        if (number + 1) % 20 == 0:
            task.report(f"{number + 1}/{len(places)} windows of rendered clips")
    return np.concatenate(rows)


def _generated(task: Task) -> dict[str, NDArray[np.float64]]:
    """Statistics of the streams' windows, by mode [B, num_windows, S]; also draws the sheet."""
    options = task.options
    rng = task.rng("drift streams")
    count = options.drift_streams
    places = task.held_out.places(2 * count, min(options.context_frames, task.held_out.longest()), rng)
    places = [places[index % len(places)] for index in range(2 * count)]
    starts = [task.held_out.start(place, place.frames) for place in places]
    scripts = [random_play(rng, options.drift_frames) for _ in range(count)]
    scripts += [idle(options.drift_frames) for _ in range(count)]

    shown = [frame for frame in SHOWN_FRAMES if frame <= options.drift_frames]
    pictures: list[list[NDArray[np.uint8]]] = [[] for _ in starts]
    rows: list[list[NDArray[np.float64]]] = [[] for _ in starts]
    before = np.stack([start.frames[-1] for start in starts])
    for frame, (frames, latents) in enumerate(stream(task.world, starts, scripts, options.seed), start=1):
        for row in range(len(starts)):
            picture = frame_statistics(frames[row : row + 1], before[row])
            rows[row].append(np.concatenate([picture, latent_statistics(latents[row : row + 1])], axis=1)[0])
            if frame in shown:
                pictures[row].append(frames[row])
        before = frames
        if frame % 100 == 0:
            task.report(f"frame {frame}/{options.drift_frames} of {len(starts)} streams")
    means = np.stack([windows(np.stack(row), options.drift_window) for row in rows])
    labels = [MODES[row // count] for row in range(len(starts))]
    contact_sheet(
        task.out / "drift_sheet.png",
        [(f"{label} {row % count + 1}", pictures[row]) for row, label in enumerate(labels)],
        [f"frame {frame}" for frame in shown],
        groups=count,
    )
    return {MODES[0]: means[:count], MODES[1]: means[count:]}
