"""Identity: is it still the same person after minutes, and does nothing flicker?

Long streams follow their clip's conditions over and over. Every five seconds, what the reader sees of the person, and
the colours of the face, cut out upright so that its pose does not matter, are averaged and compared with those of the
person's recorded clip. Beside it stand recorded clips, compared with other parts of themselves and with other persons.

How alike a person looks depends on what it is asked to do. So the marks (10 s, 1 minute, …) compare like with like: the
same five seconds of the clip, those up to the first mark, where they come again soonest after each.

Shapes: B streams, T frames, L looks, E numbers that tell who it is, A numbers of an appearance, H W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from worldmodel.evaluation.figure import Task
from worldmodel.evaluation.heads import plots
from worldmodel.evaluation.heads.network import PART, HeadReader, Reading, cut_out, face_frame, shrink
from worldmodel.evaluation.heads.reader import get_reader
from worldmodel.evaluation.heads.streams import as_told
from worldmodel.evaluation.heldout import Place
from worldmodel.evaluation.options import Unavailable
from worldmodel.evaluation.rollout import stream
from worldmodel.evaluation.scripts import Action
from worldmodel.evaluation.sheets import contact_sheet
from worldmodel.evenly import evenly

EVERY = 5  # frames of a stream looked at
WINDOW_S = 5.0  # of the means
SEAM = 12  # frames without pose where a clip begins again, so that the head need not jump
COLOURS = 8  # blocks along a side of a face whose colours are compared
NUM_COLOURS = 3 * COLOURS**2


def measure(task: Task) -> dict[str, Any]:
    """Generates long streams and compares them with their persons.

    Returns:
        marks: {seconds: {"who": unlikeness of the person (1 - cosine), "colour": mean difference of the face's colours
        in % of full scale}} of the same five seconds of the clip (see `repeats`), means over the streams; seconds, who,
        colour: the same of every five seconds; slope_who, slope_colour: of straight lines through these, per minute;
        rendered, others: the same two of recorded clips against other parts of themselves and against other persons;
        ratio: of "who" at 4 minutes to that at 10 s; flicker: {"generated", "rendered"}: mean change from frame to
        frame where the recorded clips are still, in levels of 255; num_streams, num_frames.

    Raises:
        Unavailable: if there is no such head, or a mark comes before the first look.
    """
    task.needs_head("audio")
    performance = as_told(task)
    reader, fps = performance.reader.network, task.world.config.frame.fps
    size = max(1, round(WINDOW_S * fps / EVERY))
    marks = task.options.head_marks
    clips = evenly(performance.reader.clips, task.options.head_streams)
    actions = [task.held_out.actions_of(clip) for clip in clips]
    ends = np.array([repeats([round(mark * fps) for mark in marks], len(each)) for each in actions])  # [B, marks]
    length = int(ends.max())
    if ends.min() < EVERY:
        raise Unavailable(f"a mark at {min(marks):g} s is too early to tell who it is: {EVERY} frames are looked at")
    looks = _stream(task, reader, clips, [looped(each, length) for each in actions], ends)  # [B, L, A]
    persons = [_recorded(task, reader, clip).mean(0) for clip in clips]
    figures: dict[str, Any] = {"marks": {}, "num_streams": len(clips), "num_frames": length}
    for mark, stops in zip(marks, ends.T // EVERY, strict=True):
        near = [each[max(0, stop - size) : stop] for each, stop in zip(looks, stops, strict=True)]
        who, colour = np.mean([unlike(*pair) for pair in zip(near, persons, strict=True)], axis=0)
        figures["marks"][f"{mark:g}"] = {"who": float(who), "colour": float(colour)}
    curve = np.mean([windows(*pair, size) for pair in zip(looks, persons, strict=True)], axis=0)
    figures["seconds"] = [(index + 0.5) * WINDOW_S for index in range(len(curve))]
    for name, values in zip(("who", "colour"), curve.T, strict=True):
        figures[name] = values.round(5).tolist()
        minutes = np.array(figures["seconds"]) / 60
        figures[f"slope_{name}"] = float(np.polyfit(minutes, values, 1)[0]) if len(values) > 1 else None
    early, late = figures["marks"].get("10"), figures["marks"].get("240")
    figures["ratio"] = late["who"] / max(early["who"], 1e-6) if early and late else None
    figures |= _baselines(task, reader, size)
    still = [each.flicker for each in performance.told if each.flicker is not None]
    figures["flicker"] = (
        dict(zip(("generated", "rendered"), np.mean(still, axis=0).tolist(), strict=True)) if still else None
    )
    plots.identity(task.out / "identity.png", figures)
    return figures


def repeats(marks: Sequence[int], period: int) -> list[int]:
    """The frames, at or after each mark, up to which a looped clip asks for what it asks for up to the first mark.

    Args:
        marks: frames, the first one first.
        period: of the loop, in frames.
    """
    return [marks[0] + math.ceil((mark - marks[0]) / period) * period for mark in marks]


def looped(actions: Sequence[Action], length: int) -> list[Action]:
    """A clip's actions over and over; where it begins again, the pose is left out for a while."""
    script: list[Action] = []
    for step in range(length):
        action = actions[step % len(actions)]
        if step >= len(actions) and step % len(actions) < SEAM:
            action = {name: value for name, value in action.items() if name != "pose"}
        script.append(action)
    return script


def appearances(reader: HeadReader, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What frames [L, H, W, 3] uint8 look like: [L, A], E numbers of who it is and then the face's coarse colours."""
    reading = reader.read(frames)
    return np.concatenate([reading.who, _colours(frames, reading)], axis=1)


def unlike(looks: NDArray[np.float32], person: NDArray[np.float32]) -> tuple[float, float]:
    """How unlike looks [L, A] are on average to a person [A]: `measure`'s who and colour."""
    here, split = looks.mean(0), len(person) - NUM_COLOURS
    length = float(np.linalg.norm(here[:split]) * np.linalg.norm(person[:split]))
    who = 1.0 - float(here[:split] @ person[:split]) / max(length, 1e-6)
    return who, 50.0 * float(abs(here[split:] - person[split:]).mean())  # colours are -1 to 1


def windows(looks: NDArray[np.float32], person: NDArray[np.float32], size: int) -> NDArray[np.float64]:
    """`unlike` of every `size` looks, [windows, 2]; what is left at the end is left out, unless it is all there is."""
    starts = range(0, max(1, len(looks) - size + 1), size)
    return np.array([unlike(looks[start : start + size], person) for start in starts])


@torch.inference_mode()
def _colours(frames: NDArray[np.uint8], reading: Reading) -> NDArray[np.float32]:
    """Coarse colours of the faces, [L, NUM_COLOURS]."""
    parts, at = [], 0
    points = torch.from_numpy(reading.key_points / np.array((1.0, frames.shape[1] / frames.shape[2]), np.float32))
    for x in shrink(frames):
        face = cut_out(x, face_frame(points[at : at + len(x)]))
        parts.append(F.adaptive_avg_pool2d(face, COLOURS).flatten(1))
        at += len(x)
    colours: NDArray[np.float32] = torch.cat(parts).numpy()
    return colours


def _stream(
    task: Task, reader: HeadReader, clips: Sequence[int], scripts: Sequence[Sequence[Action]], ends: NDArray[np.int_]
) -> NDArray[np.float32]:
    """Looks [B, L, A] at long streams; also draws the sheet, of the frames `ends` [B, marks]."""
    starts = [task.held_out.start(Place(clip, 0, 1), 1) for clip in clips]
    waiting: list[list[NDArray[np.uint8]]] = [[] for _ in clips]
    looks: list[list[NDArray[np.float32]]] = [[] for _ in clips]
    pictures: list[list[NDArray[np.uint8]]] = [[start.picture] for start in starts]
    length = len(scripts[0])
    for frame, (frames, _) in enumerate(stream(task.world, starts, scripts, task.options.seed), start=1):
        for row in range(len(clips)):
            if frame % EVERY == 0:
                waiting[row].append(frames[row])
            pictures[row] += [frames[row]] * int((ends[row] == frame).sum())
            if waiting[row] and (len(waiting[row]) == PART or frame == length):
                looks[row].append(appearances(reader, np.stack(waiting[row])))
                waiting[row] = []
        if frame % 250 == 0:
            task.report(f"frame {frame}/{length} of {len(clips)} long streams")
    contact_sheet(
        task.out / "identity_sheet.png",
        [(f"stream {row + 1}", shown) for row, shown in enumerate(pictures)],
        ["first picture", *(f"{mark:g} s" for mark in task.options.head_marks)],
    )
    return np.stack([np.concatenate(row) for row in looks])


def _recorded(task: Task, reader: HeadReader, clip: int) -> NDArray[np.float32]:
    """Looks at a recorded clip, [L, A]."""
    total = task.held_out.clips.num_frames(clip)
    return appearances(reader, task.held_out.frames(Place(clip, 0, total))[::EVERY])


def _baselines(task: Task, reader: HeadReader, size: int) -> dict[str, Any]:
    """The second half of recorded clips against the first, and against another person's."""
    looks = [_recorded(task, reader, clip) for clip in evenly(get_reader(task).clips, task.options.head_examined)]
    persons = [each[: max(1, len(each) // 2)].mean(0) for each in looks]
    names = ("who", "colour")
    found: dict[str, Any] = {}
    for source, shift in (("rendered", 0), ("others", 1)):
        if len(looks) > shift:
            values = [windows(each[len(each) // 2 :], persons[i - shift], size) for i, each in enumerate(looks)]
            found[source] = dict(zip(names, np.concatenate(values).mean(0).tolist(), strict=True))
    return found
