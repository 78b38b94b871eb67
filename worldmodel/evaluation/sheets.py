"""Contact sheets: rows of pictures with labels, truth over generated.

Shapes: H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

GAP = 4
PAPER = (255, 255, 255)
INK = (40, 44, 52)
TEXT_PX = 13


def contact_sheet(
    path: Path, rows: Sequence[tuple[str, Sequence[NDArray[np.uint8]]]], columns: Sequence[str], groups: int = 0
) -> None:
    """Draws rows of pictures of one size as a PNG.

    Args:
        path: where to write it.
        rows: (label, pictures [H, W, 3] uint8) each, one picture per column.
        columns: their headings.
        groups: rows that belong together; a wider gap follows each group. 0 is no grouping.

    Raises:
        ValueError: if a row does not have a picture per column.
    """
    for label, pictures in rows:
        if len(pictures) != len(columns):
            raise ValueError(f"row '{label}' must have {len(columns)} pictures, one per column, got {len(pictures)}")
    font = ImageFont.load_default(TEXT_PX)
    height, width = rows[0][1][0].shape[:2]
    margin = GAP * 2 + max(int(font.getlength(label)) for label, _ in rows)
    top = TEXT_PX + 2 * GAP
    offsets = [
        top + index * (height + GAP) + (3 * GAP * (index // groups) if groups else 0) for index in range(len(rows))
    ]
    sheet = Image.new("RGB", (margin + len(columns) * (width + GAP), offsets[-1] + height + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, heading in enumerate(columns):
        draw.text((margin + column * (width + GAP) + width / 2, GAP), heading, INK, font, anchor="mt")
    for (label, pictures), y in zip(rows, offsets, strict=True):
        draw.text((margin - GAP, y + height / 2), label, INK, font, anchor="rm")
        for column, picture in enumerate(pictures):
            sheet.paste(Image.fromarray(np.ascontiguousarray(picture)), (margin + column * (width + GAP), y))
    sheet.save(path, optimize=True)
