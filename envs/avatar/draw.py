"""The picture of an avatar: layer over layer, from the room to the glasses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs.avatar.canvas import Canvas, Points, curve, mirrored
from envs.avatar.draw_body import draw_background, draw_body, draw_neck
from envs.avatar.draw_features import draw_brows, draw_eyes, draw_glasses, draw_nose
from envs.avatar.draw_hair import draw_back_hair, draw_front_hair, fringe_shadow
from envs.avatar.draw_mouth import draw_mouth
from envs.avatar.identity import Identity, shade
from envs.avatar.rig import CHIN, JAW_DROP, TOP, Face, Rig


def draw(identity: Identity, rig: Rig, face: Face, height: int, width: int) -> NDArray[np.uint8]:
    """Draws one frame.

    Args:
        identity: who.
        rig: the same identity's.
        face: how the face stands now.
        height, width: of the frame in pixels.

    Returns:
        [H, W, 3] uint8.
    """
    canvas = Canvas(height, width)
    draw_background(canvas, identity)
    draw_back_hair(canvas, identity, rig, face)
    draw_neck(canvas, identity, rig, face)
    draw_body(canvas, identity, rig, face)
    _draw_ears(canvas, identity, rig, face)
    _draw_head(canvas, identity, rig, face)
    draw_nose(canvas, identity, rig, face)
    draw_mouth(canvas, identity, rig, face)
    draw_eyes(canvas, identity, rig, face)
    draw_front_hair(canvas, identity, rig, face)
    draw_brows(canvas, identity, rig, face)
    draw_glasses(canvas, identity, rig, face)
    return canvas.frame()


def head_outline(identity: Identity, rig: Rig, face: Face) -> Points:
    """Returns the outline of the face in the picture, [N, 2]."""
    w, k = rig.half_width, rig.length
    drop = JAW_DROP * float(face.mouth[0])
    right = [
        (0.0, TOP * k),
        (0.58 * w, (TOP + 0.040) * k),
        (0.94 * w, (TOP + 0.150) * k),
        (1.0 * w, -0.01 * k),
        (0.975 * identity.cheek * w, 0.090 * k),
        (identity.jaw * w, 0.178 * k + 0.45 * drop),
        (identity.chin * w, (CHIN - 0.018) * k + 0.9 * drop),
        (0.0, CHIN * k + drop),
    ]
    points = mirrored(right)
    return rig.silhouette(points, _outline_depths(rig, points), face.pose)


def _outline_depths(rig: Rig, points: Points) -> Points:
    """z of the outline, [N]: the chin is in front, the corners of the jaw lie below the ears."""
    lower = np.interp(points[:, 1], (TOP * rig.length, -0.05, 0.1, CHIN * rig.length), (0.0, 0.02, 0.06, 0.13))
    return lower * (1 - 0.75 * np.minimum(np.abs(points[:, 0]) / rig.half_width, 1.0) ** 2)


def _draw_head(canvas: Canvas, identity: Identity, rig: Rig, face: Face) -> None:
    skin = identity.skin
    outline = curve(head_outline(identity, rig, face))
    canvas.fill(outline, skin)
    with canvas.within(outline):
        light = rig.on_face(np.array(((-0.05, -0.05),)), face.pose)[0]
        canvas.glow(light, 0.26, shade(skin, 0.28), 0.55)
        # The far side of the light, and under the jaw.
        edge = head_outline(identity, rig, face)
        canvas.line(curve(edge + (0.018, 0.010)), shade(skin, -0.30), 0.05, alpha=0.28, blur=0.016)
        shadow = fringe_shadow(identity, rig, face)
        if shadow is not None:
            canvas.fill(shadow, shade(skin, -0.36), alpha=0.40, blur=0.006)
        red = shade(skin, 0.5, (235, 70, 80))
        for side in (-1.0, 1.0):
            cheek = rig.on_face(np.array(((side * 0.118, 0.105),)), face.pose)[0]
            canvas.glow(cheek, 0.058, red, 0.22 + 0.45 * face.blush, squash=0.75)
        _draw_skin_marks(canvas, identity, rig, face)


def _draw_skin_marks(canvas: Canvas, identity: Identity, rig: Rig, face: Face) -> None:
    if identity.freckles:
        spots = np.array(((0.07, 0.085), (0.095, 0.1), (0.118, 0.084), (0.083, 0.112), (0.135, 0.1)))
        for side in (-1.0, 1.0):
            for spot in rig.on_face(spots * (side, 1.0), face.pose):
                canvas.disc(spot, 0.0042, shade(identity.skin, -0.35), 0.55)
    if identity.beard == "none":
        return
    w, k, drop = rig.half_width, rig.length, JAW_DROP * float(face.mouth[0])
    outer = [(1.05 * w, -0.02 * k), (1.05 * w, 0.12 * k), (0.8 * w, 0.24 * k + drop), (0.0, 0.30 * k + drop)]
    inner = [(0.0, 0.128), (0.45 * w, 0.135), (0.62 * w, 0.165), (0.80 * w, 0.085), (0.93 * w, -0.02 * k)]
    left = [(-x, y) for x, y in inner[::-1]]
    pieces = [np.array(outer), np.array([(-x, y) for x, y in outer[::-1]]), np.array(left), np.array(inner)]
    colour = shade(identity.skin, 0.78 if identity.beard == "full" else 0.34, identity.hair)
    placed = [rig.silhouette(piece, _outline_depths(rig, piece), face.pose) for piece in pieces[:2]]
    for piece in pieces[2:]:  # its upper ends stay with the ears
        at_ear = (np.abs(piece[:, 0]) > 0.75 * w)[:, None]
        ends = rig.silhouette(piece, _outline_depths(rig, piece), face.pose)
        placed.append(np.where(at_ear, ends, rig.on_face(piece, face.pose)))
    canvas.fill(curve(*placed), colour, alpha=0.95 if identity.beard == "full" else 0.6, blur=0.004)


def _draw_ears(canvas: Canvas, identity: Identity, rig: Rig, face: Face) -> None:
    w = rig.half_width
    for side in (-1.0, 1.0):
        shape = np.array(((0.93, -0.005), (1.09, -0.022), (1.155, 0.025), (1.10, 0.085), (1.02, 0.118), (0.93, 0.1)))
        points = shape * (side * w, 1.0)
        ear = rig.silhouette(points, -0.03, face.pose)
        canvas.fill(curve(ear), shade(identity.skin, -0.07))
        inner = shape * (0.72, 0.62) + (0.30, 0.018)
        inside = rig.silhouette(inner * (side * w, 1.0), -0.03, face.pose)
        canvas.fill(curve(inside), shade(identity.skin, -0.24), alpha=0.7)
        if identity.earrings and side * face.pose.yaw < 8.0:  # the other one is behind the cheek
            lobe = rig.silhouette(np.array(((side * 1.075 * w, 0.122),)), -0.03, face.pose)[0]
            canvas.disc(lobe, 0.0125, shade(identity.accent, -0.18, (190, 140, 40)))
            canvas.disc(lobe - 0.003, 0.005, (255, 250, 225), 0.9)
