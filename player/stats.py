"""How fast a world is played: frame times, frames a second, time to the first frame, memory."""

from __future__ import annotations

import time
from array import array
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

RECENT = 20  # frames that the live figures look back on
WARM_UP = 100  # frames after which memory is first read


@dataclass(frozen=True)
class Figures:
    """What a run measured. Times in milliseconds unless the name says otherwise; memory is resident, in MB."""

    frames: int
    seconds: float
    fps: float
    p50_ms: float
    p95_ms: float
    max_ms: float
    first_frame_s: float
    memory_mb: float | None
    memory_growth_mb: float | None

    def as_dict(self) -> dict[str, float | int | None]:
        """The figures, rounded to what is worth reading."""
        return {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(self).items()}

    def __str__(self) -> str:
        memory = "" if self.memory_mb is None else f", {self.memory_mb:.0f} MB"
        growth = "" if self.memory_growth_mb is None else f" ({self.memory_growth_mb:+.1f} since frame {WARM_UP})"
        return (
            f"{self.frames} frames in {self.seconds:.1f} s: {self.fps:.1f} FPS, frame time p50 {self.p50_ms:.1f} ms, "
            f"p95 {self.p95_ms:.1f} ms; first frame after {self.first_frame_s:.1f} s{memory}{growth}"
        )


def resident_mb() -> float | None:
    """Memory that this process holds, in MB; None where the system does not say."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


class Stats:
    """Collects frame times of one run."""

    def __init__(self, launched: float | None = None) -> None:
        """Starts counting.

        Args:
            launched: when the program was started, by time.perf_counter; now by default.
        """
        self._launched = time.perf_counter() if launched is None else launched
        self._began = self._launched
        self._ended = self._launched
        self._frame_ms = array("d")
        self._first_frame_s = 0.0
        self._memory: float | None = None

    def first_frame(self) -> None:
        """The first frame is there: from now on frames are timed."""
        self._began = self._ended = time.perf_counter()
        self._first_frame_s = self._began - self._launched

    def add(self, frame_s: float) -> None:
        """One more frame, which took so many seconds from action to picture."""
        self._frame_ms.append(frame_s * 1000)
        self._ended = time.perf_counter()
        if len(self._frame_ms) == WARM_UP:
            self._memory = resident_mb()

    @property
    def frames(self) -> int:
        """Frames added so far; the first frame of all is not counted, as no step led to it."""
        return len(self._frame_ms)

    @property
    def recent_ms(self) -> float:
        """Median frame time of the last frames, in milliseconds; 0 before any."""
        return float(np.median(self._frame_ms[-RECENT:])) if self._frame_ms else 0.0

    def figures(self) -> Figures:
        """The run so far."""
        times = np.asarray(self._frame_ms) if self._frame_ms else np.zeros(1)
        seconds = self._ended - self._began
        memory = resident_mb()
        return Figures(
            frames=len(self._frame_ms),
            seconds=seconds,
            fps=len(self._frame_ms) / seconds if seconds else 0.0,
            p50_ms=float(np.percentile(times, 50)),
            p95_ms=float(np.percentile(times, 95)),
            max_ms=float(times.max()),
            first_frame_s=self._first_frame_s,
            memory_mb=memory,
            memory_growth_mb=memory - self._memory if memory is not None and self._memory is not None else None,
        )
