"""What is true of a head in each frame of a recorded clip.

Shapes: T frames, K joints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodel.evaluation.figure import Task
from worldmodel.evaluation.options import Unavailable

NEEDED = ("aperture", "key_points", "mood_index", "viseme_index", "speaking", "listening")
SILENT, BILABIAL = 0, 1  # places of "sil" and of "PP" (p, b, m) in the common set of 15 visemes
CLOSED = 0.1  # aperture below which a mouth counts as closed
OPEN = 0.3  # true aperture from which it is plainly open


@dataclass(frozen=True)
class Truth:
    """A stretch of a clip.

    Attributes:
        aperture: [T] how far the lips are apart, 0 to 1.
        key_points: [T, K, 2] joints in picture widths.
        mood: [T] index of the mood asked for.
        viseme: [T] index into the common set of 15.
        speaking, listening: [T] whether it speaks, and the other.
    """

    aperture: NDArray[np.float32]
    key_points: NDArray[np.float32]
    mood: NDArray[np.int64]
    viseme: NDArray[np.int64]
    speaking: NDArray[np.bool_]
    listening: NDArray[np.bool_]

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Truth:
        """The truth in a clip's record of infos, name -> T values.

        Raises:
            Unavailable: if one is missing: the clips are not of a head.
        """
        lacking = [name for name in NEEDED if name not in info]
        if lacking:
            raise Unavailable(f"the clips do not tell {', '.join(lacking)}: record them from worldmodel/Avatar-v0")
        return cls(
            np.asarray(info["aperture"], np.float32),
            np.asarray(info["key_points"], np.float32),
            np.asarray(info["mood_index"], np.int64),
            np.asarray(info["viseme_index"], np.int64),
            np.asarray(info["speaking"], bool),
            np.asarray(info["listening"], bool),
        )

    def __getitem__(self, part: slice) -> Truth:
        return Truth(*(getattr(self, name)[part] for name in vars(self)))

    def __len__(self) -> int:
        return len(self.aperture)

    @property
    def silent(self) -> NDArray[np.bool_]:
        """[T] frames in which nothing is said and the mouth has come to rest, as the one before."""
        rest = (self.viseme == SILENT) & (self.aperture < 0.02)
        return rest & np.concatenate([rest[:1], rest[:-1]])

    @property
    def bilabial(self) -> NDArray[np.bool_]:
        """[T] frames with a p, b or m, which closes the lips."""
        return (self.viseme == BILABIAL) & (self.aperture < 0.02)

    @property
    def inside(self) -> NDArray[np.bool_]:
        """[T, K] joints that are in the picture."""
        return np.asarray(((self.key_points > 0) & (self.key_points < 1)).all(-1), bool)


def closures(mouths: Sequence[NDArray[np.floating]], truths: Sequence[Truth]) -> dict[str, Any]:
    """Shares of frames with a closed mouth: on silence, on p, b and m, and where the true one is plainly open.

    Returns:
        {"silence" | "bilabial" | "open": {"share": or None where there is none, "num_frames"}}
    """
    found: dict[str, Any] = {}
    for name in ("silence", "bilabial", "open"):
        shut = []
        for aperture, truth in zip(mouths, truths, strict=True):
            asked = {"silence": truth.silent, "bilabial": truth.bilabial, "open": truth.aperture > OPEN}[name]
            shut.append(aperture[asked] < CLOSED)
        flat = np.concatenate(shut)
        found[name] = {"share": float(flat.mean()) if len(flat) else None, "num_frames": len(flat)}
    return found


def truth_of(task: Task, clip: int) -> Truth:
    """The truth of a whole held-out clip."""
    return Truth.of(task.held_out.meta(clip).get("info", {}))


def language(task: Task, clip: int) -> tuple[str, bool]:
    """What is spoken in a clip, "" where it is not told or nobody speaks, and whether it was kept out of training."""
    meta = task.held_out.meta(clip)
    return str(meta.get("language", "")), bool(meta.get("held_out", False))


def captions_by_mood(task: Task) -> dict[int, set[str]]:
    """The captions in the clips that ask for each mood."""
    found: dict[int, set[str]] = {}
    for clip in range(len(task.held_out)):
        moods = truth_of(task, clip).mood[1:]
        for mood, action in zip(moods.tolist(), task.held_out.actions_of(clip), strict=True):
            if action.get("text"):
                found.setdefault(mood, set()).add(action["text"])
    return found


def talks(task: Task, clip: int) -> bool:
    """Whether a clip's mouth moves, and its sound is given."""
    truth = truth_of(task, clip)
    given = any("audio" in action for action in task.held_out.actions_of(clip))
    return given and float(truth.aperture.std()) > 0.05
