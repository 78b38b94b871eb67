"""How weights are stored: as they are, in another float type, or as 8-bit rows.

An 8-bit matrix keeps one scale per output row beside it, under its own key with `.int8_scale` behind it. Reading brings
it back to float32. The error of a weight is at most 1/254 of the largest one of its row.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

SCALE = ".int8_scale"
SMALLEST = 4096  # values; smaller tensors are stored as float16, they cost nothing


def pack(state: Mapping[str, Tensor], dtype: torch.dtype | None) -> dict[str, Tensor]:
    """Turns a state dict into what a file holds.

    Args:
        state: tensors by key.
        dtype: of floating tensors in the file: None leaves them as they are; torch.int8 stores matrices and
            convolutions as 8-bit rows and the rest as float16.

    Returns:
        Contiguous tensors on the CPU, by key.
    """
    stored: dict[str, Tensor] = {}
    for key, value in state.items():
        value = value.detach().cpu()
        if dtype == torch.int8 and value.is_floating_point():
            if value.ndim >= 2 and value.numel() >= SMALLEST:
                rows = value.float().flatten(1)
                scale = rows.abs().amax(dim=1).clamp_min(1e-12) / 127
                stored[key + SCALE] = scale
                value = (rows / scale[:, None]).round().to(torch.int8).view_as(value)
            else:
                value = value.half()
        elif dtype is not None and value.is_floating_point():
            value = value.to(dtype)
        stored[key] = value.contiguous()
    return stored


def unpack(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undoes `pack`: 8-bit rows become float32, everything else stays as it is in the file.

    Raises:
        ValueError: if a scale has no matrix of as many rows.
    """
    state: dict[str, Tensor] = {key: value for key, value in stored.items() if not key.endswith(SCALE)}
    for key in stored.keys() - state.keys():
        name, scale = key.removesuffix(SCALE), stored[key]
        if name not in state or state[name].dtype != torch.int8 or scale.shape != state[name].shape[:1]:
            raise ValueError(f"{key} must have an int8 tensor {name} of {len(scale)} rows beside it")
        rows = state[name].flatten(1).float() * scale[:, None]
        state[name] = rows.view_as(state[name])
    return state
