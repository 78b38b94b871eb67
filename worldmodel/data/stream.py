"""Sets of shards far away, read as if they lay here: fetched ahead of use into a cache of bounded size.

    shards = StreamedShards(index, remote, cache, open_shard)
    shards.expect([7, 2, 9])                 # begins to fetch these, soonest first, and lets go of all others
    shards.get(7).content                    # what open_shard made of the file; waits for it, or fetches it at once

    clips = StreamedClips(index, remote, cache)      # a ClipSet

Only POSIX: the cache's locks are those of fcntl.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

import numpy as np

from conditions import Column, Condition
from worldmodel.data.cache import NoRoom, ShardCache
from worldmodel.data.clips import Clip, ClipSet
from worldmodel.data.index import Index, IndexedShard
from worldmodel.data.remote import Remote
from worldmodel.evenly import evenly

T = TypeVar("T")
PROBED_SHARDS = 16  # that statistics of a whole set are taken from


@dataclass
class StreamConfig:
    """How a set behind a URL is read; a folder on this machine needs none of it."""

    cache: str = "~/.cache/worldmodel/shards"  # on a disk of the machine's own; its processes share it
    cache_gb: float = 50.0  # the folder's largest size
    buffer_shards: int = 4  # shards whose windows are shuffled together, for each row of the batch
    prefetch_steps: int = 64  # how far ahead shards are fetched
    downloads: int = 4  # at a time, of each process

    def __post_init__(self) -> None:
        for name in ("buffer_shards", "prefetch_steps", "downloads"):
            if getattr(self, name) < 1:
                raise ValueError(f"data.stream.{name} must be 1 or more, got {getattr(self, name)}")
        if self.cache_gb <= 0:
            raise ValueError(f"data.stream.cache_gb must be above 0, got {self.cache_gb}")


@dataclass(frozen=True)
class Held(Generic[T]):
    """A shard in use; it stays on disk while this object lives."""

    file: IO[bytes]
    content: T


class StreamedShards(Generic[T]):
    """The shards of a set, by number, fetched by threads of their own.

    Args:
        index: of the set.
        remote: where it lies.
        cache: where its shards are kept.
        open_shard: makes of a file on disk what its users want.
        downloads: at a time, ahead of use.
        budget_bytes: of the shards kept on disk for later steps: this process's share of the cache; by default all.
    """

    def __init__(
        self,
        index: Index,
        remote: Remote,
        cache: ShardCache,
        open_shard: Callable[[Path, IndexedShard], T],
        downloads: int = 4,
        budget_bytes: int | None = None,
    ) -> None:
        self._budget_bytes = cache.limit_bytes if budget_bytes is None else budget_bytes
        self.index, self._remote, self._cache = index, remote, cache
        self._open_shard, self._downloads = open_shard, downloads
        self._begin()

    def _begin(self) -> None:
        self._changed = threading.Condition()
        self._held: dict[int, Held[T]] = {}
        self._wanted: list[int] = []  # soonest first
        self._in_flight: set[int] = set()
        self._failed: set[int] = set()  # left to whoever needs them
        self._put_off: set[int] = set()  # there was no room
        self._threads = 0

    def get(self, number: int) -> Held[T]:
        """Returns a shard.

        Raises:
            ValueError: if it could not be fetched, or is not what the index says.
        """
        with self._changed:
            while True:
                if number in self._held:
                    return self._held[number]
                if number not in self._in_flight and (self._make_room(number) or not self._in_flight):
                    break
                self._changed.wait()
            self._in_flight.add(number)
        return self._bring(number)

    def expect(self, numbers: Sequence[int]) -> None:
        """Says which shards are needed, soonest first. Others are let go of: the cache may evict them."""
        with self._changed:
            self._wanted = list(numbers)
            self._put_off.clear()
            for number in self._held.keys() - set(numbers):
                del self._held[number]
            missing = sum(1 for number in self._wanted if self._is_missing(number))
            for _ in range(min(missing, self._downloads - self._threads)):
                self._threads += 1
                threading.Thread(target=self._work, name="shards", daemon=True).start()

    def __getstate__(self) -> dict[str, Any]:
        kept = ("index", "_remote", "_cache", "_open_shard", "_downloads", "_budget_bytes")
        return {name: self.__dict__[name] for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    def _fits(self, number: int) -> bool:
        numbers = {*self._held, *self._in_flight, number}
        return sum(self.index.shards[number].bytes for number in numbers) <= self._budget_bytes

    def _make_room(self, number: int) -> bool:
        """Lets go of shards that are needed later than this one, those needed last first; whether that sufficed."""
        when = {wanted: at for at, wanted in enumerate(self._wanted)}
        last_first = sorted(self._held, key=lambda held: -when.get(held, len(when)))
        while not self._fits(number) and last_first:
            self._put_off.add(last_first[0])
            del self._held[last_first.pop(0)]
        return self._fits(number)

    def _is_missing(self, number: int) -> bool:
        return not any(number in there for there in (self._held, self._in_flight, self._failed, self._put_off))

    def _work(self) -> None:
        """Fetches what is wanted, one after another, until all of it is there."""
        while True:
            with self._changed:
                number = next((number for number in self._wanted if self._is_missing(number)), None)
                if number is None or not self._fits(number):
                    self._threads -= 1
                    return
                self._in_flight.add(number)
            try:
                self._bring(number)
            except NoRoom:
                with self._changed:
                    self._put_off.add(number)
            except Exception:  # whatever it is, `get` meets it again, in a thread that somebody listens to
                with self._changed:
                    self._failed.add(number)

    def _bring(self, number: int) -> Held[T]:
        """Fetches and opens a shard that this thread has put among those in flight."""
        shard = self.index.shards[number]
        held = None
        try:
            # Named by its content: a set that was written anew is not taken for the one in the cache.
            file = self._cache.hold(
                f"{shard.sha256[:16]}-{shard.name}",
                shard.bytes,
                lambda file: self._remote.download(shard.name, file, shard.bytes, shard.sha256),
            )
            held = Held(file, self._open_shard(Path(file.name), shard))
            return held
        finally:
            with self._changed:
                self._in_flight.discard(number)
                if held is not None:
                    self._held[number] = held
                self._changed.notify_all()


class StreamedClips(ClipSet):
    """A clip set behind a URL. Keys, lengths and sizes come from its index, all else from shards as they are needed.

    Args:
        index: of the set.
        remote: where it lies.
        cache: where its shards are kept.
        downloads: at a time, ahead of use.
        budget_bytes: as of `StreamedShards`.
    """

    def __init__(
        self,
        index: Index,
        remote: Remote,
        cache: ShardCache,
        downloads: int = 4,
        budget_bytes: int | None = None,
    ) -> None:
        self.folder = Path(remote.folder)
        self.shards = [Path(shard.name) for shard in index.shards]
        self.damaged = []
        self._index = index
        self.shard_numbers: np.ndarray = index.shard_numbers
        self._first = np.searchsorted(self.shard_numbers, np.arange(len(index.shards)))
        self._frames = index.lengths
        self._keys = [key for shard in index.shards for key in shard.keys]
        self._streamed = StreamedShards(index, remote, cache, _open_clips, downloads, budget_bytes)

    @property
    def keys(self) -> list[str]:
        return self._keys

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Clip:  # type: ignore[override]
        held, number = self._find(index)
        return held.content[number]

    def num_frames(self, index: int) -> int:
        return int(self._frames[index])

    def size(self, index: int) -> tuple[int, int]:
        height, width = self._index.shards[self.shard_numbers[index]].size
        return height, width

    def meta(self, index: int) -> dict[str, Any]:
        held, number = self._find(index)
        return held.content.meta(number)

    def shard_of(self, index: int) -> Path:
        """Returns the name of the tar file that a clip lies in."""
        return self.shards[self.shard_numbers[index]]

    def shard_digest(self, index: int) -> str:
        return self._index.shards[self.shard_numbers[index]].sha256[:16]

    def columns(self, index: int) -> dict[str, Column]:
        held, number = self._find(index)
        return held.content.columns(number)

    def condition(self, index: int, name: str) -> Condition:
        held, number = self._find(index)
        return held.content.condition(number, name)

    def frames(self, index: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        held, number = self._find(index)
        return held.content.frames(number, start, stop)

    def probe(self) -> list[range]:
        """Returns the clips of a few shards, spread evenly over the set, and begins to fetch these."""
        chosen = evenly(range(len(self.shards)), PROBED_SHARDS)
        self.expect(chosen)
        return [range(*np.searchsorted(self.shard_numbers, [shard, shard + 1]).tolist()) for shard in chosen]

    def expect(self, shards: Sequence[int]) -> None:
        """Begins to fetch these shards, soonest first, and lets go of all others."""
        self._streamed.expect(shards)

    def _find(self, index: int) -> tuple[Held[ClipSet], int]:
        shard = int(self.shard_numbers[index])
        return self._streamed.get(shard), index - int(self._first[shard])


def _open_clips(path: Path, shard: IndexedShard) -> ClipSet:
    clips = ClipSet([path], keys=set(shard.keys))
    frames = [clips.num_frames(number) for number in range(len(clips))]
    if clips.keys != shard.keys or frames != shard.frames:
        raise ValueError(
            f"{shard.name} must hold the {len(shard.keys)} clips that its index names, got {len(clips)}: make the "
            f"index anew by python -m worldmodel.data.index"
        )
    return clips
