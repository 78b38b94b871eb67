"""How weights are stored: as they are, in another float type, or as 8-bit rows.

An 8-bit tensor keeps its scales beside it, under its own key with `.int8_scale` behind it: one for each output and each
place of a kernel, over all inputs. Reading brings it back to float32. The error of a weight is at most 1/254 of the
largest weight that shares its scale.
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
                scale = value.float().abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / 127  # [out, 1, ...]
                stored[key + SCALE] = scale
                value = (value.float() / scale).round().to(torch.int8)
            else:
                value = value.half()
        elif dtype is not None and value.is_floating_point():
            value = value.to(dtype)
        stored[key] = value.contiguous()
    return stored


def unpack(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undoes `pack`: 8-bit rows become float32, everything else stays as it is in the file.

    Raises:
        ValueError: if a scale has no tensor that it fits.
    """
    state: dict[str, Tensor] = {key: value for key, value in stored.items() if not key.endswith(SCALE)}
    for key in stored.keys() - state.keys():
        name, scale = key.removesuffix(SCALE), stored[key]
        matrix = state.get(name)
        if matrix is None or matrix.dtype != torch.int8 or scale.shape != (len(matrix), 1, *matrix.shape[2:]):
            raise ValueError(f"{key} {tuple(scale.shape)} must have an int8 tensor {name} that it fits beside it")
        state[name] = matrix.float() * scale
    return state
