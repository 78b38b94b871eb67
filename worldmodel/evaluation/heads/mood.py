"""Text control: does the face show the mood that it is told in words?

Heads are told one mood after another, each for some seconds, whatever their first picture showed; the reader says what
it sees. Beside it stands what it sees in recorded clips, whose mood is known, and in these clips performed anew.

Shapes: T frames, M moods, S clips.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodel.evaluation.figure import Task
from worldmodel.evaluation.heads import plots
from worldmodel.evaluation.heads.network import Reading
from worldmodel.evaluation.heads.reader import get_reader
from worldmodel.evaluation.heads.streams import Told, as_told, perform
from worldmodel.evaluation.heads.truth import captions_by_mood
from worldmodel.evaluation.options import Unavailable
from worldmodel.evaluation.scripts import Action
from worldmodel.evaluation.sheets import contact_sheet
from worldmodel.evenly import evenly

SETTLE_S = 1.0  # a mood takes its time


def measure(task: Task) -> dict[str, Any]:
    """Tells heads their moods and reads them back.

    Returns:
        told (each mood told in turn, in the fewest letters), worded (the same in any words that the clips have, with
        "captions": what was said to each head), recorded (the clips performed anew under their own captions), rendered
        (the recorded clips themselves): each {"accuracy": share of stretches of one mood read right, "confusion":
        [M][M] by true and read mood, "num_stretches"}; moods: the captions that were told.

    Raises:
        Unavailable: if there is no such head, or the clips' captions hold a single mood.
    """
    task.needs_head("text")
    performance = as_told(task)
    said = {mood: sorted(captions) for mood, captions in sorted(captions_by_mood(task).items())}
    if len(said) < 2:
        raise Unavailable("the clips' captions ask for less than two moods: record more with python -m envs.record")
    # A single word, if there are enough clips; and any wording of the clips, each of which may ask for little of it.
    plainest = {mood: min(captions, key=len) for mood, captions in said.items()}
    clips = evenly(performance.reader.clips, task.options.head_moods)
    rng = np.random.default_rng([task.options.seed, len(clips)])
    worded = [{mood: str(rng.choice(captions)) for mood, captions in said.items()} for _ in clips]
    told, shown = _tell(task, clips, [plainest] * len(clips), "moods told")
    reworded, _ = _tell(task, clips, worded, "moods in other words")
    settle = round(SETTLE_S * task.world.config.frame.fps)
    count = 1 + max(max(said), performance.reader.network.num_moods - 1)
    figures: dict[str, Any] = {"told": tally(told, count), "worded": tally(reworded, count)}
    for source, name in (("generated", "recorded"), ("rendered", "rendered")):
        pairs = [pair for each in performance.told for pair in _stretches(each, source, settle)]
        figures[name] = tally(pairs, count)
    figures["moods"] = {str(mood): caption for mood, caption in plainest.items()}
    figures["worded"]["captions"] = [list(captions.values()) for captions in worded]
    figures |= {"num_clips": len(clips), "hold_frames": task.options.head_mood_frames}
    figures["reader"] = get_reader(task).accuracy
    plots.mood(task.out / "mood.png", figures)
    contact_sheet(task.out / "mood_sheet.png", [("told anew", row) for row in shown], list(plainest.values()))
    return figures


def _tell(
    task: Task, clips: Sequence[int], captions: Sequence[Mapping[int, str]], what: str
) -> tuple[list[tuple[int, int]], list[list[NDArray[np.uint8]]]]:
    """Tells heads one mood after another.

    Args:
        task: the evaluation.
        clips: whose heads.
        captions: of each, {mood: what is said}.
        what: what to call it in progress lines.

    Returns:
        (told, read) of all, and of the first three heads the last frame of each mood.
    """
    hold, settle = task.options.head_mood_frames, round(SETTLE_S * task.world.config.frame.fps)
    scripts, orders = [], []
    for index, clip in enumerate(clips):
        own = captions[index]
        orders.append(np.random.default_rng([task.options.seed, index]).permutation(list(own)).tolist())
        scripts.append(tell(task.held_out.actions_of(clip), [own[mood] for mood in orders[-1]], hold))
    shown: list[list[NDArray[np.uint8]]] = []

    def see(index: int, frames: NDArray[np.uint8]) -> None:
        if len(shown) < 3:
            last = frames[hold - 1 :: hold]
            shown.append([last[orders[index].index(mood)] for mood in captions[index]])

    readings = perform(task, clips, scripts, what, see)
    pairs = [
        (mood, _read(reading, place * hold + min(settle, hold // 2), (place + 1) * hold))
        for order, reading in zip(orders, readings, strict=True)
        for place, mood in enumerate(order)
    ]
    return pairs, shown


def tell(actions: Sequence[Action], captions: Sequence[str], hold: int) -> list[Action]:
    """A clip's actions, over and over, with captions of one's own, each held for some frames."""
    return [
        {**actions[(place * hold + step) % len(actions)], "text": caption}
        for place, caption in enumerate(captions)
        for step in range(hold)
    ]


def tally(pairs: Sequence[tuple[int, int]], count: int) -> dict[str, Any]:
    """Figures of (true, read) moods."""
    confusion = np.zeros((count, count), np.int64)
    for true, read in pairs:
        confusion[true, read] += 1
    return {
        "accuracy": float(np.trace(confusion) / len(pairs)) if len(pairs) else None,
        "confusion": confusion.tolist(),
        "num_stretches": len(pairs),
    }


def _read(reading: Reading, start: int, stop: int) -> int:
    """The mood that a stretch of frames shows: that of their mean probability."""
    return int(reading.mood[start:stop].mean(0).argmax())


def _stretches(told: Told, source: str, settle: int) -> list[tuple[int, int]]:
    """(true, read) of the stretches of a clip with a caption of one mood, once it has settled."""
    if not all("text" in action for action in told.actions):
        return []
    mood = told.truth.mood
    edges = [0, *(np.flatnonzero(np.diff(mood)) + 1).tolist(), len(mood)]
    return [
        (int(mood[start]), _read(getattr(told, source), start + settle, stop))
        for start, stop in zip(edges, edges[1:], strict=False)
        if stop - start >= 2 * settle
    ]
