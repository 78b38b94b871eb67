"""Clips on disk: WebDataset tar shards, one sample a clip.

A sample is `KEY.mp4`, `KEY.json` and one member per condition (`KEY.keyboard.npy`, `KEY.camera.npy`, ...), and for a
condition that is missing in some steps `KEY.NAME.present.npy` [T-1] bool. A clip of T frames has T-1 values of each
condition: values[t] leads from frames[t] to frames[t+1].

    with ClipWriter(path) as writer:             # worldmodel.data.clip_writer
        writer.write(Clip(key, frames, {"keyboard": [...], "camera": [...]}, {"fps": 20.0}))
    clips = ClipSet(folder)                      # every *.tar in it
    clips[i] -> Clip;  clips[i].actions() -> the T-1 raw actions, as an env or a session takes them
    clips.frames(i, start, stop) -> uint8 [T, H, W, 3];  clips.columns(i) -> name -> Column (packed, for training)

Shapes: T frames, H W pixels.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import json
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from conditions import Column, Condition, adopted, get, names
from worldmodel.data.shards import Member, ShardReader, scan_shard
from worldmodel.data.video import count_frames, decode_video

MAX_DAMAGED = 0.01  # of all clips


@dataclass
class Clip:
    """A stretch of a world.

    Attributes:
        key: its name, without dots.
        frames: [T, H, W, 3] uint8.
        conditions: name -> T-1 raw values (None where missing), or their packed array.
        meta: what is known about it; `fps` at least.
    """

    key: str
    frames: np.ndarray
    conditions: Mapping[str, Sequence[Any] | np.ndarray] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)

    def actions(self) -> list[dict[str, Any]]:
        """Returns the T-1 raw actions, each name -> raw value, without what is missing."""
        raw = {}
        for name, values in self.conditions.items():
            raw[name] = _stored(name, self.meta).raw(values)
        return [
            {name: values[step] for name, values in raw.items() if values[step] is not None}
            for step in range(len(self.frames) - 1)
        ]


class Damaged(NamedTuple):
    """A clip that was skipped, and why."""

    key: str
    shard: str
    reason: str


def codec(name: str, config: Any = None) -> Condition:
    """Returns a condition that checks, packs, encodes and decodes values but holds no weights.

    Args:
        name: a registered name.
        config: as a mapping or the condition's dataclass; its defaults when None.
    """
    plain = dataclasses.asdict(get(name).make_config(config))
    return _codec(name, json.dumps(plain))


@functools.lru_cache(maxsize=256)
def _codec(name: str, config: str) -> Condition:
    cls: Any = get(name)
    with torch.device("meta"):
        return cls(cls.make_config(json.loads(config)), 1)


def _stored(name: str, meta: Mapping[str, Any]) -> Condition:
    """Returns the condition that a clip was written with."""
    return codec(name, meta.get("conditions", {}).get(name))


class _Entry(NamedTuple):
    key: str
    shard: int
    members: dict[str, Member]
    meta: dict[str, Any]
    columns: dict[str, Column]


class ClipSet(Sequence[Clip]):
    """The clips of a folder, by number. Every clip is checked at the start, short of decoding its frames.

    Damaged clips are skipped and listed in `damaged`, with a warning.

    Args:
        folder: where the `*.tar` shards lie, or the shards one by one.
        conditions: which conditions to read, and with which configs; by default all, as they were written.
        keys: which clips to read; by default all.
        max_damaged: the share of damaged clips that is put up with.

    Raises:
        ValueError: if there is no shard, a shard is damaged, or more than 1 % of the clips are.
    """

    shard_numbers: np.ndarray | None = None  # of each clip; None where all shards are at hand

    def __init__(
        self,
        folder: str | Path | Sequence[Path],
        conditions: Iterable[Condition] | None = None,
        keys: Collection[str] | None = None,
        max_damaged: float = MAX_DAMAGED,
    ) -> None:
        if isinstance(folder, str | Path):
            self.folder = Path(folder)
            self.shards = sorted(self.folder.glob("*.tar"))
        else:
            self.folder, self.shards = folder[0].parent, list(folder)
        if not self.shards:
            raise ValueError(f"a clip set must have *.tar shards, got none in {self.folder}: record some first")
        self.damaged: list[Damaged] = []
        self._wanted = None if conditions is None else {condition.name: condition for condition in conditions}
        self._reader = ShardReader(self.shards)
        self._entries: list[_Entry] = []
        for shard, path in enumerate(self.shards):
            for key, members in scan_shard(path).items():
                if keys is not None and key not in keys:
                    continue
                try:
                    self._entries.append(self._read_entry(key, shard, members))
                except ValueError as error:
                    self.damaged.append(Damaged(key, path.name, str(error)))
        self._report_damaged(max_damaged)

    @property
    def keys(self) -> list[str]:
        """The clips' names, in order."""
        return [entry.key for entry in self._entries]

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Clip:  # type: ignore[override]
        """Returns a whole clip, its conditions as lists of raw values (None where missing)."""
        entry = self._entries[index]
        conditions: dict[str, list[Any]] = {}
        for name, (values, present) in entry.columns.items():
            raw = self._condition(name, entry.meta).raw(values)
            conditions[name] = [value if there else None for value, there in zip(raw, present, strict=True)]
        return Clip(entry.key, self.frames(index), conditions, entry.meta)

    def __iter__(self) -> Iterator[Clip]:
        return (self[index] for index in range(len(self)))

    def num_frames(self, index: int) -> int:
        """Returns T of a clip."""
        return int(self._entries[index].meta["frames"])

    def size(self, index: int) -> tuple[int, int]:
        """Returns H and W of a clip's frames, in pixels."""
        height, width = self._entries[index].meta["size"]
        return height, width

    def meta(self, index: int) -> dict[str, Any]:
        """Returns a clip's JSON member."""
        return self._entries[index].meta

    def shard_of(self, index: int) -> Path:
        """Returns the tar file that a clip lies in."""
        return self.shards[self._entries[index].shard]

    def shard_digest(self, index: int) -> str:
        """Returns what tells the content of the tar file that a clip lies in: by where each member of its clips lies.

        Films, sounds and texts of other clips hardly ever have the same lengths all through, and nothing has to be read
        for it.
        """
        return self._digests[self._entries[index].shard]

    @functools.cached_property
    def _digests(self) -> list[str]:
        members: list[list[Any]] = [[] for _ in self.shards]
        for entry in self._entries:
            members[entry.shard].append((entry.key, sorted(entry.members.items())))
        return [hashlib.sha256(json.dumps(own).encode()).hexdigest()[:16] for own in members]

    @property
    def sets(self) -> Sequence[ClipSet]:
        """The sets of several that are read as one; here there is one."""
        return [self]

    @property
    def counts(self) -> list[int]:
        """Clips of each set, of several that are read as one; here there is one."""
        return [len(self)]

    def shares(self) -> list[tuple[float, list[range]]]:
        """Returns the weight of each set, and numbers of clips that stand for it; here there is one."""
        return [(1.0, self.probe())]

    def probe(self) -> list[range]:
        """Returns numbers of clips that stand for the whole set where a few will do; here all of them."""
        return [range(len(self))]

    def expect(self, shards: Sequence[int]) -> None:
        """Is told which shards are read next, by number; here they are all at hand."""

    def columns(self, index: int) -> dict[str, Column]:
        """Returns a clip's T-1 values of each condition, packed, as `ConditionSet.prepare_columns` takes them."""
        return self._entries[index].columns

    def condition(self, index: int, name: str) -> Condition:
        """Returns the condition that packs a clip's column of that name."""
        return self._condition(name, self._entries[index].meta)

    def read(self, index: int, conditions: Iterable[Condition]) -> Clip:
        """Returns a whole clip as these conditions read it, raw; what they cannot make of it is left out."""
        clip = self[index]
        stored = {name: (self.condition(index, name), column) for name, column in self.columns(index).items()}
        wanted = {condition.name: condition for condition in conditions}
        raw: dict[str, list[Any]] = {}
        for name, column in adopted(wanted.values(), stored).items():
            values = zip(wanted[name].raw(column.values), column.present, strict=True)
            raw[name] = [value if there else None for value, there in values]
        return dataclasses.replace(clip, conditions=raw)

    def frames(self, index: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Returns frames start to stop - 1 of a clip, [T, H, W, 3] uint8, decoding little more than these.

        Raises:
            ValueError: if the range is outside the clip, or its mp4 proves damaged.
        """
        entry = self._entries[index]
        total = self.num_frames(index)
        stop = total if stop is None else stop
        if not 0 <= start < stop <= total:
            raise ValueError(f"clip {entry.key} has frames 0 to {total - 1}, asked for {start} to {stop - 1}")
        try:
            return decode_video(self._reader.read(entry.shard, entry.members["mp4"]), start, stop)
        except ValueError as error:
            raise ValueError(f"clip {entry.key} in {self.shard_of(index)}: {error}") from error

    def _read_entry(self, key: str, shard: int, members: dict[str, Member]) -> _Entry:
        for extension in ("mp4", "json"):
            if extension not in members:
                raise ValueError(f"member {key}.{extension} is missing")
        try:
            meta = json.loads(self._reader.read(shard, members["json"]))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{key}.json is not JSON: {error}") from error
        counted = count_frames(self._reader.read(shard, members["mp4"]))
        if not isinstance(meta, dict) or meta.get("frames") != counted or "fps" not in meta:
            raise ValueError(f"{key}.json must have fps and frames, as many as the mp4's {counted}")
        stored = {}
        # A set written by others does not list its conditions: those are taken whose names are known.
        known = {extension.split(".")[0] for extension in members} & set(names())
        sources = None if self._wanted is None else {name for c in self._wanted.values() for name in c.sources}
        for name in meta.get("conditions", sorted(known)):
            if sources is None or name in sources:
                condition = _stored(name, meta)
                column = self._read_column(key, shard, members, condition)
                if len(column.values) != counted - 1 or len(column.present) != counted - 1:
                    raise ValueError(f"{name} must have {counted - 1} values, got {len(column.values)}")
                stored[name] = (condition, column)
        if self._wanted is None:
            columns = {name: column for name, (_, column) in stored.items()}
        else:
            columns = adopted(self._wanted.values(), stored)
        return _Entry(key, shard, members, meta, columns)

    def _read_column(self, key: str, shard: int, members: dict[str, Member], stored: Condition) -> Column:
        name = stored.name
        extension = f"{name}.{stored.extension}"
        if extension not in members:
            raise ValueError(f"member {key}.{extension} is missing")
        values = stored.decode(self._reader.read(shard, members[extension]))
        mask = f"{name}.present.npy"
        if mask not in members:
            return Column(values, np.ones(len(values), bool))
        try:
            present = np.load(io.BytesIO(self._reader.read(shard, members[mask])), allow_pickle=False)
        except (EOFError, OSError) as error:
            raise ValueError(f"{mask} is not a .npy file: {error}") from error
        if present.dtype != bool:
            raise ValueError(f"{mask} must be bool, got {present.dtype}")
        return Column(values, present)

    def _condition(self, name: str, meta: dict[str, Any]) -> Condition:
        return _stored(name, meta) if self._wanted is None else self._wanted[name]

    def _report_damaged(self, most: float) -> None:
        total = len(self._entries) + len(self.damaged)
        if not total:
            raise ValueError(f"the shards in {self.folder} must hold clips, got none: delete them and record again")
        if not self.damaged:
            return
        listed = "; ".join(f"{shard}/{key}: {reason}" for key, shard, reason in self.damaged[:10])
        more = f"; and {len(self.damaged) - 10} more" if len(self.damaged) > 10 else ""
        message = f"{len(self.damaged)} of {total} clips in {self.folder} are damaged: {listed}{more}"
        if len(self.damaged) > most * total:
            refused = f"More than {100 * most:g} % is refused: delete these shards and record or fetch them again"
            raise ValueError(f"{message}. {refused}")
        warnings.warn(f"{message}. They are skipped", stacklevel=3)
