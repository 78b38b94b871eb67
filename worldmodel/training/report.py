"""What a run says of itself: a line on the terminal, metrics.jsonl, TensorBoard and sample pictures."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

TERMINAL_SECONDS = 1.0
LOGFILE_SECONDS = 20.0  # where the output is no terminal


class Report:
    """The records of one stage of a run, on the main process.

    Args:
        folder: of the stage; metrics.jsonl, tensorboard/ and samples/ are in it.
        step: where the run continues; records of later steps, left by a run that was killed, are dropped.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self.folder = folder
        (folder / "samples").mkdir(parents=True, exist_ok=True)
        path = folder / "metrics.jsonl"
        if path.exists():
            kept = [line for line in path.read_text().splitlines() if _step_of(line) <= step]
            partial = path.with_suffix(".jsonl.tmp")
            partial.write_text("".join(line + "\n" for line in kept))
            os.replace(partial, path)
        self._metrics = open(path, "a", buffering=1)
        self._tensorboard = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
        self._every = TERMINAL_SECONDS if sys.stdout.isatty() else LOGFILE_SECONDS
        self._shown, self._line = 0.0, ""

    def scalars(self, step: int, phase: str, values: Mapping[str, float]) -> None:
        """Records figures of a step."""
        record = {"step": step, "phase": phase, **values}
        self._metrics.write(json.dumps(record) + "\n")
        for name, value in values.items():
            self._tensorboard.add_scalar(f"{phase}/{name}", value, step)

    def line(self, text: str) -> None:
        """Shows the progress line; where one was shown a moment ago, it waits for the next or for `end_line`."""
        self._line = text
        if time.monotonic() - self._shown >= self._every:
            self._show("\r\x1b[K", "" if sys.stdout.isatty() else "\n")

    def end_line(self) -> None:
        """Shows the newest progress line for good."""
        if self._line:
            self._show("\r\x1b[K", "\n")
        self._shown = 0.0

    def _show(self, before: str, after: str) -> None:
        print(f"{before if sys.stdout.isatty() else ''}{self._line}", end=after, flush=True)
        self._shown, self._line = time.monotonic(), ""

    def picture(self, step: int, phase: str, picture: np.ndarray) -> Path:
        """Keeps a sample.

        Args:
            step: steps taken.
            phase: the phase's name.
            picture: [H, W, 3] uint8.

        Returns:
            The PNG's path.
        """
        path = self.folder / "samples" / f"{step:08d}-{phase}.png"
        Image.fromarray(picture).save(path)
        self._tensorboard.add_image(phase, picture, step, dataformats="HWC")
        return path

    def close(self) -> None:
        self._metrics.close()
        self._tensorboard.close()


def progress_line(
    phase: str, step: int, progress: float, loss: float, frames_per_second: float, seconds: float, rate: float
) -> str:
    """The progress line: where the phase stands and how long it has left."""
    left = seconds * (1 - progress) / progress if progress > 0 else 0.0
    return (
        f"{phase}  {progress:6.1%}  step {step}  loss {loss:.4f}  lr {rate:.1e}  "
        f"{frames_per_second:.0f} frames/s  {duration(seconds)} gone, {duration(left)} left"
    )


def duration(seconds: float) -> str:
    """Seconds as 1:02:03."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}"


def _step_of(line: str) -> float:
    """The step of a record; a half-written one, the last of a killed run, counts as never."""
    try:
        return json.loads(line)["step"]
    except json.JSONDecodeError:
        return float("inf")
