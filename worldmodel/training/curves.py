"""The curves of a run as one picture, for the README of what came of it.

    python -m worldmodel.training.curves RUN [RUN ...] OUT.png

Several runs are laid end to end: one that began at the other's export goes on where that stopped.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worldmodel.evaluation.plots import canvas

# stage: (the figure in its metrics.jsonl, what the axis says)
SHOWN = {"autoencoder": ("psnr", "PSNR of a batch [dB]"), "dynamics": ("loss", "loss")}
SMOOTH = 0.9  # of the running mean


def read(runs: Sequence[Path], stage: str) -> list[tuple[str, NDArray[np.float64]]]:
    """Reads what a stage recorded.

    Args:
        runs: folders of runs; those without the stage are passed over.
        stage: a key of `SHOWN`.

    Returns:
        The phases in order, each with [M, 2]: minutes of training since the first run began, and the figure.

    Raises:
        ValueError: if a record is damaged.
    """
    found, begins = [], 0.0
    for run in runs:
        path = run / stage / "metrics.jsonl"
        if not path.is_file():
            continue
        try:
            records = [json.loads(line) for line in path.read_text().splitlines()]
            minutes = [(record["phase"], record["minutes"], record.get(SHOWN[stage][0])) for record in records]
        except (json.JSONDecodeError, KeyError) as error:
            raise ValueError(f"{path} is damaged ({error!r}): give another run, or delete the broken line") from error
        for phase, group in groupby(minutes, key=lambda record: record[0]):
            points = [(minute, value) for _, minute, value in group if value is not None]
            if points:
                curve = np.array(points, np.float64)
                # Minutes count from the beginning of a phase.
                curve[:, 0] += begins
                begins = float(curve[-1, 0])
                found.append((phase, curve))
    return found


def draw(runs: Sequence[Path], out: Path) -> None:
    """Draws the stages that the runs have, side by side.

    Args:
        runs: folders of runs.
        out: the PNG.

    Raises:
        ValueError: if none of them has anything recorded.
    """
    stages = {stage: curves for stage in SHOWN if (curves := read(runs, stage))}
    if not stages:
        raise ValueError(
            f"no {' and no '.join(f'{stage}/metrics.jsonl' for stage in SHOWN)} in {', '.join(map(str, runs))}: "
            "give the run= folder of a training"
        )
    with canvas(out, 1, len(stages), (4.6 * len(stages), 2.8)) as axes:
        for ax, (stage, curves) in zip(axes, stages.items(), strict=True):
            for index, (phase, curve) in enumerate(curves):
                colour = f"C{index}"
                ax.plot(*curve.T, color=colour, alpha=0.25, lw=0.8)
                ax.plot(curve[:, 0], _smooth(curve[:, 1]), color=colour, lw=1.5, label=phase)
            if stage == "dynamics":
                ax.set_yscale("log")
            if len(curves) > 1:
                ax.legend()
            ax.set(title=stage, xlabel="minutes of training", ylabel=SHOWN[stage][1])


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """A running mean that begins at the first value."""
    smooth, level = np.empty_like(values), 0.0
    for index, value in enumerate(values):
        keep = min(SMOOTH, index / (index + 1))
        level = keep * level + (1 - keep) * value
        smooth[index] = level
    return smooth


def main(arguments: Sequence[str]) -> int:
    """Runs the command line: 0, or 2 where it cannot be done."""
    if len(arguments) < 2 or not arguments[-1].endswith(".png"):
        print("usage: python -m worldmodel.training.curves RUN [RUN ...] OUT.png", file=sys.stderr)
        return 2
    try:
        draw([Path(run) for run in arguments[:-1]], Path(arguments[-1]))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
