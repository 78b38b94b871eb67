"""Drift: does a long stream still look like the world it was trained on?

Sharpness, colour, movement and the latents' moments are averaged over windows of a stream, and must stay within the
range that such windows of rendered clips span: recorded ones, and the rendered world under the streams' own scripts
to their end, where it can be driven. One half of the streams is played at random, the other not touched. Beside stand
the range of rendered clips *as the autoencoder shows them* (what lies outside the first and inside the second is blur,
not drift), and how the rendered world itself fares: each of its streams against the range of all other rendered ones.

Shapes: B streams, T frames, S statistics.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

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
from worldmodel.evaluation.worlds import Driven, drive_each

MODES = ("random play", "no input")
ROUNDING = 1e-6  # of a range's width: a window of rendered frames itself must never fall out by a rounding error
SHOWN_FRAMES = (1, 60, 300, 1000, 2000)
DECODED_EVERY = 3  # windows of rendered clips, for each one that also goes through the autoencoder


class Rendered(NamedTuple):
    """Statistics of windows of rendered frames: S = the pictures' and the latents'.

    Attributes:
        pictures: [W, S_pictures] of the frames themselves.
        decoded: [V, S_pictures] of those that also went through the autoencoder.
        latents: [V, S_latents] of these.
    """

    pictures: NDArray[np.float64]
    decoded: NDArray[np.float64]
    latents: NDArray[np.float64]


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

    @classmethod
    def of(cls, parts: Sequence[Rendered]) -> Ranges:
        """The ranges that some windows span."""
        pictures, decoded, latents = (
            np.stack([values.min(0), values.max(0)]) for values in map(np.concatenate, zip(*parts, strict=True))
        )
        return cls(
            np.concatenate([pictures, latents], axis=1),
            np.concatenate([decoded, latents], axis=1),
            sum(len(part.pictures) for part in parts),
        )


def measure(task: Task) -> dict[str, Any]:
    """Generates long streams and compares their windows with those of rendered clips.

    Returns:
        range, decoded_range: {statistic: [lowest, highest]} of the rendered windows, and of these through the
        autoencoder; rendered_streams: {mode: {statistic: share of the rendered world's own windows that lie within the
        range of all its other streams and clips}}, empty where it cannot be driven; streams: {mode: {statistic:
        {"lowest", "highest", "within", "share_within", "within_decoded"}}}; within: whether every window of every
        statistic is in range; within_decoded: in either range; outside, outside_decoded: which are not.

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

    recorded = _recorded(task)
    driven: list[Rendered] = []

    def take(seen: Driven) -> None:
        driven.append(_rendered(task, _cut(seen.frames[1:], options.drift_window), 1))

    truth = drive_each(task, places, scripts, take)
    ranges = Ranges.of([recorded, *(driven if truth["rendered"] else [])])
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
        "rendered_streams": _own(recorded, driven, count) if truth["rendered"] else {},
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


def _inside(values: NDArray[np.float64], span: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether statistics [..., S] lie in ranges [2, S]."""
    low, high = span
    return (values >= low - ROUNDING * (high - low)) & (values <= high + ROUNDING * (high - low))


def _compare(values: NDArray[np.float64], ranges: Ranges) -> dict[str, Any]:
    """Each statistic of streams [B, num_windows, S] against the ranges."""
    inside, decoded = _inside(values, ranges.rendered), _inside(values, ranges.decoded)
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


def _own(recorded: Rendered, driven: Sequence[Rendered], count: int) -> dict[str, dict[str, float]]:
    """How the rendered world's streams fare, `count` of each mode: each against all else that is rendered."""
    inside = []
    for number, own in enumerate(driven):
        others = Ranges.of([recorded, *driven[:number], *driven[number + 1 :]])
        inside.append(_inside(np.concatenate([own.pictures, own.latents], axis=1), others.rendered))
    by_mode = {MODES[0]: np.concatenate(inside[:count]), MODES[1]: np.concatenate(inside[count:])}
    return {mode: dict(zip(NAMES, within.mean(0).tolist(), strict=True)) for mode, within in by_mode.items()}


def _recorded(task: Task) -> Rendered:
    """Windows of recorded clips, as many as the options say."""
    length = task.options.drift_window
    places = task.held_out.places(task.options.drift_reference, length, task.rng("drift"))
    if not places:
        raise Unavailable(f"clips must be at least {length} frames long, the longest has {task.held_out.longest()}")
    return _rendered(task, (task.held_out.frames(place) for place in places), DECODED_EVERY)


def _cut(frames: NDArray[np.uint8], length: int) -> list[NDArray[np.uint8]]:
    """Cuts [T, H, W, 3] into windows; what does not fill one is left out."""
    return [frames[first : first + length] for first in range(0, len(frames) - length + 1, length)]


def _rendered(task: Task, stretches: Iterable[NDArray[np.uint8]], decoded_every: int) -> Rendered:
    """Statistics of windows of rendered frames, one of `decoded_every` of them also through the autoencoder."""
    pictures, latents, decoded = [], [], []
    for number, frames in enumerate(stretches):
        pictures.append(windows(frame_statistics(frames), len(frames)))
        if number % decoded_every == 0:
            encoded = encode(task, frames)
            latents.append(windows(latent_statistics(encoded[0].float().cpu().numpy()), len(frames)))
            decoded.append(windows(frame_statistics(decode(task, encoded)), len(frames)))
        if (number + 1) % 20 == 0:
            task.report(f"{number + 1} windows of rendered clips")
    return Rendered(*(np.concatenate(rows) for rows in (pictures, decoded, latents)))


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
