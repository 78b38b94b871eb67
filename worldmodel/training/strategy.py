"""How the processes of a run share a phase's training: one whole model each, FSDP2, or DeepSpeed's ZeRO-2.

The launcher says which: the files in configs/accelerate/ do. Whatever the strategy, a step's losses are those of one
process alone, up to rounding.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from accelerate import Accelerator
from torch import Tensor

from worldmodel.training.config import PhaseConfig
from worldmodel.training.ema import EMA
from worldmodel.training.optim import Gradients, build_optimizers, set_learning_rate
from worldmodel.training.snapshot import Progress, Snapshot, save_snapshot
from worldmodel.training.stage import Stage
from worldmodel.world import WorldModel

WHOLE, FSDP2, ZERO2 = "one whole model per process", "FSDP2", "DeepSpeed's ZeRO-2"
LAUNCHERS = ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED")  # by which the launcher asks for the other two


class Strategy(Protocol):
    """Owns gradients, optimiser and average of one phase. Every process calls every method, in the same order."""

    def loss(self, call: Callable[[], Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """Runs the stage's loss with the weights it needs at hand."""
        ...

    def backward(self, loss: Tensor, last: bool) -> None:
        """Adds to the gradient; `last` on the last forward pass of a step."""
        ...

    def step(self, rate: float, step: int) -> Tensor:
        """Averages the gradient over the processes, clips it and moves weights and average.

        Args:
            rate: the learning rate.
            step: taken before in the phase.

        Returns:
            The gradient's norm before it was clipped, a scalar on the device.
        """
        ...

    def sample(self, call: Callable[[], np.ndarray]) -> np.ndarray | None:
        """What the averaged weights show, for the main process; None where shared bf16 weights cannot be streamed."""
        ...

    def save(self, folder: Path, progress: Progress, fingerprint: Mapping[str, object]) -> None:
        """Writes a snapshot."""
        ...

    def load(self, snapshot: Snapshot) -> None:
        """Takes over a snapshot of this phase."""
        ...

    def finish(self) -> None:
        """Leaves the averaged weights in the model, whole and in fp32 on the main process; ends the strategy."""
        ...


class Whole:
    """One whole model per process, the gradients averaged: what others call DDP."""

    def __init__(self, stage: Stage, name: str, phase: PhaseConfig, accelerator: Accelerator) -> None:
        weights = stage.trained(name)
        self.stage, self.phase, self.accelerator = stage, phase, accelerator
        self.gradients = Gradients(list(weights.values()))
        self.optimizers = build_optimizers(stage.model, list(weights.values()), phase)
        self.ema = EMA(weights, phase.ema)

    def loss(self, call: Callable[[], Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        return call()

    def backward(self, loss: Tensor, last: bool) -> None:
        loss.backward()

    def step(self, rate: float, step: int) -> Tensor:
        self.gradients.average(self.accelerator.num_processes)
        norm = self.gradients.clip(self.phase.clip)
        set_learning_rate(self.optimizers, rate)
        for optimizer in self.optimizers:
            optimizer.step()
        self.ema.update(step)
        self.gradients.zero()
        return norm

    def sample(self, call: Callable[[], np.ndarray]) -> np.ndarray | None:
        if not self.accelerator.is_main_process:
            return None
        with self.ema.applied():
            return call()

    def save(self, folder: Path, progress: Progress, fingerprint: Mapping[str, object]) -> None:
        if self.accelerator.is_main_process:
            save_snapshot(folder, progress, self.stage.state(), self.ema.average, self.optimizers, fingerprint)

    def load(self, snapshot: Snapshot) -> None:
        """Takes over average and optimisers; the weights are in the model already, frozen phases' too."""
        self.ema.load(snapshot.average)
        for optimizer, state in zip(self.optimizers, snapshot.optimizers, strict=True):
            optimizer.load_state_dict(state)

    def finish(self) -> None:
        self.ema.apply()


def asked_strategy() -> str:
    """The strategy that the launcher was asked for.

    Returns:
        WHOLE, FSDP2 or ZERO2.

    Raises:
        RuntimeError: if it cannot be had, or the launcher's configuration has something that would not take effect.
    """
    fsdp, deepspeed = (_environment(name, "false") == "true" for name in LAUNCHERS)
    wrong = [
        f"{what} ({variable}={_environment(variable, usual[0])}): {instead}"
        for variable, usual, what, instead in _unheeded(fsdp, deepspeed)
        if _environment(variable, usual[0]) not in usual
    ]
    if wrong:
        raise RuntimeError("the launcher's configuration asks for what would not take effect: " + "; ".join(wrong))
    if deepspeed and importlib.util.find_spec("deepspeed") is None:
        raise RuntimeError(
            "the launcher asks for DeepSpeed, and the package is missing: install it by pip install "
            "'worldmodel[deepspeed]', or launch by configs/accelerate/fsdp2.yaml"
        )
    return FSDP2 if fsdp else ZERO2 if deepspeed else WHOLE


def check_strategy(strategy: str, stage: Stage, num_processes: int, compiled: bool) -> None:
    """Refuses what a strategy cannot train.

    Raises:
        ValueError: with what to change.
    """
    if strategy == WHOLE:
        return
    if num_processes < 2:
        raise ValueError(f"{strategy} was asked for with one process: launch by configs/accelerate/one-gpu.yaml")
    if not isinstance(stage.model, WorldModel):
        raise ValueError(
            f"stage={stage.name} is trained with {WHOLE}, got {strategy}: launch by configs/accelerate/ddp.yaml"
        )
    if compiled:
        raise ValueError(f"training.compile=true is for {WHOLE}, got {strategy}: set training.compile=false")
    redraw = stage.model.config.noise.redraw
    if strategy == FSDP2 and redraw not in (0.0, 1.0):
        raise ValueError(
            "FSDP2 needs the same passes through the model in every process, and with model.noise.redraw between 0 and "
            f"1 they differ: got {redraw}, set it to 0 or 1, or launch by configs/accelerate/ddp.yaml"
        )
    for name, phase in stage.phases.items():
        if phase.optimizer != "adamw":
            raise ValueError(
                f"{strategy} trains by AdamW; {phase.optimizer} needs each matrix whole: set "
                f"training.{name}.optimizer=adamw"
            )


def begin(strategy: str, stage: Stage, name: str, phase: PhaseConfig, accelerator: Accelerator) -> Strategy:
    """A phase about to be trained.

    Args:
        strategy: from `asked_strategy`.
        stage: its model on the device, `requires_grad` set to what the phase trains, the same in all processes.
        name: of the phase.
        phase: how.
        accelerator: device, rank and autocast.
    """
    if strategy == FSDP2:
        from worldmodel.training.fsdp import FullySharded

        reshard = _environment("FSDP_RESHARD_AFTER_FORWARD", "true") == "true"
        return FullySharded(stage, name, phase, accelerator, reshard)
    if strategy == ZERO2:
        from worldmodel.training.zero import Zero2

        return Zero2(stage, name, phase, accelerator)
    return Whole(stage, name, phase, accelerator)


def _environment(name: str, usual: str) -> str:
    return os.environ.get(name, usual).lower()


def _unheeded(fsdp: bool, deepspeed: bool) -> list[tuple[str, tuple[Any, ...], str, str]]:
    """The launcher's settings that only one value of can be heeded: variable, good values, name, what to do instead."""
    found: list[tuple[str, tuple[Any, ...], str, str]] = [
        ("ACCELERATE_USE_MEGATRON_LM", ("false",), "Megatron-LM", "choose FSDP2 or DeepSpeed's ZeRO-2"),
        ("ACCELERATE_USE_PARALLELISM_CONFIG", ("false",), "a parallelism_config", "leave it out"),
        ("ACCELERATE_DYNAMO_BACKEND", ("no",), "torch.compile", "set training.compile=true instead"),
    ]
    if fsdp:
        found += [
            ("FSDP_VERSION", ("2",), "FSDP of version 1", "set fsdp_version: 2"),
            ("FSDP_RESHARD_AFTER_FORWARD", ("true", "false"), "a strategy of FSDP 1", "set it to true or false"),
            ("FSDP_OFFLOAD_PARAMS", ("false",), "weights kept on the CPU", "set fsdp_offload_params: false"),
            (
                "FSDP_AUTO_WRAP_POLICY",
                ("transformer_based_wrap",),
                "another division",
                "the model is divided by its layers; set fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP",
            ),
            (
                "FSDP_ACTIVATION_CHECKPOINTING",
                ("false",),
                "activation checkpointing",
                "set model.backbone.gradient_checkpointing=true instead",
            ),
        ]
    if deepspeed:
        none = ("none",)
        found += [
            ("ACCELERATE_DEEPSPEED_ZERO_STAGE", ("2",), "another stage of ZeRO", "set zero_stage: 2"),
            ("ACCELERATE_DEEPSPEED_CONFIG_FILE", none, "a file of DeepSpeed's own", "leave deepspeed_config_file out"),
            ("ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE", none, "offloading", "set offload_optimizer_device: none"),
            ("ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE", none, "offloading", "set offload_param_device: none"),
            ("ACCELERATE_GRADIENT_CLIPPING", none, "clipping", "set training.PHASE.clip instead"),
            (
                "ACCELERATE_GRADIENT_ACCUMULATION_STEPS",
                ("1",),
                "accumulation",
                "set training.PHASE.accumulation instead",
            ),
        ]
    return found
