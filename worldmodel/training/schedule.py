"""When a phase ends, which phases there are to train, and the learning rate on the way."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from worldmodel.training.config import PhaseConfig

if TYPE_CHECKING:
    from worldmodel.data.clips import ClipSet

WARMUP_SHARE = 0.05  # of a phase, at most


def learning_rate(step: int, progress: float, config: PhaseConfig) -> float:
    """The rate of a step: linear warm-up, then a cosine from lr to final_lr * lr.

    Args:
        step: steps taken.
        progress: of the phase, 0 to 1.
        config: the phase.

    Returns:
        The rate.
    """
    warmup = max((step + 1) / max(config.warmup_steps, 1), progress / WARMUP_SHARE)
    cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return config.lr * min(warmup, 1.0) * (config.final_lr + (1 - config.final_lr) * cosine)


def in_steps(phase: PhaseConfig, clips: ClipSet) -> PhaseConfig:
    """A phase whose `epochs` are turned into `steps`: an epoch is as many windows as hold every frame once."""
    if phase.epochs is None:
        return phase
    frames = sum(clips.num_frames(index) for index in range(len(clips)))
    steps = math.ceil(phase.epochs * frames / (phase.frames * phase.batch_size))
    return replace(phase, epochs=None, steps=steps)


def done(phase: PhaseConfig, step: int, elapsed: float, seconds: float | None) -> float:
    """How far a phase has come, by steps or by time, whichever is further; 1 is its end."""
    by_steps = step / phase.steps if phase.steps else 0.0
    return max(by_steps, elapsed / seconds if seconds else 0.0)


def wanted(phases: Mapping[str, PhaseConfig], max_minutes: float | None) -> dict[str, PhaseConfig]:
    """The phases that are given steps, and a share of the time where time is the bound.

    Raises:
        ValueError: if there are none.
    """
    timed = max_minutes is not None
    chosen = {name: phase for name, phase in phases.items() if phase.steps != 0 and (phase.share > 0 or not timed)}
    if not chosen or (max_minutes is not None and max_minutes <= 0):
        raise ValueError(
            f"there is nothing to train: max_minutes is {max_minutes}, steps and share of the phases are "
            + ", ".join(f"{name}: {phase.steps}, {phase.share}" for name, phase in phases.items())
        )
    return chosen


def shares(phases: Mapping[str, PhaseConfig], max_minutes: float | None) -> dict[str, float]:
    """Seconds of each phase; empty without max_minutes.

    Raises:
        ValueError: if a phase would never end.
    """
    if max_minutes is None:
        for name, phase in phases.items():
            if phase.steps is None:
                raise ValueError(
                    f"nothing ends phase {name}: set max_minutes=N, training.{name}.steps=N or training.{name}.epochs=N"
                )
        return {}
    total = sum(phase.share for phase in phases.values())
    return {name: 60 * max_minutes * phase.share / total for name, phase in phases.items()}


def check_batch(name: str, phase: PhaseConfig, num_processes: int) -> None:
    parts = phase.accumulation * num_processes
    if phase.batch_size % parts:
        raise ValueError(
            f"training.{name}.batch_size must be a multiple of {parts} ({num_processes} processes x "
            f"{phase.accumulation} forward passes each), got {phase.batch_size}: set it to "
            f"{math.ceil(phase.batch_size / parts) * parts}"
        )
