"""Flow matching as pure functions: the path, the timesteps, the solver.

    x(t) = (1 - t) data + t noise,   velocity = dx/dt = noise - data,   t in [0, 1]          (MIDAS, section 3.4)

Shapes: B batch; "..." any trailing shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Generator, Tensor

Generators = Generator | Sequence[Generator] | None


@dataclass
class FlowConfig:
    """Timesteps in training and solver steps in generation."""

    num_steps: int = 4  # solver steps per frame
    # 1: Euler's method, as in the paper. 2: that of Adams and Bashforth, which also looks at the step before, at no
    # more work: few steps of Euler's end short of the data's spread, frame after frame, and what is lost looks soft.
    order: int = 1
    shift: float = 1.0  # below 1, steps crowd towards the data, where detail is decided (`solver_timesteps`)
    temperature: float = 1.0  # spread of the noise that generation begins at; below 1, frames differ less by chance
    guidance: float = 1.0  # in generation; 1 follows the conditions as learned, more exaggerates them
    guidance_until: float = 0.0  # timestep down to which it acts: early steps lay out, late ones only over-sharpen
    # Share kept of what guidance adds along the prediction itself, which heightens contrast and colour frame by frame;
    # 1 is plain guidance, 0 projected guidance.
    guidance_parallel: float = 1.0
    timestep_mean: float = 0.0  # of the logit-normal that timesteps are drawn from (Esser et al. 2024, section 3.1)
    timestep_std: float = 1.0
    draws: int = 4  # timesteps drawn per backbone pass

    def __post_init__(self) -> None:
        if self.num_steps < 1 or self.draws < 1:
            raise ValueError(f"flow.num_steps and flow.draws must be 1 or more, got {self.num_steps} and {self.draws}")
        if self.order not in (1, 2):
            raise ValueError(f"flow.order must be 1 (Euler) or 2 (Adams-Bashforth), got {self.order}")
        if not (math.isfinite(self.shift) and self.shift > 0):
            raise ValueError(f"flow.shift must be a number above 0, got {self.shift}")
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ValueError(f"flow.temperature must be a number of 0 or more, got {self.temperature}")
        if not math.isfinite(self.guidance):
            raise ValueError(f"flow.guidance must be a finite number, got {self.guidance}")
        if not 0 <= self.guidance_until <= 1:
            raise ValueError(f"flow.guidance_until must be a timestep in [0, 1], got {self.guidance_until}")
        if not 0 <= self.guidance_parallel <= 1:
            raise ValueError(f"flow.guidance_parallel must be in [0, 1], got {self.guidance_parallel}")


def draw_normal(shape: Sequence[int], generator: Generators, like: Tensor) -> Tensor:
    """Standard normal noise of a shape whose first axis is the batch.

    Args:
        shape: (B, ...).
        generator: one for all, or one per row, so that a row's noise does not depend on the batch it is in.
        like: gives dtype and device.

    Returns:
        [B, ...] noise.
    """
    return _draw(torch.randn, shape, generator, like)


def draw_uniform(shape: Sequence[int], generator: Generators, like: Tensor) -> Tensor:
    """Uniform noise in [0, 1), as `draw_normal`."""
    return _draw(torch.rand, shape, generator, like)


def _draw(function: Callable[..., Tensor], shape: Sequence[int], generator: Generators, like: Tensor) -> Tensor:
    def one(shape: Sequence[int], generator: Generator | None) -> Tensor:
        device = generator.device if generator is not None else like.device
        return function(tuple(shape), generator=generator, device=device, dtype=torch.float32)

    if generator is None or isinstance(generator, Generator):
        drawn = one(shape, generator)
    else:
        if len(generator) != shape[0]:
            raise ValueError(f"one generator per row: expected {shape[0]}, got {len(generator)}")
        drawn = torch.stack([one(shape[1:], row) for row in generator])
    return drawn.to(like.device, like.dtype)


def sample_timesteps(shape: Sequence[int], config: FlowConfig, generator: Generators, like: Tensor) -> Tensor:
    """Draws timesteps in (0, 1) from a logit-normal: [B, ...]."""
    return torch.sigmoid(config.timestep_mean + config.timestep_std * draw_normal(shape, generator, like))


def interpolate(data: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
    """The point x(t) on the path. `timestep` broadcasts against data [...]."""
    return (1 - timestep) * data + timestep * noise


def velocity(data: Tensor, noise: Tensor) -> Tensor:
    """The path's velocity, constant in t: noise - data, [...]."""
    return noise - data


def guided_velocity(
    x: Tensor, timestep: Tensor, seen: Tensor, null: Tensor, scale: float | Tensor, parallel: float = 1.0
) -> Tensor:
    """The velocity that follows the conditions more than either was told to.

    Plain guidance (Ho & Salimans 2022) adds `scale - 1` times the difference that the conditions make. What of it lies
    along the predicted data only makes that stronger, and in a stream stronger again with every frame; projected
    guidance (Sadat et al. 2024, section 4) leaves `parallel` of it.

    Args:
        x: [B, ...] points on the path.
        timestep: [B] of theirs.
        seen: [B, ...] velocities under the conditions.
        null: [B, ...] velocities without them.
        scale: 1 follows the conditions as learned; one for all, or [B, ...] that broadcasts.
        parallel: in [0, 1].

    Returns:
        [B, ...] velocities.
    """
    change = seen - null
    if parallel != 1:
        timestep = timestep.view(-1, *[1] * (x.ndim - 1)).to(x.dtype)
        data, axes = x - timestep * seen, tuple(range(1, x.ndim))
        along = (change * data).sum(axes, keepdim=True) / data.square().sum(axes, keepdim=True).clamp_min(1e-12)
        change = change - (1 - parallel) * along * data
    return seen + (scale - 1) * change


def timestep_features(timestep: Tensor, width: int) -> Tensor:
    """Sinusoidal features of timesteps (Vaswani et al. 2017, section 3.5, on 1000 t as DiT does).

    Args:
        timestep: [...] in [0, 1].
        width: even.

    Returns:
        [..., width] float32.
    """
    frequency = torch.exp(-math.log(10_000) * torch.arange(width // 2, device=timestep.device) / (width // 2))
    angle = 1000 * timestep.float()[..., None] * frequency
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


def solver_timesteps(num_steps: int, shift: float = 1.0) -> Tensor:
    """Where a solver stops on its way from noise to data: [K + 1] float32, from 1 to 0.

    linspace(1, 0, K + 1), shifted: t to shift t / (1 + (shift - 1) t) (Esser et al. 2024, equation 23).
    """
    t = torch.linspace(1, 0, num_steps + 1)
    return t if shift == 1 else shift * t / (1 + (shift - 1) * t)


def solve(
    field: Callable[[Tensor, Tensor], Tensor],
    noise: Tensor,
    num_steps: int,
    begin: Tensor | float = 1.0,
    order: int = 1,
    shift: float = 1.0,
) -> Tensor:
    """Integrates a velocity field to data (t = 0) over `solver_timesteps`.

    Args:
        field: (x [B, ...], timestep [B]) to velocity [B, ...]; called once a step.
        noise: [B, ...] where the path begins: noise, or `interpolate` of data and noise.
        num_steps: K.
        begin: timestep of that point, 1 for noise; or [B], one for each row. All timesteps are multiplied by it.
        order: 1, Euler's method; 2, Adams and Bashforth's, whose first step is Euler's.
        shift: of the timesteps.

    Returns:
        [B, ...] data.
    """
    x = noise
    if not isinstance(begin, Tensor):
        begin = torch.full((x.shape[0],), begin, device=x.device)
    scale = begin.to(x.dtype).view(-1, *[1] * (x.ndim - 1))
    timesteps = solver_timesteps(num_steps, shift).tolist()
    before: Tensor | None = None
    width_before = 1.0
    for t, after in pairwise(timesteps):
        seen, width = field(x, begin * t).to(x.dtype), t - after
        step = seen
        if order == 2 and before is not None:  # the velocity half a step on, from this one and the last
            step = seen + width / (2 * width_before) * (seen - before)
        x = x - width * scale * step
        before, width_before = seen, width
    return x
