"""Several clip sets trained on together, each drawn from as often as its weight says.

    clips = MixedClips({"teco": ClipSet(a), "vpt": ClipSet(b)}, {"teco": 0.7, "vpt": 0.3})
    windows = FrameWindows(clips, frames)                        # of all sets, one after another
    order = MixedOrder(windows, clips.weights, seed)             # sample number -> window

Which window a sample's number stands for follows from the seed and the number alone, so that a run goes on where it was
and processes share a batch as they like. Every set has epochs of its own: each of its windows once, then each again.

Shapes: T frames, H W pixels.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from conditions import Column, Condition
from worldmodel.data.clips import Clip, ClipSet
from worldmodel.data.windows import Shuffle, Starts, Windows

BLOCK = 1000  # samples within which every set has exactly its share
KEPT_BLOCKS = 4


class MixedClips(ClipSet):
    """The clips of several sets as one: those of the first, then those of the second, and so on.

    A clip's key has its set's name before it.

    Args:
        sets: by name.
        weights: by the same names; above 0.
    """

    def __init__(self, sets: Mapping[str, ClipSet], weights: Mapping[str, float]) -> None:
        self.names, self._sets = list(sets), list(sets.values())
        self.weights = {name: weights[name] for name in self.names}
        self.folder = Path(" + ".join(str(clips.folder) for clips in self.sets))
        self.shards = [shard for clips in self.sets for shard in clips.shards]
        self.damaged = [damaged for clips in self.sets for damaged in clips.damaged]
        self._ends = list(itertools.accumulate(self.counts))

    @property
    def sets(self) -> list[ClipSet]:
        return self._sets

    @property
    def counts(self) -> list[int]:
        return [len(clips) for clips in self.sets]

    @property
    def keys(self) -> list[str]:
        return [f"{name}-{key}" for name, clips in zip(self.names, self.sets, strict=True) for key in clips.keys]

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> Clip:  # type: ignore[override]
        number, index = self._find(index)
        clip = self.sets[number][index]
        clip.key = f"{self.names[number]}-{clip.key}"
        return clip

    def num_frames(self, index: int) -> int:
        number, index = self._find(index)
        return self.sets[number].num_frames(index)

    def size(self, index: int) -> tuple[int, int]:
        number, index = self._find(index)
        return self.sets[number].size(index)

    def meta(self, index: int) -> dict[str, Any]:
        number, index = self._find(index)
        return self.sets[number].meta(index)

    def shard_of(self, index: int) -> Path:
        number, index = self._find(index)
        return self.sets[number].shard_of(index)

    def columns(self, index: int) -> dict[str, Column]:
        number, index = self._find(index)
        return self.sets[number].columns(index)

    def condition(self, index: int, name: str) -> Condition:
        number, index = self._find(index)
        return self.sets[number].condition(index, name)

    def frames(self, index: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        number, index = self._find(index)
        return self.sets[number].frames(index, start, stop)

    def shares(self) -> list[tuple[float, list[range]]]:
        """Returns each set's weight, and the numbers of its clips."""
        weights = self.weights.values()
        spans = zip(weights, self._ends, self.counts, strict=True)
        return [(weight, [range(end - count, end)]) for weight, end, count in spans]

    def _find(self, index: int) -> tuple[int, int]:
        """The set that a clip is of, and its number there."""
        if not 0 <= index < len(self):
            raise IndexError(f"clip must be 0 to {len(self) - 1}, got {index}")
        number = int(np.searchsorted(self._ends, index, side="right"))
        return number, index - (self._ends[number - 1] if number else 0)


class MixedOrder:
    """Turns sample numbers 0, 1, 2, ... into windows of several sets.

    Every BLOCK samples have a set's share of them exactly, in an order of their own; the k-th sample of a set is the
    k-th of its shuffled windows, epoch after epoch.

    Args:
        windows: of all sets, one after another.
        weights: of each set, by name, in their order.
        seed: of the order.

    Raises:
        ValueError: if a set has no clip as long as a window, or a share too small to be drawn.
    """

    def __init__(self, windows: Windows[Any], weights: Mapping[str, float], seed: int) -> None:
        self._seed = seed
        self._per_block = shares(weights, BLOCK)
        for name, count in zip(weights, self._per_block, strict=True):
            if not count:
                raise ValueError(
                    f"data.mix.{name}.weight must be at least a {BLOCK}th of all, got {weights[name]:g} of "
                    f"{sum(weights.values()):g}: raise it, or leave the set out by 0"
                )
        ends = list(itertools.accumulate(windows.counts))
        for name, end, count in zip(weights, ends, windows.counts, strict=True):
            longest = max(windows.lengths[end - count : end], default=0)
            if longest < windows.length:
                raise ValueError(
                    f"windows of {windows.length} frames must fit into a clip of every set of data.mix, the longest in "
                    f"{name!r} has {longest}: leave it out by data.mix.{name}.weight=0, or train on shorter windows"
                )
        starts = Starts(windows.lengths, windows.length)
        bounds = [starts.first(end) for end in (0, *ends)]
        self._first = bounds[:-1]  # [sets] the number of each one's first window
        self._orders = [Shuffle(stop - start, seed) for start, stop in itertools.pairwise(bounds)]
        self._blocks: OrderedDict[int, tuple[np.ndarray, np.ndarray]] = OrderedDict()

    def set_of(self, sample: int) -> int:
        """Returns the number of the set that a sample is drawn from."""
        return int(self._block(sample // BLOCK)[0][sample % BLOCK])

    def indices(self, samples: Sequence[int]) -> list[int]:
        """Returns the windows that these sample numbers stand for; never changes."""
        return [self._find(sample) for sample in samples]

    def ahead(self, samples: Sequence[int]) -> list[int]:
        """Returns no shards: all sets are at hand."""
        return []

    def _find(self, sample: int) -> int:
        block, place = divmod(sample, BLOCK)
        drawn, ranks = self._block(block)
        number = int(drawn[place])
        nth = block * self._per_block[number] + int(ranks[place])  # of this set's samples
        return self._first[number] + self._orders[number].indices([nth])[0]

    def _block(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        """The set of each of a block's samples, and how many of that set come before it there."""
        if block not in self._blocks:
            # Told apart from the seeds of a set's epochs, [seed, epoch], by a third number.
            rng = np.random.default_rng([self._seed, block, 3])
            drawn = rng.permutation(np.repeat(np.arange(len(self._per_block)), self._per_block))
            ranks = np.zeros(BLOCK, np.int64)
            for number, count in enumerate(self._per_block):
                ranks[drawn == number] = np.arange(count)
            while len(self._blocks) >= KEPT_BLOCKS:
                self._blocks.popitem(last=False)
            self._blocks[block] = drawn, ranks
        return self._blocks[block]


def shares(weights: Mapping[str, float], count: int) -> list[int]:
    """Divides `count` by weights into whole numbers that sum to it, each less than one off."""
    exact = np.array(list(weights.values()), np.float64) * count / sum(weights.values())
    parts = np.floor(exact + 1e-9).astype(int)
    for number in np.argsort(parts - exact, kind="stable")[: count - parts.sum()]:
        parts[number] += 1
    return [int(part) for part in parts]
