"""Drift: does a long stream still look like the world it was trained on?

Sharpness, colour, movement and the latents' moments are averaged over windows of a stream, and must stay within the
range that such windows of rendered clips span: recorded ones, and the rendered world under the streams' own scripts
where it can be driven. One half of the streams is played at random, the other not touched. Beside it stands the range
of rendered clips *as the autoencoder shows them*: what lies outside the first and inside the second is blur, not drift.

Shapes: B streams, T frames, S statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodel.evaluation import plots
from worldmodel.evaluation.figure import Task
from worldmodel.evaluation.heldout import Place
from worldmodel.evaluation.options import Unavailable
from worldmodel.evaluation.reconstruction import decode, encode
from worldmodel.evaluation.rollout import stream
from worldmodel.evaluation.scripts import Action, idle, random_play
from worldmodel.evaluation.sheets import contact_sheet
from worldmodel.evaluation.statistics import NAMES, frame_statistics, latent_statistics, windows
from worldmodel.evaluation.worlds import drive_all

MODES = ("random play", "no input")
ROUNDING = 1e-6  # of a range's width: a window of rendered frames itself must never fall out by a rounding error
SHOWN_FRAMES = (1, 60, 300, 1000, 2000)
DRIVEN_WINDOWS = 4  # of each script, in the rendered world
DECODED_EVERY = 3  # windows of rendered clips, for each one that also goes through the autoencoder


@dataclass(frozen=True)
class Ranges:
    """Lowest and highest value of each statistic over windows of rendered clips.

    Attributes:
        rendered: [2, S] of the clips.
        decoded: [2, S] of the clips through the autoencoder.
        windows: how many windows of the clips.
    """

    rendered: NDArray[np.float64]
    decoded: NDArray[np.float64]
    windows: int


def measure(task: Task) -> dict[str, Any]:
    """Generates long streams and compares their windows with those of rendered clips.

    Returns:
        range, decoded_range: {statistic: [lowest, highest]} of the rendered windows, and of these through the
        autoencoder; streams: {mode: {statistic: {"lowest", "highest", "within", "share_within", "within_decoded"}}};
        within: whether every window of every statistic is in range; within_decoded: in either range; outside,
        outside_decoded: which are not.

    Raises:
        Unavailable: if there is no player, or no clip is as long as a window.
    """
    task.needs_player()
    options, rng = task.options, task.rng("drift streams")
    count, context = options.drift_streams, min(options.context_frames, task.held_out.longest())
    places = task.held_out.beginnings(2 * count, context)
    places = [places[index % len(places)] for index in range(2 * count)]
    scripts = [random_play(rng, options.drift_frames) for _ in range(count)]
    scripts += [idle(options.drift_frames) for _ in range(count)]

    cut = [script[: DRIVEN_WINDOWS * options.drift_window] for script in scripts]
    driven, truth = drive_all(task, places, cut)
    ranges = _ranges(task, [] if driven is None else [seen.frames for seen in driven])
    values = _generated(task, places, scripts)  # mode -> [B, num_windows, S]
    figures: dict[str, Any] = {
        "names": NAMES,
        "window_frames": options.drift_window,
        "frames": options.drift_frames,
        "num_streams": count,
        "rendered_windows": ranges.windows,
        "truth": truth,
        "range": dict(zip(NAMES, ranges.rendered.T.tolist(), strict=True)),
        "decoded_range": dict(zip(NAMES, ranges.decoded.T.tolist(), strict=True)),
        "streams": {mode: _compare(values[mode], ranges) for mode in MODES},
        "values": {mode: values[mode].round(4).tolist() for mode in MODES},
    }
    for suffix in ("", "_decoded"):
        outside = [
            f"{name}, {mode}"
            for mode in MODES
            for name in NAMES
            if not figures["streams"][mode][name]["within" + suffix]
        ]
        figures["outside" + suffix] = outside
        figures["within" + suffix] = not outside
    plots.drift(task.out / "drift.png", NAMES, ranges.rendered, ranges.decoded, values, options.drift_window)
    return figures


def _compare(values: NDArray[np.float64], ranges: Ranges) -> dict[str, Any]:
    """Each statistic of streams [B, num_windows, S] against the ranges."""
    inside, decoded = (
        (values >= low - ROUNDING * (high - low)) & (values <= high + ROUNDING * (high - low))
        for low, high in (ranges.rendered, ranges.decoded)
    )
    return {
        name: {
            "lowest": float(values[..., s].min()),
            "highest": float(values[..., s].max()),
            "within": bool(inside[..., s].all()),
            "share_within": float(inside[..., s].mean()),
            "within_decoded": bool((inside | decoded)[..., s].all()),
        }
        for s, name in enumerate(NAMES)
    }


def _ranges(task: Task, driven: Sequence[NDArray[np.uint8]]) -> Ranges:
    """The ranges of recorded stretches, as many as the options say, and of driven ones [T, H, W, 3]."""
    length = task.options.drift_window
    places = task.held_out.places(task.options.drift_reference, length, task.rng("drift"))
    if not places:
        raise Unavailable(f"clips must be at least {length} frames long, the longest has {task.held_out.longest()}")
    own = [frames[first : first + length] for frames in driven for first in range(1, len(frames) - length + 1, length)]
    pictures, latents, decoded = [], [], []
    for number in range(len(places) + len(own)):
        frames = task.held_out.frames(places[number]) if number < len(places) else own[number - len(places)]
        pictures.append(windows(frame_statistics(frames), length))
        if number % DECODED_EVERY == 0 or number >= len(places):
            encoded = encode(task, frames)
            latents.append(windows(latent_statistics(encoded[0].float().cpu().numpy()), length))
            decoded.append(windows(frame_statistics(decode(task, encoded)), length))
        if (number + 1) % 20 == 0:
            task.report(f"{number + 1}/{len(places) + len(own)} windows of rendered clips")
    seen, shown, inner = (np.concatenate(rows) for rows in (pictures, decoded, latents))
    inner_range = np.stack([inner.min(0), inner.max(0)])
    return Ranges(
        np.concatenate([np.stack([seen.min(0), seen.max(0)]), inner_range], axis=1),
        np.concatenate([np.stack([shown.min(0), shown.max(0)]), inner_range], axis=1),
        len(seen),
    )


def _generated(
    task: Task, places: Sequence[Place], scripts: Sequence[Sequence[Action]]
) -> dict[str, NDArray[np.float64]]:
    """Statistics of the streams' windows, by mode [B, num_windows, S]; also draws the sheet."""
    options = task.options
    count = options.drift_streams
    starts = [task.held_out.start(place, place.frames) for place in places]
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
