"""Portraits: a picture of any size made the reference picture of a world.

Shapes: H W pixels of the world, h w of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from player.sources.base import SourceError, Tell, existing
from worldmodel.data.convert.framing import Face, around_faces, find_face
from worldmodel.data.faces import Detect

SMALLEST = 16  # pixels a side that may show a face
LARGEST = 100_000_000  # pixels in all
FLAT = 4.0  # levels that the pixels of a picture of something deviate by
UNLIKE_DB = 5.0  # so much worse than the worst of the known ones is a picture drawn that is unlike them


def read_portrait(
    path: str | Path, height: int, width: int, tell: Tell, detect: Detect | None = None
) -> NDArray[np.uint8]:
    """Reads a portrait: turned upright, on white where it is transparent, cut and resized.

    It is cut about the face, as clips of films are, where a detector finds one, and else about its middle.

    Args:
        path: of a picture that Pillow reads.
        height, width: H and W.
        tell: is told what was changed, and of a picture in which no face is found.
        detect: finds faces, where a detector is there; nothing is said about faces without one.

    Returns:
        [H, W, 3] uint8.

    Raises:
        SourceError: if there is no such file, or it cannot be read as a picture, is too small or large to be one, or
            does not say how bright white is.
    """
    path = existing(path, "portrait", "--portrait")
    try:
        with Image.open(path) as opened:
            if opened.width * opened.height > LARGEST:
                raise SourceError(f"{path} is too large, {opened.width}x{opened.height} pixels: make it smaller first")
            picture: Image.Image = ImageOps.exif_transpose(opened)
            picture.load()
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"{path} cannot be read as a picture: {error}: give --portrait a PNG or JPEG") from error
    if min(picture.size) < SMALLEST:
        size = f"{picture.width}x{picture.height}"
        raise SourceError(f"{path} is too small for a portrait, {size} pixels: it needs {SMALLEST} a side")
    picture = _in_colour(picture, opened.format, path, tell)
    face = None if detect is None else _looked_for(detect, picture, path, tell)
    if picture.size != (width, height):
        size = f"{picture.width}x{picture.height}"
        if face is not None:
            top, left, rows, columns = around_faces([face], picture.height, picture.width, width / height)
            cut, picture = "cut about its face and ", picture.crop((left, top, left + columns, top + rows))
        else:
            cut = "" if picture.width * height == picture.height * width else "cut about its middle and "
        tell(f"{path}: {size} pixels, {cut}resized to {width}x{height}")
        picture = ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS)
    return np.array(picture, np.uint8)


def check_portrait(
    picture: NDArray[np.uint8],
    path: str | Path,
    tell: Tell,
    likeness: Callable[[NDArray[np.uint8]], float],
    known: Sequence[NDArray[np.uint8]],
) -> None:
    """Says so where a portrait is of nothing, or of what a model cannot draw.

    Args:
        picture: [H, W, 3], from `read_portrait`.
        path: its file's.
        tell: is told.
        likeness: how well the model draws a picture, in dB.
        known: portraits that the model knows, to compare with; there may be none.
    """
    if picture.std(axis=(0, 1)).max() < FLAT:
        tell(f"{path} is of one colour nearly all over, and shows no face: the one that comes is the model's own")
    elif known and (own := likeness(picture)) < (usual := min(map(likeness, known))) - UNLIKE_DB:
        tell(
            f"{path} is unlike what the model learned from, and hard for it to draw ({own:.0f} dB, portraits that it "
            f"knows {usual:.0f} or more): is it a portrait of that kind? It is used as it is"
        )


def _looked_for(detect: Detect, picture: Image.Image, path: Path, tell: Tell) -> Face | None:
    """The face in a portrait; where there is none, or the detector fails, that is told."""
    try:
        face = find_face(detect, np.asarray(picture))
    except Exception as error:  # whatever of a detector
        tell(f"{path} cannot be looked at for a face ({error}); it is used as it is")
        return None
    if face is None:
        tell(f"{path}: no face is found; it is used as it is")
    return face


def _in_colour(picture: Image.Image, kind: str | None, path: Path, tell: Tell) -> Image.Image:
    """Returns a picture of any mode as RGB of 8 bits, on white where it is transparent.

    Args:
        picture: as it was opened.
        kind: Pillow's name of the file's format; in "PNG" and "PPM" 32-bit integers hold 16 bits.
        path: of the file.
        tell: is told of what is transparent.
    """
    if picture.mode.startswith("I;16") or (picture.mode == "I" and kind in ("PNG", "PPM")):
        levels = np.asarray(picture).astype(np.float32)
        grey = Image.fromarray(np.round(levels / 257).astype(np.uint8))  # 65535 is 255
        if "transparency" in picture.info:  # the one level that is not there
            grey.putalpha(Image.fromarray(np.where(levels == picture.info["transparency"], 0, 255).astype(np.uint8)))
        picture = grey
    elif picture.mode in ("I", "F"):
        numbers = "floating numbers" if picture.mode == "F" else "32-bit integers"
        raise SourceError(
            f"{path} holds {numbers}, which do not say how bright white is: save it with 8 or 16 bits, as PNG or JPEG"
        )
    if picture.has_transparency_data:
        layered = picture.convert("RGBA")
        if np.asarray(layered)[..., 3].min() < 255:
            tell(f"{path} is transparent in parts: it is put on white")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), layered)
    return picture.convert("RGB")
