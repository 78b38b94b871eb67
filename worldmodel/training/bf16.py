"""Whether a CPU gains by bfloat16."""

from __future__ import annotations

import functools
import math
import time

import torch

TRIAL_SIZE, TRIALS = 768, 6  # the matrices that tell whether a processor gains by bfloat16
GAIN = 0.8  # of the time of float32 that it must stay below: the casts around it cost something too


@functools.cache
def cpu_is_faster_with_bf16() -> bool:
    """Whether matrices of bfloat16 are multiplied faster than those of float32 here: measured, since it is not told.

    Some processors with instructions for it take half the time, some twice, and those without many times as long.
    """
    if not hasattr(torch.cpu, "get_capabilities"):  # torch before 2.12
        return False
    found = torch.cpu.get_capabilities()
    if not any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16")):
        return False
    generator = torch.Generator().manual_seed(0)
    wide = torch.randn(TRIAL_SIZE, TRIAL_SIZE, generator=generator)
    narrow = wide.bfloat16()
    seconds = {dtype: math.inf for dtype in (wide.dtype, narrow.dtype)}
    for _ in range(TRIALS):  # in turn, and the best of each: other work on the machine slows both
        for matrix in (wide, narrow):
            begun = time.perf_counter()
            _ = matrix @ matrix
            seconds[matrix.dtype] = min(seconds[matrix.dtype], time.perf_counter() - begun)
    return seconds[narrow.dtype] < GAIN * seconds[wide.dtype]
