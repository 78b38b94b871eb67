"""What part of a picture a clip shows, and where one shot ends and the next begins.

Shapes: V frames, H W pixels, K joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from conditions.pose import HIGHEST, LOWEST
from worldmodel.data.convert.common import Box, segments
from worldmodel.data.convert.pictures import Film, Moment, thumbnail
from worldmodel.data.faces import Detect, joints_of

MARGIN = 2.0  # the side of a crop in faces, chin to hairline: hair and the beginning of the shoulders are in it
REACH = 1.15  # and of all that the face moves over in a clip
CUT = 28.0  # brightness levels of 255 that a cut changes a pixel by at least, on average ...
CUT_OVER_USUAL = 4.0  # ... and how many times as much as the steps around it
JUMP = 0.6  # faces that a face moves from one frame to the next only by a cut
LOST_S = 0.4  # a face not found for this long is still there, without a pose


@dataclass
class Face:
    """A face in a picture.

    Attributes:
        box: left, top, right, bottom of its landmarks in pixels, [4].
        joints: [K, 2] in pixels, NaN where not known.
    """

    box: np.ndarray
    joints: np.ndarray

    def in_box(self, box: Box) -> np.ndarray:
        """Returns the joints [K, 2] float32 in widths of a part of the picture; NaN also where they are far outside."""
        joints = ((self.joints - (box.left, box.top)) / box.width).astype(np.float32)
        joints[~((joints >= LOWEST) & (joints <= HIGHEST)).all(axis=1)] = np.nan
        return joints


def find_face(detect: Detect, picture: np.ndarray) -> Face | None:
    """Looks for a face in [H, W, 3] uint8."""
    landmarks = detect(np.ascontiguousarray(picture))
    if landmarks is None:
        return None
    width = picture.shape[1]
    box = np.concatenate([landmarks.min(axis=0), landmarks.max(axis=0)]) * width
    return Face(box, joints_of(landmarks) * width)


class Viewer:
    """Looks at a film's frames, one after another, and keeps none.

    Attributes:
        shape: height and width of its pictures, upright; known once one was looked at.
    """

    def __init__(self, film: Film, detect: Detect | None) -> None:
        """Begins before the first.

        Args:
            film: of the frames.
            detect: finds faces; None if nobody is to look for any.
        """
        self.shape = (0, 0)
        self._film, self._detect = film, detect
        self._small: np.ndarray | None = None
        self._face: Face | None = None

    def look(self, moment: Moment) -> tuple[float, Face | None]:
        """Returns how much the next frame differs from the one before it, in brightness levels, and the face in it."""
        if moment.again and self._small is not None:
            return 0.0, self._face
        before, self._face = self._small, None
        self._small = thumbnail(moment.picture)
        if self._detect is not None or self.shape == (0, 0):
            picture = self._film.upright(moment.picture)
            self.shape = (picture.shape[0], picture.shape[1])
            self._face = None if self._detect is None else find_face(self._detect, picture)
        return 0.0 if before is None else float(np.abs(self._small - before).mean()), self._face


def find_cuts(steps: np.ndarray, faces: Sequence[Face | None]) -> np.ndarray:
    """Returns [V] bool: which frames begin another shot.

    Args:
        steps: [V] how much each frame differs from the one before it, in brightness levels.
        faces: of each frame; all None where nobody looked.
    """
    cuts = np.zeros(len(steps), bool)
    for index in range(1, len(steps)):
        around = np.concatenate([steps[max(index - 5, 1) : index], steps[index + 1 : index + 6]])
        usual = float(np.median(around)) if len(around) else 0.0
        cuts[index] = steps[index] > max(CUT, CUT_OVER_USUAL * usual)
        before, now = faces[index - 1], faces[index]
        if before is not None and now is not None:
            size = max(_size(before.box), _size(now.box))
            cuts[index] |= bool(np.abs(_middle(now.box) - _middle(before.box)).max() > JUMP * size)
    return cuts


def find_shots(numbers: Sequence[int], cuts: np.ndarray, seen: np.ndarray | None, lost: int) -> list[tuple[int, int]]:
    """Returns the ranges (start, stop) of frames that belong together.

    Args:
        numbers: of the frames; a hole in them ends a shot.
        cuts: [V] bool, from `find_cuts`.
        seen: [V] bool, in which frames there is a face; None if that does not matter.
        lost: how many frames in a row without a face are put up with inside a shot.
    """
    edges = [0, *(i for i in range(1, len(numbers)) if cuts[i] or numbers[i] != numbers[i - 1] + 1), len(numbers)]
    shots = list(zip(edges, edges[1:], strict=False))
    if seen is None:
        return shots
    result = []
    for start, stop in shots:
        keep = seen[start:stop].copy()
        for first, last in segments(~keep):
            if 0 < first and last < stop - start and last - first <= lost:
                keep[first:last] = True
        result += [(start + first, start + last) for first, last in segments(keep)]
    return result


def centred(height: int, width: int, aspect: float) -> Box:
    """Returns the largest box of an aspect, width over height, about the middle of a picture."""
    return _placed(height, aspect, np.array((width / 2, height / 2)), height, width)


def around_faces(faces: Sequence[Face], height: int, width: int, aspect: float) -> Box:
    """Returns one box that holds a face wherever it is in a clip, with a margin, within the picture.

    Args:
        faces: at least one.
        height, width: of the picture.
        aspect: of the box, width over height.
    """
    boxes = np.stack([face.box for face in faces])
    left, top = np.percentile(boxes[:, :2], 2, axis=0)  # a single frame gone wrong does not count
    right, bottom = np.percentile(boxes[:, 2:], 98, axis=0)
    size = float(np.median([_size(box) for box in boxes]))
    wanted = max(MARGIN * size, MARGIN * size / aspect, REACH * (bottom - top), REACH * (right - left) / aspect)
    return _placed(wanted, aspect, np.array(((left + right) / 2, (top + bottom) / 2)), height, width)


def _placed(wanted: float, aspect: float, middle: np.ndarray, height: int, width: int) -> Box:
    rows = min(wanted, height, width / aspect)
    box_height, box_width = max(1, round(rows)), max(1, min(width, round(rows * aspect)))
    left = min(max(round(middle[0] - box_width / 2), 0), width - box_width)
    top = min(max(round(middle[1] - box_height / 2), 0), height - box_height)
    return Box(top, left, box_height, box_width)


def _size(box: np.ndarray) -> float:
    return float(max(box[2] - box[0], box[3] - box[1]))


def _middle(box: np.ndarray) -> np.ndarray:
    return (box[:2] + box[2:]) / 2
