"""How much is measured: the default sizes, and the small ones of `--quick`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from conditions.values import nearest

ANY = ("reconstruction", "prediction")
PLAYED = ("control", "drift", "memory")  # of worlds steered by keyboard and camera
HEADS = ("lipsync", "pose", "mood", "turns", "identity", "latency")
PUBLISHED = ("published",)  # by weights that are given
FIGURES = (*ANY, *PLAYED, *HEADS, *PUBLISHED)


def suited(conditions: Sequence[str]) -> tuple[str, ...]:
    """The figures that fit a world of these conditions: of a player's view, of a talking head, or only what fits all.

    A world that has some conditions of a kind is of that kind; what it lacks, its figures say.
    """
    chosen: tuple[str, ...] = ANY
    if {"keyboard", "camera"} & set(conditions):
        chosen += PLAYED
    if {"audio", "pose"} & set(conditions):
        chosen += HEADS
    return chosen


class Unavailable(Exception):
    """A figure cannot be measured on this checkpoint and these clips; the message says why. The others still can."""


@dataclass(frozen=True)
class Options:
    """Sizes of an evaluation. Lengths are in frames.

    Attributes:
        seed: of every random choice, the sessions' noise included.
        num_streams: sessions stepped together in a batch.
        context_frames: true frames a session starts from.
        horizons: frames after the context at which predictions are scored.
        rollouts: (length, number of starts) of the predictions; long ones count for the short horizons too.
        reconstruction_frames: frames encoded and decoded, taken evenly from the clips.
        reconstruction_run: consecutive frames in one encoded stretch.
        drift_frames: length of the long streams.
        drift_window: length of the windows whose statistics are compared.
        drift_reference: windows of rendered clips that they are compared with, at most.
        drift_streams: streams under random play, and as many under no input.
        control_starts: scripted walks for the read-back.
        control_hold: frames for which each scripted action is held.
        lesson_worlds: rendered worlds of seeds of their own that the inverse-dynamics model learns in.
        reader_frames: frames of recorded clips that it is tested on, at most; or learns from, where the worlds cannot
            be driven.
        reader_steps: its training steps.
        memory_starts: places where the view turns away and back.
        memory_angles: degrees turned away before turning back; 360 is a full turn, in one direction.
        memory_rate: degrees turned per frame.
        head_clips: held-out clips that a head performs anew, from their first picture.
        head_frames: of each, at most.
        head_controls: of them with speech, performed again with another's sound, with moved sound and with none.
        head_shift: frames that sound is moved by.
        head_moods: clips whose head is told each mood in turn.
        head_mood_frames: frames for which each is held.
        head_streams: long streams, for identity.
        head_marks: seconds at which identity is told.
        head_chunks: chunks whose time is taken, one stream alone.
        head_lessons: rendered heads of seeds of their own that the reader of faces learns from.
        head_lesson_frames: frames of each.
        head_reader_steps: its training steps.
        head_examined: held-out clips that it is examined with, about.
    """

    seed: int = 0
    num_streams: int = 8
    context_frames: int = 16
    horizons: tuple[int, ...] = (1, 10, 50, 300)
    rollouts: tuple[tuple[int, int], ...] = ((10, 32), (50, 24), (300, 8))
    reconstruction_frames: int = 512
    reconstruction_run: int = 32
    drift_frames: int = 2000
    drift_window: int = 60
    drift_reference: int = 240
    drift_streams: int = 4
    control_starts: int = 16
    control_hold: int = 24
    lesson_worlds: int = 32
    reader_frames: int = 8000
    reader_steps: int = 1500
    memory_starts: int = 8
    memory_angles: tuple[int, ...] = (30, 60, 90, 180, 360)
    memory_rate: float = 7.5
    head_clips: int = 48
    head_frames: int = 300
    head_controls: int = 12
    head_shift: int = 25
    head_moods: int = 6
    head_mood_frames: int = 36
    head_streams: int = 4
    head_marks: tuple[float, ...] = (10.0, 60.0, 240.0, 600.0)
    head_chunks: int = 1250
    head_lessons: int = 280
    head_lesson_frames: int = 36
    head_reader_steps: int = 1100
    head_examined: int = 24

    def to_dict(self) -> dict[str, Any]:
        """The sizes as plain JSON values."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))  # tuples become lists, as they are read back
        return plain


def sized(options: Options, settings: Sequence[str]) -> Options:
    """Options with some sizes changed.

    Args:
        options: to begin with.
        settings: such as "head_streams=6" and "head_marks=10,60,240".

    Raises:
        ValueError: for an unknown name (naming the nearest), or what is no such number.
    """
    sizes = {name: value for name, value in vars(options).items() if name != "rollouts"}  # pairs: by the class alone
    changed: dict[str, Any] = {}
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in sizes:
            raise ValueError(f"no size is called {name!r}{nearest(name, sizes)}")
        now = sizes[name]
        several = isinstance(now, tuple)
        kind = type(now[0] if several else now)
        try:
            numbers = [kind(part) for part in (text.split(",") if several else [text])]
        except ValueError:
            numbers = []
        if not numbers or (min(numbers) <= 0 and name != "seed"):
            what = "numbers above 0, separated by commas" if several else "a number above 0"
            raise ValueError(f"{name} must be {what}, got {setting!r}")
        changed[name] = tuple(numbers) if several else numbers[0]
    return replace(options, **changed)


QUICK = Options(
    num_streams=4,
    context_frames=4,
    rollouts=((10, 8), (50, 4)),
    reconstruction_frames=64,
    reconstruction_run=16,
    drift_frames=240,
    drift_reference=24,
    drift_streams=2,
    control_starts=4,
    control_hold=18,
    lesson_worlds=6,
    reader_frames=1200,
    reader_steps=400,
    memory_starts=4,
    memory_angles=(60, 360),
    memory_rate=15.0,
    head_clips=8,
    head_frames=96,
    head_controls=4,
    head_moods=2,
    head_mood_frames=24,
    head_streams=2,
    head_marks=(5.0, 10.0),
    head_chunks=40,
    head_lessons=80,
    head_reader_steps=200,
    head_examined=8,
)
