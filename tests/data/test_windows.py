"""Windows: each is the stretch it claims to be, and the order is a function of seed and sample number."""

from pathlib import Path

import numpy as np
import pytest

from worldmodel.data.clip_writer import ClipWriter
from worldmodel.data.clips import Clip, ClipSet
from worldmodel.data.windows import FrameWindows, Shuffle, Starts

LENGTHS = [5, 3, 8]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> ClipSet:
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    with ClipWriter(folder / "shard-000000.tar") as writer:
        for number, length in enumerate(LENGTHS):
            frames = rng.integers(0, 256, (length, 16, 24, 3), dtype=np.uint8)
            writer.write(Clip(f"{number}", frames, {}, {"fps": 20}))
    return ClipSet(folder)


def test_an_epoch_is_every_window_once() -> None:
    shuffle = Shuffle(10, seed=3)
    epochs = [shuffle.indices(range(first, first + 10)) for first in (0, 10, 20)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert Shuffle(10, seed=4).indices(range(10)) != epochs[0]


def test_order_does_not_depend_on_what_was_asked_before() -> None:
    straight = Shuffle(7, seed=0).indices(range(60))
    assert Shuffle(7, seed=0).indices(range(33, 60)) == straight[33:]  # resumed
    shuffle = Shuffle(7, seed=0)
    backwards = [shuffle.indices([sample])[0] for sample in reversed(range(60))]
    assert backwards[::-1] == straight


def test_two_processes_share_the_batch_of_one() -> None:
    batch = list(range(24, 32))
    one = Shuffle(11, seed=0).indices(batch)
    two = [Shuffle(11, seed=0).indices(batch[half::2]) for half in range(2)]
    assert [index for pair in zip(*two, strict=True) for index in pair] == one


def test_starts_count_every_window() -> None:
    starts = Starts(LENGTHS, 4)
    assert [starts.find(index) for index in range(len(starts))] == [(0, 0), (0, 1), *((2, start) for start in range(5))]
    for outside in (-1, 7):
        with pytest.raises(IndexError, match="0 to 6"):
            starts.find(outside)
    with pytest.raises(ValueError, match="windows of 9 frames must fit into a clip, the longest has 8"):
        Starts(LENGTHS, 9)


@pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
def test_windows_are_stretches_of_clips(clips: ClipSet, cache_bytes: int) -> None:
    windows = FrameWindows(clips, 4, cache_bytes)
    for _ in range(2):  # decoded, then kept
        for index in range(len(windows)):
            clip, start = Starts(LENGTHS, 4).find(index)
            np.testing.assert_array_equal(windows[index], clips.frames(clip)[start : start + 4])
    batch = windows.batch([6, 0])
    assert batch.shape == (2, 4, 16, 24, 3) and batch.dtype == np.uint8
    np.testing.assert_array_equal(batch[0], windows[6])


def test_a_small_set_is_decoded_once(clips: ClipSet, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    monkeypatch.setattr(clips, "frames", lambda index, *_: decoded.append(index) or np.zeros((8, 16, 24, 3), np.uint8))
    windows = FrameWindows(clips, 4)
    windows.batch(range(len(windows)))
    windows.batch(range(len(windows)))
    assert decoded == [0, 2]


def test_sizes_must_agree(tmp_path: Path) -> None:
    with ClipWriter(tmp_path / "shard-000000.tar") as writer:
        for size in (16, 32):
            writer.write(Clip(str(size), np.zeros((3, size, size, 3), np.uint8), {}, {"fps": 20}))
    with pytest.raises(ValueError, match=r"one size, got \[\(16, 16\), \(32, 32\)\]"):
        FrameWindows(ClipSet(tmp_path), 2)
