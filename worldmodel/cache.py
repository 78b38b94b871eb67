"""The window of a stream's keys and values: a static ring, written in place, one row a stream.

Shapes: B streams, Q tokens of a step, P slots (sinks, then W chunks), E head width.
"""

from __future__ import annotations

import torch
from torch import Tensor


class StreamCache:
    """Keys (before rotation) and values of the sinks and the last W chunks of B streams.

    It answers the one call that a transformers model makes of a cache, `update`. Where the tokens of a step go is set
    beforehand in `slots`, by `Layout.stream_geometry`.

    Args:
        num_layers: layers of the backbone.
        shape: (B, key heads, P, E).
        dtype: of keys and values.
        device: of everything here.
    """

    def __init__(
        self, num_layers: int, shape: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device
    ) -> None:
        self.keys = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(num_layers)]
        self.values = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(num_layers)]
        self.num_chunks = torch.zeros(shape[0], dtype=torch.long, device=device)  # chunks completed, a row each
        self.slots = torch.zeros(shape[0], 0, dtype=torch.long, device=device)  # [B, Q]

    def update(self, key: Tensor, value: Tensor, layer: int, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Writes a step's keys and values [B, key heads, Q, E]; returns the whole window's [B, key heads, P, E]."""
        index = self.slots[:, None, :, None].expand_as(key)
        self.keys[layer].scatter_(2, index, key)
        self.values[layer].scatter_(2, index, value)
        return self.keys[layer], self.values[layer]

    def copy_row(self, target: int, source: StreamCache, row: int) -> None:
        """Makes stream `target` the same as stream `row` of `source`, leaving the others as they are."""
        for mine, theirs in zip([*self.keys, *self.values], [*source.keys, *source.values], strict=True):
            mine[target] = theirs[row]
        self.num_chunks[target] = source.num_chunks[row]

    def get_seq_length(self, layer: int = 0) -> int:
        """Slots in the window; transformers asks for it where it makes positions of its own."""
        return self.keys[layer].shape[2]
