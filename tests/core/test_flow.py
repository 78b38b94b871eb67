"""Guidance, as a pure function of velocities."""

from __future__ import annotations

import pytest
import torch

from worldmodel.flow import FlowConfig, guided_velocity


def points() -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    x, seen, null = torch.randn(3, 2, 16, 8, generator=generator)
    return x, torch.tensor([1.0, 0.25]), seen, null


def test_plain_guidance_goes_from_null_through_seen_and_on() -> None:
    x, timestep, seen, null = points()
    torch.testing.assert_close(guided_velocity(x, timestep, seen, null, 3.0), null + 3 * (seen - null))
    assert torch.equal(guided_velocity(x, timestep, seen, null, 1.0), seen)
    torch.testing.assert_close(guided_velocity(x, timestep, seen, null, 0.0), null)


def test_projected_guidance_adds_nothing_along_the_prediction() -> None:
    x, timestep, seen, null = points()
    t = timestep[:, None, None]
    data = x - t * seen
    added = x - t * guided_velocity(x, timestep, seen, null, 3.0, parallel=0.0) - data
    plain = x - t * guided_velocity(x, timestep, seen, null, 3.0) - data
    assert (plain * data).sum((1, 2)).abs().min() > 0.1
    assert (added * data).sum((1, 2)).abs().max() < 1e-3
    along = ((plain * data).sum((1, 2)) / data.square().sum((1, 2)))[:, None, None] * data
    torch.testing.assert_close(added, plain - along)
    half = x - t * guided_velocity(x, timestep, seen, null, 3.0, parallel=0.5) - data
    torch.testing.assert_close(half, plain - along / 2)


@pytest.mark.parametrize("parallel", [-0.1, 1.1, float("nan")])
def test_a_share_beyond_its_range_is_refused(parallel: float) -> None:
    with pytest.raises(ValueError, match=r"guidance_parallel must be in \[0, 1\]"):
        FlowConfig(guidance_parallel=parallel)


def test_a_scale_of_each_row_is_that_of_a_row_alone() -> None:
    x, timestep, seen, null = points()
    both = guided_velocity(x, timestep, seen, null, torch.tensor([1.0, 3.0]).view(2, 1, 1), parallel=0.5)
    assert torch.equal(both[0], seen[0])
    torch.testing.assert_close(both, torch.stack([seen[0], guided_velocity(x, timestep, seen, null, 3.0, 0.5)[1]]))
