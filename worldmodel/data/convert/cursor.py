"""The mouse pointer, which the game does not record with its picture."""

from __future__ import annotations

import numpy as np

# "#" the outline, "." the inside; the tip is the first cell.
_SHAPE = """
#
##
#.#
#..#
#...#
#....#
#.....#
#......#
#.......#
#....####
#.##..#
##  #.#
#   #..#
     ##
"""
_ROWS = _SHAPE.strip("\n").split("\n")
_CELLS = np.array([list(row.ljust(9)) for row in _ROWS])


def draw_cursor(frame: np.ndarray, x: float, y: float) -> None:
    """Draws a white arrow with a black outline into a frame, its tip at x, y; what lies outside is left out.

    Args:
        frame: [H, W, 3] uint8, written to.
        x: pixels from the left.
        y: pixels from the top.
    """
    rows, columns = np.nonzero(_CELLS != " ")
    inside = _CELLS[rows, columns] == "."
    rows, columns = rows + int(y), columns + int(x)
    seen = (rows >= 0) & (rows < frame.shape[0]) & (columns >= 0) & (columns < frame.shape[1])
    frame[rows[seen], columns[seen]] = np.where(inside[seen], 255, 0)[:, None]
