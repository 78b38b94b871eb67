"""Eyes, brows, nose and glasses."""

from __future__ import annotations

import numpy as np

from envs.avatar.canvas import Canvas, Points, curve, ellipse
from envs.avatar.identity import Identity, shade
from envs.avatar.rig import EYE_X, EYE_Y, HALF_WIDTH, NOSE_Y, Face, Rig

INK = (44, 28, 36)


def draw_eyes(canvas: Canvas, identity: Identity, rig: Rig, face: Face) -> None:
    """Draws both eyes."""
    for side in (-1.0, 1.0):
        _draw_eye(canvas, identity, rig, face, side)


def _centre(identity: Identity, rig: Rig, side: float) -> Points:
    return np.array((side * EYE_X * identity.eye_gap * rig.half_width / HALF_WIDTH, EYE_Y))


def _draw_eye(canvas: Canvas, identity: Identity, rig: Rig, face: Face, side: float) -> None:
    w, h = 0.050 * identity.eye_size, 0.041 * identity.eye_size
    centre = _centre(identity, rig, side)
    tilt = identity.eye_tilt * w
    opening = float(np.clip(face.eye_open, 0.0, 1.3))
    x = np.array((-1.0, -0.62, -0.05, 0.55, 1.0)) * w  # from the nose outwards
    lift = np.array((0.0, 0.66, 1.0, 0.80, 0.0)) * h
    rest = np.array((0.10, 0.0, 0.0, 0.0, -1.0)) * (0.1 * h, 0, 0, 0, tilt)
    top = -lift * (1.32 * opening - 0.32) + rest
    floor = np.array((0.0, 0.50, 0.70, 0.62, 0.0)) * h
    bottom = floor * (1 - 0.75 * face.squint) + rest
    top = np.minimum(top, bottom)

    def place(xs: Points, ys: Points, lifted: float = 0.004) -> Points:
        return rig.on_face(np.column_stack((side * xs, ys)) + centre, face.pose, lifted)

    upper, under = place(x, top), place(x, bottom)
    almond = curve(upper, under[::-1])
    crease = place(x * 1.04, -lift * (0.75 + 0.55 * opening) - 0.006 + rest)
    canvas.line(curve(crease[1:], closed=False), shade(identity.skin, -0.42), 0.0055, alpha=0.55)
    if opening > 0.12:
        canvas.fill(almond, (253, 251, 250))
        with canvas.within(almond):
            _draw_iris(canvas, identity, rig, face, centre, h)
            shadow = place(x, top + 0.003)
            canvas.line(curve(shadow, closed=False), (70, 50, 80), 0.017, alpha=0.30, blur=0.003)
    canvas.line(curve(under[1:-1], closed=False), shade(identity.skin, -0.45), 0.0045, alpha=0.5)
    thick = 0.0085 + 0.0050 * identity.lashes
    inner, outer = place(x, top - 0.7 * thick), place(x, top + 0.25 * thick)
    weight = np.array((0.25, 0.7, 1.0, 1.05, 0.9))[:, None]
    lash_top = upper + (inner - upper) * weight * 1.25
    lash_low = upper + (outer - upper) * weight
    canvas.fill(curve(lash_top, lash_low[::-1]), INK)
    canvas.line(curve(upper, closed=False), INK, 0.0055)
    if identity.lashes > 0.15:
        reach = identity.lashes
        down = 0.012 if opening < 0.3 else -0.012
        for start, dx, dy in ((4, 0.016, 0.5 * down), (3, 0.012, 1.1 * down)):
            wing = place(np.array((x[start], x[start] + dx * reach)), np.array((top[start], top[start] + dy * reach)))
            canvas.line(curve(wing, closed=False), INK, 0.0065)


def _draw_iris(canvas: Canvas, identity: Identity, rig: Rig, face: Face, centre: Points, h: float) -> None:
    radius = 0.86 * h
    look = np.array((0.022 * np.clip(face.gaze_x, -1, 1), 0.014 * np.clip(face.gaze_y, -1, 1) - 0.06 * h))
    at = rig.on_face((centre + look)[None], face.pose, 0.004)[0]
    squash = float(np.cos(np.radians(face.pose.yaw)))

    def disc(r: float, dx: float = 0.0, dy: float = 0.0) -> Points:
        return ellipse(at + (dx * squash, dy), r * squash, r)

    canvas.fill(curve(disc(radius)), shade(identity.eyes, -0.50))
    canvas.fill(curve(disc(0.86 * radius)), identity.eyes)
    with canvas.within(curve(disc(0.86 * radius))):
        canvas.fill(curve(disc(0.7 * radius, 0.0, 0.45 * radius)), shade(identity.eyes, 0.45), alpha=0.75)
    canvas.fill(curve(disc(0.46 * radius)), (22, 14, 22))
    canvas.fill(curve(disc(0.27 * radius, -0.34 * radius, -0.38 * radius)), (255, 255, 255))
    canvas.fill(curve(disc(0.13 * radius, 0.34 * radius, 0.36 * radius)), (255, 255, 255), alpha=0.8)


def draw_brows(canvas: Canvas, identity: Identity, rig: Rig, face: Face) -> None:
    """Draws both brows, above the fringe as illustrators do, so that what they say is always seen."""
    colour = shade(identity.hair, -0.30)
    if sum(identity.hair) > 360:
        colour = shade(identity.hair, -0.42, (70, 40, 30))
    for side in (-1.0, 1.0):
        centre = _centre(identity, rig, side)
        x = np.array((-0.046, -0.012, 0.022, 0.056))
        inner = np.array((1.0, 0.62, 0.2, -0.35))
        y = -0.078 - 0.026 * face.brow_raise - 0.028 * face.brow_tilt * inner
        y = y + np.array((0.001, -0.005, -0.008, 0.004)) - 0.004 * identity.brow_weight
        if face.brow_tilt < 0:
            x = x + np.array((-0.006, 0, 0, 0)) * -face.brow_tilt
        thick = 0.0085 * identity.brow_weight * np.array((0.85, 1.0, 0.8, 0.18))
        upper = rig.on_face(np.column_stack((side * x, y - thick)) + centre, face.pose, 0.006)
        lower = rig.on_face(np.column_stack((side * x, y + thick)) + centre, face.pose, 0.006)
        canvas.fill(curve(upper, lower[::-1]), colour)


def draw_nose(canvas: Canvas, identity: Identity, rig: Rig, face: Face) -> None:
    """Draws the nose: its lit ridge, its shaded side, its tip."""
    size = identity.nose_size
    tip = rig.on_face(np.array(((0.0, NOSE_Y),)), face.pose, 0.035)[0]
    root = rig.on_face(np.array(((0.0, 0.02),)), face.pose, 0.010)[0]
    wings = rig.on_face(np.array(((-0.030 * size, NOSE_Y + 0.012), (0.030 * size, NOSE_Y + 0.012))), face.pose, 0.008)
    base = rig.on_face(np.array(((0.0, NOSE_Y + 0.024),)), face.pose, 0.016)[0]
    dark = shade(identity.skin, -0.34)
    side = curve(
        np.vstack((root + (0.006, 0.0), tip * 0.55 + root * 0.45 + (0.014, 0.0), wings[1])),
        np.vstack((wings[1], base, tip)),
    )
    canvas.fill(side, dark, alpha=0.22, blur=0.005)
    canvas.line(
        curve(
            np.vstack(
                (wings[0], (base + wings[0]) / 2 + (0, 0.003), base, (base + wings[1]) / 2 + (0, 0.003), wings[1])
            ),
            closed=False,
        ),
        dark,
        0.0075,
        alpha=0.75,
    )
    ridge = np.vstack((root * 0.6 + tip * 0.4, tip - (0.001, 0.004)))
    canvas.line(curve(ridge, closed=False), shade(identity.skin, 0.35), 0.014, alpha=0.40, blur=0.005)
    canvas.disc(tip - (0.003, 0.002), 0.0085 * size, shade(identity.skin, 0.45), 0.5)


def draw_glasses(canvas: Canvas, identity: Identity, rig: Rig, face: Face) -> None:
    """Draws the glasses, if there are any."""
    if identity.glasses == "none":
        return
    frame = shade(identity.cloth, -0.62, (30, 24, 34))
    centres = [_centre(identity, rig, side) + (0.0, 0.008) for side in (-1.0, 1.0)]
    for side, centre in zip((-1.0, 1.0), centres, strict=True):
        if identity.glasses == "round":
            rim = ellipse(centre, 0.074, 0.070, 16)
        else:
            angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
            corner = np.abs(np.cos(angle)) ** 4 + np.abs(np.sin(angle)) ** 4
            rim = centre + np.column_stack((0.078 * np.cos(angle), 0.056 * np.sin(angle))) / corner[:, None] ** 0.25
        rim_path = curve(rig.on_face(rim, face.pose, 0.022))
        canvas.fill(rim_path, (255, 255, 255), alpha=0.10)
        arm = np.vstack(
            (
                rig.on_face((centre + (side * 0.075, -0.012))[None], face.pose, 0.022),
                rig.silhouette(np.array(((side * 0.99 * rig.half_width, -0.005),)), 0.0, face.pose),
            )
        )
        canvas.line(curve(arm, closed=False), frame, 0.009)
        canvas.line(rim_path, frame, 0.0105)
        shine = rig.on_face(centre + np.array(((-0.042, 0.012), (-0.012, -0.036))), face.pose, 0.022)
        canvas.line(curve(shine, closed=False), (255, 255, 255), 0.008, alpha=0.35)
    bridge = rig.on_face(np.array(((-0.022, 0.024), (0.0, 0.016), (0.022, 0.024))), face.pose, 0.03)
    canvas.line(curve(bridge, closed=False), frame, 0.0105)
