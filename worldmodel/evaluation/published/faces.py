"""Faces as networks that recognise them want them: upright, at one place, 112 x 112 pixels.

Shapes: H W pixels, K joints.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from conditions.pose import JOINTS
from worldmodel.evaluation.published.networks import FACE

# Where ArcFace (arXiv 1801.07698) and those who follow it put eyes, nose and corners of the mouth, x and y in pixels.
PLACES = {
    "left_eye": (38.29, 51.70),
    "right_eye": (73.53, 51.50),
    "nose": (56.03, 71.74),
    "mouth_left": (41.55, 92.37),
    "mouth_right": (70.73, 92.20),
}
_JOINTS = [JOINTS.index(name) for name in PLACES]


def cut_face(frame: NDArray[np.uint8], joints: NDArray[np.floating] | None) -> tuple[NDArray[np.uint8], bool]:
    """Returns a face [112, 112, 3], and whether it was put in place.

    Args:
        frame: [H, W, 3] uint8.
        joints: [K, 2] in picture widths, as the condition `pose`; where one of the five is not known, or there are
            none, the whole picture is taken as it is.
    """
    points = None if joints is None or joints.shape != (len(JOINTS), 2) else joints[_JOINTS] * frame.shape[1]
    picture = Image.fromarray(frame)
    if points is None or not np.isfinite(points).all():
        return np.asarray(picture.resize((FACE, FACE), Image.Resampling.BILINEAR)), False
    matrix = similarity(np.array(list(PLACES.values())), points.astype(np.float64))  # from the cut to the picture
    # Where the picture is larger than the cut, its pixels are averaged first: the transform itself takes single ones.
    shrink = max(1, int(np.hypot(matrix[0, 0], matrix[1, 0])))
    if shrink > 1:
        picture = picture.reduce(shrink)
        matrix = matrix / shrink
    rows = matrix[:2].ravel().tolist()
    cut = picture.transform((FACE, FACE), Image.Transform.AFFINE, rows, Image.Resampling.BILINEAR)
    return np.asarray(cut), True


def similarity(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the turn, scale and shift [2, 3] that bring points [N, 2] nearest to others (Umeyama 1991)."""
    mean_s, mean_t = source.mean(axis=0), target.mean(axis=0)
    a, b = source - mean_s, target - mean_t
    left, values, right = np.linalg.svd(b.T @ a / len(a))
    signs = np.array([1.0, np.sign(np.linalg.det(left @ right)) or 1.0])
    turn = (left * signs) @ right
    scale = (values * signs).sum() / max(a.var(axis=0).sum(), 1e-12)
    return np.column_stack([scale * turn, mean_t - scale * turn @ mean_s])


def to_input(faces: NDArray[np.uint8]) -> Tensor:
    """Turns faces [B, 112, 112, 3] uint8 into [B, 3, 112, 112] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(faces)).permute(0, 3, 1, 2).float() / 127.5 - 1
