"""Several sets as one: drawn from by weight, each by epochs of its own, the same whoever asks and from where."""

from collections import Counter

import numpy as np
import pytest

from tests.data.test_windows import LENGTHS
from worldmodel.config import load_config
from worldmodel.data.clip_writer import ClipWriter
from worldmodel.data.clips import Clip, ClipSet
from worldmodel.data.mix import BLOCK, MixedClips, MixedOrder, shares
from worldmodel.data.windows import FrameWindows

WEIGHTS = {"many": 0.5, "few": 0.3, "long": 0.2}
CLIPS = {"many": LENGTHS * 4, "few": [6, 3], "long": [40]}
FRAMES = 4


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> MixedClips:
    """Frames of one grey each: 100 for each set and 7 for each clip, so that a window tells where it is from."""
    sets = {}
    for number, (name, lengths) in enumerate(CLIPS.items()):
        folder = tmp_path_factory.mktemp(name)
        with ClipWriter(folder / "shard-000000.tar") as writer:
            for clip, length in enumerate(lengths):
                frames = np.full((length, 16, 16, 3), 100 * number + 7 * (clip % 4), np.uint8)
                keys = [{"forward": number % 2}] * (length - 1)
                writer.write(Clip(f"{clip:06d}", frames, {"keyboard": keys}, {"fps": 20.0, "set": name}))
        sets[name] = ClipSet(folder)
    return MixedClips(sets, WEIGHTS)


@pytest.fixture(scope="module")
def windows(mixed: MixedClips) -> FrameWindows:
    return FrameWindows(mixed, FRAMES)


def order(windows: FrameWindows, seed: int = 3, weights: dict[str, float] = WEIGHTS) -> MixedOrder:
    return MixedOrder(windows, weights, seed)


def test_a_mix_is_its_sets_one_after_another(mixed: MixedClips) -> None:
    apart = [(name, number) for name, lengths in CLIPS.items() for number in range(len(lengths))]
    assert len(mixed) == len(apart) == sum(mixed.counts) and len(set(mixed.keys)) == len(mixed)
    for index, (name, number) in enumerate(apart):
        own = mixed.sets[mixed.names.index(name)]
        assert mixed.keys[index] == mixed[index].key == f"{name}-{own.keys[number]}"
        assert mixed.meta(index)["set"] == name and mixed.num_frames(index) == CLIPS[name][number]
        assert mixed.shard_of(index) == own.shard_of(number) and mixed.size(index) == (16, 16)
        np.testing.assert_array_equal(mixed.frames(index, 1, 3), own.frames(number, 1, 3))
        assert mixed[index].actions() == own[number].actions()
        assert mixed.columns(index) is own.columns(number)
    for outside in (-1, len(mixed)):
        with pytest.raises(IndexError, match=f"clip must be 0 to {len(mixed) - 1}"):
            mixed.num_frames(outside)


def test_sets_are_drawn_from_by_their_weights(windows: FrameWindows) -> None:
    made = order(windows)
    for first in (0, 5 * BLOCK):
        counts = Counter(made.set_of(sample) for sample in range(first, first + BLOCK))
        assert counts == {0: 500, 1: 300, 2: 200}
    few = Counter(made.set_of(sample) for sample in range(200))
    assert all(abs(few[number] / 200 - weight) < 0.1 for number, weight in enumerate(WEIGHTS.values()))
    runs = [made.set_of(sample) for sample in range(200)]
    assert sum(a != b for a, b in zip(runs, runs[1:], strict=False)) > 60  # mixed, and not one set after another
    thirds = Counter(order(windows, weights={"many": 1, "few": 1, "long": 1}).set_of(s) for s in range(BLOCK))
    assert sorted(thirds.values()) == [333, 333, 334]
    for number, window in enumerate(made.indices(range(300))):  # and the windows are of these sets
        assert abs(int(windows[window][0, 0, 0, 0]) - 100 * made.set_of(number)) < 30


def test_each_set_has_epochs_of_its_own(windows: FrameWindows) -> None:
    made = order(windows)
    drawn: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for sample, window in enumerate(made.indices(range(2 * BLOCK))):
        drawn[made.set_of(sample)].append(window)
    sizes = [sum(max(length - FRAMES + 1, 0) for length in lengths) for lengths in CLIPS.values()]
    for number, size in enumerate(sizes):
        first = sum(sizes[:number])
        for epoch in range(2 * BLOCK // 5 // max(sizes)):
            part = drawn[number][epoch * size : (epoch + 1) * size]
            assert sorted(part) == list(range(first, first + size))
        assert drawn[number][:size] != drawn[number][size : 2 * size]


def test_it_goes_on_at_any_sample(windows: FrameWindows) -> None:
    straight = order(windows).indices(range(3 * BLOCK))
    for first in (1, 999, BLOCK, 2 * BLOCK + 77):
        assert order(windows).indices(range(first, 3 * BLOCK)) == straight[first:]
    backwards = order(windows)
    assert [backwards.indices([sample])[0] for sample in reversed(range(1500))][::-1] == straight[:1500]
    halves = [order(windows).indices(range(half, 64, 2)) for half in range(2)]
    assert [window for pair in zip(*halves, strict=True) for window in pair] == straight[:64]
    assert order(windows, seed=4).indices(range(100)) != straight[:100]
    far = 10**9  # without counting up to it
    assert order(windows).indices([far]) == order(windows).indices(range(far - 3, far + 1))[-1:]


def test_a_spread_has_each_sets_share(windows: FrameWindows, mixed: MixedClips) -> None:
    chosen = windows.spread(200)
    drawn = Counter(mixed.names[mixed._find(windows._starts.find(window)[0])[0]] for window in chosen)
    assert drawn == {"many": 100, "few": 60, "long": 40}
    assert len(set(chosen)) > 60


def test_what_cannot_be_drawn_is_named(mixed: MixedClips) -> None:
    with pytest.raises(ValueError, match=r"fit into a clip of every set of data.mix, the longest in 'few' has 6"):
        MixedOrder(FrameWindows(mixed, 7), WEIGHTS, 0)
    with pytest.raises(ValueError, match=r"data.mix.few.weight must be at least a 1000th of all, got 0.0001"):
        MixedOrder(FrameWindows(mixed, 4), {**WEIGHTS, "few": 1e-4}, 0)


@pytest.mark.parametrize(("weights", "parts"), [([1, 1, 1], [4, 3, 3]), ([0.7, 0.3], [7, 3]), ([5], [10])])
def test_shares(weights: list[float], parts: list[int]) -> None:
    assert shares({str(number): weight for number, weight in enumerate(weights)}, 10) == parts


@pytest.mark.parametrize("given", ["data.mix.words.wieght=0", "data.mix={words: {clips: a, wieght: 0}}"])
def test_an_unknown_key_of_a_set_names_the_nearest(given: str) -> None:
    with pytest.raises(ValueError, match=r"unknown key data.mix.words.wieght, did you mean 'weight'\?"):
        load_config([given])
    assert load_config(["data.mix={words: {clips: a, weight: 2}}"]).data.mix["words"].weight == 2
