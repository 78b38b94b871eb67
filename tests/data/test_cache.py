"""The cache of shards: never over its limit, never half a shard, nothing in use evicted, shared by processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from worldmodel.data.cache import NoRoom, ShardCache


def content(letter: str, size: int = 100) -> Callable[[IO[bytes]], None]:
    def download(file: IO[bytes]) -> None:
        file.write(letter.encode() * size)

    return download


def must_not(file: IO[bytes]) -> None:
    raise AssertionError("it was there already")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".lock"}


def test_a_shard_is_fetched_once(tmp_path: Path) -> None:
    cache = ShardCache(tmp_path / "cache", 1000)
    with cache.hold("a", 100, content("a")) as file:
        assert file.read() == b"a" * 100 and Path(file.name) == tmp_path / "cache" / "a"
    with ShardCache(tmp_path / "cache", 1000).hold("a", 100, must_not) as file:
        assert file.read() == b"a" * 100


def test_the_least_recently_used_is_evicted(tmp_path: Path) -> None:
    cache = ShardCache(tmp_path, 300)
    for at, letter in enumerate("abc"):
        cache.hold(letter, 100, content(letter)).close()
        os.utime(tmp_path / letter, ns=(at, at))
    cache.hold("a", 100, must_not).close()  # used again
    cache.hold("d", 100, content("d")).close()
    assert names(tmp_path) == {"a", "c", "d"}


def test_it_never_exceeds_its_limit(tmp_path: Path) -> None:
    cache, largest = ShardCache(tmp_path, 350), 0
    for number in range(20):

        def download(file: IO[bytes]) -> None:
            nonlocal largest
            file.write(b"x" * 100)
            file.flush()
            largest = max(largest, sum(path.stat().st_size for path in tmp_path.iterdir()))

        cache.hold(str(number), 100, download).close()
    assert largest == 300


def test_what_is_in_use_is_not_evicted(tmp_path: Path) -> None:
    cache = ShardCache(tmp_path, 250)
    first, second = cache.hold("a", 100, content("a")), cache.hold("b", 100, content("b"))
    with pytest.raises(NoRoom, match="no room for .*c.part.* are in use. Raise data.stream.cache_gb"):
        ShardCache(tmp_path, 250).hold("c", 100, must_not)
    assert names(tmp_path) == {"a", "b"}
    first.close()
    ShardCache(tmp_path, 250).hold("c", 100, content("c")).close()
    assert names(tmp_path) == {"b", "c"} and second.read() == b"b" * 100
    second.close()


def test_a_failed_download_leaves_nothing(tmp_path: Path) -> None:
    def fails(file: IO[bytes]) -> None:
        file.write(b"half")
        raise ValueError("the server is gone")

    cache = ShardCache(tmp_path, 250)
    with pytest.raises(ValueError, match="the server is gone"):
        cache.hold("a", 100, fails)
    assert names(tmp_path) == set()
    cache.hold("a", 100, content("a")).close()


def test_a_killed_download_leaves_nothing(tmp_path: Path) -> None:
    code = """
import sys, time
from worldmodel.data.cache import ShardCache
def download(file):
    file.write(b"half"); file.flush(); print("begun", flush=True); time.sleep(60)
ShardCache(sys.argv[1], 250).hold("a", 100, download)
"""
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"begun\n"
        ShardCache(tmp_path, 250)  # one that begins meanwhile leaves it alone
        assert names(tmp_path) == {"a.part"}
        process.send_signal(signal.SIGKILL)
    cache = ShardCache(tmp_path, 250)
    assert names(tmp_path) == set()
    with cache.hold("a", 100, content("a")) as file:
        assert file.read() == b"a" * 100


def test_who_comes_second_waits_for_the_first(tmp_path: Path) -> None:
    begun, go, all_have_it, got = threading.Event(), threading.Event(), threading.Barrier(4), []

    def slow(file: IO[bytes]) -> None:
        begun.set()
        assert go.wait(60)
        file.write(b"a" * 100)

    def read(download: Callable[[IO[bytes]], None]) -> None:
        with ShardCache(tmp_path, 250).hold("a", 100, download) as file:
            got.append(file.read())
            all_have_it.wait(60)  # each keeps it while the others come

    threads = [threading.Thread(target=read, args=(slow,))]
    threads[0].start()
    assert begun.wait(60)
    threads += [threading.Thread(target=read, args=(must_not,)) for _ in range(3)]
    for thread in threads[1:]:
        thread.start()
    go.set()
    for thread in threads:
        thread.join()
    assert got == [b"a" * 100] * 4 and names(tmp_path) == {"a"}


def test_a_file_of_another_size_is_fetched_anew(tmp_path: Path) -> None:
    cache = ShardCache(tmp_path, 1000)
    (tmp_path / "a").write_bytes(b"touched")
    with cache.hold("a", 100, content("a")) as file:
        assert file.read() == b"a" * 100
