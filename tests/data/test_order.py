"""The order of a streamed set: nothing twice in an epoch, everything in each, the same for any number of processes."""

from collections import Counter

import numpy as np
import pytest

from worldmodel.data.order import StreamOrder
from worldmodel.data.windows import Starts

RNG = np.random.default_rng(0)
LENGTHS = RNG.integers(3, 40, 60).tolist()
SHARDS = np.repeat(np.arange(12), [5, 1, 9, 5, 5, 2, 8, 5, 5, 5, 4, 6])
FRAMES, BATCH = 4, 8
LONG_ENOUGH = {clip for clip, length in enumerate(LENGTHS) if length >= FRAMES}


def order(batch_size: int = BATCH, seed: int = 3, buffer_shards: int = 2, **settings: int) -> StreamOrder:
    return StreamOrder(LENGTHS, SHARDS, FRAMES, seed, batch_size, buffer_shards, **settings)


def by_epoch(made: StreamOrder, samples: range) -> list[list[int]]:
    """The windows of each epoch that lies whole within the samples."""
    epochs: dict[int, list[int]] = {}
    for sample in samples:
        epochs.setdefault(made.epoch_of(sample), []).extend(made.indices([sample]))
    return list(epochs.values())[:-1]


@pytest.mark.parametrize(("batch_size", "buffer_shards"), [(1, 1), (3, 2), (8, 4), (64, 5), (8, 100)])
def test_an_epoch_sees_every_clip_and_no_frame_twice(batch_size: int, buffer_shards: int) -> None:
    starts = Starts(LENGTHS, FRAMES)
    epochs = by_epoch(order(batch_size, buffer_shards=buffer_shards), range(1500))
    assert len(epochs) >= 4
    for windows in epochs:
        places = [starts.find(window) for window in windows]
        seen = Counter((clip, start + frame) for clip, start in places for frame in range(FRAMES))
        assert set(seen.values()) == {1}
        assert {clip for clip, _ in seen} == LONG_ENOUGH
        frames = Counter(clip for clip, _ in seen)
        assert all(LENGTHS[clip] - frames[clip] < 2 * FRAMES for clip in LONG_ENOUGH)  # what is left at its two ends
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("processes", [1, 2, 4])
@pytest.mark.parametrize("workers", [1, 2])
def test_processes_and_workers_share_what_one_sees(processes: int, workers: int) -> None:
    """Each has an order of its own, and asks for its rows of every step, as the loop does."""
    steps = 120
    orders = [[order() for _ in range(workers)] for _ in range(processes)]
    share = BATCH // processes // workers
    together = []
    for step in range(steps):
        for process in range(processes):
            for worker in range(workers):
                first = step * BATCH + (process * workers + worker) * share
                together += orders[process][worker].indices(range(first, first + share))
    assert together == order().indices(range(steps * BATCH))


def test_it_goes_on_at_any_sample() -> None:
    straight = order().indices(range(900))
    for first in (1, 7, 8, 333, 899):
        assert order().indices(range(first, 900)) == straight[first:]
    backwards = order()
    assert [backwards.indices([sample])[0] for sample in reversed(range(900))][::-1] == straight
    assert order(seed=4).indices(range(900)) != straight


def test_offsets_change_from_epoch_to_epoch() -> None:
    starts = Starts(LENGTHS, FRAMES)
    epochs = by_epoch(order(), range(6000))
    longest = int(np.argmax(LENGTHS))
    firsts = {min(start for clip, start in map(starts.find, windows) if clip == longest) for windows in epochs}
    assert firsts == set(range(FRAMES))


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_read_shards_of_their_own(processes: int) -> None:
    """Without that, each of N machines would fetch the whole set."""
    lengths, shards = [16] * 640, np.repeat(np.arange(160), 4)
    share, epoch = BATCH // processes, 640 * 3
    made = StreamOrder(lengths, shards, FRAMES, 0, BATCH, buffer_shards=2)
    starts = Starts(lengths, FRAMES)
    read = []
    for process in range(processes):
        rows = [step * BATCH + process * share + row for step in range(epoch // BATCH) for row in range(share)]
        read.append({int(shards[starts.find(window)[0]]) for window in made.indices(rows)})
    assert set.union(*read) == set(range(160))
    assert sum(map(len, read)) <= 160 + 2 * (processes - 1) * 2  # a group is shared where two pieces meet


def test_few_shards_are_in_use_at_a_time() -> None:
    lengths, shards = [40] * 400, np.repeat(np.arange(100), 4)
    made, starts = StreamOrder(lengths, shards, FRAMES, 0, 2, buffer_shards=3), Starts(lengths, FRAMES)
    used = [int(shards[starts.find(window)[0]]) for window in made.indices(range(3000))]
    for first in range(0, 2900, 50):
        assert len(set(used[first : first + 50])) <= 2 * 2 * 3  # of each row, this group and the next
    assert all(len(set(used[first : first + 100])) >= 3 for first in range(0, 2900, 100))  # and they are mixed


def test_ahead_is_what_comes() -> None:
    made = order(prefetch_steps=5)
    starts = Starts(LENGTHS, FRAMES)
    for step in range(0, 300, 7):
        rows = [step * BATCH + row for row in (2, 3)]
        coming = [at * BATCH + row for at in range(step, step + 5) for row in (2, 3)]
        shards = [int(SHARDS[starts.find(window)[0]]) for window in order().indices(coming)]
        assert made.ahead(rows) == list(dict.fromkeys(shards))


def test_rows_asked_for_in_parts_are_looked_ahead_together() -> None:
    parts, whole = order(), order()
    parts.ahead(range(0, 2))
    assert parts.ahead(range(2, 4)) == whole.ahead(range(4))


def test_windows_must_fit() -> None:
    with pytest.raises(ValueError, match="windows of 41 frames must fit into a clip"):
        StreamOrder(LENGTHS, SHARDS, 41, 0, 4)
