"""Held-out clips performed anew: the model is given their first picture and their conditions, and nothing else.

Shapes: S clips, B streams, T frames, K joints, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worldmodel.evaluation.figure import Task
from worldmodel.evaluation.heads.network import Reading
from worldmodel.evaluation.heads.reader import Reader, get_reader
from worldmodel.evaluation.heads.truth import Truth, truth_of
from worldmodel.evaluation.heldout import Place
from worldmodel.evaluation.options import Unavailable
from worldmodel.evaluation.rollout import stream
from worldmodel.evaluation.scripts import Action
from worldmodel.evaluation.sheets import contact_sheet
from worldmodel.evenly import evenly

SHOWN_CLIPS, SHOWN_FRAMES = 3, 10
SHOWN_STEP = 2  # frames between shown ones: fast enough for lips
STILL = 3.0  # levels of 255 that a pixel of a recorded clip changes by where nothing moves
BORDER = 8  # pixels of one side of a block that must be still as a whole

See = Callable[[int, NDArray[np.uint8]], None]


@dataclass(frozen=True)
class Told:
    """One clip, performed anew.

    Attributes:
        clip: its number.
        actions: the T actions given.
        truth: of the T frames after the first picture.
        generated: what was read from the model's frames.
        rendered: what was read from the recorded ones.
        flicker: mean change from frame to frame, in levels of 255, of the model's and of the recorded frames, where
            the recorded ones are still; None where they never are, or the head moves as it likes.
    """

    clip: int
    actions: list[Action]
    truth: Truth
    generated: Reading
    rendered: Reading
    flicker: tuple[float, float] | None


@dataclass(frozen=True)
class Shown:
    """Some frames for a sheet: truth and generated [n, H, W, 3], and where they are in the clip."""

    clip: int
    at: list[int]
    truth: NDArray[np.uint8]
    generated: NDArray[np.uint8]


@dataclass
class Performance:
    """All clips performed as they were recorded.

    Attributes:
        told: the clips.
        reader: who read them.
        shown: frames of some.
        frames: T.
    """

    told: list[Told]
    reader: Reader
    frames: int
    shown: list[Shown] = field(default_factory=list)


def as_told(task: Task) -> Performance:
    """Performs held-out clips anew under all their conditions, once for all figures of an evaluation.

    Raises:
        Unavailable: if the clips are not of heads, or of a single frame.
    """
    if "as told" not in task.shared:
        task.shared["as told"] = _as_told(task)
    made: Performance = task.shared["as told"]
    return made


def perform(
    task: Task, clips: Sequence[int], scripts: Sequence[Sequence[Action]], what: str, see: See | None = None
) -> list[Reading]:
    """Generates from the first picture of clips, and reads what comes.

    Args:
        task: the evaluation.
        clips: S clips to begin from.
        scripts: S scripts of one length T.
        what: what to call it in progress lines.
        see: called with each clip's place in `clips` and its frames [T, H, W, 3], which are not kept.

    Returns:
        What was read, of each clip.
    """
    reader, options = get_reader(task).network, task.options
    readings = []
    for first in range(0, len(clips), options.num_streams):
        batch = clips[first : first + options.num_streams]
        starts = [task.held_out.start(Place(clip, 0, 1), 1) for clip in batch]
        pictures = []
        for frames, _ in stream(task.world, starts, scripts[first : first + len(batch)], options.seed + first):
            pictures.append(frames)
            if len(pictures) % 60 == 0 or len(pictures) == len(scripts[0]):
                task.report(f"{what}: clips {first + 1}-{first + len(batch)} of {len(clips)}, frame {len(pictures)}")
        for row in range(len(batch)):
            own = np.stack([frames[row] for frames in pictures])
            readings.append(reader.read(own))
            if see is not None:
                see(first + row, own)
    return readings


def draw_shown(
    path: Path,
    performance: Performance,
    heading: Callable[[int], str],
    edit: Callable[[Shown, NDArray[np.uint8]], Sequence[NDArray[np.uint8]]] = lambda shown, frames: list(frames),
) -> None:
    """Draws truth over generated of the clips that are shown, if any are.

    Args:
        path: of the sheet.
        performance: what was performed.
        heading: of the n-th frame shown.
        edit: what becomes of a clip's frames [n, H, W, 3] before they are drawn.
    """
    rows = [
        (label, edit(shown, frames))
        for shown in performance.shown
        for label, frames in (("truth", shown.truth), ("generated", shown.generated))
    ]
    if rows:
        count = min(len(pictures) for _, pictures in rows)
        drawn = [(label, pictures[:count]) for label, pictures in rows]
        contact_sheet(path, drawn, [heading(index) for index in range(count)], groups=2)


def still_change(frames: NDArray[np.uint8], truth: NDArray[np.uint8]) -> tuple[float, float] | None:
    """Mean change from frame to frame where recorded frames are still.

    Args:
        frames: [T, H, W, 3] uint8 generated.
        truth: the same of the recorded clip.

    Returns:
        Levels of 255 of the one and of the other, over the blocks of BORDER pixels a side that stay still in the
        recorded clip from a frame to the next; None if there are none.
    """
    changes = []
    for x in (truth, frames):
        y = x[:, : x.shape[1] // BORDER * BORDER, : x.shape[2] // BORDER * BORDER].astype(np.float32)
        change = abs(np.diff(y, axis=0)).mean(-1)  # [T - 1, H, W]
        changes.append(change.reshape(len(change), change.shape[1] // BORDER, BORDER, -1, BORDER))
    still = changes[0].max(axis=(2, 4)) < STILL  # [T - 1, blocks, blocks]
    if not still.any():
        return None
    return float(changes[1].mean(axis=(2, 4))[still].mean()), float(changes[0].mean(axis=(2, 4))[still].mean())


def _as_told(task: Task) -> Performance:
    reader = get_reader(task)
    clips = evenly(reader.clips, task.options.head_clips)
    length = min(task.options.head_frames, min(task.held_out.clips.num_frames(clip) for clip in clips) - 1)
    if length < 2:
        raise Unavailable("the clips are of a single frame: record longer ones with --frames")
    scripts = [task.held_out.actions_of(clip)[:length] for clip in clips]
    performance = Performance([], reader, length)
    recorded: dict[int, tuple[Reading, tuple[float, float] | None]] = {}

    def see(index: int, frames: NDArray[np.uint8]) -> None:
        clip = clips[index]
        real = task.held_out.frames(Place(clip, 1, length))
        posed = all("pose" in action for action in scripts[index])
        recorded[index] = reader.network.read(real), still_change(frames, real) if posed else None
        truth = truth_of(task, clip)[1 : length + 1]
        if len(performance.shown) < SHOWN_CLIPS and truth.aperture.std() > 0.05:
            at = _liveliest(truth.aperture)
            performance.shown.append(Shown(clip, at, real[at], frames[at]))

    generated = perform(task, clips, scripts, "as recorded", see)
    for index, clip in enumerate(clips):
        truth = truth_of(task, clip)[1 : length + 1]
        performance.told.append(Told(clip, scripts[index], truth, generated[index], *recorded[index]))
    return performance


def _liveliest(aperture: NDArray[np.float32]) -> list[int]:
    """Frames to show, from where the mouth moves most."""
    length = min(SHOWN_FRAMES * SHOWN_STEP, len(aperture))
    moved = [float(aperture[first : first + length].std()) for first in range(len(aperture) - length + 1)]
    first = int(np.argmax(moved))
    return list(range(first, first + length, SHOWN_STEP))
