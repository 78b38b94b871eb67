"""Muon as torch has it, matrices of one shape orthogonalised together, in the precision that the device is fast with.

Shapes: n matrices of one shape, R rows, S columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from worldmodel.training.bf16 import cpu_is_faster_with_bf16


class Muon(torch.optim.Muon):
    """`torch.optim.Muon` scaled to AdamW's updates (`match_rms_adamw`): the same state, and the same but for rounding.

    torch's takes one matrix after another, always in bfloat16, which on some CPUs takes twice as long as float32.

    Args:
        parameters: matrices.
        settings: the other arguments of torch's.
    """

    def __init__(self, parameters: Iterable[Tensor], **settings: Any) -> None:
        super().__init__(parameters, adjust_lr_fn="match_rms_adamw", **settings)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Takes a step along the gradients of all parameters that have one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            alike: dict[tuple[torch.Size, torch.device], list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike.setdefault((parameter.shape, parameter.device), []).append(parameter)
            for parameters in alike.values():
                self._step(parameters, group)
        return loss

    def _step(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        updates = []
        for parameter in parameters:
            gradient, state = parameter.grad, self.state[parameter]
            assert gradient is not None
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(gradient)
            momentum = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
            updates.append(gradient.lerp(momentum, group["momentum"]) if group["nesterov"] else momentum)
        directions = orthogonalize(torch.stack(updates), group["ns_coefficients"], group["ns_steps"], group["eps"])
        rows, columns = parameters[0].shape
        rate = group["lr"] * 0.2 * max(rows, columns) ** 0.5  # to the size of AdamW's (Liu et al. 2025, section 2.2)
        for parameter, direction in zip(parameters, directions, strict=True):
            parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-rate)


def orthogonalize(matrices: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """Brings all singular values near 1 by a quintic Newton-Schulz iteration (Jordan et al. 2024).

    Args:
        matrices: [n, R, S].
        coefficients: of the quintic.
        steps: of the iteration.
        eps: smallest norm that is divided by.

    Returns:
        [n, R, S] in bfloat16, or float32 on a CPU that is not faster with bfloat16.
    """
    narrow = matrices.device.type != "cpu" or cpu_is_faster_with_bf16()
    x = matrices.to(torch.bfloat16 if narrow else torch.float32)
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    x = x / x.flatten(1).norm(dim=1).clamp(min=eps)[:, None, None]
    linear, cubic, quintic = coefficients
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=cubic, alpha=quintic), x, beta=linear)
    return x.mT if tall else x
