"""The latents of a clip set, encoded once, beside its conditions; and random windows of them to train on.

    encode_clips(autoencoder, clips, folder)             # stage `latents`; a killed run is continued by the next
    windows = LatentWindows(folder, world.conditions, frames=T, chunk_frames=F)
    shuffle = Shuffle(len(windows), seed)                # worldmodel.data.windows
    batch = read(windows, shuffle, samples)              # batch.latents [B, T+1, C, h, w] float32, batch.prepared
    world.loss(batch.latents, batch.prepared)

On disk: one safetensors file per shard of clips, with `KEY.latents` [frames, C, h, w] float16 and per condition
`KEY.NAME`, the bytes of its clip member, and `KEY.NAME.present`, [frames-1] bool; its metadata describes each clip.
`latents.json` says which autoencoder it was.

Shapes: B batch, T frames, F frames per chunk, C latent channels, h w latent, H W pixels.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from conditions import Column, ConditionSet, Prepared, adopted, collate
from worldmodel.autoencoder import Autoencoder
from worldmodel.data.cache import ShardCache
from worldmodel.data.clips import ClipSet, codec
from worldmodel.data.index import Index, IndexedShard
from worldmodel.data.remote import Remote
from worldmodel.data.stream import StreamedShards
from worldmodel.data.windows import Starts
from worldmodel.frames import to_model

SHARDS_AHEAD = 3  # fetched while one is encoded, of clips that lie elsewhere; that one counted


def fingerprint(autoencoder: Autoencoder) -> str:
    """Returns a short hash of all that latents depend on: the encoder's weights and the statistics."""
    digest = hashlib.sha256()
    for name, value in sorted(autoencoder.state_dict().items()):
        if name.startswith("decoder."):
            continue
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


@torch.no_grad()
def encode_clips(
    autoencoder: Autoencoder,
    clips: ClipSet,
    folder: str | Path,
    batch_size: int = 16,
    process_index: int = 0,
    num_processes: int = 1,
    progress: bool = True,
) -> None:
    """Encodes a clip set shard by shard, leaving out shards that are there already.

    Clips run through the autoencoder side by side, frame by frame, so memory does not depend on their length.

    Args:
        autoencoder: on the device to use, in eval mode.
        clips: what to encode.
        folder: where the latents go.
        batch_size: clips encoded side by side.
        process_index: of this process; it encodes every `num_processes`-th shard.
        num_processes: how many processes share the work.
        progress: whether to draw a progress bar on stderr.

    Raises:
        ValueError: if the folder holds latents of another autoencoder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder, fingerprint(autoencoder))
    shards = [list(group) for _, group in groupby(range(len(clips)), key=clips.shard_of)]
    numbers = {shard: number for number, shard in enumerate(clips.shards)}
    mine = shards[process_index::num_processes]
    total = sum(clips.num_frames(index) for indices in mine for index in indices)
    with tqdm(total=total, unit="frame", desc="latents", disable=not progress) as bar:
        missing = []
        for indices in mine:
            path = folder / f"{clips.shard_of(indices[0]).stem}.safetensors"
            source = clips.shard_digest(indices[0])
            if _is_done(path, source):
                bar.update(sum(clips.num_frames(index) for index in indices))
            else:
                missing.append((indices, path, source))
        for at, (indices, path, source) in enumerate(missing):
            clips.expect([numbers[clips.shard_of(later[0])] for later, _, _ in missing[at : at + SHARDS_AHEAD]])
            _encode_shard(autoencoder, clips, indices, path, source, batch_size)
            bar.update(sum(clips.num_frames(index) for index in indices))


def _encode_shard(
    autoencoder: Autoencoder, clips: ClipSet, indices: list[int], path: Path, source: str, batch_size: int
) -> None:
    keys = clips.keys
    tensors: dict[str, Tensor] = {}
    metas: dict[str, Any] = {}
    ordered = sorted(indices, key=clips.num_frames)
    for _, group in groupby(ordered, key=clips.num_frames):
        alike = list(group)
        for at in range(0, len(alike), batch_size):
            batch = alike[at : at + batch_size]
            for index, latents in zip(batch, _encode_batch(autoencoder, clips, batch), strict=True):
                tensors[f"{keys[index]}.latents"] = latents.clone(memory_format=torch.contiguous_format)
    for index in indices:
        key = keys[index]
        configs = {}
        for name, (values, present) in clips.columns(index).items():
            condition = clips.condition(index, name)
            data = np.frombuffer(condition.encode(values), np.uint8)
            tensors[f"{key}.{name}"] = torch.from_numpy(data.copy())
            tensors[f"{key}.{name}.present"] = torch.from_numpy(present)
            configs[name] = dataclasses.asdict(condition.config)
        meta = clips.meta(index)
        metas[key] = {"fps": meta["fps"], "frames": meta["frames"], "size": meta["size"], "conditions": configs}
    temporary = path.with_name(path.name + ".tmp")
    # One entry, since several come out in any order: the same latents give the same file.
    save_file(tensors, temporary, {"latents": json.dumps({"source": source, "clips": metas})})
    os.replace(temporary, path)


def _encode_batch(autoencoder: Autoencoder, clips: ClipSet, indices: list[int]) -> Tensor:
    """Returns the latents of clips of one length, [B, T, C, h, w] float16 on the CPU."""
    with ThreadPoolExecutor(max_workers=min(len(indices), os.cpu_count() or 1)) as pool:
        frames = np.stack(list(pool.map(clips.frames, indices)))  # [B, T, H, W, 3]
    device = next(autoencoder.parameters()).device
    cache = autoencoder.init_cache(len(indices), *frames.shape[2:4])
    steps = [
        autoencoder.encode_step(to_model(np.ascontiguousarray(frames[:, step]), device), cache).half()
        for step in range(frames.shape[1])
    ]
    return torch.stack(steps, dim=1).cpu()


def _claim(folder: Path, identity: str) -> None:
    path = folder / "latents.json"
    if path.exists():
        present = json.loads(path.read_text())["autoencoder"]
        if present != identity:
            raise ValueError(
                f"latents in {folder} must be of this autoencoder ({identity}), got those of another ({present}): "
                "delete the folder or choose another"
            )
        return
    temporary = path.with_name(f"latents.json.{os.getpid()}.tmp")
    temporary.write_text(json.dumps({"autoencoder": identity}))
    os.replace(temporary, path)


def source_of(path: Path) -> str:
    """Returns the digest of the clips that a file of latents was made of (`ClipSet.shard_digest`).

    Raises:
        ValueError: if the file is damaged.
    """
    with _open(path) as file:
        source: str = _describe(file)["source"]
    return source


def _is_done(path: Path, source: str) -> bool:
    return path.exists() and source_of(path) == source


def _open(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        message = f"latents {path} must be a whole safetensors file: {error}. Delete it and encode again"
        raise ValueError(message) from error


def _describe(file: Any) -> dict[str, Any]:
    return json.loads(file.metadata()["latents"])


class LatentBatch(NamedTuple):
    """Windows to train on."""

    latents: Tensor  # [B, T+1, C, h, w] float32
    prepared: dict[str, Prepared]  # T values each at frame rate, T / F at chunk rate: values[t] lead to latents[t+1]
    reference: Tensor | None = None  # [B, C, h, w] float32, of the first frame of each window's clip, where wanted


class _Entry(NamedTuple):
    key: str
    frames: int
    columns: dict[str, Column]


class LatentShard:
    """One file of latents, its clips by number. The latents are read as they are wanted, the conditions at once.

    Args:
        path: the file.
        conditions: the model's; others are left out.

    Raises:
        ValueError: if the file is damaged.
    """

    def __init__(self, path: Path, conditions: ConditionSet) -> None:
        self._path = path
        self._file = _open(path)
        self.entries = [self._read_entry(key, meta, conditions) for key, meta in _describe(self._file)["clips"].items()]

    def latents(self, number: int, start: int, stop: int) -> Tensor:
        """Returns latents start to stop - 1 of a clip, [T, C, h, w] float32."""
        return self._file.get_slice(f"{self.entries[number].key}.latents")[start:stop].float()

    def _read_entry(self, key: str, meta: dict[str, Any], conditions: ConditionSet) -> _Entry:
        stored = {}
        sources = {name for condition in conditions for name in condition.sources}
        for name, config in meta["conditions"].items():
            if name in sources:
                condition = codec(name, config)
                values = condition.decode(self._file.get_tensor(f"{key}.{name}").numpy().tobytes())
                stored[name] = condition, Column(values, self._file.get_tensor(f"{key}.{name}.present").numpy())
        return _Entry(key, meta["frames"], adopted(conditions, stored))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _file=_open(state["_path"]))


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
