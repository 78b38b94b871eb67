"""The order in which a streamed set is read: a function of a seed and a sample's number, and easy on the network.

An epoch cuts every clip into windows that do not overlap, from an offset drawn anew: no frame comes twice. The shards
are shuffled and put into groups, and the windows of a group are shuffled: that is the epoch's one long row of windows.
It is cut into as many pieces as a step's batch has rows, and row r walks along piece r. A process holds the same rows
at every step, so it reads its own shards and nearly none of another's; yet which process holds a row changes nothing.

    order = StreamOrder(lengths, shards, frames, seed, batch_size, buffer_shards)
    order.indices(samples)      # windows, numbered as `Starts` numbers them
    order.ahead(samples)        # the shards that these rows need from this step on, soonest first
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldmodel.data.mix import MixedOrder
from worldmodel.data.stream import StreamConfig
from worldmodel.data.windows import Order, Shuffle, Starts, Windows


@dataclass
class _Epoch:
    """One pass over the set, begin <= sample < end."""

    begin: int
    end: int
    offsets: np.ndarray  # [clips] where the first window of each begins
    counts: np.ndarray  # [clips] windows of each
    shards: np.ndarray  # [shards] in the order of the epoch
    ends: np.ndarray  # [groups] windows up to the end of each
    pieces: np.ndarray  # [batch_size] windows before each row's piece


def make_order(
    windows: Windows[Any],
    seed: int,
    batch_size: int,
    stream: StreamConfig,
    weights: Mapping[str, float] | None = None,
) -> Order:
    """Returns the order for windows: any of a set at hand, the one that is easy on the network of a set far away.

    Args:
        windows: to be ordered.
        seed: of the order.
        batch_size: samples of a step, over all processes.
        stream: how a set far away is read.
        weights: of each set, by name, where there are several.

    Raises:
        ValueError: if no clip of a set is as long as a window.
    """
    if weights is not None:
        return MixedOrder(windows, weights, seed)
    if windows.shard_numbers is None:
        return Shuffle(len(windows), seed)
    return StreamOrder(
        windows.lengths,
        windows.shard_numbers,
        windows.length,
        seed,
        batch_size,
        stream.buffer_shards,
        stream.prefetch_steps,
    )


class StreamOrder:
    """Turns sample numbers 0, 1, 2, ... into windows, epoch after epoch.

    Args:
        lengths: frames of each clip; those shorter than a window have none.
        shards: the number of each clip's shard, ascending.
        frames: of a window.
        seed: of the order.
        batch_size: samples of a step, over all processes.
        buffer_shards: shards of a group. More mix better and take more disk.
        prefetch_steps: how far `ahead` looks.

    Raises:
        ValueError: if no clip is as long as a window.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        shards: Sequence[int] | np.ndarray,
        frames: int,
        seed: int,
        batch_size: int,
        buffer_shards: int = 4,
        prefetch_steps: int = 64,
    ) -> None:
        self._lengths, self._shard_of = np.asarray(lengths, np.int64), np.asarray(shards, np.int64)
        self._frames, self._seed, self._batch_size = frames, seed, batch_size
        self._buffer_shards, self._prefetch_steps = buffer_shards, prefetch_steps
        self._starts = Starts(lengths, frames)
        starts = np.maximum(self._lengths - frames + 1, 0)
        self._first = np.cumsum(starts) - starts  # [clips] the number of each one's first window, as in Starts
        self._begin_of_shard = np.searchsorted(self._shard_of, np.arange(self._shard_of[-1] + 2))
        self._begins = [0]  # of the epochs met so far
        self._epochs: OrderedDict[int, _Epoch] = OrderedDict()
        self._groups: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()
        self._rows: set[int] = set()
        self._ahead: dict[int, int] = {}  # sample -> shard

    def epoch_of(self, sample: int) -> int:
        """Returns the epoch that a sample belongs to."""
        while self._begins[-1] <= sample:
            counts = self._cut(len(self._begins) - 1)[1]
            self._begins.append(self._begins[-1] + int(counts.sum()))
        return int(np.searchsorted(self._begins, sample, side="right")) - 1

    def indices(self, samples: Sequence[int]) -> list[int]:
        """Returns the windows that these sample numbers stand for; never changes."""
        return [self._find(sample) for sample in samples]

    def ahead(self, samples: Sequence[int]) -> list[int]:
        """Returns the shards that are needed from this step on, soonest first.

        The rows that a process holds are learned from what it asks for, so ask with every part of a step's share.
        """
        self._rows.update(sample % self._batch_size for sample in samples)
        first = min(samples) // self._batch_size * self._batch_size
        wanted = [
            first + step * self._batch_size + row for step in range(self._prefetch_steps) for row in sorted(self._rows)
        ]
        known = self._ahead
        self._ahead = {sample: known[sample] if sample in known else self._shard(sample) for sample in wanted}
        return list(dict.fromkeys(self._ahead.values()))

    def _shard(self, sample: int) -> int:
        return int(self._shard_of[self._starts.find(self._find(sample))[0]])

    def _find(self, sample: int) -> int:
        number = self.epoch_of(sample)
        epoch = self._epoch(number)
        row = sample % self._batch_size
        place = int(epoch.pieces[row]) + self._before(sample, row) - self._before(epoch.begin, row)
        group = int(np.searchsorted(epoch.ends, place, side="right"))
        return int(self._group(number, group)[place - (int(epoch.ends[group - 1]) if group else 0)])

    def _before(self, sample: int, row: int) -> int:
        """How many samples before this one are of that row."""
        return (sample - row + self._batch_size - 1) // self._batch_size

    def _cut(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the offset of each clip's first window in an epoch, and how many windows follow it."""
        room = np.minimum(self._frames, self._lengths - self._frames + 1)  # 1 or more where there is a window
        offsets = (np.random.default_rng([self._seed, number]).random(len(room)) * np.maximum(room, 1)).astype(np.int64)
        return offsets, np.where(room > 0, (self._lengths - offsets) // self._frames, 0)

    def _epoch(self, number: int) -> _Epoch:
        if number not in self._epochs:
            offsets, counts = self._cut(number)
            # Told apart from the offsets' seed by a second number; groups take those after it.
            shards = np.random.default_rng([self._seed, number, 1]).permutation(len(self._begin_of_shard) - 1)
            per_shard = np.bincount(self._shard_of, counts, len(shards)).astype(np.int64)[shards]
            ends = np.cumsum(per_shard)[self._buffer_shards - 1 :: self._buffer_shards]
            if len(shards) % self._buffer_shards:
                ends = np.append(ends, per_shard.sum())
            begin, end = self._begins[number], self._begins[number + 1]
            rows = [self._before(end, row) - self._before(begin, row) for row in range(self._batch_size)]
            pieces = np.cumsum(rows) - rows
            while len(self._epochs) >= 3:  # a step, and what is looked at ahead of it, may span two
                self._epochs.popitem(last=False)
            self._epochs[number] = _Epoch(begin, end, offsets, counts, shards, ends, pieces)
        return self._epochs[number]

    def _group(self, number: int, group: int) -> np.ndarray:
        """Returns the windows of a group in an epoch, shuffled."""
        key = (number, group)
        if key not in self._groups:
            epoch = self._epoch(number)
            shards = epoch.shards[group * self._buffer_shards : (group + 1) * self._buffer_shards]
            ranges = [np.arange(self._begin_of_shard[shard], self._begin_of_shard[shard + 1]) for shard in shards]
            clips = np.concatenate(ranges)
            counts = epoch.counts[clips]
            nth = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)  # 0, 1, ... in each clip
            windows = np.repeat(self._first[clips] + epoch.offsets[clips], counts) + nth * self._frames
            while len(self._groups) >= 4 * self._batch_size + 16:  # each row is in one, and looks ahead into others
                self._groups.popitem(last=False)
            self._groups[key] = np.random.default_rng([self._seed, number, 2 + group]).permutation(windows)
        self._groups.move_to_end(key)
        return self._groups[key]
