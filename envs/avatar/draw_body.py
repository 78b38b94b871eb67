"""The room, the neck, the shoulders and what they wear."""

from __future__ import annotations

import numpy as np

from envs.avatar.canvas import Canvas, Points, curve, mirrored
from envs.avatar.identity import Identity, shade
from envs.avatar.rig import CENTRE, CHIN, JAW_DROP, Face, Rig

FAR = 3.0  # below the frame, however tall it is
_SHOULDERS = [
    (0.0, 0.318),
    (0.080, 0.322),
    (0.150, 0.372),
    (0.262, 0.415),
    (0.340, 0.478),
    (0.372, 0.56),
    (0.384, 0.66),
]


def draw_background(canvas: Canvas, identity: Identity) -> None:
    """Draws the room."""
    colour = identity.backdrop
    room = curve(np.array(((-9.0, -9.0), (9.0, -9.0))), np.array(((9.0, 9.0), (-9.0, 9.0))))
    canvas.fill_between(room, shade(colour, 0.22), shade(colour, -0.10), 0.0, 1.0)
    if identity.background == "discs":
        for x, y, r in ((0.14, 0.22, 0.19), (0.90, 0.62, 0.26), (0.82, 0.10, 0.09)):
            canvas.disc(np.array((x, y)), r, shade(colour, 0.35), 0.5)
    elif identity.background == "window":
        canvas.fill(_box(0.60, 0.06, 1.02, 0.56), shade(colour, 0.72))
        canvas.fill(_box(0.635, 0.095, 0.80, 0.525), (206, 230, 246))
        canvas.fill(_box(0.83, 0.095, 0.985, 0.525), (206, 230, 246))
        for x in (0.66, 0.86):
            canvas.line(curve(np.array(((x, 0.40), (x + 0.09, 0.16))), closed=False), (255, 255, 255), 0.022, 0.5)
    elif identity.background == "shelf":
        canvas.fill(_box(-0.02, 0.36, 0.33, 0.385), shade(colour, -0.32))
        canvas.fill(_box(0.70, 0.26, 1.02, 0.285), shade(colour, -0.32))
        for index, (x, base, tall) in enumerate(
            ((0.03, 0.36, 0.15), (0.085, 0.36, 0.19), (0.14, 0.36, 0.13), (0.79, 0.26, 0.15), (0.845, 0.26, 0.12))
        ):
            tone = (identity.accent, identity.cloth, shade(colour, 0.5))[index % 3]
            canvas.fill(_box(x, base - tall, x + 0.045, base), shade(tone, 0.30, colour))
    canvas.glow(CENTRE, 0.62, shade(colour, 0.75), 0.40)


def draw_neck(canvas: Canvas, identity: Identity, rig: Rig, face: Face) -> None:
    """Draws the neck with the shadow of the chin."""
    top = rig.silhouette(np.array(((-0.080, 0.12), (0.080, 0.12))), -0.02, face.pose)
    low = rig.on_body(np.array(((0.084, 0.335), (0.15, 0.40), (-0.15, 0.40), (-0.084, 0.335))), face.pose)
    neck = curve(np.vstack((top[1], low[:2])), np.vstack((low[2:], top[0])))
    canvas.fill(neck, shade(identity.skin, -0.12))
    drop = JAW_DROP * float(face.mouth[0])
    chin = [
        (0.0, 0.1),
        (0.20, 0.1),
        (0.19, 0.2 + drop),
        (0.105, (CHIN + 0.028) * rig.length + drop),
        (0.0, CHIN + 0.046 + drop),
    ]
    with canvas.within(neck):
        shadow = curve(rig.silhouette(mirrored(chin), 0.05, face.pose))
        canvas.fill(shadow, shade(identity.skin, -0.46), alpha=0.62, blur=0.006)


def draw_body(canvas: Canvas, identity: Identity, rig: Rig, face: Face) -> None:
    """Draws shoulders and clothes."""
    cloth, dark = identity.cloth, shade(identity.cloth, -0.28)
    side = np.array(_SHOULDERS[1:])
    feet = np.array(((0.385, FAR), (-0.385, FAR)))
    path = curve(*(rig.on_body(piece, face.pose) for piece in (side[::-1] * (-1.0, 1.0), side, feet)))
    skin_dip = 0.395 if identity.clothes == "tee" else 0.37
    canvas.fill_between(path, shade(cloth, 0.06), shade(cloth, -0.16), 0.80, 1.05)

    def place(*points: tuple[float, float]) -> Points:
        return rig.on_body(np.array(points), face.pose)

    def both(*points: tuple[float, float]) -> list[Points]:
        return [rig.on_body(np.array(points) * (side, 1.0), face.pose) for side in (-1.0, 1.0)]

    if identity.clothes in ("tee", "sweater", "hoodie"):
        hole = curve(
            place(
                (-0.098, 0.318), (-0.070, skin_dip - 0.016), (0.0, skin_dip), (0.070, skin_dip - 0.016), (0.098, 0.318)
            ),
            place((0.08, 0.29), (-0.08, 0.29)),
        )
        canvas.fill(hole, shade(identity.skin, -0.16))
        rim = place(
            (-0.103, 0.324),
            (-0.074, skin_dip - 0.010),
            (0.0, skin_dip + 0.008),
            (0.074, skin_dip - 0.010),
            (0.103, 0.324),
        )
        wide = {"tee": 0.016, "sweater": 0.026, "hoodie": 0.034}[identity.clothes]
        canvas.line(curve(rim, closed=False), shade(cloth, 0.16) if identity.clothes != "tee" else dark, wide)
    if identity.clothes == "hoodie":
        for piece in both((0.09, 0.318), (0.165, 0.352), (0.185, 0.42), (0.10, 0.45), (0.012, 0.425), (0.07, 0.39)):
            canvas.fill(curve(piece), shade(cloth, -0.14))
        for piece in both((0.034, 0.425), (0.038, 0.50), (0.032, 0.56)):
            canvas.line(curve(piece, closed=False), shade(identity.accent, 0.3), 0.011)
    if identity.clothes in ("blazer", "shirt"):
        under = identity.accent if identity.clothes == "blazer" else cloth
        canvas.fill(
            curve(place((-0.10, 0.318), (0.0, 0.56)), place((0.0, 0.56), (0.10, 0.318))), shade(identity.skin, -0.14)
        )
        if identity.clothes == "blazer":
            for piece in both((0.095, 0.318), (0.0, 0.43), (0.0, 0.62), (0.12, 0.62), (0.13, 0.36)):
                canvas.fill(curve(piece[:2], piece[2:]), under)
            for piece in both((0.098, 0.315), (0.135, 0.37), (0.175, 0.47), (0.135, 0.50), (0.02, 0.66), (0.06, 0.50)):
                canvas.fill(curve(piece), shade(cloth, -0.20))
        for piece in both((0.088, 0.306), (0.128, 0.345), (0.105, 0.435), (0.004, 0.412)):
            canvas.fill(curve(piece[:2], piece[1:3], piece[2:]), shade(under, 0.22))
            canvas.line(curve(piece[2:], closed=False), shade(under, -0.22), 0.005, alpha=0.7)
        if identity.clothes == "shirt":
            canvas.line(curve(place((0.0, 0.415), (0.0, 0.62)), closed=False), dark, 0.005, alpha=0.8)
            canvas.disc(place((0.0, 0.47))[0], 0.009, shade(cloth, 0.55))
    for piece in both((0.245, 0.52), (0.262, 0.58), (0.258, 0.66)):
        canvas.line(curve(piece, closed=False), dark, 0.007, alpha=0.7)


def _box(x0: float, y0: float, x1: float, y1: float) -> object:
    return curve(np.array(((x0, y0), (x1, y0))), np.array(((x1, y1), (x0, y1))))
