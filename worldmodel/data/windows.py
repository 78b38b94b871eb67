"""Random windows of clips, in an order that depends on a seed and a sample's number alone.

    windows = FrameWindows(clips, frames=8)          # every stretch of 8 frames of every clip
    shuffle = Shuffle(len(windows), seed=0)          # sample number -> window, without end; epoch after epoch
    read(windows, shuffle, samples)                  # uint8 [B, 8, H, W, 3]: windows.batch(shuffle.indices(samples))

Of a set far away `StreamOrder` (order.py) takes the place of `Shuffle`. Whoever counts samples can stop and go on at
any number, and share a batch's numbers among processes as it likes.

Shapes: B batch, T frames, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np
import psutil

from worldmodel.data.clips import ClipSet

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Order(Protocol):
    """What tells which window a sample's number stands for."""

    def indices(self, samples: Sequence[int]) -> list[int]:
        """Returns the windows of these samples; never changes."""
        ...

    def ahead(self, samples: Sequence[int]) -> list[int]:
        """Returns the shards that are needed from this step on, soonest first; none where all are at hand."""
        ...


class Windows(Protocol[T_co]):
    """What windows are read from.

    Attributes:
        lengths: frames of each clip.
        length: frames that a window reads.
        counts: clips of each set, of several that are read as one; else of the only one.
        shard_numbers: of each clip; None where all shards are at hand.
    """

    lengths: list[int]

    @property
    def length(self) -> int: ...

    @property
    def counts(self) -> list[int]: ...

    @property
    def shard_numbers(self) -> np.ndarray | None: ...

    def __len__(self) -> int: ...

    def expect(self, shards: Sequence[int]) -> None:
        """Is told which shards are read next, by number."""
        ...

    def batch(self, indices: Sequence[int]) -> T_co:
        """Returns several windows as one batch."""
        ...


def read(windows: Windows[T], order: Order, samples: Sequence[int]) -> T:
    """Returns the windows that these sample numbers stand for, and has the shards of later ones fetched meanwhile."""
    windows.expect(order.ahead(samples))
    return windows.batch(order.indices(samples))


class Shuffle:
    """Turns sample numbers 0, 1, 2, ... into windows: each epoch is another permutation of all of them.

    Args:
        size: how many windows there are.
        seed: of the permutations.

    Raises:
        ValueError: if there are no windows.
    """

    def __init__(self, size: int, seed: int) -> None:
        if size < 1:
            raise ValueError(f"there must be windows to shuffle, got {size}")
        self.size = size
        self.seed = seed
        self._epochs: dict[int, np.ndarray] = {}

    def indices(self, samples: Sequence[int]) -> list[int]:
        """Returns the windows that these sample numbers stand for; never changes."""
        return [int(self._epoch(sample // self.size)[sample % self.size]) for sample in samples]

    def ahead(self, samples: Sequence[int]) -> list[int]:
        """Returns no shards: the whole set is at hand."""
        return []

    def _epoch(self, epoch: int) -> np.ndarray:
        if epoch not in self._epochs:
            while len(self._epochs) >= 2:  # a batch may span two
                del self._epochs[next(iter(self._epochs))]
            self._epochs[epoch] = np.random.default_rng([self.seed, epoch]).permutation(self.size)
        return self._epochs[epoch]


class Starts:
    """Counts the windows of `length` frames that start at every frame of every clip, and finds the n-th.

    Args:
        lengths: frames of each clip; clips shorter than a window have none.
        length: frames of a window.

    Raises:
        ValueError: if no clip is as long as a window.
    """

    def __init__(self, lengths: Sequence[int], length: int) -> None:
        counts = np.maximum(np.array(lengths, np.int64) - length + 1, 0)
        self._ends = np.cumsum(counts)
        if length < 1 or not counts.any():
            longest = max(lengths, default=0)
            raise ValueError(f"windows of {length} frames must fit into a clip, the longest has {longest} frames")

    def __len__(self) -> int:
        return int(self._ends[-1])

    def first(self, clip: int) -> int:
        """Returns the number of a clip's first window; of one past the last clip, how many windows there are."""
        return int(self._ends[clip - 1]) if clip else 0

    def find(self, index: int) -> tuple[int, int]:
        """Returns the clip of window `index`, and its first frame there.

        Raises:
            IndexError: if there is no such window.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"window must be 0 to {len(self) - 1}, got {index}")
        clip = int(np.searchsorted(self._ends, index, side="right"))
        return clip, index - self.first(clip)


class FrameWindows:
    """Windows of frames.

    Args:
        clips: where from; all of one size.
        frames: T of a window.
        cache_bytes: if all clips decoded take no more than this, each is decoded once, when first touched, and kept.
            A larger set is decoded window by window. By default a quarter of the memory that is free.
        kept: decoded clips by number; several windows of the same clips may share one such dict.

    Raises:
        ValueError: if the clips differ in size, or none is long enough.
    """

    def __init__(
        self, clips: ClipSet, frames: int, cache_bytes: int | None = None, kept: dict[int, np.ndarray] | None = None
    ) -> None:
        self.clips = clips
        self.frames = frames
        self.lengths = lengths = [clips.num_frames(index) for index in range(len(clips))]
        sizes = {clips.size(index) for index in range(len(clips))}
        if len(sizes) > 1:
            raise ValueError(f"all clips in {clips.folder} must be of one size, got {sorted(sizes)}")
        self.height, self.width = sizes.pop()
        self._starts = Starts(lengths, frames)
        cache_bytes = psutil.virtual_memory().available // 4 if cache_bytes is None else cache_bytes
        self._keeps = sum(lengths) * self.height * self.width * 3 <= cache_bytes
        self._kept = {} if kept is None else kept

    @property
    def length(self) -> int:
        """Frames that a window reads."""
        return self.frames

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> np.ndarray:
        """Returns window `index`, [T, H, W, 3] uint8; not to be written to."""
        clip, start = self._starts.find(index)
        if not self._keeps:
            return self.clips.frames(clip, start, start + self.frames)
        if clip not in self._kept:
            self._kept[clip] = self.clips.frames(clip)
        return self._kept[clip][start : start + self.frames]

    @property
    def counts(self) -> list[int]:
        """Clips of each set."""
        return self.clips.counts

    @property
    def shard_numbers(self) -> np.ndarray | None:
        """The shard of each clip; None where all are at hand."""
        return self.clips.shard_numbers

    def spread(self, count: int) -> list[int]:
        """Returns the numbers of `count` windows spread evenly; of a set far away, over a few of its shards.

        They repeat where there are fewer. Of several sets each has its share.
        """
        shares = self.clips.shares()
        ends = np.cumsum([weight for weight, _ in shares])
        counts = np.diff(np.round(count * ends / ends[-1]).astype(int), prepend=0)
        parts = zip(counts.tolist(), shares, strict=True)
        return [window for number, (_, clips) in parts for window in self._spread(number, clips)]

    def _spread(self, count: int, clips: Sequence[range]) -> list[int]:
        ranges = [(self._starts.first(part.start), self._starts.first(part.stop)) for part in clips]
        ends = np.cumsum([stop - start for start, stop in ranges])
        if not ends[-1]:
            return []
        places = np.linspace(0, ends[-1] - 1, count).round().astype(int)
        parts = np.searchsorted(ends, places, side="right")
        return [int(ranges[part][1] - ends[part] + place) for part, place in zip(parts, places, strict=True)]

    def expect(self, shards: Sequence[int]) -> None:
        """Tells the clips which shards are read next."""
        self.clips.expect(shards)

    def batch(self, indices: Sequence[int]) -> np.ndarray:
        """Returns several windows, [B, T, H, W, 3] uint8."""
        return np.stack([self[index] for index in indices])
