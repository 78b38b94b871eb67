"""Where shards lie that are not on this machine: http(s) by the standard library, object stores by fsspec.

    remote = Remote("https://host/set")                              a folder
    remote = Remote("https://host/set/shard-{000000..000999}.tar")   some shards of one, in brackets or one by one
    remote = Remote("s3://bucket/set")                               any store that fsspec knows: gs:// hf:// file:// …
    remote.read("index.json");  remote.download("shard-000000.tar", file, size, digest)

What may pass (a busy server, a broken connection, a body cut short) is tried again, later and later; what will not
(no such file, no right to read it, other bytes than the index says) is named at once or after the last attempt.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import random
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import fsspec

CHUNK_BYTES = 1 << 20
TIMEOUT_S = 60.0  # of one read
HOPELESS = (400, 401, 403, 404, 405, 410)  # status codes that another attempt does not change
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


class Gone(ValueError):
    """A file that is not there, or that may not be read."""


def is_remote(location: str) -> bool:
    """Whether a place for clips or latents is a URL, not a folder."""
    return "://" in location


def expand(pattern: str) -> list[str]:
    """Returns the names that a pattern with braces stands for: `a-{00..11}` or `{a,b}`, as a shell would.

    Raises:
        ValueError: for braces without a range or a list in them.
    """
    found = _BRACES.search(pattern)
    if found is None:
        return [pattern]
    inside, span = found.group(1), _RANGE.fullmatch(found.group(1))
    if span is not None:
        first, last = int(span.group(1)), int(span.group(2))
        width = len(span.group(1)) if span.group(1).startswith("0") else 0
        choices = [f"{number:0{width}d}" for number in range(first, last + 1)]
    else:
        choices = inside.split(",") if "," in inside else []
    if not choices:
        raise ValueError(f"braces must hold a range or a list, as in shard-{{000000..000999}}.tar, got {pattern}")
    return [name for choice in choices for name in expand(pattern[: found.start()] + choice + pattern[found.end() :])]


class Remote:
    """A folder of shards behind a URL.

    Args:
        location: the URL of the folder, or of its shards, with braces; a query (`?…`) is kept for every file.
        attempts: how often a file is asked for before it is given up.
        backoff_s: the pause after the first failure; it doubles with each, up to a minute.

    Attributes:
        names: the shards that the URL names; None where it is the folder's, so that all of them are meant.

    Raises:
        ValueError: if the URL is of a scheme that nothing here can read, or its shards lie in several folders.
    """

    def __init__(self, location: str, attempts: int = 6, backoff_s: float = 0.5) -> None:
        self.location = location
        path, mark, query = location.partition("?")
        self._query = mark + query
        self.names: list[str] | None = None
        last = path.rpartition("/")[2]
        if _BRACES.search(path) or last.endswith((".tar", ".safetensors")):
            whole = expand(path)
            folders = {name.rpartition("/")[0] for name in whole}
            if len(folders) > 1:
                raise ValueError(f"the shards of a set must lie in one folder, got {sorted(folders)[:3]} in {location}")
            self.names = [name.rpartition("/")[2] for name in whole]
            path = folders.pop()
        self.folder = path.rstrip("/")
        self._attempts = attempts
        self._backoff_s = backoff_s
        self._http = self.folder.startswith(("http://", "https://"))
        self._store: Any = None if self._http else _store(self.folder)

    def url(self, name: str) -> str:
        """Returns where a file of the folder lies."""
        return f"{self.folder}/{name}{self._query}"

    def read(self, name: str) -> bytes:
        """Returns the whole of a small file.

        Raises:
            Gone: if it is not there, or may not be read.
            ValueError: if it could not be had.
        """

        def attempt() -> bytes:
            with self._open(name) as stream:
                return b"".join(iter(lambda: stream.read(CHUNK_BYTES), b""))

        return self._tried(name, attempt)

    def download(self, name: str, file: IO[bytes], size: int | None = None, digest: str | None = None) -> None:
        """Writes a file's bytes to the beginning of an open one.

        Args:
            name: in the folder.
            file: where to; what it holds after an error is not to be used.
            size: bytes that it must have; any when None.
            digest: its sha256; any when None.

        Raises:
            Gone: if it is not there, or may not be read.
            ValueError: if it could not be had, or is not of that size and digest.
        """

        def attempt() -> None:
            file.seek(0)
            got, hashed = 0, hashlib.sha256()
            with self._open(name) as stream:
                while chunk := stream.read(CHUNK_BYTES):
                    got += len(chunk)
                    hashed.update(chunk)
                    _write(file, chunk)
            if size is not None and got != size:
                raise _Incomplete(f"it must have {size} bytes by its index, got {got}: it was cut short or changed")
            if digest is not None and hashed.hexdigest() != digest:
                raise _Incomplete("its bytes are others than those that were indexed: it was damaged, or changed")

        self._tried(name, attempt)

    def list_shards(self, suffix: str) -> list[str]:
        """Returns the names of the shards, those that the URL names or all that the store lists, in order.

        Raises:
            ValueError: for a web server, which has no listing, where the URL names no shards.
        """
        if self.names is not None:
            return self.names
        if self._http:
            raise ValueError(
                f"a web server lists no files: name the shards, as in {self.folder}/shard-{{000000..000999}}{suffix}"
            )
        found = self._tried("", lambda: self._store.ls(self.folder, detail=False))
        return sorted(path.rpartition("/")[2] for path in found if path.endswith(suffix))

    @contextmanager
    def _open(self, name: str) -> Iterator[Any]:
        if self._http:
            request = urllib.request.Request(self.url(name), headers={"Accept-Encoding": "identity"})
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
                yield response
        else:
            with self._store.open(self.url(name), "rb") as file:
                yield file

    def _tried(self, name: str, attempt: Any) -> Any:
        for number in range(self._attempts):
            try:
                return attempt()
            except urllib.error.HTTPError as error:
                reason = f"HTTP {error.code} {error.reason}"
                if error.code in HOPELESS:
                    raise self._gone(name, reason) from error
            except (FileNotFoundError, PermissionError) as error:
                raise self._gone(name, f"{type(error).__name__} {error}") from error
            except _LocalDisk as error:
                raise ValueError(f"{self.url(name)} cannot be kept: {error}: set data.stream.cache") from error
            except (OSError, http.client.HTTPException, _Incomplete) as error:
                reason = str(error) or type(error).__name__
            except Exception as error:  # the stores' own errors share no base
                if self._http:
                    raise
                reason = f"{type(error).__name__}: {error}"
            if number + 1 < self._attempts:
                time.sleep(min(60.0, self._backoff_s * 2**number) * random.uniform(0.75, 1.25))
        raise ValueError(
            f"{self.url(name)} could not be had in {self._attempts} attempts: {reason}. See to the server, or to the "
            f"file, then make its index anew by python -m worldmodel.data.index; the same command continues"
        )

    def _gone(self, name: str, reason: str) -> Gone:
        return Gone(
            f"{self.url(name)} cannot be read: {reason}. Put it back, or make the set's index anew without it by "
            f"python -m worldmodel.data.index"
        )


class _Incomplete(Exception):
    """A body that is not the file."""


class _LocalDisk(Exception):
    """The disk that is written to, not the one that is read from."""


def _write(file: IO[bytes], chunk: bytes) -> None:
    try:
        file.write(chunk)
    except OSError as error:
        what = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else str(error)
        raise _LocalDisk(f"{file.name}: {what}") from error


def _store(folder: str) -> Any:
    scheme = folder.partition("://")[0]
    try:
        return fsspec.filesystem(scheme)
    except ImportError as error:
        raise ValueError(f"{folder} needs a package for {scheme}://: {error}. Install it beside this one") from error
    except ValueError as error:
        raise ValueError(
            f"{folder} must be http(s)://, or a store that fsspec knows (s3:// gs:// hf:// file:// …): {error}"
        ) from error
