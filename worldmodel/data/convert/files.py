"""Where the files of a recording lie: on disk, or inside tar archives, also archives split into parts.

A file is found once and read by offset ever after, in whichever process needs it.
"""

from __future__ import annotations

import io
import re
import tarfile
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PART = re.compile(r"(.+\.tar)\.part\w+")


@dataclass(frozen=True)
class Stored:
    """The bytes of one file.

    Attributes:
        paths: the file itself, or the archive that it lies in, in order if that is split.
        offset: where it begins in them.
        size: bytes; None for a file of its own.
    """

    paths: tuple[Path, ...]
    offset: int = 0
    size: int | None = None

    def read(self) -> bytes:
        """Returns the bytes.

        Raises:
            ValueError: if the file is gone or cut short.
        """
        try:
            if self.size is None:
                return self.paths[0].read_bytes()
            with _Joined(self.paths) as file:
                file.seek(self.offset)
                data = file.read(self.size)
        except OSError as error:
            raise ValueError(f"{self.paths[0].name} cannot be read: {error}") from error
        if len(data) != self.size:
            raise ValueError(f"the archive {self.paths[-1].name} ends inside the file: fetch it again")
        return data


@dataclass(frozen=True)
class Recording:
    """What a source calls one recording, not yet looked into.

    Attributes:
        name: its path in the source, without the suffix.
        files: suffix (with its dot) or file name -> where it lies.
        problem: why it cannot be read at all, or "".
        extra: what the format found about it while listing the source; can be sent to other processes.
    """

    name: str
    files: dict[str, Stored]
    problem: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


class _Joined(io.RawIOBase):
    """Several files read as if they were one."""

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self._files = [open(path, "rb") for path in paths]
        self._starts = [0]
        for path in paths:
            self._starts.append(self._starts[-1] + path.stat().st_size)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._starts[-1]}[whence]
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        end = self._starts[-1] if size is None or size < 0 else min(self._position + size, self._starts[-1])
        pieces = []
        while self._position < end:
            part = bisect_right(self._starts, self._position) - 1
            file = self._files[part]
            file.seek(self._position - self._starts[part])
            piece = file.read(min(end, self._starts[part + 1]) - self._position)
            if not piece:  # it has become shorter
                break
            pieces.append(piece)
            self._position += len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        for file in self._files:
            file.close()
        super().close()


def find_recordings(source: Path, suffixes: tuple[str, ...]) -> list[Recording]:
    """Finds files of the same name and different suffix, on disk and in `*.tar` and `*.tar.partXX` archives.

    Args:
        source: the folder to look through.
        suffixes: such as (".mp4", ".npz").

    Returns:
        One recording per name, sorted; one with a `problem` for each archive that is not whole.

    Raises:
        ValueError: if there is no such folder, or nothing in it.
    """
    if not source.is_dir():
        raise ValueError(f"the source must be a folder, got {source}")
    found: dict[str, dict[str, Stored]] = {}
    for path in source.rglob("*"):
        if path.suffix in suffixes and path.is_file():
            found.setdefault(str(path.relative_to(source).with_suffix("")), {})[path.suffix] = Stored((path,))
    problems = []
    for name, paths in sorted(_archives(source).items()):
        try:
            for member, stored in _members(paths):
                if (suffix := Path(member).suffix) in suffixes:
                    found.setdefault(member.removesuffix(suffix), {})[suffix] = stored
        except (tarfile.TarError, OSError, ValueError) as error:
            problems.append(Recording(name, {}, f"the archive is not a whole tar file: {error}"))
    if not found and not problems:
        raise ValueError(f"{source} must hold {' and '.join(suffixes)} files or tar archives of them, got none")
    return problems + [Recording(name, found[name]) for name in sorted(found)]


def _archives(source: Path) -> dict[str, tuple[Path, ...]]:
    archives: dict[str, list[Path]] = {}
    for path in sorted(source.rglob("*.tar*")):
        # The parts may lie in a folder each, so the name alone says what belongs together.
        whole = PART.fullmatch(path.name)
        if path.is_file() and (whole or path.suffix == ".tar"):
            archives.setdefault(whole[1] if whole else str(path.relative_to(source)), []).append(path)
    return {name: tuple(sorted(paths, key=lambda path: path.name)) for name, paths in archives.items()}


def _members(paths: tuple[Path, ...]) -> Iterator[tuple[str, Stored]]:
    total = sum(path.stat().st_size for path in paths)
    with _Joined(paths) as file, tarfile.open(fileobj=file, mode="r:") as tar:
        while (info := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # they would pile up by the hundred thousand
            if info.isfile() and info.offset_data + info.size <= total:
                yield info.name.removeprefix("./"), Stored(paths, info.offset_data, info.size)
        end = tar.offset
        file.seek(end)
        if file.read(512) != bytes(512):  # tarfile takes a missing end for the end
            raise ValueError(f"it ends or turns to garbage at byte {end} of {total}")
