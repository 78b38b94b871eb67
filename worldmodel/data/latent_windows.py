"""Latents that were encoded once, as sets of clips, and random windows of them to train on.

    windows = LatentWindows(folder, world.conditions, frames=T, chunk_frames=F)
    shuffle = Shuffle(len(windows), seed)                # worldmodel.data.windows
    batch = read(windows, shuffle, samples)              # batch.latents [B, T+1, C, h, w] float32, batch.prepared
    world.loss(batch.latents, batch.prepared)

Shapes: B batch, T frames, F frames per chunk, C latent channels, h w latent.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from conditions import Column, ConditionSet, Prepared, collate
from worldmodel.data.cache import ShardCache
from worldmodel.data.index import Index, IndexedShard
from worldmodel.data.latents import LatentShard
from worldmodel.data.remote import Remote
from worldmodel.data.stream import StreamedShards
from worldmodel.data.windows import Starts


class LatentBatch(NamedTuple):
    """Windows to train on."""

    latents: Tensor  # [B, T+1, C, h, w] float32
    prepared: dict[str, Prepared]  # T values each at frame rate, T / F at chunk rate: values[t] lead to latents[t+1]
    reference: Tensor | None = None  # [B, C, h, w] float32, of the first frame of each window's clip, where wanted


class LatentSet:
    """The latents of a clip set: of a folder, or of a place far away that are fetched as they are needed.

    Args:
        shards: of a folder, or of several, all opened; or of a place far away.
        place: where they lie, for messages.
        counts: clips of each folder, of several; by default there is one.

    Attributes:
        lengths: frames of each clip.
        counts: clips of each folder.
        shard_numbers: of each clip; None where all shards are at hand.
        conditions: names that any clip has, of those wanted.
    """

    def __init__(
        self,
        shards: Sequence[LatentShard] | StreamedShards[LatentShard],
        place: str,
        counts: Sequence[int] | None = None,
    ) -> None:
        self.place = place
        self._shards = shards
        if isinstance(shards, StreamedShards):
            self.lengths = shards.index.lengths.tolist()
            numbers = shards.index.shard_numbers
            self.shard_numbers: np.ndarray | None = numbers
            self.conditions = {name for shard in shards.index.shards for name in shard.conditions}
        else:
            entries = [entry for shard in shards for entry in shard.entries]
            self.lengths = [entry.frames for entry in entries]
            numbers = np.repeat(np.arange(len(shards)), [len(shard.entries) for shard in shards])
            self.shard_numbers = None
            self.conditions = {name for entry in entries for name in entry.columns}
        self.counts = [len(self.lengths)] if counts is None else list(counts)
        self._numbers = numbers
        self._first = np.searchsorted(numbers, np.arange(len(numbers) and int(numbers[-1]) + 1))

    @classmethod
    def of_folders(cls, folders: Sequence[str | Path], conditions: ConditionSet) -> LatentSet:
        """The latents that `encode_clips` wrote into a folder, or into several, one after another.

        Raises:
            ValueError: if there are none in one of them, or a file is damaged.
        """
        shards, counts = [], []
        for folder in folders:
            paths = sorted(Path(folder).glob("*.safetensors"))
            if not paths:
                raise ValueError(f"there must be latents in {folder}, got none: run stage=latents first")
            opened = [LatentShard(path, conditions) for path in paths]
            counts.append(sum(len(shard.entries) for shard in opened))
            shards += opened
        return cls(shards, " + ".join(map(str, folders)), counts)

    @classmethod
    def streamed(
        cls,
        index: Index,
        remote: Remote,
        cache: ShardCache,
        conditions: ConditionSet,
        downloads: int = 4,
        budget_bytes: int | None = None,
    ) -> LatentSet:
        """Latents far away, by their index; the rest as of `StreamedShards`."""

        def open_shard(path: Path, shard: IndexedShard) -> LatentShard:
            return LatentShard(path, conditions)

        return cls(StreamedShards(index, remote, cache, open_shard, downloads, budget_bytes), remote.location)

    def read(self, clip: int, start: int, stop: int) -> tuple[Tensor, dict[str, Column]]:
        """Returns latents start to stop - 1 of a clip, [T, C, h, w] float32, and all its conditions."""
        shard = int(self._numbers[clip])
        number = clip - int(self._first[shard])
        if isinstance(self._shards, StreamedShards):
            held = self._shards.get(shard)  # kept on disk while it is read
            return held.content.latents(number, start, stop), held.content.entries[number].columns
        content = self._shards[shard]
        return content.latents(number, start, stop), content.entries[number].columns

    def expect(self, shards: Sequence[int]) -> None:
        """Is told which shards are read next, by number."""
        if isinstance(self._shards, StreamedShards):
            self._shards.expect(shards)


class LatentWindows:
    """Windows of latents and conditions, read as they are wanted.

    Where a condition has one value a chunk, a window begins at a whole chunk of its clip, the last one before the frame
    that its number stands for: so a chunk's value is the one that was recorded for it, on clips that change it from
    chunk to chunk, and what is said there is said before it is seen.

    Args:
        source: a folder written by `encode_clips`, or latents far away.
        conditions: the model's; those that a clip lacks are not present in its windows.
        frames: T, frames to predict in a window.
        chunk_frames: F.
        with_reference: whether the windows bring a reference picture. It is their clip's first frame: encoded alone, as
            a portrait is, and as unlike the window's frames as a portrait is unlike those of a long stream.

    Raises:
        ValueError: if there are no latents, a file is damaged, no clip is long enough, or no clip has a condition that
            the model wants.
    """

    def __init__(
        self,
        source: str | Path | LatentSet,
        conditions: ConditionSet,
        frames: int,
        chunk_frames: int = 1,
        with_reference: bool = False,
    ) -> None:
        if frames % chunk_frames:
            raise ValueError(f"frames must be whole chunks of {chunk_frames}, got {frames}")
        self.source = source if isinstance(source, LatentSet) else LatentSet.of_folders([source], conditions)
        self.frames = frames
        self.chunk_frames = chunk_frames
        self.with_reference = with_reference
        self._conditions = conditions
        for name in conditions.names:
            if name not in self.source.conditions:
                raise ValueError(
                    f"no clip in {self.source.place} has the condition {name!r} that the model is given: train on a "
                    "set that has it too, or leave it out of model.conditions"
                )
        self.lengths, self.shard_numbers = self.source.lengths, self.source.shard_numbers
        self.counts = self.source.counts
        self._starts = Starts(self.lengths, self.length)
        self._grid = chunk_frames if any(condition.rate == "chunk" for condition in conditions) else 1

    @property
    def length(self) -> int:
        """Frames that a window reads, the one that is only given too."""
        return self.frames + 1

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> LatentBatch:
        """Returns window `index` as a batch of one."""
        clip, start = self._starts.find(index)
        start -= start % self._grid
        latents, whole = self.source.read(clip, start, start + self.length)  # [T+1, C, h, w]
        first, stop = max(0, start - self._conditions.history), start + self.frames
        columns = {name: Column(values[first:stop], present[first:stop]) for name, (values, present) in whole.items()}
        prepared = self._conditions.prepare_columns(columns, self.frames, self.chunk_frames, "cpu", start - first)
        reference = self.source.read(clip, 0, 1)[0] if self.with_reference else None
        return LatentBatch(latents.unsqueeze(0), prepared, reference)

    def expect(self, shards: Sequence[int]) -> None:
        """Is told which shards are read next, by number."""
        self.source.expect(shards)

    def batch(self, indices: Sequence[int]) -> LatentBatch:
        """Returns several windows as one batch, on the CPU."""
        items = [self[index] for index in indices]
        references = [item.reference for item in items if item.reference is not None]
        return LatentBatch(
            torch.cat([item.latents for item in items]),
            collate([item.prepared for item in items]),
            torch.cat(references) if references else None,
        )
