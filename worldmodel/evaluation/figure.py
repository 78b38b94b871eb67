"""What every figure's measurement is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from worldmodel.evaluation.heldout import HeldOut
from worldmodel.evaluation.options import Options, Unavailable
from worldmodel.evaluation.rollout import Report

if TYPE_CHECKING:
    from worldmodel.world import WorldModel


@dataclass(frozen=True)
class Task:
    """One evaluation: each figure's `measure(task)` returns its numbers and leaves its pictures in `out`.

    Attributes:
        world: the checkpoint, loaded.
        held_out: the clips.
        options: how much to measure.
        out: the folder for plots, sheets and the reader.
        report: called with lines of progress.
        worlds: the module that registers the rendered worlds of the clips, or "" for none.
        reader: a saved reader (`inverse_dynamics` or `heads.network`) to use instead of training one.
        shared: what several figures need and one makes, by name: the figures of one evaluation are given the same dict.
    """

    world: WorldModel
    held_out: HeldOut
    options: Options
    out: Path
    report: Report
    worlds: str = ""
    reader: Path | None = None
    shared: dict[str, Any] = field(default_factory=dict)

    def rng(self, figure: str) -> np.random.Generator:
        """Random numbers of a figure's own: the same whether or not other figures are measured."""
        return np.random.default_rng([self.options.seed, *figure.encode()])

    def needs_player(self) -> None:
        """Refuses worlds that are not steered by keyboard and camera.

        Raises:
            Unavailable: naming what the checkpoint lacks.
        """
        lacking = [name for name in ("keyboard", "camera") if name not in self.world.conditions.names]
        if lacking:
            raise Unavailable(f"the checkpoint has no {' and no '.join(lacking)}: there is no player to steer")

    def needs_head(self, *names: str) -> None:
        """Refuses worlds that are no talking heads, or lack one of these conditions.

        Raises:
            Unavailable: naming what the checkpoint lacks.
        """
        lacking = [name for name in names if name not in self.world.conditions.names]
        if lacking:
            raise Unavailable(f"the checkpoint has no {' and no '.join(lacking)}: there is no such head to drive")
