"""Hair: what hangs behind the head, and what lies over it.

Outlines are written in head units for a head of width 1: x counts half-widths of the face.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.avatar.canvas import Canvas, Points, curve, ellipse, mirrored
from envs.avatar.identity import Identity, shade
from envs.avatar.rig import Face, Rig

# How far each style rises above the skull.
VOLUME = {
    **{"short": 0.022, "quiff": 0.035, "bob": 0.030, "long": 0.026, "curly": 0.052},
    **{"bun": 0.016, "spiky": 0.030, "buzz": 0.006, "ponytail": 0.018, "waves": 0.036},
}
_SIDES = {"bob": 0.20, "long": 0.26, "waves": 0.24, "curly": 0.10}  # how far down the front locks reach


def draw_back_hair(canvas: Canvas, identity: Identity, rig: Rig, face: Face) -> None:
    """Draws what is behind head and shoulders."""
    colour = shade(identity.hair, -0.30)
    style = identity.hair_style
    if style in ("long", "waves"):
        right = [(0.0, -0.33), (0.75, -0.29), (1.17, -0.14), (1.24, 0.05), (1.30, 0.25), (1.42, 0.42), (1.20, 0.56)]
        if style == "waves":
            right = [(0.0, -0.34), (0.8, -0.30), (1.24, -0.14), (1.26, 0.02), (1.46, 0.12), (1.38, 0.24)]
            right += [(1.58, 0.34), (1.44, 0.46), (1.2, 0.54)]
        _fill(canvas, rig, face, mirrored([*right, (0.0, 0.56)]), -0.07, colour)
    elif style == "bob":
        right = [(0.0, -0.33), (0.8, -0.29), (1.2, -0.14), (1.27, 0.05), (1.30, 0.18), (1.16, 0.272), (0.8, 0.25)]
        _fill(canvas, rig, face, mirrored([*right, (0.0, 0.24)]), -0.07, colour)
    elif style == "curly":
        for x, y, r in _curls(identity):
            centre = rig.silhouette(np.array(((x * rig.half_width, y),)), -0.06, face.pose)[0]
            canvas.disc(centre, r, shade(colour, 0.04 * (1 + np.sin(9 * x + 5 * y))))
    elif style == "bun":
        centre = np.array((0.12 * identity.fringe * rig.half_width, -0.365))
        _fill(canvas, rig, face, ellipse(centre, 0.092, 0.080), -0.08, shade(identity.hair, -0.12), scale=False)
        _fill(canvas, rig, face, ellipse(centre - (0.02, 0.016), 0.05, 0.034), -0.08, shade(identity.hair, 0.12), False)
        _fill(
            canvas,
            rig,
            face,
            mirrored([(0.0, -0.3), (1.03, -0.1), (1.04, 0.08), (0.7, 0.2), (0.0, 0.2)]),
            -0.05,
            colour,
        )
    elif style == "ponytail":
        side = 1.0 if identity.fringe > 0 else -1.0
        tail = np.array(
            (
                (0.2, -0.26),
                (0.9, -0.31),
                (1.42, -0.18),
                (1.62, 0.08),
                (1.52, 0.34),
                (1.30, 0.46),
                (1.26, 0.22),
                (1.06, -0.02),
            )
        )
        _fill(canvas, rig, face, tail * (side, 1.0), -0.13, shade(colour, 0.08))
        _fill(
            canvas,
            rig,
            face,
            mirrored([(0.0, -0.3), (1.04, -0.1), (1.05, 0.08), (0.7, 0.2), (0.0, 0.2)]),
            -0.05,
            colour,
        )


def draw_front_hair(canvas: Canvas, identity: Identity, rig: Rig, face: Face) -> None:
    """Draws what lies over the head."""
    colour, style = identity.hair, identity.hair_style
    path = _front(identity, rig, face)
    if style in _SIDES:
        for lock in _locks(identity, rig, face):
            canvas.fill(lock, shade(colour, -0.10))
    canvas.fill(path, shade(identity.skin, 0.72, colour) if style == "buzz" else colour)
    if style == "curly":
        for x, y, r in _curls(identity, over=True):
            depth = float(np.interp(abs(x), (0.0, 1.0), (0.10, -0.03)))
            centre = rig.silhouette(np.array(((x * rig.half_width, y),)), depth, face.pose)[0]
            canvas.disc(centre, r, shade(colour, 0.035 * np.sin(11 * x + 7 * y)))
            canvas.disc(centre - (0.012, 0.014), 0.45 * r, shade(colour, 0.16), 0.35)
    if style in ("buzz", "curly"):
        return
    with canvas.within(path):
        k, w = rig.length, rig.half_width
        shine = np.array(((-0.85, -0.17), (-0.5, -0.235), (0.0, -0.262), (0.5, -0.235), (0.85, -0.17))) * (w, k)
        band = rig.silhouette(shine, 0.05, face.pose)
        canvas.line(curve(band, closed=False), shade(colour, 0.34), 0.030, alpha=0.42, blur=0.005)
        canvas.line(curve(band + (0.0, 0.030), closed=False), shade(colour, -0.25), 0.020, alpha=0.25, blur=0.006)
        part = 0.42 * identity.fringe
        for offset in (-1.0, -0.6, -0.25, 0.25, 0.6):  # strands run from the parting
            strand = np.array(((part + 0.25 * offset, -0.29), (part + 0.7 * offset, -0.22), (part + offset, -0.12)))
            strand *= (w, k)
            drawn = rig.silhouette(strand, 0.06, face.pose)
            canvas.line(curve(drawn, closed=False), shade(colour, -0.35), 0.0045, alpha=0.22)


def fringe_shadow(identity: Identity, rig: Rig, face: Face) -> Any:
    """Returns the path of the shadow that the front hair casts on the face, or None."""
    if identity.hair_style == "buzz":
        return None
    path = _front(identity, rig, face)
    path.offset(0.004, 0.020)
    return path


def _front(identity: Identity, rig: Rig, face: Face) -> Any:
    k, w, style = rig.length, rig.half_width, identity.hair_style
    rise = VOLUME[style]
    wide = 1.0 + 1.4 * rise
    ear = {"buzz": -0.03, "short": 0.0, "quiff": -0.01, "spiky": 0.0}.get(style, 0.05)
    right = [(1.0 + 0.35 * rise, ear), (wide + 0.02, -0.10), (0.94 * wide, -0.215), (0.60 * wide, -0.288 - 0.8 * rise)]
    outer = np.array([(-x, y) for x, y in right] + [(0.0, -0.312 - rise)] + right[::-1])
    if style == "spiky":
        outer = _spikes(outer)
    elif style == "quiff":
        side = 1.0 if identity.fringe > 0 else -1.0
        outer = outer + np.column_stack((np.zeros(9), -0.045 * np.exp(-(((outer[:, 0] - 0.35 * side) / 0.45) ** 2))))
    inner = _hairline(identity)
    outside = rig.silhouette(outer * (w, k), 0.0, face.pose)
    line = inner * (w, k)
    depth = np.interp(np.abs(inner[:, 0]), (0.0, 0.6, 1.0), (0.13, 0.09, 0.01))
    inside = rig.silhouette(line, depth, face.pose)
    inside[0], inside[-1] = outside[-1], outside[0]
    if style == "spiky":
        return _straight(outside, inside)
    return curve(outside, inside)


def _hairline(identity: Identity) -> Points:
    """The lower edge of the front hair, from right to left."""
    style = identity.hair_style
    side = 1.0 if identity.fringe > 0 else -1.0
    if style in ("bob", "long") and abs(identity.fringe) < 0.65:  # a full fringe
        right = [(1.0, 0.05), (0.93, -0.03), (0.78, -0.082), (0.45, -0.088), (0.15, -0.094)]
        return np.array(right + [(-x, y) for x, y in right[::-1]])
    if style in ("buzz", "bun", "ponytail", "curly"):
        right = [(1.0, 0.0), (0.955, -0.06), (0.86, -0.125), (0.62, -0.178), (0.25, -0.192)]
        return np.array(right + [(-x, y) for x, y in right[::-1]])
    if style in ("quiff", "spiky"):
        right = [(1.0, 0.0), (0.94, -0.075), (0.84, -0.138), (0.55, -0.160), (0.2, -0.150)]
        return np.array(right + [(-x, y) for x, y in right[::-1]])
    # Swept from a parting on one side.
    swept = [(1.0, 0.03), (0.95, -0.05), (0.86, -0.125), (0.62, -0.185), (0.42, -0.205), (0.1, -0.150)]
    swept += [(-0.35, -0.108), (-0.75, -0.075), (-0.93, -0.02), (-1.0, 0.03)]
    line = np.array(swept) * (side, 1.0)
    return line if side > 0 else line[::-1]


def _locks(identity: Identity, rig: Rig, face: Face) -> list[Any]:
    """The hair that falls beside the face in front of the ears."""
    reach = _SIDES[identity.hair_style]
    shape = np.array(((0.86, -0.16), (1.14, -0.10), (1.22, 0.06), (1.20, reach), (1.04, reach + 0.03), (0.99, 0.10)))
    shape = np.vstack((shape, ((0.95, 0.0),)))
    return [
        curve(rig.silhouette(shape * (side * rig.half_width, rig.length), 0.015, face.pose)) for side in (-1.0, 1.0)
    ]


def _curls(identity: Identity, over: bool = False) -> list[tuple[float, float, float]]:
    rng = np.random.default_rng(int(abs(identity.fringe) * 1e6))
    turns = np.linspace(0.22, np.pi - 0.22, 10) if over else np.linspace(-0.75, np.pi + 0.75, 17)
    curls = []
    for turn in turns:
        reach = 1.0 if over else rng.uniform(1.08, 1.22)
        x, y = reach * np.cos(turn), -0.02 - (0.235 if over else 0.275 * reach) * np.sin(turn)
        curls.append((float(x), float(y), float(rng.uniform(0.046, 0.062) if over else rng.uniform(0.068, 0.09))))
    return curls


def _spikes(outer: Points) -> Points:
    """Turns the top of an outline into tufts, highest in the middle."""
    count = 23
    dense = np.linspace(0, len(outer) - 1, count)
    line = np.column_stack([np.interp(dense, np.arange(len(outer)), outer[:, axis]) for axis in (0, 1)])
    out = (line - (0.0, -0.05)) * (0.2, 1.0)  # both axes in head units
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    high = np.clip(np.sin(np.linspace(0, np.pi, count)) * 1.3 - 0.3, 0.0, 1.0)
    height = np.where(np.arange(count) % 2 == 1, 0.045, -0.004) * high
    return line + out * height[:, None] / (0.2, 1.0)


def _straight(outer: Points, inner: Points) -> Any:
    """A path of bowed edges with a corner at every point of `outer`."""
    edges = zip(outer, outer[1:], strict=False)
    return curve(*[np.vstack((a, (a + b) / 2 + (b - a)[::-1] * (0.10, -0.10), b)) for a, b in edges], inner)


def _fill(canvas: Canvas, rig: Rig, face: Face, points: Points, depth: float, colour: Any, scale: bool = True) -> None:
    sized = points * (rig.half_width, rig.length) if scale else points
    canvas.fill(curve(rig.silhouette(sized, depth, face.pose)), colour)
