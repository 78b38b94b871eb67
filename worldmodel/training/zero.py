"""DeepSpeed's ZeRO-2: whole weights in every process; gradients, optimiser and moving average cut into shares.

DeepSpeed is handed the trained parameters alone. It casts them to bf16 where that is the run's precision, keeps an fp32
copy in one flat partition per process and parameter group, and reduces gradients as they are computed.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed
from accelerate import Accelerator
from torch import Tensor, nn

from worldmodel.training.config import PhaseConfig
from worldmodel.training.ema import EMA
from worldmodel.training.optim import build_optimizers, set_learning_rate
from worldmodel.training.snapshot import MOMENTS, Progress, Snapshot, save_shards
from worldmodel.training.stage import Stage


class Zero2:
    """One phase of a world model under ZeRO-2.

    Args:
        stage: its trained parameters become DeepSpeed's; what is frozen stays as it is.
        name: of the phase.
        phase: how, by AdamW.
        accelerator: device, rank and precision.
    """

    def __init__(self, stage: Stage, name: str, phase: PhaseConfig, accelerator: Accelerator) -> None:
        os.environ.setdefault("DS_ACCELERATOR", accelerator.device.type)  # else it takes what the machine has
        import deepspeed
        from deepspeed.utils import logger

        logger.setLevel(logging.WARNING)
        self.accelerator = accelerator
        self.weights = stage.trained(name)
        (optimizer,) = build_optimizers(stage.model, list(self.weights.values()), phase)
        exact = [weight.detach().cpu().clone() for weight in self.weights.values()]
        engine, *_ = deepspeed.initialize(
            model=nn.ParameterList(self.weights.values()),
            optimizer=optimizer,
            config={
                "train_micro_batch_size_per_gpu": phase.batch_size // accelerator.num_processes // phase.accumulation,
                "gradient_accumulation_steps": phase.accumulation,
                "gradient_clipping": phase.clip,
                "bf16": {"enabled": accelerator.mixed_precision == "bf16"},
                "zero_optimization": {"stage": 2},
                "steps_per_print": None,
            },
        )
        self.engine: Any = engine
        self.optimizer: Any = engine.optimizer
        self.flats: list[Tensor] = list(self.optimizer.single_partition_of_fp32_groups)
        self.ema = EMA({str(group): flat for group, flat in enumerate(self.flats)}, phase.ema)
        for value, weight in zip(exact, self.weights.values(), strict=True):  # its copy was made of the bf16 weights
            _keep(value, weight, self.flats)
            _keep(value, weight, list(self.ema.average.values()))

    def loss(self, call: Callable[[], Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        return call()

    def backward(self, loss: Tensor, last: bool) -> None:
        self.engine.set_gradient_accumulation_boundary(last)
        self.engine.backward(loss, scale_wrt_gas=False)

    def step(self, rate: float, step: int) -> Tensor:
        set_learning_rate([self.optimizer], rate)
        self.engine.step()
        self.ema.update(step)
        norm = self.engine.get_global_grad_norm()
        return torch.as_tensor(norm, dtype=torch.float32, device=self.accelerator.device)

    @torch.no_grad()
    def sample(self, call: Callable[[], np.ndarray]) -> np.ndarray | None:
        if self.accelerator.mixed_precision == "bf16":  # the model's other parts are fp32, and a stream does not cast
            return None
        with self.ema.applied():
            self._spread()
            picture = call() if self.accelerator.is_main_process else None
        self._spread()
        return picture

    def save(self, folder: Path, progress: Progress, fingerprint: Mapping[str, object]) -> None:
        tensors: dict[str, Callable[[], Tensor]] = {}
        for kind, flats in self._kinds().items():
            for name, weight in self.weights.items():
                tensors[f"{kind}/{name}"] = partial(gather, weight, flats)
        sizes = {f"{kind}/{name}": weight.numel() for kind in self._kinds() for name, weight in self.weights.items()}
        save_shards(folder, progress, tensors, sizes, fingerprint)

    @torch.no_grad()
    def load(self, snapshot: Snapshot) -> None:
        assert snapshot.shards is not None
        for flat in self.flats:
            step = torch.tensor(float(snapshot.progress.phase_step), device=flat.device)
            moments = {key: torch.zeros_like(flat) for key in MOMENTS}
            self.optimizer.optimizer.state[flat] = {"step": step, **moments}
        for kind, flats in self._kinds().items():
            for name, weight in self.weights.items():
                _keep(snapshot.shards.read(f"{kind}/{name}"), weight, flats)
        self._spread()

    @torch.no_grad()
    def finish(self) -> None:
        with self.ema.applied():
            for weight in self.weights.values():
                whole = gather(weight, self.flats)
                weight.data = whole if self.accelerator.is_main_process else whole.to(weight.dtype)
        self.engine.destroy()

    def _kinds(self) -> dict[str, list[Tensor]]:
        """This process's partitions of all that a snapshot holds, one per parameter group."""
        state = self.optimizer.optimizer.state
        kinds = {"weights": self.flats, "average": list(self.ema.average.values())}
        for key in MOMENTS:
            kinds[key] = [state[flat][key] if key in state[flat] else torch.zeros_like(flat) for flat in self.flats]
        return kinds

    def _spread(self) -> None:
        """Copies the fp32 partitions of all processes into the model's weights."""
        for weight in self.weights.values():
            weight.data.copy_(gather(weight, self.flats))


def gather(weight: Tensor, flats: Sequence[Tensor]) -> Tensor:
    """The whole of what the processes' flat partitions hold for one weight, in its shape, fp32; all must call it."""
    whole = torch.zeros(weight.numel(), device=weight.device)
    if (part := _part(weight)) is not None:
        group, within, along = part
        whole[within] = flats[group][along].detach()
    torch.distributed.all_reduce(whole)
    return whole.view(weight.shape)


@torch.no_grad()
def _keep(whole: Tensor, weight: Tensor, flats: Sequence[Tensor]) -> None:
    """Writes this process's part of a whole weight into its flat partitions."""
    if (part := _part(weight)) is not None:
        group, within, along = part
        flats[group][along].copy_(whole.flatten()[within])


def _part(weight: Any) -> tuple[int, slice, slice] | None:
    """Which part of a weight this process holds: group, where within the weight, where along the group's partition."""
    fragment = weight._hp_mapping
    if fragment is None:
        return None
    within, along = fragment.lp_fragment_address, fragment.hp_fragment_address
    return (
        fragment.param_group_index,
        slice(within.start, within.start + within.numel),
        slice(along.start, along.start + along.numel),
    )
