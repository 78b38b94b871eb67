"""Lips, teeth and tongue, after the shape of the mouth."""

from __future__ import annotations

import numpy as np

from envs.avatar.canvas import Canvas, Points, curve
from envs.avatar.identity import Identity, shade
from envs.avatar.rig import MOUTH_Y, Face, Rig

OPENING = 0.105  # between the lips, when the mouth is wide open


def draw_mouth(canvas: Canvas, identity: Identity, rig: Rig, face: Face) -> None:
    """Draws the mouth."""
    _, wide, press, tuck, teeth, tongue = (float(part) for part in face.mouth)
    half, corner = rig.mouth_corners(face.mouth, face.smile)
    gap = OPENING * face.aperture + 0.013 * tuck  # for the upper teeth, which stand on the lower lip
    round_ = max(-wide, 0.0)
    lip = 0.023 * identity.lip * (1 - 0.55 * press) * (1 + 0.25 * round_)
    smile = 0.016 * face.smile
    side = np.array((-half, MOUTH_Y + corner))
    other = side * (-1.0, 1.0)
    x = np.array((-0.90, -0.62, -0.3, 0.0, 0.3, 0.62, 0.90)) * half
    arch = np.sqrt(1 - (x / half) ** 2)  # of an ellipse
    bend = 1 - (x / half) ** 2
    upper = np.column_stack((x, MOUTH_Y + corner * (1 - bend) + 0.5 * smile * bend - 0.30 * gap * arch))
    lower = np.column_stack((x, MOUTH_Y + corner * (1 - bend) + 0.7 * smile * bend + 0.70 * gap * arch))
    bow = np.array((0.30, 0.62, 0.98, 0.80, 0.98, 0.62, 0.30))  # the outer edge of the upper lip, with its notch
    top = upper - np.column_stack((np.zeros(7), 0.78 * lip * bow + 0.001))
    thick = lip * (1.05 - 0.75 * tuck)
    bottom = lower + np.column_stack((np.zeros(7), thick * np.array((0.36, 0.72, 1.0, 1.06, 1.0, 0.72, 0.36)) + 0.001))
    placed = _Placed(rig, face)
    outer = curve(placed(side, top, other), placed(other, bottom[::-1], side))
    inner = curve(placed(side, upper, other), placed(other, lower[::-1], side))
    lips = shade(shade(identity.skin, 0.46, (214, 70, 86)), -0.05)
    shadow = placed(side + (0.25 * half, 0.0), bottom + (0.0, 0.016), other - (0.25 * half, 0.0))
    canvas.line(curve(shadow, closed=False), shade(identity.skin, -0.34), 0.012, alpha=0.30, blur=0.006)
    canvas.fill(outer, lips)
    with canvas.within(outer):
        canvas.fill(curve(placed(side, top, other), placed(other, upper[::-1], side)), shade(lips, -0.16))
        shine = placed(lower[2:5] * (0.75, 1.0) + (0.0, 0.42 * thick))
        canvas.line(curve(shine, closed=False), shade(lips, 0.5), 0.0055, alpha=0.45 * (1 - press))
    if gap > 0.002:
        canvas.fill(inner, (74, 20, 32))
        with canvas.within(inner):
            _draw_inside(canvas, placed, half, gap, float(upper[3, 1]), float(lower[3, 1]), teeth, tongue, tuck)
    line = placed(side, (upper + lower) / 2, other)
    if face.aperture < 0.06:
        canvas.line(curve(line, closed=False), shade(lips, -0.55), 0.0065, alpha=1 - face.aperture / 0.06)
    for at, sign in ((side, -1.0), (other, 1.0)):  # the corners
        dimple = placed(at - (sign * 0.006, 0.0), at + (sign * 0.003, -0.004 * face.smile))
        canvas.line(curve(dimple, closed=False), shade(lips, -0.45), 0.006, alpha=0.8)


def _draw_inside(
    canvas: Canvas,
    placed: _Placed,
    half: float,
    gap: float,
    top: float,
    bottom: float,
    teeth: float,
    tongue: float,
    tuck: float,
) -> None:
    shown = 0.012 + 0.020 * min(max(teeth, tuck), 1.0)
    white = (252, 248, 242)
    # The tongue lies low, and rises behind or between the teeth.
    height = min(0.030 + 0.020 * tongue, 0.62 * gap) + 0.35 * gap * tongue
    middle = np.array((0.0, bottom + 0.012))
    body = middle + np.column_stack(
        (np.array((-0.74, -0.5, 0.0, 0.5, 0.74)) * half, -height * np.array((0.1, 0.75, 1.0, 0.75, 0.1)))
    )
    canvas.fill(curve(placed(body)), (214, 88, 98))
    groove = placed(middle - (0.0, 0.9 * height), middle - (0.0, 0.3 * height))
    canvas.line(curve(groove, closed=False), (178, 62, 78), 0.006, alpha=0.6)
    if teeth > 0.7:  # the lower row shows where the teeth meet
        low = np.array(((-0.7, 0.0), (-0.3, -shown), (0.3, -shown), (0.7, 0.0))) * (half, 0.8) + (0.0, bottom + 0.004)
        canvas.fill(curve(placed(low)), shade(white, -0.10), alpha=min((teeth - 0.7) / 0.2, 1.0))
    row = np.array(
        ((-0.86, -0.02), (0.86, -0.02), (0.80, shown * 0.62), (0.4, shown), (-0.4, shown), (-0.80, shown * 0.62))
    )
    upper = np.vstack((row[:2] * (half, 1.0), row[2:] * (half, 1.0))) + (0.0, top)
    canvas.fill(curve(placed(upper[:2]), placed(upper[2:])), white)
    if tongue > 0.85 and gap < 0.04:  # th: its tip under the teeth
        tip = np.array((0.0, top + shown)) + np.array(((-0.45, 0.004), (0.0, -0.004), (0.45, 0.004), (0.0, 0.016))) * (
            half,
            1,
        )
        canvas.fill(curve(placed(tip)), (222, 100, 108))


class _Placed:
    """Puts points of the mouth [N, 2] and single ones [2] into the picture, joined into one [N, 2]."""

    def __init__(self, rig: Rig, face: Face) -> None:
        self._rig, self._face = rig, face

    def __call__(self, *points: Points) -> Points:
        return self._rig.on_face(np.vstack([np.atleast_2d(part) for part in points]), self._face.pose)
