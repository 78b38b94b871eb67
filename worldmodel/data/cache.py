"""A folder of downloaded shards, never larger than its limit, shared by the processes of one machine.

    cache = ShardCache(folder, limit_bytes)
    file = cache.hold(name, size, download)     # whole, and not evicted while `file` is open

Three file locks keep the processes apart, so that nothing is left behind by one that was killed. A shard in use is
locked for sharing by every user; one being downloaded, `NAME.part`, by whoever downloads it, and the others wait; and
`.lock` by whoever counts bytes and evicts. A `.part` that nobody has locked is a dead process's, and is removed.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


class NoRoom(ValueError):
    """A shard for which there is no room, since all others are in use."""


class ShardCache:
    """Shards on the local disk, the ones used least recently evicted first.

    Args:
        folder: where to; made if it is not there.
        limit_bytes: of all files in it, downloads in progress counted whole.
    """

    def __init__(self, folder: str | Path, limit_bytes: int) -> None:
        self.folder = Path(folder).expanduser()
        self.limit_bytes = limit_bytes
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._locked():
            self._remove_orphans()

    def hold(self, name: str, size: int, download: Callable[[IO[bytes]], None]) -> IO[bytes]:
        """Returns a whole shard as an open file, downloading it where it is missing.

        Args:
            name: its name in the folder; the same name must always stand for the same bytes.
            size: in bytes.
            download: writes the bytes to a file, or raises.

        Returns:
            The file; its `name` is its path. While it is open the shard stays on disk.

        Raises:
            NoRoom: if it does not fit beside what is in use.
        """
        path = self.folder / name
        while True:
            file = _open_whole(path, size)
            if file is not None:
                os.utime(path)  # used just now
                return file
            self._fetch(path, size, download)

    def _fetch(self, path: Path, size: int, download: Callable[[IO[bytes]], None]) -> None:
        part = path.with_name(f"{path.name}.part")
        with open(part, "r+b", opener=lambda name, _: os.open(name, os.O_RDWR | os.O_CREAT, 0o644)) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # Waits for whoever downloads it. For sharing, since what has been downloaded is shared from then on.
                fcntl.flock(file, fcntl.LOCK_SH)
                return
            if not _is_at(file, part):  # another has finished it, or removed it, in the meantime
                return
            if path.exists():
                part.unlink()
                return
            try:
                self._reserve(file, size)
                download(file)
                file.flush()
                os.fsync(file.fileno())
                os.rename(part, path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise

    def _reserve(self, part: IO[bytes], size: int) -> None:
        """Evicts until there is room, and takes it by giving the file its final length."""
        with self._locked():
            self._remove_orphans()
            present = {path: path.stat() for path in self.folder.iterdir() if path.is_file()}
            total = sum(stat.st_size for stat in present.values()) + size - os.fstat(part.fileno()).st_size
            for path in sorted(present, key=lambda path: present[path].st_mtime_ns):
                if total <= self.limit_bytes:
                    break
                if path.suffix != ".part" and path.name != ".lock" and _removed(path):
                    total -= present[path].st_size
            if total > self.limit_bytes:
                raise NoRoom(
                    f"there is no room for {part.name} ({size / 1e6:.1f} MB): of the {self.limit_bytes / 1e6:.1f} MB "
                    f"of data.stream.cache_gb, {(total - size) / 1e6:.1f} MB are in use. Raise data.stream.cache_gb, "
                    f"or lower data.stream.buffer_shards"
                )
            os.truncate(part.fileno(), size)

    def _remove_orphans(self) -> None:
        for path in self.folder.glob("*.part"):
            _removed(path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with open(self.folder / ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _open_whole(path: Path, size: int) -> IO[bytes] | None:
    """Opens a shard for sharing; None if it is not there."""
    try:
        file = open(path, "rb")
    except FileNotFoundError:
        return None
    fcntl.flock(file, fcntl.LOCK_SH)
    stat = os.fstat(file.fileno())
    if stat.st_nlink and stat.st_size == size:
        return file
    file.close()
    if stat.st_nlink:  # never by this class: somebody has touched it
        path.unlink(missing_ok=True)
    return None


def _removed(path: Path) -> bool:
    """Removes a file that nobody has locked, and says whether it did."""
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    return True


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False
