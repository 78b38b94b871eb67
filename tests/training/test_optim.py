"""Gradients, optimisers, schedule and moving average, each on a model of a few numbers."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from tests.tiny import tiny_world
from worldmodel.training.config import PhaseConfig
from worldmodel.training.ema import EMA
from worldmodel.training.loop import train_mode
from worldmodel.training.optim import Gradients, build_optimizers, set_learning_rate
from worldmodel.training.schedule import check_batch, done, learning_rate, shares, wanted


def build(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(16, 24, 3), nn.Flatten(), nn.Linear(24, 32), nn.LayerNorm(32), nn.Linear(32, 3))


def backward(model: nn.Module) -> None:
    torch.manual_seed(1)
    model(torch.randn(4, 16, 3, 3)).square().mean().backward()


def test_gradients_are_what_backward_gives() -> None:
    model, plain = build(), build()
    gradients = Gradients(list(model.parameters()))
    for _ in range(2):
        gradients.zero()
        backward(model)
    backward(plain)
    norm = nn.utils.clip_grad_norm_(plain.parameters(), 0.01)
    assert torch.allclose(gradients.clip(0.01), norm)
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        assert ours.grad is not None and theirs.grad is not None
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-7)


def test_a_small_gradient_is_not_scaled_up() -> None:
    model = build()
    gradients = Gradients(list(model.parameters()))
    backward(model)
    before = gradients.buffer.clone()
    gradients.clip(1e6)
    assert torch.equal(gradients.buffer, before)


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_one_step_moves_every_parameter_once(optimizer: str) -> None:
    model = build()
    before = copy.deepcopy(list(model.parameters()))
    gradients = Gradients(list(model.parameters()))
    optimizers = build_optimizers(
        model, list(model.parameters()), PhaseConfig(optimizer=optimizer, lr=0.01, weight_decay=0.0)
    )
    set_learning_rate(optimizers, 0.002)
    backward(model)
    for one in optimizers:
        one.step()
    assert gradients.buffer.any()
    for old, new in zip(before, model.parameters(), strict=True):
        moved = (new - old).detach()
        assert moved.any()
        # AdamW's first step is of size lr wherever there is a gradient; Muon's is scaled to a root mean square of
        # 0.2 lr, and a step taken twice, by both, would show here.
        assert moved.abs().max() <= 0.00201 or moved.square().mean().sqrt() < 0.002 * 0.25


def test_muon_takes_matrices_and_convolutions_only() -> None:
    model = build()
    Gradients(list(model.parameters()))
    muon, adamw = build_optimizers(model, list(model.parameters()), PhaseConfig(optimizer="muon"))
    assert sorted(p.shape for group in muon.param_groups for p in group["params"]) == [(24, 144), (32, 24)]
    # biases, the norm, and the last matrix, whose side of 3 is pixels
    assert sum(p.numel() for group in adamw.param_groups for p in group["params"]) == 24 + 32 + 32 + 32 + 32 * 3 + 3


def test_batch_norms_keep_their_statistics() -> None:
    """So that frames of a batch do not see each other, and frozen public weights stay what they are."""
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5))
    before = copy.deepcopy(model.state_dict())
    train_mode(model)
    assert model.training and model[2].training
    x = torch.randn(5, 3, 2, 2)
    torch.testing.assert_close(model[:2](x)[:1], model[:2](x[:1]))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_frozen_parameters_stay() -> None:
    world = tiny_world()
    parameters = list(world.dynamics_parameters())
    frozen = [p.detach().clone() for p in world.autoencoder.parameters()]
    Gradients(parameters).buffer.fill_(0.1)
    for optimizer in build_optimizers(world, parameters, PhaseConfig()):
        optimizer.step()
    for before, now in zip(frozen, world.autoencoder.parameters(), strict=True):
        assert torch.equal(before, now)


def test_the_rate_rises_then_falls_to_its_end() -> None:
    phase = PhaseConfig(lr=2.0, warmup_steps=10, final_lr=0.1)
    rates = [learning_rate(step, step / 1000, phase) for step in range(1001)]
    assert rates[0] == pytest.approx(0.2, rel=1e-4)
    assert rates[9] == pytest.approx(2.0, rel=1e-3)
    assert all(a >= b for a, b in zip(rates[10:], rates[11:], strict=False))
    assert rates[500] == pytest.approx(1.1, rel=1e-2) and rates[-1] == pytest.approx(0.2)


def test_a_short_run_warms_up_too() -> None:
    phase = PhaseConfig(lr=1.0, warmup_steps=1000)
    assert learning_rate(3, 0.06, phase) > 0.95


def test_a_phase_ends_by_steps_or_by_time() -> None:
    phase = PhaseConfig(steps=100)
    assert done(phase, 25, 30.0, None) == 0.25
    assert done(phase, 25, 30.0, 60.0) == 0.5
    assert done(PhaseConfig(), 25, 90.0, 60.0) > 1


def test_time_is_shared_among_the_phases_that_run() -> None:
    phases = {"a": PhaseConfig(share=3.0), "b": PhaseConfig(share=1.0), "c": PhaseConfig(steps=0)}
    chosen = wanted(phases, 8.0)
    assert list(chosen) == ["a", "b"]
    assert shares(chosen, 8.0) == {"a": 360.0, "b": 120.0}


def test_a_run_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing ends phase a: set max_minutes=N"):
        shares({"a": PhaseConfig()}, None)
    with pytest.raises(ValueError, match="nothing to train"):
        wanted({"a": PhaseConfig(steps=0)}, None)


def test_an_uneven_batch_is_refused_with_the_number_that_works() -> None:
    with pytest.raises(ValueError, match="training.a.batch_size must be a multiple of 4 .* got 10: set it to 12"):
        check_batch("a", PhaseConfig(batch_size=10, accumulation=2), 2)


def test_the_average_follows_and_gives_the_weights_back() -> None:
    weight = nn.Parameter(torch.zeros(3))
    ema = EMA({"weight": weight}, decay=0.5)
    with torch.no_grad():
        weight.fill_(1.0)
    ema.update(step=0)  # decay 1 / 10
    assert torch.allclose(ema.average["weight"], torch.full((3,), 0.9))
    ema.update(step=1000)  # decay 0.5
    with ema.applied():
        assert torch.allclose(weight, torch.full((3,), 0.95))
    assert torch.equal(weight, torch.ones(3))
    ema.apply()
    assert torch.allclose(weight, torch.full((3,), 0.95))
