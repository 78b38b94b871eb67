"""What moved where between two pictures, by block matching: the senses of the inverse-dynamics model.

It sees movement and not looks, so that a reader trained in a few worlds reads others, and softer pictures, too.

Shapes: T frames, N pairs of pictures, S size in pixels, K displacements, R rows and C columns of blocks.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

SIZE = 64  # pixels of a side, as pictures are looked at
BLOCKS = 8  # blocks along a side
COLUMNS = 4  # of blocks, averaged in pairs
CHANNELS = 3  # sideways, downwards, confidence
GAP = 12  # frames from the first to the last picture of a window
# Frames apart, picture size, farthest displacement sideways and downwards in its pixels: a fast turn shows from one
# frame to the next, a walk over several.
PAIRS = ((1, 32, 8, 4), (4, 64, 6, 6), (GAP, 64, 6, 6))
FEATURES = (len(PAIRS), CHANNELS, BLOCKS, COLUMNS)
LUMA = (0.299, 0.587, 0.114)
SHARPNESS = 0.1  # of the choice between displacements, as a share of a block's contrast
FLOOR = 1e-4  # contrast below which a block says nothing
FLICKER = 0.005  # of full brightness, from frame to frame in a softened picture
PART = 64  # pairs matched at once, to bound memory


def shrink(frames: NDArray[np.uint8]) -> Tensor:
    """Pictures as they are looked at.

    Args:
        frames: [T, H, W, 3] uint8.

    Returns:
        [T, SIZE, SIZE] float32 brightness, 0 to 1.
    """
    x = torch.from_numpy(np.ascontiguousarray(frames)).float() @ (torch.tensor(LUMA) / 255.0)  # [T, H, W]
    if min(x.shape[-2:]) >= SIZE:
        return F.adaptive_avg_pool2d(x[:, None], SIZE)[:, 0]
    return F.interpolate(x[:, None], SIZE, mode="bilinear", align_corners=False)[:, 0]


def soften(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures as a generated world might show them: less sharp, and never quite still.

    Args:
        pictures: [T, SIZE, SIZE] from `shrink`.
        generator: draws the noise.
    """
    soft = F.avg_pool2d(pictures[:, None], 3, 1, 1, count_include_pad=False)
    coarse = torch.randn(len(pictures), 1, SIZE // 4, SIZE // 4, generator=generator)
    flicker = F.interpolate(coarse, SIZE, mode="bilinear", align_corners=False)
    return (soft + FLICKER * flicker)[:, 0]


@torch.no_grad()
def features(pictures: Tensor, every: int = 1) -> Tensor:
    """What moved in the windows of a clip. The window at t holds the pictures t to t + GAP.

    Args:
        pictures: [T, SIZE, SIZE] from `shrink`.
        every: the windows looked at: those at 0, `every`, 2 * `every`, ...

    Returns:
        [ceil((T - GAP) / every), *FEATURES] float32: for each pair of pictures and each block the displacement
        sideways and downwards (1 is the farthest that is looked for) and the confidence in it.
    """
    starts = torch.arange(0, len(pictures) - GAP, every)
    if not len(starts):
        return torch.empty(0, *FEATURES)
    result = []
    for apart, size, sideways, downwards in PAIRS:
        x = F.adaptive_avg_pool2d(pictures[:, None], size)
        x = (x - F.avg_pool2d(x, 9, 1, 4, count_include_pad=False))[:, 0]  # what brightness and shadows leave alone
        parts = [match(x[part], x[part + apart], sideways, downwards) for part in starts.split(PART)]
        result.append(torch.cat(parts))
    return torch.stack(result, dim=1)


def match(a: Tensor, b: Tensor, sideways: int, downwards: int) -> Tensor:
    """Finds where the blocks of one picture are in another.

    Args:
        a: [N, S, S] pictures without their mean.
        b: [N, S, S] their partners.
        sideways: farthest displacement in pixels.
        downwards: likewise.

    Returns:
        [N, CHANNELS, BLOCKS, COLUMNS].
    """
    size, block = a.shape[-1], a.shape[-1] // BLOCKS
    padded = F.pad(b[:, None], (sideways, sideways, downwards, downwards), mode="replicate")[:, 0]
    costs, places = [], []
    for y in range(2 * downwards + 1):
        for x in range(2 * sideways + 1):
            difference = (a - padded[:, y : y + size, x : x + size]).square_()
            costs.append(F.avg_pool2d(difference[:, None], block)[:, 0])
            places.append((x - sideways, y - downwards))
    contrast = F.avg_pool2d(a.square()[:, None], block) + FLOOR  # [N, 1, R, C]
    cost = torch.stack(costs, dim=1) / contrast  # [N, K, R, C]
    least = cost.amin(1)
    likely = torch.softmax((least[:, None] - cost) / SHARPNESS, dim=1)
    place = torch.tensor(places, dtype=cost.dtype)
    found = torch.einsum("nkrc,kd->ndrc", likely, place)  # [N, 2, R, C]
    spread = torch.einsum("nkrc,k->nrc", likely, place.square().sum(1)) - found.square().sum(1)
    sure = torch.exp(-4 * spread.clamp(min=0).sqrt() / sideways - least.clamp(max=3))
    sure = sure * torch.sigmoid(contrast[:, 0].log() + 7) + 1e-3  # a block without contrast is nowhere
    scaled = found / torch.tensor([sideways, downwards]).view(1, 2, 1, 1)
    wide = BLOCKS // COLUMNS
    weight = sure.unflatten(2, (COLUMNS, wide))  # [N, R, COLUMNS, wide]
    moved = (scaled.unflatten(3, (COLUMNS, wide)) * weight[:, None]).sum(-1) / weight.sum(-1)[:, None]
    return torch.cat([moved, 0.2 * weight.sum(-1).log()[:, None]], dim=1)


def mirrored(x: Tensor) -> Tensor:
    """The features of the mirrored windows: [..., *FEATURES] to the same."""
    sign = torch.tensor([-1.0, 1.0, 1.0]).view(CHANNELS, 1, 1)
    return x.flip(-1) * sign
