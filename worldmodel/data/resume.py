"""Long jobs that write a folder shard by shard: one run at a time, in many processes, killed and continued at will."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def shard_path(out: Path, shard: int) -> Path:
    """Returns the tar file of a shard."""
    return out / f"shard-{shard:06d}.tar"


def write_json(path: Path, value: Any, indent: int | None = 1) -> None:
    """Writes a JSON file that appears under its name only when whole."""
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text(json.dumps(value, indent=indent))
    os.replace(temporary, path)


@contextmanager
def claimed(
    out: Path,
    job: str,
    doing: str,
    wanted: Mapping[str, Any],
    continues: Callable[[Mapping[str, Any]], bool] | None = None,
) -> Iterator[None]:
    """Makes a folder and keeps it for one job: `OUT/JOB.json` says which, `OUT/JOB.lock` is held meanwhile.

    Args:
        out: the folder; made if it is not there.
        job: what the folder holds, such as "recording".
        doing: what a run does, such as "recording".
        wanted: all that the shards' content depends on, as JSON can hold it.
        continues: whether the whole shards of another job are the first ones of this, which then takes its place.

    Raises:
        ValueError: if another run holds the folder, or it has shards of another job.
    """
    out.mkdir(parents=True, exist_ok=True)
    with open(out / f"{job}.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(f"another run is {doing} into {out}: wait for it or choose another --out") from error
        _claim(out, job, json.loads(json.dumps(wanted)), continues or (lambda present: False))
        yield


def _claim(out: Path, job: str, wanted: dict[str, Any], continues: Callable[[Mapping[str, Any]], bool]) -> None:
    path = out / f"{job}.json"
    started = any(out.glob("*.tar")) or any(out.glob("shard-*.json"))
    present = json.loads(path.read_text()) if path.exists() else None
    if not started and present == wanted:
        return
    if started and present is not None:
        differing = [key for key in wanted if present.get(key) != wanted[key]]
        if differing and continues(present):
            write_json(path, wanted)
        elif differing:
            what = "; ".join(f"{key} is {present.get(key)} there, {wanted[key]} asked for" for key in differing)
            raise ValueError(f"{out} holds another {job}: {what}. Choose another --out, or delete it")
    elif started:
        raise ValueError(f"{out} holds shards but no {job}.json: choose another --out")
    else:
        for begun in out.glob("*.tar.tmp"):  # of no one knows which job
            begun.unlink()
        write_json(path, wanted)


def in_processes(function: Callable[..., T], tasks: Iterable[tuple], workers: int) -> Iterator[T]:
    """Calls `function(*task)` for each task, in processes that end with this one, and yields results as they come.

    With one worker, or one task, the calls happen in this process.

    Raises:
        ValueError: if a process was killed; and whatever the function raises.
    """
    tasks = list(tasks)
    if min(workers, len(tasks)) <= 1:
        yield from (function(*task) for task in tasks)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(tasks)), context, initializer=_end_with_parent) as pool:
        try:
            for future in as_completed([pool.submit(function, *task) for task in tasks]):
                yield future.result()
        except BrokenProcessPool as error:
            raise ValueError("a process was killed (out of memory?): run again with fewer --workers") from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def _end_with_parent() -> None:
    """Ends this process when the one that started it is gone, however it went, so that none works on unseen."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
