"""Identity: is it still the same person after minutes, and does nothing flicker?

Long streams follow their clip's conditions over and over. The reader says how unlike the person is to the first
picture, and the face's colours are compared with it, cut out upright so that its pose does not matter. Beside it stand
the recorded clips against *their* first pictures, and against those of other persons.

Shapes: B streams, T frames, E numbers that tell who it is, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from worldmodel.evaluation.figure import Task
from worldmodel.evaluation.heads import plots
from worldmodel.evaluation.heads.network import HeadReader, Reading, cut_out, face_frame, shrink
from worldmodel.evaluation.heads.reader import get_reader
from worldmodel.evaluation.heads.streams import as_told, spread
from worldmodel.evaluation.heldout import Place
from worldmodel.evaluation.options import Unavailable
from worldmodel.evaluation.rollout import stream
from worldmodel.evaluation.scripts import Action
from worldmodel.evaluation.sheets import contact_sheet

EVERY = 5  # frames of a stream looked at
WINDOW_S = 5.0  # of the means, up to each mark
SEAM = 12  # frames without pose where a clip begins again, so that the head need not jump
COLOURS = 8  # blocks along a side of a face whose colours are compared


def measure(task: Task) -> dict[str, Any]:
    """Generates long streams and compares them with their first pictures.

    Returns:
        marks: {seconds: {"who": mean unlikeness (1 - cosine), "colour": mean difference in % of full scale}} of the
        seconds up to each mark; slope_who, slope_colour: per minute, of a straight line; seconds, who, colour: the
        windows' means over all streams; rendered, others: the same two of recorded clips against their own and others'
        first pictures; ratio: of the 4 minutes' "who" to that at 10 s; flicker: {"generated", "rendered"}: mean change
        from frame to frame where the recorded clips are still, in levels of 255; num_streams, num_frames.

    Raises:
        Unavailable: if there is no such head, or the clips are of heads no reader can be had for.
    """
    task.needs_head("audio")
    performance = as_told(task)
    reader, fps = performance.reader.network, task.world.config.frame.fps
    marks = [mark for mark in task.options.head_marks if mark > 0]
    clips = spread(performance.reader.clips, task.options.head_streams)
    length = round(max(marks) * fps)
    scripts = [looped(task.held_out.actions_of(clip), length) for clip in clips]
    firsts = [task.held_out.frames(Place(clip, 0, 1)) for clip in clips]
    values = _stream(task, reader, clips, firsts, scripts, [round(mark * fps) for mark in marks])
    seconds = (np.arange(values.shape[1]) + 1) * EVERY / fps  # values: [B, looks, 2]
    figures: dict[str, Any] = {"marks": {}, "num_streams": len(clips), "num_frames": length}
    for mark in marks:
        near = (seconds > mark - WINDOW_S) & (seconds <= mark)
        who, colour = values[:, near].mean((0, 1))
        figures["marks"][f"{mark:g}"] = {"who": float(who), "colour": float(colour)}
    for index, name in enumerate(("who", "colour")):
        windows = _windows(values[..., index].mean(0), round(WINDOW_S * fps / EVERY))
        figures[name] = windows.round(5).tolist()
        middles = (np.arange(len(windows)) + 0.5) * WINDOW_S
        figures[f"slope_{name}"] = float(np.polyfit(middles / 60, windows, 1)[0]) if len(windows) > 1 else None
    figures["seconds"] = [(index + 0.5) * WINDOW_S for index in range(len(figures["who"]))]
    early, late = figures["marks"].get("10"), figures["marks"].get("240")
    figures["ratio"] = late["who"] / max(early["who"], 1e-6) if early and late else None
    figures |= _recorded(task, reader)
    still = [each.flicker for each in performance.told if each.flicker is not None]
    figures["flicker"] = (
        dict(zip(("generated", "rendered"), np.mean(still, axis=0).tolist(), strict=True)) if still else None
    )
    plots.identity(task.out / "identity.png", figures)
    return figures


def looped(actions: Sequence[Action], length: int) -> list[Action]:
    """A clip's actions over and over; where it begins again, the pose is left out for a while."""
    script: list[Action] = []
    for step in range(length):
        action = actions[step % len(actions)]
        if step >= len(actions) and step % len(actions) < SEAM:
            action = {name: value for name, value in action.items() if name != "pose"}
        script.append(action)
    return script


def unlike(reader: HeadReader, frames: NDArray[np.uint8], first: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How unlike frames [T, H, W, 3] are to a person's picture [1, H, W, 3]: [T, 2], as `measure`'s who and colour."""
    here, there = reader.read(frames), reader.read(first)
    who = 1.0 - here.who @ there.who[0]
    colour = abs(_colours(frames, here) - _colours(first, there)).mean((1, 2, 3)) * 50.0  # of [-1, 1]
    return np.stack([who, colour], axis=-1).astype(np.float64)


@torch.inference_mode()
def _colours(frames: NDArray[np.uint8], reading: Reading) -> NDArray[np.float32]:
    """Coarse colours of the faces, [T, 3, COLOURS, COLOURS]."""
    parts, at = [], 0
    points = torch.from_numpy(reading.key_points / np.array((1.0, frames.shape[1] / frames.shape[2]), np.float32))
    for x in shrink(frames):
        parts.append(F.adaptive_avg_pool2d(cut_out(x, face_frame(points[at : at + len(x)])), COLOURS))
        at += len(x)
    colours: NDArray[np.float32] = torch.cat(parts).numpy()
    return colours


def _stream(
    task: Task,
    reader: HeadReader,
    clips: Sequence[int],
    firsts: Sequence[NDArray[np.uint8]],
    scripts: Sequence[Sequence[Action]],
    marks: Sequence[int],
) -> NDArray[np.float64]:
    """[B, looks, 2] of long streams; also draws the sheet."""
    starts = [task.held_out.start(Place(clip, 0, 1), 1) for clip in clips]
    waiting: list[list[NDArray[np.uint8]]] = [[] for _ in clips]
    values: list[list[NDArray[np.float64]]] = [[] for _ in clips]
    pictures: list[list[NDArray[np.uint8]]] = [[first[0]] for first in firsts]
    length = len(scripts[0])
    for frame, (frames, _) in enumerate(stream(task.world, starts, scripts, task.options.seed), start=1):
        for row in range(len(clips)):
            if frame % EVERY == 0:
                waiting[row].append(frames[row])
            if frame in marks:
                pictures[row].append(frames[row])
            if waiting[row] and (len(waiting[row]) == 64 or frame == length):
                values[row].append(unlike(reader, np.stack(waiting[row]), firsts[row]))
                waiting[row] = []
        if frame % 250 == 0:
            task.report(f"frame {frame}/{length} of {len(clips)} long streams")
    contact_sheet(
        task.out / "identity_sheet.png",
        [(f"stream {row + 1}", shown) for row, shown in enumerate(pictures)],
        ["first picture", *(f"{mark / task.world.config.frame.fps:g} s" for mark in marks)],
    )
    if not values[0]:
        raise Unavailable(
            f"a stream of {length} frames is too short to tell who it is: {EVERY} are looked at, at least"
        )
    return np.stack([np.concatenate(row) for row in values])


def _windows(values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Means of stretches of a curve; what is left at its end is left out, unless it is all there is."""
    size = max(1, min(size, len(values)))
    return values[: len(values) // size * size].reshape(-1, size).mean(1)


def _recorded(task: Task, reader: HeadReader) -> dict[str, Any]:
    """Recorded clips against their own first picture, and against another person's."""
    clips = spread(get_reader(task).clips, task.options.head_examined)
    firsts = [task.held_out.frames(Place(clip, 0, 1)) for clip in clips]
    own, other = [], []
    for index, clip in enumerate(clips):
        total = task.held_out.clips.num_frames(clip)
        frames = task.held_out.frames(Place(clip, 0, total))[EVERY :: EVERY * 2]
        own.append(unlike(reader, frames, firsts[index]))
        other.append(unlike(reader, frames, firsts[index - 1]))
    names = ("who", "colour")
    found: dict[str, Any] = {"rendered": dict(zip(names, np.concatenate(own).mean(0).tolist(), strict=True))}
    if len(clips) > 1:
        found["others"] = dict(zip(names, np.concatenate(other).mean(0).tolist(), strict=True))
    return found
