"""The reader of faces as the figures use it: trained once for an evaluation, and examined.

It is asked about held-out rendered clips, as they are and as the checkpoint's autoencoder shows them: what it misreads
there is no fault of the model.

Shapes: T frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodel.evaluation.figure import Task
from worldmodel.evaluation.heads.curves import correlation
from worldmodel.evaluation.heads.learning import UNSURE, Lessons, train_reader
from worldmodel.evaluation.heads.network import HeadReader, Reading
from worldmodel.evaluation.heads.truth import Truth, captions_by_mood, closures, truth_of
from worldmodel.evaluation.options import Unavailable
from worldmodel.evaluation.reconstruction import through_autoencoder
from worldmodel.evaluation.scripts import Action
from worldmodel.evaluation.worlds import RenderedWorlds

READER = "head_reader.safetensors"
NEW_SEEDS = 5_000_000  # beyond the clips' own
EVERY = 2  # frames of a lesson: neighbours tell nearly the same
HOLD, SETTLE = 7, 4  # frames for which a mood is told in a lesson, and after which it shows
EXAMINED = 60  # frames of a clip


@dataclass(frozen=True)
class Reader:
    """A trained reader, and how well it reads what it has not seen.

    Attributes:
        network: the reader.
        source: where it is from, in words.
        clips: held-out clips that it has not learned from.
        accuracy: as `examine`, by "rendered" and "decoded".
    """

    network: HeadReader
    source: str
    clips: list[int]
    accuracy: dict[str, Any]


def get_reader(task: Task) -> Reader:
    """The reader of this evaluation: loaded, or trained on first use and saved in `task.out`.

    Raises:
        Unavailable: if the clips are not of heads, or there is nothing to learn from.
    """
    if "head reader" not in task.shared:
        task.shared["head reader"] = _make(task)
    made: Reader = task.shared["head reader"]
    return made


def _make(task: Task) -> Reader:
    everything = list(range(len(task.held_out)))
    truth_of(task, 0)  # refuses clips of other worlds
    if task.reader is not None:
        try:
            network, clips, source = HeadReader.load(task.reader), everything, f"loaded from {task.reader}"
        except ValueError as error:
            raise Unavailable(str(error)) from error
    else:
        lessons, clips, source = _lessons(task, everything)
        moods = 1 + max(int(lessons.mood.max()), *(int(truth_of(task, clip).mood.max()) for clip in everything))
        task.report(f"reader: learns from {len(lessons.frames)} pictures of {int(lessons.who.max()) + 1} persons")
        network = train_reader(lessons, moods, task.options.head_reader_steps, task.options.seed, task.report)
        network.save(task.out / READER)
    return Reader(network, source, clips, _examine_all(task, network, clips))


def examine(readings: list[Reading], truths: list[Truth]) -> dict[str, Any]:
    """How well pictures were read.

    Args:
        readings: of each clip.
        truths: of the same frames.

    Returns:
        aperture_r: mean over the clips whose mouth moves of Pearson's r; aperture_error: mean absolute; closed: as
        `truth.closures`; pose_error: mean distance of a joint from where it is, in picture widths; mood_accuracy: of
        single frames, once settled; who_same and who_other: mean likeness (cosine) of a person's frames, and of
        different persons'; num_frames, num_clips.
    """
    moving = [(r.aperture, t.aperture) for r, t in zip(readings, truths, strict=True) if t.aperture.std() > 0.05]
    distance = np.concatenate(
        [np.linalg.norm(r.key_points - t.key_points, axis=-1)[t.inside] for r, t in zip(readings, truths, strict=True)]
    )
    right = np.concatenate(
        [(r.mood.argmax(1) == t.mood)[settled(t.mood, SETTLE)] for r, t in zip(readings, truths, strict=True)]
    )
    middles = np.stack([_direction(r.who.mean(0)) for r in readings])
    same = [float(r.who[step] @ r.who[0]) for r in readings for step in range(1, len(r.who))]
    likeness = middles @ middles.T
    other = likeness[np.triu_indices(len(middles), 1)]
    return {
        "aperture_r": float(np.mean([correlation(a, b) for a, b in moving])) if moving else None,
        "aperture_error": float(
            np.concatenate([abs(r.aperture - t.aperture) for r, t in zip(readings, truths, strict=True)]).mean()
        ),
        "pose_error": float(distance.mean()) if len(distance) else None,
        "closed": closures([r.aperture for r in readings], truths),
        "mood_accuracy": float(right.mean()),
        "who_same": float(np.mean(same)),
        "who_other": float(other.mean()) if len(other) else None,
        "num_frames": int(sum(len(t) for t in truths)),
        "num_clips": len(truths),
    }


def settled(mood: NDArray[np.int64], frames: int) -> NDArray[np.bool_]:
    """[T] whether a mood [T] has been the same for some frames; a clip's first frame shows its own at once."""
    edges = np.flatnonzero(np.diff(mood)) + 1
    result = np.ones(len(mood), bool)
    for edge in edges:
        result[edge : edge + frames] = False
    return result


def _direction(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return x / max(float(np.linalg.norm(x)), 1e-6)


def _examine_all(task: Task, network: HeadReader, clips: list[int]) -> dict[str, Any]:
    """Asks about stretches of held-out clips, as they are and decoded."""
    clips = clips[:: max(1, len(clips) // task.options.head_examined)]
    truths, rendered, decoded = [], [], []
    for number, clip in enumerate(clips):
        frames = task.held_out.clips.frames(clip, 0, min(EXAMINED, task.held_out.clips.num_frames(clip)))
        truths.append(truth_of(task, clip)[: len(frames)])
        rendered.append(network.read(frames))
        decoded.append(network.read(through_autoencoder(task, frames)))
        if (number + 1) % 8 == 0:
            task.report(f"reader: examined with {number + 1}/{len(clips)} held-out clips")
    return {"rendered": examine(rendered, truths), "decoded": examine(decoded, truths)}


def _lessons(task: Task, everything: list[int]) -> tuple[Lessons, list[int], str]:
    """Pictures to learn from, the clips that show none of their persons, and where the pictures are from."""
    try:
        lessons = _rendered_lessons(task)
        return lessons, everything, f"trained on {int(lessons.who.max()) + 1} rendered heads of other seeds"
    except Unavailable:
        learned, tested = task.held_out.split()
        if not learned:
            raise Unavailable("the clips are of a single head: the reader needs others to learn from") from None
    parts = []
    for who, clip in enumerate(learned):
        frames, truth = task.held_out.clips.frames(clip), truth_of(task, clip)
        parts.append(_lesson(task, frames, truth, who))
    return Lessons.join(parts), tested, f"trained on {len(learned)} of the recorded clips"


def _rendered_lessons(task: Task) -> Lessons:
    """Heads of seeds beyond the clips', each played for a while by the world's own player, in one mood after another.

    The captions are those of the clips.
    """
    rng = task.rng("head lessons")
    moods = captions_by_mood(task)
    seeds = [int(task.held_out.meta(clip).get("seed", 0)) for clip in range(len(task.held_out))]
    parts = []
    with RenderedWorlds(task) as worlds:
        for who in range(task.options.head_lessons):
            meta = task.held_out.meta(who % len(seeds))
            length = task.options.head_lesson_frames
            told: list[Action] = []
            for _ in range(0, length - 1 if moods else 0, HOLD):
                captions = sorted(moods[int(rng.choice(sorted(moods)))])  # every mood as often, whatever it is called
                told += [{"text": captions[rng.integers(len(captions))]}] * HOLD
            frames, info = worlds.perform(meta, max(seeds) + NEW_SEEDS + who, length, told)
            parts.append(_lesson(task, frames, Truth.of(info), who))
            if (who + 1) % 40 == 0:
                task.report(f"reader: lessons from {who + 1}/{task.options.head_lessons} rendered heads")
    return Lessons.join(parts)


def _lesson(task: Task, frames: NDArray[np.uint8], truth: Truth, who: int) -> Lessons:
    """Every other frame of a clip; of every other clip as the checkpoint's autoencoder shows them.

    A generated picture has gone through it, too: the reader must read both alike.
    """
    if who % 2:
        frames = through_autoencoder(task, frames)
    mood = np.where(settled(truth.mood, SETTLE), truth.mood, UNSURE)
    return Lessons(
        frames[::EVERY],
        truth.aperture[::EVERY],
        truth.key_points[::EVERY],
        mood[::EVERY],
        np.full(len(frames[::EVERY]), who, np.int64),
    )
