"""The latents of a clip set, encoded once, beside its conditions: their files, written and read.

    encode_clips(autoencoder, clips, folder)             # stage `latents`; a killed run is continued by the next
    LatentShard(path, world.conditions).latents(number, start, stop)   # what worldmodel.data.latent_windows trains on

On disk: one safetensors file per shard of clips, with `KEY.latents` [frames, C, h, w] float16 and per condition
`KEY.NAME`, the bytes of its clip member, and `KEY.NAME.present`, [frames-1] bool; its metadata describes each clip.
`latents.json` says which autoencoder it was.

Shapes: B batch, T frames, C latent channels, h w latent, H W pixels.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
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

from conditions import Column, ConditionSet, adopted
from worldmodel.autoencoder import Autoencoder
from worldmodel.data.clips import ClipSet, codec
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
