"""Tar files as random-access stores: scanned once for where each member lies, then read by offset."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path
from typing import NamedTuple


class Member(NamedTuple):
    """Where the bytes of one file lie inside a tar file."""

    offset: int
    size: int


def scan_shard(path: Path) -> dict[str, dict[str, Member]]:
    """Finds the samples of an uncompressed WebDataset shard.

    Args:
        path: a tar file with members KEY.EXTENSION; the key ends at the first dot.

    Returns:
        key -> extension -> where it lies, in the order of the file.

    Raises:
        ValueError: if the file is not a whole tar file.
    """
    samples: dict[str, dict[str, Member]] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for info in tar:
                if info.isfile():
                    folder, _, name = info.name.rpartition("/")
                    stem, _, extension = name.partition(".")
                    key = f"{folder}/{stem}" if folder else stem
                    samples.setdefault(key, {})[extension] = Member(info.offset_data, info.size)
            end = tar.offset
        with open(path, "rb") as file:
            file.seek(end)
            whole = file.read(1024) == bytes(1024)
    except (tarfile.TarError, OSError) as error:
        raise _damaged(path, str(error)) from error
    if not whole:  # tarfile takes a missing end, or garbage where a header should be, for the end of the file
        raise _damaged(path, f"it ends or turns to garbage at byte {end}")
    return samples


class ShardReader:
    """Reads members by offset. Safe across threads and forks, and can be sent to another process.

    Args:
        paths: the tar files; a member is named by the number of its file.
    """

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        self._descriptors: dict[int, int] = {}

    def read(self, shard: int, member: Member) -> bytes:
        """Returns the bytes of a member of file number `shard`.

        Raises:
            ValueError: if the file has become shorter since it was scanned.
        """
        if shard not in self._descriptors:
            self._descriptors[shard] = os.open(self.paths[shard], os.O_RDONLY)
        data = os.pread(self._descriptors[shard], member.size, member.offset)
        if len(data) != member.size:
            raise _damaged(self.paths[shard], f"{len(data)} of {member.size} bytes at byte {member.offset}")
        return data

    def __getstate__(self) -> dict[str, object]:
        return {"paths": self.paths, "_descriptors": {}}

    def __del__(self) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)


def _damaged(path: Path, what: str) -> ValueError:
    return ValueError(f"shard {path} must be a whole uncompressed tar: {what}. Delete it and record or fetch it again")
