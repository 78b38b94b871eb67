"""Control: does the generated world do what it is told?

A reader (`inverse_dynamics.py`), trained on rendered clips only, looks at what moves in a few frames and says whether
the player turned left, right or not, and walked forward, back or not. It learns in rendered worlds of seeds of their
own, and is asked about recorded clips of worlds it has not seen; about generated clips under scripted actions, each
held for a while; and about the rendered world under the same scripts, in the very same windows. Where the rendered
world cannot be driven, it learns from one part of the recorded clips and is tested on the rest.

Shapes: T frames, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from worldmodel.evaluation import plots
from worldmodel.evaluation.figure import Task
from worldmodel.evaluation.inverse_dynamics import IGNORED, InverseDynamics, Windows, train_reader
from worldmodel.evaluation.labels import SETTLE, Track, commands, label
from worldmodel.evaluation.motion import GAP, features, shrink, soften
from worldmodel.evaluation.options import Unavailable
from worldmodel.evaluation.reconstruction import through_autoencoder
from worldmodel.evaluation.rollout import rollout
from worldmodel.evaluation.scripts import MOVES, TURNS, Action, Held, held_actions, random_play
from worldmodel.evaluation.sheets import contact_sheet
from worldmodel.evaluation.worlds import RenderedWorlds, drive_all

CLIP_FRAMES = 200  # of one stretch of recorded clips
EVERY = 2  # windows begin at every second frame: neighbours tell the same
LESSON_HOLD = 22
LESSON_PLAY = 100
NEW_SEEDS = 1_000_000  # beyond the clips' own
READER = "reader.safetensors"
QUESTIONS = (("turn", TURNS), ("move", MOVES))


def measure(task: Task) -> dict[str, Any]:
    """Trains the reader (or loads it) and asks it about rendered and generated clips.

    Returns:
        "clips", "generated" and, where the world can be driven, "rendered": each {"turn" | "move": {"accuracy": mean
        over the classes of the share read right, "recall": {class: share or None}, "confusion": [3][3] counts by true
        and read class, "num_windows"}}; truth: whether the world could be driven, and if not, why; reader: where from.

    Raises:
        Unavailable: if there is no player, or too few clips to learn from.
    """
    task.needs_player()
    options, rng = task.options, task.rng("control")
    reader, source, tested = _reader(task)
    figures: dict[str, Any] = {"reader": source, "clips": _ask(reader, _recorded(task, tested))}

    places = task.held_out.beginnings(options.control_starts, options.context_frames, tested)
    if not places:
        raise Unavailable(f"clips must be at least {options.context_frames} frames long")
    places = [places[index % len(places)] for index in range(options.control_starts)]
    starts = [task.held_out.start(place, options.context_frames) for place in places]
    scripts, stretches = zip(*(held_actions(rng, options.control_hold, 2 * SETTLE) for _ in places), strict=True)
    generated = rollout(task.world, starts, scripts, options.num_streams, options.seed, task.report, "scripted")
    driven, figures["truth"] = drive_all(task, places, scripts)

    windows, real = [], []
    for index, (start, script) in enumerate(zip(starts, scripts, strict=True)):
        track = Track() if driven is None else driven[index].track
        windows.append(_label(task, np.concatenate([start.frames[-1:], generated[index]]), script, track))
        if driven is not None:
            real.append(_label(task, driven[index].frames, script, track))
    figures["generated"] = _ask(reader, windows)
    if real:
        figures["rendered"] = _ask(reader, real)
    figures["num_starts"] = len(starts)
    _draw(task, figures, generated[0], None if driven is None else driven[0].frames[1:], stretches[0])
    return figures


def accuracy(confusion: NDArray[np.int64], names: Sequence[str]) -> dict[str, Any]:
    """Figures of one question.

    Args:
        confusion: [3, 3] counts by true class and read class.
        names: of the classes.

    Returns:
        accuracy: mean over the classes that occur of the share read right (0 if none does), recall by class (None
        where it does not occur), confusion, num_windows.
    """
    asked = confusion.sum(1)
    recall = {
        name: float(confusion[index, index] / asked[index]) if asked[index] else None
        for index, name in enumerate(names)
    }
    known = [value for value in recall.values() if value is not None]
    return {
        "accuracy": float(np.mean(known)) if known else 0.0,
        "recall": recall,
        "confusion": confusion.tolist(),
        "num_windows": int(asked.sum()),
    }


def _ask(reader: InverseDynamics, clips: Sequence[Windows]) -> dict[str, Any]:
    """Reads all windows of clips and compares."""
    windows = Windows.join(clips)
    figures = {}
    for (question, names), answers, right in zip(
        QUESTIONS, reader.read(windows.features), (windows.turn, windows.move), strict=True
    ):
        asked = right != IGNORED
        confusion = np.zeros((3, 3), np.int64)
        np.add.at(confusion, (right[asked], answers[asked]), 1)
        figures[question] = accuracy(confusion, names)
    return figures


def _reader(task: Task) -> tuple[InverseDynamics, str, list[int]]:
    """The reader, where it is from, and the clips whose worlds it has not seen."""
    everything = list(range(len(task.held_out)))
    if task.reader is not None:
        return InverseDynamics.load(task.reader), f"loaded from {task.reader}", everything
    try:
        lessons, tested = _lessons(task), everything
        source = f"trained in {len(lessons)} rendered worlds of other seeds"
    except Unavailable:
        learned, tested = task.held_out.split()
        if not learned:
            raise Unavailable("the clips are of a single world: the reader needs others to learn from") from None
        lessons = _recorded(task, learned)
        source = f"trained on {len(learned)} of the recorded clips"
    try:
        reader = train_reader(Windows.join(lessons), task.options.reader_steps, task.options.seed)
    except ValueError as error:
        raise Unavailable(str(error)) from error
    reader.save(task.out / READER)
    return reader, source, tested


def _lessons(task: Task) -> list[Windows]:
    """Scripted and random play in rendered worlds of seeds beyond the clips'.

    Of three worlds one is seen as it is, one softened, and one through the checkpoint's autoencoder and softened: a
    generated picture has lost as much, and the reader must not take the loss for a movement, nor rely on what is lost.
    """
    rng = task.rng("lessons")
    generator = torch.Generator().manual_seed(task.options.seed)
    seeds = [int(task.held_out.meta(clip).get("seed", 0)) for clip in range(len(task.held_out))]
    lessons = []
    with RenderedWorlds(task) as worlds:
        for number in range(task.options.lesson_worlds):
            script = held_actions(rng, LESSON_HOLD, 2 * SETTLE)[0] + random_play(rng, LESSON_PLAY)
            seen = worlds.explore(task.held_out.meta(number % len(seeds)), max(seeds) + NEW_SEEDS + number, script)
            frames = seen.frames if number % 3 < 2 else through_autoencoder(task, seen.frames)
            lessons.append(_label(task, frames, script, seen.track, generator if number % 3 else None))
            if (number + 1) % 4 == 0:
                task.report(f"lessons in {number + 1}/{task.options.lesson_worlds} rendered worlds")
    return lessons


def _recorded(task: Task, clips: Sequence[int]) -> list[Windows]:
    """The windows of recorded clips, spread over them."""
    shortest = min(task.held_out.clips.num_frames(clip) for clip in clips)
    each = min(CLIP_FRAMES, shortest)
    if each <= GAP:
        raise Unavailable(f"clips must be more than {GAP} frames long, the shortest has {shortest}")
    windows = []
    for place in task.held_out.places(max(1, task.options.reader_frames // each), each, task.rng("windows"), clips):
        script, track = task.held_out.actions(place), task.held_out.track(place)
        windows.append(_label(task, task.held_out.frames(place), script, track))
        if len(windows) % 10 == 0:
            task.report(f"looked at {len(windows) * each} recorded frames")
    return windows


def _label(
    task: Task,
    frames: NDArray[np.uint8],
    script: Sequence[Action],
    track: Track,
    soft: torch.Generator | None = None,
) -> Windows:
    """What moved in the windows of a clip, and the right answers; softened by a generator of noise, if given."""
    pictures = shrink(frames)
    if soft is not None:
        pictures = soften(pictures, soft)
    keys = list(task.world.conditions["keyboard"].config.keys)
    turn, move = label(commands(script, keys), track)
    return Windows(features(pictures, EVERY), turn[::EVERY], move[::EVERY])


def _draw(
    task: Task,
    figures: dict[str, Any],
    generated: NDArray[np.uint8],
    rendered: NDArray[np.uint8] | None,
    stretches: Sequence[Held],
) -> None:
    """The confusions, and one scripted walk, truth over generated, [T, H, W, 3] each."""
    plots.confusion(task.out / "control.png", figures, dict(QUESTIONS))
    rows: list[tuple[str, list[NDArray[np.uint8]]]] = []
    shown = np.linspace(0, task.options.control_hold - 1, 6).round().astype(int)
    for held in stretches:
        told = " ".join(word for word in (held.move, held.turn) if word != "none")
        for name, frames in (("truth", rendered), ("generated", generated)):
            if frames is not None and told:
                rows.append((f"{name}, {told}", [frames[held.start + step] for step in shown]))
    contact_sheet(
        task.out / "control_sheet.png",
        rows,
        [f"held {step + 1}" for step in shown],
        groups=1 if rendered is None else 2,
    )
