"""Clips to disk: a shard that gets its name when all of it is written, and that a stopped writer may leave to the next.

The format is told in `worldmodel.data.clips`, which reads it.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from conditions import Condition
from worldmodel.data.clips import Clip, codec
from worldmodel.data.video import encode_video

LAST = "json"  # extension of the member that is written last, when its clip is whole


class ClipWriter:
    """Writes one shard. Use as a context manager: the file gets its name when all is written, or never.

    Args:
        path: the tar file to write.
        conditions: the conditions to store values with; by default each by its name, with its default config.
        resume: whether whole clips of a shard that was not finished are kept for the next writer, and taken over.

    Attributes:
        keys: of the clips written, taken over ones included.
    """

    def __init__(self, path: str | Path, conditions: Iterable[Condition] | None = None, resume: bool = False) -> None:
        self.path = Path(path)
        self._resume = resume
        self._temporary = self.path.with_name(self.path.name + ".tmp")
        self._conditions = {condition.name: condition for condition in conditions or ()}
        self.keys: set[str] = set()

    def __enter__(self) -> ClipWriter:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self._resume and self._temporary.exists():
            keys, end = _whole_clips(self._temporary)
            self.keys = set(keys)
            os.truncate(self._temporary, end)
        else:
            self._temporary.write_bytes(b"")
        self._file = open(self._temporary, "ab")
        self._tar = tarfile.open(fileobj=self._file, mode="w", format=tarfile.USTAR_FORMAT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self._tar.close()
            self._file.flush()
            os.fsync(self._file.fileno())
        self._file.close()
        if kind is None:
            os.replace(self._temporary, self.path)
        elif not self._resume:
            self._temporary.unlink(missing_ok=True)

    def write(self, clip: Clip) -> None:
        """Adds a clip.

        Raises:
            ValueError: for frames that are not [T, H, W, 3] uint8, a condition without T-1 values or with one outside
                its space, a key with dots or used before, or meta without fps.
        """
        frames = np.asarray(clip.frames)
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not len(frames):
            raise ValueError(f"clip {clip.key}: frames must be [T, H, W, 3] uint8, got {frames.shape} {frames.dtype}")
        if not clip.key or "." in clip.key or "/" in clip.key or clip.key in self.keys:
            raise ValueError(f"a clip's key must be new in its shard, without dots and slashes, got {clip.key!r}")
        if "fps" not in clip.meta:
            raise ValueError(f"clip {clip.key}: meta must have fps, got {sorted(clip.meta)}")
        members: dict[str, bytes] = {}
        spaces, configs = {}, {}
        for name, values in clip.conditions.items():
            if len(values) != len(frames) - 1:
                raise ValueError(
                    f"clip {clip.key}: {name} must have {len(frames) - 1} values, one from each frame to the next, "
                    f"got {len(values)}"
                )
            condition = self._conditions.get(name) or self._conditions.setdefault(name, codec(name))
            members |= _encode(condition, values)
            spaces[name], configs[name] = str(condition.space), dataclasses.asdict(condition.config)
        meta = {**clip.meta, "size": list(frames.shape[1:3]), "frames": len(frames)}
        meta |= {"spaces": spaces, "conditions": configs}
        self._add(f"{clip.key}.mp4", encode_video(frames, float(clip.meta["fps"])))
        for extension, data in members.items():
            self._add(f"{clip.key}.{extension}", data)
        self._add(f"{clip.key}.{LAST}", json.dumps(meta, indent=1).encode())
        self._file.flush()
        self.keys.add(clip.key)

    def _add(self, name: str, data: bytes) -> None:
        info = tarfile.TarInfo(name)  # its time and owner stay zero: the same clips give the same file
        info.size = len(data)
        self._tar.addfile(info, io.BytesIO(data))


def _whole_clips(path: Path) -> tuple[list[str], int]:
    """Returns the keys of the clips that lie whole in a shard that was not finished, and where the last one ends."""
    keys, end, size = [], 0, path.stat().st_size
    try:
        with tarfile.open(path, "r:") as tar:
            for info in tar:
                behind = info.offset_data + -(-info.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
                if behind <= size and info.name.endswith(f".{LAST}"):
                    keys.append(info.name.removesuffix(f".{LAST}"))
                    end = behind
    except tarfile.TarError:  # it breaks off in a header, or is empty
        pass
    return keys, end


def _encode(condition: Condition, values: Sequence[Any] | np.ndarray) -> dict[str, bytes]:
    extension = f"{condition.name}.{condition.extension}"
    if isinstance(values, np.ndarray) or all(value is not None for value in values):
        return {extension: condition.encode(values)}
    stream = io.BytesIO()
    np.save(stream, np.array([value is not None for value in values], bool), allow_pickle=False)
    filled = [condition.noop() if value is None else value for value in values]
    return {extension: condition.encode(filled), f"{condition.name}.present.npy": stream.getvalue()}
