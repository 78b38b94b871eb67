"""A thin layer over Skia: smooth shapes through points, flat or shaded, in head units.

Skia (BSD licence; wheels for every platform) draws antialiased curves, gradients and blurs in well under a millisecond
each, the same on every machine, as it rasters on the CPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from envs.avatar.identity import Colour
from envs.avatar.rig import to_picture

try:
    import skia
except ImportError as error:  # the wheel is there, a system library is not
    raise ImportError(
        f"drawing avatars needs Skia, which could not be loaded ({error}): pip install skia-python, and on Linux "
        "apt-get install libegl1 libgl1 libfontconfig1"
    ) from error

Points = NDArray[np.float64]


def curve(*pieces: Points, closed: bool = True) -> skia.Path:
    """Returns a path of smooth pieces joined at corners.

    Args:
        pieces: [N, 2] each; a curve runs through its points. One closed piece has no corner.
        closed: whether the end meets the start.
    """
    path = skia.Path()
    loop = closed and len(pieces) == 1
    for index, points in enumerate(pieces):
        points = np.asarray(points, np.float64)
        if loop:
            points = np.vstack((points[-1], points, points[0], points[1]))
        else:
            points = np.vstack((2 * points[0] - points[1], points, 2 * points[-1] - points[-2]))
        start, stop = points[1:-2], points[2:-1]
        first = start + (stop - points[:-3]) / 6  # Catmull-Rom as Bézier
        second = stop - (points[3:] - start) / 6
        if index == 0:
            path.moveTo(*start[0].tolist())
        else:
            path.lineTo(*start[0].tolist())
        for a, b, c in zip(first.tolist(), second.tolist(), stop.tolist(), strict=True):
            path.cubicTo(*a, *b, *c)
    if closed:
        path.close()
    return path


def mirrored(points: Sequence[tuple[float, float]]) -> Points:
    """Returns the right half of a closed outline, from top to bottom, with its left half back up."""
    right = np.asarray(points, np.float64)
    left = right[::-1] * (-1.0, 1.0)
    keep = np.abs(left[:, 0]) > 1e-9
    return np.vstack((right, left[keep]))


def ellipse(centre: Points, rx: float, ry: float, count: int = 12) -> Points:
    """Returns `count` points of an ellipse, [count, 2]."""
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.asarray(centre) + np.column_stack((rx * np.cos(angle), ry * np.sin(angle)))


class Canvas:
    """A picture under the brush.

    Args:
        height, width: in pixels. The square of head units stands in the middle of the shorter side's length, at the
            top of a tall picture.
    """

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self._pixels = np.zeros((height, width, 4), np.uint8)
        info = skia.ImageInfo.Make(width, height, skia.kRGBA_8888_ColorType, skia.kOpaque_AlphaType)
        self._surface = skia.Surface.MakeRasterDirect(info, self._pixels)
        self._canvas = self._surface.getCanvas()
        (x0, y0), (x1, _) = to_picture(np.array(((0.0, 0.0), (1.0, 0.0))), height, width) * width
        self._canvas.translate(x0, y0)
        self._canvas.scale(x1 - x0, x1 - x0)

    def frame(self) -> NDArray[np.uint8]:
        """Returns a copy of what is drawn, [H, W, 3]."""
        return self._pixels[..., :3].copy()

    def fill(self, path: skia.Path, colour: Colour, alpha: float = 1.0, blur: float = 0.0) -> None:
        """Fills a path with a colour; `blur` is the softness of its edge."""
        paint = self._paint(colour, alpha)
        if blur > 0:
            paint.setMaskFilter(skia.MaskFilter.MakeBlur(skia.kNormal_BlurStyle, blur))
        self._canvas.drawPath(path, paint)

    def fill_between(self, path: skia.Path, top: Colour, bottom: Colour, y0: float, y1: float) -> None:
        """Fills a path with a gradient from y0 down to y1."""
        paint = self._paint(top, 1.0)
        colours = [_argb(top), _argb(bottom)]
        paint.setShader(skia.GradientShader.MakeLinear([skia.Point(0, y0), skia.Point(0, y1)], colours))
        paint.setDither(False)
        self._canvas.drawPath(path, paint)

    def glow(self, centre: Points, radius: float, colour: Colour, alpha: float, squash: float = 1.0) -> None:
        """Draws a soft spot that fades out to `radius`; `squash` is its height over its width."""
        x, y = (float(v) for v in centre)
        paint = self._paint(colour, 1.0)
        colours = [_argb(colour, alpha), _argb(colour, 0.55 * alpha), _argb(colour, 0.0)]
        paint.setShader(skia.GradientShader.MakeRadial(skia.Point(0, 0), radius, colours, [0.0, 0.5, 1.0]))
        self._canvas.save()
        self._canvas.translate(x, y)
        self._canvas.scale(1.0, squash)
        self._canvas.drawCircle(0.0, 0.0, radius, paint)
        self._canvas.restore()

    def line(self, path: skia.Path, colour: Colour, width: float, alpha: float = 1.0, blur: float = 0.0) -> None:
        """Draws along a path with a round brush."""
        paint = self._paint(colour, alpha)
        paint.setStyle(skia.Paint.kStroke_Style)
        paint.setStrokeWidth(width)
        paint.setStrokeCap(skia.Paint.kRound_Cap)
        paint.setStrokeJoin(skia.Paint.kRound_Join)
        if blur > 0:
            paint.setMaskFilter(skia.MaskFilter.MakeBlur(skia.kNormal_BlurStyle, blur))
        self._canvas.drawPath(path, paint)

    def disc(self, centre: Points, radius: float, colour: Colour, alpha: float = 1.0) -> None:
        """Draws a filled circle."""
        self._canvas.drawCircle(float(centre[0]), float(centre[1]), radius, self._paint(colour, alpha))

    def oval(self, centre: Points, rx: float, ry: float, colour: Colour, alpha: float = 1.0) -> None:
        """Draws a filled upright ellipse."""
        x, y = (float(v) for v in centre)
        self._canvas.drawOval(skia.Rect.MakeLTRB(x - rx, y - ry, x + rx, y + ry), self._paint(colour, alpha))

    @contextmanager
    def within(self, path: skia.Path) -> Iterator[None]:
        """Draws nothing outside a path."""
        self._canvas.save()
        self._canvas.clipPath(path, skia.ClipOp.kIntersect, True)
        yield
        self._canvas.restore()

    @staticmethod
    def _paint(colour: Colour, alpha: float) -> skia.Paint:
        return skia.Paint(AntiAlias=True, Color=_argb(colour, alpha))


def _argb(colour: Colour, alpha: float = 1.0) -> int:
    return int(skia.Color(*colour, round(255 * min(max(alpha, 0.0), 1.0))))
