"""Processes and folders that a real game leaves or does not leave."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path


def folders(pattern: str) -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob(pattern))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait(until: object, what: str, seconds: float = 60.0) -> None:
    assert callable(until)
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.02)
