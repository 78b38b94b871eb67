"""The held-out clips: what a model is compared with, checked against the checkpoint before anything is measured.

Shapes: T frames, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from worldmodel.data.clips import ClipSet
from worldmodel.evaluation.labels import Track
from worldmodel.evaluation.rollout import Start
from worldmodel.evaluation.scripts import Action
from worldmodel.evenly import evenly

if TYPE_CHECKING:
    from worldmodel.world import WorldModel


@dataclass(frozen=True)
class Place:
    """A stretch of a clip: `frames` frames of clip number `clip`, from frame `first` on."""

    clip: int
    first: int
    frames: int


class HeldOut:
    """Clips of worlds that the model was not trained on.

    Args:
        folder: the clip set, as `python -m envs.record` writes it, or several of them.
        world: the checkpoint to be evaluated.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it holds no clips, clips of another size or rate than the checkpoint's, or only clips that have
            conditions and none of which one of the checkpoint's could be made.
    """

    def __init__(self, folder: Path | Sequence[Path], world: WorldModel) -> None:
        self.folders = [folder] if isinstance(folder, Path) else list(folder)
        for each in self.folders:
            if not each.is_dir():
                raise FileNotFoundError(
                    f"no clip set at {each}: record one of worlds that were not trained on, e.g. python -m envs.record "
                    f"--world worldmodel/BlockWorld-v0 --clips 64 --frames 400 --seed 1000000 --out {each}"
                )
            if not any(each.glob("*.tar")):
                raise ValueError(f"a clip set must have *.tar shards, got none in {each}: record some first")
        shards = [shard for each in self.folders for shard in sorted(each.glob("*.tar"))]
        self.clips = ClipSet(shards, list(world.conditions))
        self._names = world.conditions.names
        self._sources = {name for condition in world.conditions for name in condition.sources}
        self._actions: dict[int, list[Action]] = {}
        self._check(world)

    def __len__(self) -> int:
        return len(self.clips)

    def meta(self, clip: int) -> dict[str, Any]:
        """A clip's JSON member."""
        return self.clips.meta(clip)

    def frames(self, place: Place) -> NDArray[np.uint8]:
        """The pictures of a stretch, [T, H, W, 3] uint8."""
        return self.clips.frames(place.clip, place.first, place.first + place.frames)

    def actions(self, place: Place) -> list[Action]:
        """The T - 1 raw actions inside a stretch as the model takes them; what a step lacks is left out."""
        return self.actions_of(place.clip)[place.first : place.first + place.frames - 1]

    def actions_of(self, clip: int) -> list[Action]:
        """All raw actions of a clip as the model takes them, made of what the clip has as in training."""
        if clip not in self._actions:
            self._actions[clip] = _actions(self.clips, clip)
        return self._actions[clip]

    def recorded_actions(self, place: Place) -> list[Action]:
        """The T - 1 raw actions inside a stretch as they were recorded: what the rendered world was told.

        Raises:
            ValueError: if the clip has a condition that is not known here.
        """
        alone = ClipSet([self.clips.shard_of(place.clip)], keys=[self.clips.keys[place.clip]])
        return _actions(alone, 0)[place.first : place.first + place.frames - 1]

    def track(self, place: Place) -> Track:
        """Where the player was in each frame of a stretch, as far as it was recorded."""
        return Track.of(self.meta(place.clip).get("info", {})).cut(place.first, place.frames)

    def start(self, place: Place, context: int) -> Start:
        """The first `context` frames of a stretch, as a stream begins from them; its picture is the clip's first."""
        head = Place(place.clip, place.first, context)
        return Start(self.frames(head), self.actions(head), self.frames(Place(place.clip, 0, 1))[0])

    def places(
        self, count: int, frames: int, rng: np.random.Generator, clips: Sequence[int] | None = None
    ) -> list[Place]:
        """Stretches that do not overlap, over as many clips as there are.

        Args:
            count: how many are wanted.
            frames: length of each.
            rng: draws where in its clip each one lies.
            clips: the clips to take them from; all by default.

        Returns:
            At most `count` stretches, fewer if the clips hold fewer; none if every clip is shorter.
        """
        slots: list[tuple[int, int, Place]] = []
        for order, clip in enumerate(range(len(self)) if clips is None else clips):
            total = self.clips.num_frames(clip)
            number = total // frames
            slack = int(rng.integers(0, total - number * frames + 1)) if number else 0
            rounds = rng.permutation(number)
            slots += [
                (int(rounds[index]), order, Place(clip, slack + index * frames, frames)) for index in range(number)
            ]
        slots.sort(key=lambda slot: slot[:2])  # one of every clip, then a second of every clip, ...
        chosen = [place for _, _, place in slots[:count]]
        if len(slots) > count and slots[count - 1][0] == 0:  # more clips than are wanted: spread over all of them
            once = [place for number, _, place in slots if number == 0]
            chosen = [once[index] for index in np.linspace(0, len(once) - 1, count).round().astype(int)]
        return chosen

    def beginnings(self, count: int, frames: int, clips: Sequence[int] | None = None) -> list[Place]:
        """The first frames of clips, from where a rendered world is retraced soonest.

        Args:
            count: how many are wanted; spread over the clips, at most one of each.
            frames: length of each.
            clips: the clips to take them from; all by default.
        """
        long = [c for c in (range(len(self)) if clips is None else clips) if self.clips.num_frames(c) >= frames]
        return [Place(clip, 0, frames) for clip in evenly(long, count)]

    def longest(self) -> int:
        """Frames of the longest clip."""
        return max(self.clips.num_frames(clip) for clip in range(len(self)))

    def split(self) -> tuple[list[int], list[int]]:
        """Clips in two parts that share no world: three quarters to learn from, and the rest to test on.

        Returns:
            The clips' numbers; the second part has at least one world, the first may be empty.
        """
        seeds = {clip: str(self.meta(clip).get("seed", clip)) for clip in range(len(self))}
        worlds = list(dict.fromkeys(seeds.values()))
        tested = set(worlds[3::4] or worlds[-1:])
        return (
            [clip for clip, seed in seeds.items() if seed not in tested],
            [clip for clip, seed in seeds.items() if seed in tested],
        )

    @property
    def unread(self) -> list[str]:
        """The conditions that clips have and of which none of the checkpoint's is made."""
        return sorted(self._recorded() - self._sources)

    def describe(self) -> dict[str, Any]:
        """What the set is, for the record."""
        lengths = [self.clips.num_frames(clip) for clip in range(len(self))]
        return {
            "folder": ", ".join(str(folder) for folder in self.folders),
            "clips": len(self),
            "frames": sum(lengths),
            "shortest": min(lengths),
            "longest": max(lengths),
            "damaged": len(self.clips.damaged),
            "worlds": sorted({str(self.meta(clip).get("world", "unknown")) for clip in range(len(self))}),
            "seeds": sorted(
                {int(seed) for clip in range(len(self)) if (seed := self.meta(clip).get("seed")) is not None}
            ),
            **({"unread": self.unread} if self.unread else {}),
        }

    def _recorded(self) -> set[str]:
        return {name for clip in range(len(self)) for name in self.meta(clip).get("conditions", {})}

    def _check(self, world: WorldModel) -> None:
        frame = world.config.frame
        for clip, key in enumerate(self.clips.keys):
            meta = self.meta(clip)
            size = tuple(meta.get("size", self.clips.frames(clip, 0, 1).shape[1:3]))
            if size != (frame.height, frame.width):
                raise ValueError(
                    f"clips must be {frame.height}x{frame.width} pixels like the checkpoint's frames, clip {key} is "
                    f"{size[0]}x{size[1]}: record with --world-kwargs size={frame.height}"
                )
            if abs(float(meta["fps"]) - frame.fps) > 0.01:
                raise ValueError(
                    f"clips must have {frame.fps:g} frames per second like the checkpoint, clip {key} has "
                    f"{meta['fps']:g}: record or convert them at that rate"
                )
        recorded = self._recorded()
        if recorded and not any(self.clips.columns(clip) for clip in range(len(self))):
            raise ValueError(
                f"the checkpoint must know a condition of the clips, they have {', '.join(sorted(recorded))} and the "
                f"checkpoint {', '.join(self._names)}: evaluate on clips recorded from the world it was trained on"
            )


def _actions(clips: ClipSet, index: int) -> list[Action]:
    """All raw actions of a clip of a set, as the set reads them."""
    steps: list[Action] = [{} for _ in range(clips.num_frames(index) - 1)]
    for name, (values, present) in clips.columns(index).items():
        for step, value, there in zip(steps, clips.condition(index, name).raw(values), present, strict=True):
            if there:
                step[name] = value
    return steps
