"""Our Muon against torch's, one matrix at a time."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from worldmodel.training import muon as module
from worldmodel.training.muon import Muon

SHAPES = [(24, 40), (40, 24), (24, 40), (32, 32)]


@pytest.mark.parametrize(("narrow", "tolerance"), [(True, 0.02), (False, 0.02)])
def test_steps_are_those_of_torch(narrow: bool, tolerance: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tall, wide and square ones, over several steps with momentum and decay, in either precision."""
    monkeypatch.setattr(module, "cpu_is_faster_with_bf16", lambda: narrow)
    generator = torch.Generator().manual_seed(0)
    ours = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]
    theirs = copy.deepcopy(ours)
    begun = [parameter.detach().clone() for parameter in ours]
    settings = {"lr": 0.05, "weight_decay": 0.1, "momentum": 0.9}
    optimizers = Muon(ours, **settings), torch.optim.Muon(theirs, adjust_lr_fn="match_rms_adamw", **settings)
    for _ in range(4):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn(mine.shape, generator=generator)
            other.grad = mine.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for mine, other, before in zip(ours, theirs, begun, strict=True):
        assert (mine - other).norm() < tolerance * (other - before).norm()  # torch's rounds to bfloat16
    states = [optimizer.state_dict() for optimizer in optimizers]
    assert states[0]["param_groups"] == states[1]["param_groups"]
    for index in range(len(SHAPES)):
        buffers = [state["state"][index]["momentum_buffer"] for state in states]
        torch.testing.assert_close(*buffers)


def test_a_parameter_without_gradient_stays() -> None:
    moved, still = (nn.Parameter(torch.ones(16, 16)) for _ in range(2))
    moved.grad = torch.eye(16)
    Muon([moved, still], lr=0.1).step()
    assert (still == 1).all() and not (moved == 1).all()
