"""The moving average of the trained weights: what is sampled from and exported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


class EMA:
    """An exponential moving average of named tensors.

    Args:
        weights: name to parameter; averaged on their device, in their dtype.
        decay: the final decay. Early on it is (1 + n) / (10 + n) after n updates, so that the first weights are
            forgotten.
    """

    def __init__(self, weights: Mapping[str, Tensor], decay: float) -> None:
        self.weights = dict(weights)
        self.decay = decay
        self.average = {name: weight.detach().clone() for name, weight in self.weights.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Takes the weights in, after step number `step` (counted from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.average.values()), list(self.weights.values()), 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within this context the model holds the averaged weights."""
        raw = {name: weight.detach().clone() for name, weight in self.weights.items()}
        self.apply()
        try:
            yield
        finally:
            _copy(raw, self.weights)

    def apply(self) -> None:
        """Leaves the averaged weights in the model."""
        _copy(self.average, self.weights)

    def load(self, average: Mapping[str, Tensor]) -> None:
        """Takes over a saved average."""
        _copy(average, self.average)


@torch.no_grad()
def _copy(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    for name, tensor in target.items():
        tensor.copy_(source[name])
