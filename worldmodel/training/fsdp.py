"""FSDP2: weights, gradients, optimiser and moving average cut into equal shares, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MethodType
from typing import Any, TypeVar, cast

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from worldmodel.training.config import PhaseConfig
from worldmodel.training.ema import EMA
from worldmodel.training.optim import build_optimizers, set_learning_rate
from worldmodel.training.snapshot import MOMENTS, Progress, Snapshot, save_shards
from worldmodel.training.stage import Stage
from worldmodel.world import WorldModel

T = TypeVar("T")
KINDS = ("weights", "average", *MOMENTS)  # of tensors in a snapshot


class FullySharded:
    """One phase of a world model, each process holding its share of every weight.

    A layer of the backbone or block of the head is gathered whole while it computes, in bf16 where that is the run's
    precision; gradients are reduced in fp32, and the shares are fp32. All that is small or used all the time
    (embedding, conditions, the head's ends) is gathered once a step, in fp32. What is frozen stays whole everywhere.

    Args:
        stage: its model is sharded in place.
        name: of the phase.
        phase: how, by AdamW.
        accelerator: device, rank and precision.
        reshard: drop a gathered layer after the forward pass; keeping it saves communication and costs memory.
    """

    def __init__(
        self, stage: Stage, name: str, phase: PhaseConfig, accelerator: Accelerator, reshard: bool = True
    ) -> None:
        model = stage.model
        assert isinstance(model, WorldModel)
        self.phase, self.accelerator = phase, accelerator
        trained = {id(p) for p in stage.trained(name).values()}
        frozen = {p for p in model.parameters() if id(p) not in trained}
        mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
        low = torch.bfloat16 if accelerator.mixed_precision == "bf16" else None
        # Inputs are left as they are: autocast, which surrounds the loss, casts what each operation wants.
        layer_policy = MixedPrecisionPolicy(param_dtype=low, reduce_dtype=torch.float32, cast_forward_inputs=False)
        for layer in layers(model):
            fully_shard(layer, mesh=mesh, mp_policy=layer_policy, reshard_after_forward=reshard, ignored_params=frozen)
        fully_shard(model, mesh=mesh, mp_policy=MixedPrecisionPolicy(cast_forward_inputs=False), ignored_params=frozen)
        # Weights are gathered around methods of the model: this one runs anything.
        self.model = cast(Any, model)
        self.model.gathered = MethodType(_call, model)
        register_fsdp_forward_method(self.model, "gathered")

        self.weights: dict[str, Any] = dict(stage.trained(name))
        self.optimizer = build_optimizers(model, list(self.weights.values()), phase)[0]
        self.ema = EMA({name: weight.detach().to_local() for name, weight in self.weights.items()}, phase.ema)

    def loss(self, call: Callable[[], Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        return self.model.gathered(call)

    def backward(self, loss: Tensor, last: bool) -> None:
        loss.backward()

    def step(self, rate: float, step: int) -> Tensor:
        for weight in self.weights.values():
            if weight.grad is None:  # no loss reached it
                weight.grad = torch.zeros_like(weight)
        norm: Any = nn.utils.get_total_norm([weight.grad for weight in self.weights.values()])
        norm = norm.full_tensor()
        scale = (self.phase.clip / (norm + 1e-6)).clamp(max=1.0)
        torch._foreach_mul_([weight.grad.to_local() for weight in self.weights.values()], scale)
        set_learning_rate([self.optimizer], rate)
        self.optimizer.step()
        self.ema.update(step)
        self.optimizer.zero_grad()
        return norm

    @torch.no_grad()
    def sample(self, call: Callable[[], np.ndarray]) -> np.ndarray | None:
        """Every process computes the same picture, so that layers can be gathered on the way."""
        if self.accelerator.mixed_precision == "bf16":  # a stream's caches are of the weights' own precision, fp32
            return None
        with self.ema.applied():
            picture = self.model.gathered(call)
            self.model.reshard()
        return picture

    def save(self, folder: Path, progress: Progress, fingerprint: Mapping[str, object]) -> None:
        tensors: dict[str, Callable[[], Tensor]] = {}
        for name, weight in self.weights.items():
            average = DTensor.from_local(
                self.ema.average[name],
                weight.device_mesh,
                weight.placements,
                shape=weight.shape,
                stride=weight.stride(),
            )
            state = self.optimizer.state[weight]
            moments = {key: state.get(key, torch.zeros_like(weight)) for key in MOMENTS}
            for kind, tensor in {"weights": weight.detach(), "average": average, **moments}.items():
                tensors[f"{kind}/{name}"] = tensor.full_tensor
        sizes = {f"{kind}/{name}": weight.numel() for kind in KINDS for name, weight in self.weights.items()}
        save_shards(folder, progress, tensors, sizes, fingerprint)

    @torch.no_grad()
    def load(self, snapshot: Snapshot) -> None:
        shards = snapshot.shards
        assert shards is not None
        for name, weight in self.weights.items():
            state = self.optimizer.state[weight]
            state["step"] = torch.tensor(float(snapshot.progress.phase_step), device=weight.device)
            state.update({key: torch.zeros_like(weight) for key in MOMENTS})
            own = {"weights": weight, "average": self.ema.average[name], **{key: state[key] for key in MOMENTS}}
            for kind, tensor in own.items():
                local = tensor.to_local() if isinstance(tensor, DTensor) else tensor
                local.copy_(shards.read(f"{kind}/{name}", _rows(weight)))

    @torch.no_grad()
    def finish(self) -> None:
        self.ema.apply()
        for name, weight in self.weights.items():
            whole = weight.full_tensor()
            if self.accelerator.is_main_process:
                parent, _, leaf = name.rpartition(".")
                setattr(self.model.get_submodule(parent), leaf, nn.Parameter(whole.cpu()))


def layers(model: WorldModel) -> list[nn.Module]:
    """The modules that are gathered one after another."""
    return [*model.backbone.model.layers, *model.head.blocks]


def _call(_: nn.Module, function: Callable[[], T]) -> T:
    return function()


def _rows(weight: DTensor) -> slice:
    """This process's share of a weight: the rows are cut into chunks of one size, the last ones smaller or empty."""
    mesh = weight.device_mesh
    chunk = -(-weight.shape[0] // mesh.size())
    start = min(mesh.get_local_rank() * chunk, weight.shape[0])
    return slice(start, min(start + chunk, weight.shape[0]))
