"""What the loop asks of a stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Generator, Tensor, nn

from worldmodel.training.config import PhaseConfig


class Stage(Protocol):
    """One thing to train, in one or more phases that follow one another.

    Attributes:
        name: as in `stage=NAME`.
        phases: by name, in order.
    """

    name: str
    phases: dict[str, PhaseConfig]

    @property
    def model(self) -> nn.Module:
        """Owns every trained parameter; the loop moves it to its device."""
        ...

    def trained(self, phase: str) -> dict[str, nn.Parameter]:
        """The parameters that a phase trains, by a name that stays the same from run to run."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Every tensor that the stage's phases change, by name; snapshots hold them."""
        ...

    def batch(self, phase: str, samples: Sequence[int]) -> Any:
        """Reads windows; called on a thread of its own while the step before is in flight.

        Args:
            phase: the phase's name.
            samples: their numbers, counted from the phase's beginning; what a number stands for never changes.

        Returns:
            Tensors on the CPU, in dicts, lists or named tuples.
        """
        ...

    def loss(self, phase: str, batch: Any, generators: Sequence[Generator]) -> Mapping[str, Tensor]:
        """What to minimise.

        Args:
            phase: the phase's name.
            batch: from `batch`, on the model's device.
            generators: one per sample, the only source of chance, so that a sample's loss depends on its number alone.

        Returns:
            "loss" and other figures, scalars, each a mean over the samples.
        """
        ...

    def sample(self, phase: str) -> np.ndarray:
        """A picture [H, W, 3] uint8 of what the model does: truth over generated."""
        ...

    def compile(self) -> None:
        """Compiles the modules that training spends its time in."""
        ...

    def export(self, folder: Path) -> None:
        """Finishes the stage with the averaged weights in the model, and writes its result."""
        ...
