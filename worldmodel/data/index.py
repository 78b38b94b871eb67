"""What a set of shards holds, in one small file beside them, so that a set far away is known before it is read.

    python -m worldmodel.data.index data/mine                                    # writes data/mine/index.json
    python -m worldmodel.data.index runs/mine/latents                            # latents, the same
    python -m worldmodel.data.index 's3://bucket/set/shard-{000..999}.tar' --out index.json    # to be put beside them

Every clip is checked as a `ClipSet` checks it; damaged ones are left out. What is older than the index is not read.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import sys
import tempfile
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from tqdm import tqdm

from worldmodel.data.clips import MAX_DAMAGED, ClipSet
from worldmodel.data.remote import CHUNK_BYTES, Gone, Remote, is_remote
from worldmodel.data.resume import in_processes, write_json

NAME = "index.json"
FORMAT = 1
SUFFIXES = {"clips": ".tar", "latents": ".safetensors"}


@dataclass(frozen=True)
class IndexedShard:
    """One file of a set.

    Attributes:
        name: in the set's folder.
        bytes: its size.
        sha256: of its bytes.
        size: [H, W] of its clips' frames, in pixels.
        keys: its clips, in order.
        frames: T of each.
        conditions: those that any of its clips has.
        damaged: how many clips were left out.
    """

    name: str
    bytes: int
    sha256: str
    size: list[int]
    keys: list[str]
    frames: list[int]
    conditions: list[str]
    damaged: int = 0


@dataclass(frozen=True)
class Index:
    """A set of shards.

    Attributes:
        kind: clips or latents.
        shards: in order of their names.
        autoencoder: of latents, the fingerprint of what encoded them.
    """

    kind: str
    shards: list[IndexedShard]
    autoencoder: str | None = None

    @property
    def lengths(self) -> np.ndarray:
        """Frames of each clip."""
        return np.concatenate([np.array(shard.frames, np.int64) for shard in self.shards])

    @property
    def shard_numbers(self) -> np.ndarray:
        """The number of each clip's shard."""
        return np.repeat(np.arange(len(self.shards)), [len(shard.keys) for shard in self.shards])

    @property
    def digest(self) -> str:
        """A short hash of all that the order of training depends on."""
        facts = [(shard.name, shard.sha256, shard.keys, shard.frames) for shard in self.shards]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def load_index(remote: Remote, kind: str, place: str | None = None) -> Index:
    """Reads the index of a set far away.

    Args:
        remote: the set; if its URL names shards, the others are left out.
        kind: clips or latents.
        place: the index's own path or URL; by default it lies beside the shards.

    Raises:
        ValueError: if it is missing (with the command that makes it), not an index of that kind, or lacks a shard.
    """
    command = "make it where the shards are, by python -m worldmodel.data.index FOLDER, and put it beside them"
    where = place or remote.url(NAME)
    try:
        if place is None:
            text = remote.read(NAME)
        elif is_remote(place):
            folder, _, name = place.rpartition("/")
            text = Remote(folder).read(name)
        else:
            text = Path(place).read_bytes()
    except (Gone, FileNotFoundError) as error:
        raise ValueError(f"a set far away must have an index. {error} There is none at {where}: {command}") from error
    try:
        index = _from_dict(json.loads(text))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{where} must be an index of shards, got {text[:60]!r} ({error!r}): {command}") from error
    if index.kind != kind:
        raise ValueError(f"{where} must be the index of {kind}, it is one of {index.kind}")
    if remote.names is not None:
        known = {shard.name: shard for shard in index.shards}
        missing = [name for name in remote.names if name not in known]
        if missing:
            raise ValueError(
                f"{where} lacks {len(missing)} of the {len(remote.names)} shards of {remote.location}, the first is "
                f"{missing[0]}: {command}"
            )
        index = Index(index.kind, [known[name] for name in remote.names], index.autoencoder)
    if not any(shard.keys for shard in index.shards):
        raise ValueError(f"{where} must hold {kind}, it has none: {command}")
    return index


def make_index(folder: str | Path, workers: int = 1, progress: bool = True) -> Index:
    """Reads every shard of a folder, or of a URL, and returns what it holds.

    Raises:
        ValueError: if there are no shards, one is damaged, or more than 1 % of the clips are.
    """
    place = str(folder)
    before: dict[str, IndexedShard] = {}
    autoencoder = None
    if is_remote(place):
        remote = Remote(place)
        kind = "latents" if remote.names and remote.names[0].endswith(SUFFIXES["latents"]) else "clips"
        names = remote.list_shards(SUFFIXES[kind])
        if not names and kind == "clips":
            kind, names = "latents", remote.list_shards(SUFFIXES["latents"])
        if kind == "latents":
            autoencoder = json.loads(remote.read("latents.json"))["autoencoder"]
    else:
        found = {kind: sorted(Path(place).glob(f"*{suffix}")) for kind, suffix in SUFFIXES.items()}
        kind = "clips" if found["clips"] else "latents"
        names = [path.name for path in found[kind]]
        if kind == "latents" and names:
            autoencoder = json.loads((Path(place) / "latents.json").read_text())["autoencoder"]
        before = _still_true(Path(place), kind)
    if not names:
        raise ValueError(f"there must be *.tar or *.safetensors shards in {place}, got none")
    shards = dict(before)
    missing = [(place, name) for name in names if name not in before]
    with tqdm(total=len(names), initial=len(names) - len(missing), desc=place, disable=not progress) as bar:
        for shard in in_processes(_index_one, missing, workers):
            shards[shard.name] = shard
            bar.update()
    damaged = sum(shard.damaged for shard in shards.values())
    total = damaged + sum(len(shard.keys) for shard in shards.values())
    if damaged > MAX_DAMAGED * total:
        raise ValueError(
            f"{damaged} of {total} clips in {place} are damaged, more than {MAX_DAMAGED:.0%}: record them again"
        )
    return Index(kind, [shards[name] for name in names], autoencoder)


def write_index(path: Path, index: Index) -> None:
    """Writes an index; it appears under its name only when whole."""
    write_json(path, {"format": FORMAT, **asdict(index)}, indent=None)


def _from_dict(values: dict[str, Any]) -> Index:
    if values.pop("format") != FORMAT:
        raise ValueError(f"its format must be {FORMAT}")
    shards = [IndexedShard(**shard) for shard in values.pop("shards")]
    return Index(shards=shards, **values)


def _still_true(folder: Path, kind: str) -> dict[str, IndexedShard]:
    """The entries of a folder's index whose shards have not changed since."""
    path = folder / NAME
    if not path.exists():
        return {}
    try:
        index = _from_dict(json.loads(path.read_text()))
    except (ValueError, KeyError, TypeError):
        return {}
    made = path.stat().st_mtime_ns
    files = {shard.name: folder / shard.name for shard in index.shards if index.kind == kind}
    stats = {name: file.stat() for name, file in files.items() if file.exists()}
    return {
        shard.name: shard
        for shard in index.shards
        if (stat := stats.get(shard.name)) and stat.st_size == shard.bytes and stat.st_mtime_ns < made
    }


def _index_one(place: str, name: str) -> IndexedShard:
    if not is_remote(place):
        return _index_file(Path(place) / name, name)
    with tempfile.NamedTemporaryFile(suffix=Path(name).suffix) as file:
        Remote(place).download(name, file)
        file.flush()
        return _index_file(Path(file.name), name)


def _index_file(path: Path, name: str) -> IndexedShard:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in iter(functools.partial(file.read, CHUNK_BYTES), b""):
            digest.update(chunk)
    damaged = 0
    if path.suffix == SUFFIXES["clips"]:
        with warnings.catch_warnings():
            warnings.simplefilter("always")  # each shard's damaged clips are listed
            clips = ClipSet([path], max_damaged=1.0)
        metas = {key: clips.meta(number) for number, key in enumerate(clips.keys)}
        conditions = {condition for number in range(len(clips)) for condition in clips.columns(number)}
        damaged = len(clips.damaged)
    else:
        try:
            with safe_open(path, framework="np") as opened:
                metas = json.loads(opened.metadata()["latents"])["clips"]
        except (SafetensorError, TypeError, KeyError) as error:
            raise ValueError(f"{name} must be latents that stage=latents wrote: {error!r}") from error
        conditions = {condition for meta in metas.values() for condition in meta["conditions"]}
    sizes = {tuple(meta["size"]) for meta in metas.values()}
    if len(sizes) > 1:
        raise ValueError(f"all clips of a shard must be of one size, got {sorted(sizes)} in {name}")
    frames = [int(meta["frames"]) for meta in metas.values()]
    size = list(sizes.pop()) if sizes else [0, 0]
    return IndexedShard(
        name, os.stat(path).st_size, digest.hexdigest(), size, list(metas), frames, sorted(conditions), damaged
    )


def main(argv: list[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m worldmodel.data.index",
        description="Writes index.json for a folder of clips or latents, so that it can be streamed from elsewhere.",
    )
    parser.add_argument("place", help="a folder of shards, or a URL of one, or of shards: s3://bucket/a-{000..099}.tar")
    parser.add_argument("--out", type=Path, help="the file to write; by default index.json in the folder")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    arguments = parser.parse_args(argv)
    out = arguments.out
    try:
        if out is None:
            if is_remote(arguments.place):
                raise ValueError("the index of a URL must be given a place: add --out index.json")
            out = Path(arguments.place) / NAME
        index = make_index(arguments.place, max(arguments.workers, 1))
        write_index(out, index)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    clips, frames = (sum(len(s.keys) for s in index.shards), sum(sum(s.frames) for s in index.shards))
    size = sum(shard.bytes for shard in index.shards)
    print(f"{out}: {len(index.shards)} shards of {index.kind}, {clips} clips, {frames} frames, {size / 1e9:.2f} GB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
