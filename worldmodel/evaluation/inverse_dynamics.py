"""The reader: a small network that is told what moved in a window of frames, and says which way the player turned and
walked.

Shapes: N windows, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from worldmodel.evaluation.motion import FEATURES, mirrored
from worldmodel.evaluation.scripts import MOVES, TURNS

IGNORED = -1


@dataclass(frozen=True)
class Windows:
    """Windows of frames, as the reader is asked about them.

    Attributes:
        features: [N, *FEATURES] what moved, from `motion.features`.
        turn: [N] int64, index into TURNS, or IGNORED where it is ambiguous.
        move: [N] int64, index into MOVES, or IGNORED.
    """

    features: Tensor
    turn: NDArray[np.int64]
    move: NDArray[np.int64]

    @classmethod
    def join(cls, parts: Sequence[Windows]) -> Windows:
        """All windows of several clips."""
        return cls(
            torch.cat([part.features for part in parts]),
            np.concatenate([part.turn for part in parts]),
            np.concatenate([part.move for part in parts]),
        )


class InverseDynamics(nn.Module):
    """Reads back turn-left / none / turn-right and back / none / forward.

    Args:
        width: of the hidden layers.
    """

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(0.1),
            nn.Linear(prod(FEATURES), width),
            nn.GELU(),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Linear(width, len(TURNS) + len(MOVES)),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scores the classes of windows [N, *FEATURES]: logits [N, 3] of the turn and [N, 3] of the walk."""
        turn, move = self.layers(x).split([len(TURNS), len(MOVES)], dim=1)
        return turn, move

    @torch.no_grad()
    def read(self, x: Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Reads windows [N, *FEATURES]: [N] indices into TURNS and [N] into MOVES. Mirrored, it reads them mirrored."""
        turn, move = self(x)
        other_turn, other_move = self(mirrored(x))
        return (turn + other_turn.flip(1)).argmax(1).numpy(), (move + other_move).argmax(1).numpy()

    def save(self, path: Path) -> None:
        """Writes the weights as safetensors."""
        save_file(self.state_dict(), path)

    @classmethod
    def load(cls, path: Path) -> InverseDynamics:
        """Reads weights that `save` wrote.

        Raises:
            FileNotFoundError: if there is no such file.
        """
        if not path.is_file():
            raise FileNotFoundError(f"no inverse-dynamics model at {path}: leave out --reader to train one")
        model = cls()
        model.load_state_dict(load_file(path))
        return model.eval()


def train_reader(lessons: Windows, steps: int, seed: int, batch_size: int = 144) -> InverseDynamics:
    """Trains the reader, each class of each question drawn equally often, half of the windows mirrored.

    Args:
        lessons: labelled windows; both directions and none must occur in turn and in walk.
        steps: optimiser steps.
        seed: of weights, order and noise.
        batch_size: windows in a step.

    Returns:
        The trained model, in evaluation mode.

    Raises:
        ValueError: if a class has no window.
    """
    groups = _groups(lessons)
    turns, moves = torch.from_numpy(lessons.turn), torch.from_numpy(lessons.move)
    # Mirrored, a left turn is a right turn, and a walk stays one.
    turns = torch.stack([turns, torch.where(turns == IGNORED, turns, 2 - turns)], dim=1)
    x = torch.stack([lessons.features, mirrored(lessons.features)], dim=1)  # [N, 2, *FEATURES]
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = InverseDynamics()
        optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.1)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
        each = max(1, batch_size // len(groups))
        for _ in range(steps):
            picked = np.concatenate([rng.choice(group, each) for group in groups])
            side = rng.integers(0, 2, len(picked))
            batch = x[picked, side]
            turn, move = model(batch + 0.02 * torch.randn_like(batch))
            loss = F.cross_entropy(turn, turns[picked, side], ignore_index=IGNORED)
            loss = loss + F.cross_entropy(move, moves[picked], ignore_index=IGNORED)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def _groups(lessons: Windows) -> list[NDArray[np.int64]]:
    """The windows of each class of each question: as many from each group balances the classes."""
    groups = []
    for what, labels, names in (("turning", lessons.turn, TURNS), ("walking", lessons.move, MOVES)):
        for label, name in enumerate(names):
            members = np.flatnonzero(labels == label)
            if len(members) == 0:
                raise ValueError(
                    f"the clips hold no window of {what} '{name}' for the inverse-dynamics model to learn from "
                    f"({len(labels)} windows looked at): record more clips with python -m envs.record"
                )
            groups.append(members)
    return groups
