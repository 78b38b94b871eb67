"""The optimisers, and the gradients in one flat buffer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed
from torch import Tensor, nn

from worldmodel.training.config import PhaseConfig
from worldmodel.training.muon import Muon

SMALLEST_MATRIX = 16  # a smaller side means pixels, keys or scalars: no hidden matrix


class Gradients:
    """The gradients of some parameters as views of one buffer: zeroed, averaged and measured in one call each.

    A parameter that no loss reached has a gradient of zero, in one process as in many.

    Args:
        parameters: on their final device; each gets its `grad` here.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        count = sum(p.numel() for p in parameters)
        self.buffer = torch.zeros(count, dtype=torch.float32, device=parameters[0].device)
        for parameter, view in zip(parameters, self.buffer.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = view.view_as(parameter)

    def zero(self) -> None:
        self.buffer.zero_()

    def average(self, num_processes: int) -> None:
        """Averages over the processes; does nothing with one."""
        if num_processes > 1:
            torch.distributed.all_reduce(self.buffer)
            self.buffer /= num_processes

    def clip(self, largest: float) -> Tensor:
        """Scales the whole gradient to a norm of `largest` at most; returns the norm before, a scalar on the device."""
        norm = self.buffer.norm()
        self.buffer *= (largest / (norm + 1e-6)).clamp(max=1.0)
        return norm


def is_matrix(module: nn.Module, parameter: nn.Parameter) -> bool:
    """Whether a module's parameter is a hidden matrix, to be trained by Muon: a linear map or a dense convolution."""
    dense = isinstance(module, nn.Linear) or (
        isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)) and module.groups == 1
    )
    return dense and parameter.ndim >= 2 and min(parameter.flatten(1).shape) >= SMALLEST_MATRIX


def build_optimizers(
    model: nn.Module, parameters: Sequence[nn.Parameter], config: PhaseConfig
) -> list[torch.optim.Optimizer]:
    """One or two optimisers over the trained parameters, whose gradients exist already (see `Gradients`).

    Args:
        model: owns the parameters; its module types tell matrices from the rest.
        parameters: what is trained.
        config: which optimiser, and its rates.

    Returns:
        [AdamW], or [Muon, AdamW] (Jordan et al. 2024, scaled as in Liu et al. 2025, section 2.2). Convolutions go to
        Muon as [out, in * kernel] views that share storage with the parameter and with its gradient.
    """
    trained = {id(p) for p in parameters}
    matrices: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            if id(parameter) in trained and is_matrix(module, parameter):
                matrices[id(parameter)] = parameter
    rest = [p for p in parameters if id(p) not in matrices]
    optimizers: list[torch.optim.Optimizer] = []
    groups = [{"params": rest, "weight_decay": 0.0}]
    if config.optimizer == "adamw":
        groups.append({"params": list(matrices.values()), "weight_decay": config.weight_decay})
    elif matrices:
        views = []
        for parameter in matrices.values():
            view = nn.Parameter(parameter.detach().view(parameter.shape[0], -1))
            assert parameter.grad is not None
            view.grad = parameter.grad.view(parameter.shape[0], -1)
            views.append(view)
        optimizers.append(Muon(views, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay))
    groups = [group for group in groups if group["params"]]
    if groups:
        betas = (config.betas[0], config.betas[1])
        optimizers.append(torch.optim.AdamW(groups, lr=config.lr, betas=betas, fused=True))
    return optimizers


def set_learning_rate(optimizers: Sequence[torch.optim.Optimizer], rate: float) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
