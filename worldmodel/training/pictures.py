"""Picture grids: truth over what the model made of it.

Shapes: R rows, T frames, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worldmodel.evenly import evenly

GAP = 2  # pixels between pictures
PAPER = 24  # their grey


def grid(rows: Sequence[np.ndarray], columns: int = 8) -> np.ndarray:
    """Lays clips under one another, each a row of evenly spaced frames.

    Args:
        rows: R clips [T, H, W, 3] uint8 of one length and size.
        columns: pictures per row at most; the first and the last frame are always among them.

    Returns:
        [H', W', 3] uint8.

    Raises:
        ValueError: if the clips differ in shape.
    """
    if len({row.shape for row in rows}) != 1:
        raise ValueError(f"the rows of a grid must have one shape, got {[row.shape for row in rows]}")
    num_frames, height, width, _ = rows[0].shape
    chosen = evenly(range(num_frames), columns)
    canvas = np.full((len(rows) * (height + GAP) - GAP, len(chosen) * (width + GAP) - GAP, 3), PAPER, dtype=np.uint8)
    for r, row in enumerate(rows):
        for c, t in enumerate(chosen):
            top, left = r * (height + GAP), c * (width + GAP)
            canvas[top : top + height, left : left + width] = row[t]
    return canvas
