"""The latents of a clip set, encoded once, beside its conditions; and random windows of them to train on.

    encode_clips(autoencoder, clips, folder)             # stage `latents`; a killed run is continued by the next
    windows = LatentWindows(folder, world.conditions, frames=T, chunk_frames=F)
    shuffle = Shuffle(len(windows), seed)                # worldmodel.data.windows
    batch = windows.batch(shuffle.indices(samples))      # batch.latents [B, T+1, C, h, w] float32, batch.prepared
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

from conditions import Column, ConditionSet, Prepared, collate
from worldmodel.autoencoder import Autoencoder
from worldmodel.data.clips import ClipSet, codec
from worldmodel.data.windows import Starts
from worldmodel.frames import to_model


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
    shards = [(shard, list(group)) for shard, group in groupby(range(len(clips)), key=clips.shard_of)]
    mine = [(shard, indices) for shard, indices in shards[process_index::num_processes]]
    total = sum(clips.num_frames(index) for _, indices in mine for index in indices)
    with tqdm(total=total, unit="frame", desc="latents", disable=not progress) as bar:
        for shard, indices in mine:
            path = folder / f"{shard.stem}.safetensors"
            source = f"{shard.stat().st_size}"
            if not _is_done(path, source):
                _encode_shard(autoencoder, clips, indices, path, source, batch_size)
            bar.update(sum(clips.num_frames(index) for index in indices))


def _encode_shard(
    autoencoder: Autoencoder, clips: ClipSet, indices: list[int], path: Path, source: str, batch_size: int
) -> None:
    tensors: dict[str, Tensor] = {}
    metas: dict[str, Any] = {}
    ordered = sorted(indices, key=clips.num_frames)
    for _, group in groupby(ordered, key=clips.num_frames):
        alike = list(group)
        for at in range(0, len(alike), batch_size):
            batch = alike[at : at + batch_size]
            for index, latents in zip(batch, _encode_batch(autoencoder, clips, batch), strict=True):
                tensors[f"{clips.keys[index]}.latents"] = latents.clone(memory_format=torch.contiguous_format)
    for index in indices:
        key = clips.keys[index]
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


def _is_done(path: Path, source: str) -> bool:
    if not path.exists():
        return False
    with _open(path) as file:
        return _describe(file)["source"] == source


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


class _Entry(NamedTuple):
    key: str
    shard: int
    frames: int
    columns: dict[str, Column]


class LatentWindows:
    """Windows of latents and conditions, read from disk as they are wanted.

    Args:
        folder: written by `encode_clips`.
        conditions: the model's; those that a clip lacks are not present in its windows.
        frames: T, frames to predict in a window.
        chunk_frames: F.

    Raises:
        ValueError: if there are no latents, a file is damaged, no clip is long enough, or no clip has a condition that
            the model wants.
    """

    def __init__(self, folder: str | Path, conditions: ConditionSet, frames: int, chunk_frames: int = 1) -> None:
        if frames % chunk_frames:
            raise ValueError(f"frames must be whole chunks of {chunk_frames}, got {frames}")
        self.folder = Path(folder)
        self.frames = frames
        self.chunk_frames = chunk_frames
        self._conditions = conditions
        self._files = sorted(self.folder.glob("*.safetensors"))
        if not self._files:
            raise ValueError(f"there must be latents in {self.folder}, got none: run stage=latents first")
        self._handles: dict[int, Any] = {}
        self._entries: list[_Entry] = []
        for shard in range(len(self._files)):
            self._entries += self._read_shard(shard)
        found = {name for entry in self._entries for name in entry.columns}
        for name in conditions.names:
            if name not in found:
                raise ValueError(f"no clip in {self.folder} has the condition {name!r} that the model is given")
        self._starts = Starts([entry.frames for entry in self._entries], frames + 1)

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> LatentBatch:
        """Returns window `index` as a batch of one."""
        clip, start = self._starts.find(index)
        entry = self._entries[clip]
        stored = self._handle(entry.shard).get_slice(f"{entry.key}.latents")
        latents = stored[start : start + self.frames + 1].float()  # [T+1, C, h, w]
        first, stop = max(0, start - self._conditions.history), start + self.frames
        columns = {
            name: Column(values[first:stop], present[first:stop]) for name, (values, present) in entry.columns.items()
        }
        prepared = self._conditions.prepare_columns(columns, self.frames, self.chunk_frames, "cpu", start - first)
        return LatentBatch(latents.unsqueeze(0), prepared)

    def batch(self, indices: Sequence[int]) -> LatentBatch:
        """Returns several windows as one batch, on the CPU."""
        items = [self[index] for index in indices]
        return LatentBatch(torch.cat([item.latents for item in items]), collate([item.prepared for item in items]))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handles": {}}

    def _handle(self, shard: int) -> Any:
        if shard not in self._handles:
            self._handles[shard] = _open(self._files[shard])
        return self._handles[shard]

    def _read_shard(self, shard: int) -> list[_Entry]:
        file = self._handle(shard)
        entries = []
        for key, meta in _describe(file)["clips"].items():
            columns = {}
            for name, config in meta["conditions"].items():
                if name not in self._conditions.names:
                    continue
                stored, wanted = codec(name, config), self._conditions[name]
                values = stored.decode(file.get_tensor(f"{key}.{name}").numpy().tobytes())
                if wanted.config != stored.config:
                    values = wanted.column(stored.raw(values))
                columns[name] = Column(values, file.get_tensor(f"{key}.{name}.present").numpy())
            entries.append(_Entry(key, shard, meta["frames"], columns))
        return entries
