"""The machine a figure was measured on: a figure without its machine means little."""

from __future__ import annotations

import hashlib
import os
import platform
import resource
from datetime import datetime
from pathlib import Path

import torch


def describe() -> dict[str, str | int | float]:
    """Describes the machine and the software that this process runs on.

    Returns:
        Processor name, usable cores, threads of torch, memory in GiB, accelerator name (or "none"), operating system,
        and the versions of Python and torch.
    """
    accelerator = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "accelerator": accelerator,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def line() -> str:
    """The machine in one line, for a table's cell: `Intel Xeon (2 cores, 23.4 GiB), torch 2.13.0, 2 threads`."""
    machine = describe()
    accelerator = "" if machine["accelerator"] == "none" else f" + {machine['accelerator']}"
    return (
        f"{machine['processor']} ({machine['cores']} cores, {machine['memory_gib']} GiB){accelerator}, "
        f"torch {machine['torch']}, {machine['threads']} threads"
    )


def now() -> str:
    """The local date and time with its offset from UTC, to the second."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def hash_folder(folder: Path) -> str:
    """SHA-256 over every file of a folder, names and contents, in sorted order: which weights a figure is about.

    Args:
        folder: an existing folder.

    Returns:
        64 hex digits; the same files in another place give the same digits.
    """
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def rss_mb() -> float:
    """Resident memory of this process in MB (10^6 bytes); where there is no /proc, the most it ever was."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _processor() -> str:
    """The processor's marketing name; platform.processor() is empty or just "x86_64" on Linux."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for row in cpuinfo.read_text().splitlines():
            if row.startswith("model name"):
                return " ".join(row.split(":", 1)[1].split())
    return platform.processor() or platform.machine()
