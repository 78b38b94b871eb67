"""How a face stands and moves in space, and where its joints then are in the picture.

Head units: the picture's shorter side is 1; x goes right, y down, z towards the viewer; the origin is the middle of
the head. The head turns about the top of the neck. Lines of sight are parallel, so that depth only shifts and
foreshortens ("2.5D").

Shapes: N points, K = 10 joints.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from conditions.pose import JOINTS
from envs.avatar.identity import Identity

Points = NDArray[np.float64]

CENTRE = np.array((0.5, 0.47))  # of the head at rest, in the square picture
ZOOM, FOCUS = 1.10, np.array((0.5, 0.42))  # the picture shows a little less than the square around the head
PIVOT = np.array((0.0, 0.17, -0.06))
HALF_WIDTH, TOP, CHIN, DEPTH = 0.196, -0.285, 0.262, 0.15
EYE_X, EYE_Y, NOSE_Y, MOUTH_Y, MOUTH_HALF = 0.088, 0.025, 0.105, 0.170, 0.076
NECK_Y, SHOULDER_X, SHOULDER_Y = 0.335, 0.275, 0.44
JAW_DROP = 0.055  # of the chin, when the mouth is wide open
LIMITS = np.array((38.0, 28.0, 30.0, 0.16, 0.14, 0.16, 0.14, 15.0))  # of a Pose's numbers, in order
_JAWLESS = np.ones(len(JOINTS), bool)
_JAWLESS[JOINTS.index("chin")] = False  # it moves with the jaw, not with the head alone


@dataclass(frozen=True)
class Pose:
    """Where head and shoulders are; all zero at rest.

    Attributes:
        yaw, pitch, roll: degrees; > 0 turns to the right of the picture, looks down, tilts clockwise.
        x, y: the head's shift, in head units.
        body_x, body_y, body_roll: that of the shoulders, and their tilt in degrees.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    x: float = 0.0
    y: float = 0.0
    body_x: float = 0.0
    body_y: float = 0.0
    body_roll: float = 0.0

    def as_array(self) -> Points:
        """Returns its 8 numbers in order."""
        return np.array(
            (self.yaw, self.pitch, self.roll, self.x, self.y, self.body_x, self.body_y, self.body_roll), np.float64
        )

    @classmethod
    def from_array(cls, numbers: Points) -> Pose:
        """Returns the pose of 8 numbers, each kept within LIMITS."""
        return cls(*np.clip(numbers, -LIMITS, LIMITS).tolist())


@dataclass(frozen=True)
class Face:
    """All that changes from frame to frame.

    Attributes:
        pose: of head and shoulders.
        mouth: [K] as `visemes.PARTS`.
        smile: -1 to 1, corners of the mouth.
        brow_raise, brow_tilt: -1 to 1; tilt > 0 lifts the inner ends.
        eye_open: 0 closed, 1 at rest, 1.3 wide.
        squint: 0 to 1, the lower lids.
        gaze_x, gaze_y: -1 to 1.
        blush: 0 to 1.
    """

    pose: Pose = Pose()
    mouth: Points = field(default_factory=lambda: np.zeros(6))
    smile: float = 0.0
    brow_raise: float = 0.0
    brow_tilt: float = 0.0
    eye_open: float = 1.0
    squint: float = 0.0
    gaze_x: float = 0.0
    gaze_y: float = 0.0
    blush: float = 0.3

    @property
    def aperture(self) -> float:
        """How far the lips are apart, 0 to 1."""
        opening, _, press, tuck = self.mouth[:4]
        return float(np.clip(opening * (1 - press) * (1 - 0.7 * tuck), 0.0, 1.0))


def rotation(pose: Pose) -> Points:
    """Returns the head's rotation, [3, 3]."""
    yaw, pitch, roll = np.radians((pose.yaw, pose.pitch, pose.roll))
    (cy, sy), (cp, sp), (cr, sr) = ((np.cos(a), np.sin(a)) for a in (yaw, pitch, roll))
    turn = np.array(((cy, 0, sy), (0, 1, 0), (-sy, 0, cy)))
    nod = np.array(((1, 0, 0), (0, cp, sp), (0, -sp, cp)))
    tilt = np.array(((cr, -sr, 0), (sr, cr, 0), (0, 0, 1)))
    return tilt @ nod @ turn


class Rig:
    """An identity's face in space.

    Args:
        identity: whose it is.
    """

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.half_width = HALF_WIDTH * identity.face_width
        self.length = identity.face_length

    def surface(self, x: Points, y: Points) -> Points:
        """Returns z of the face's surface at x, y, each [N]: an egg."""
        inside = 1 - (x / (1.1 * self.half_width)) ** 2 - (y / (0.36 * self.length)) ** 2
        return DEPTH * np.sqrt(np.maximum(inside, 0.0))

    def on_face(self, points: Points, pose: Pose, lift: float = 0.0) -> Points:
        """Returns where points [N, 2] of the face, `lift` above its surface, are in the picture, [N, 2]."""
        z = self.surface(points[:, 0], points[:, 1]) + lift
        return self.in_space(np.column_stack((points, z)), pose)

    def in_space(self, points: Points, pose: Pose) -> Points:
        """Returns where points [N, 3] that move with the head are in the picture, [N, 2]."""
        turned = (points - PIVOT) @ rotation(pose).T + PIVOT
        return turned[:, :2] + CENTRE + (pose.x, pose.y)

    def silhouette(self, points: Points, depths: Points | float, pose: Pose) -> Points:
        """Returns points [N, 2] of an outline in the picture: a head is round, so turning does not make it thinner.

        Args:
            points: [N, 2].
            depths: z of each, [N]; what is in front moves with the turn, what is behind against it.
            pose: where the head is.
        """
        yaw, pitch, roll = np.radians((pose.yaw, pose.pitch, pose.roll))
        x = points[:, 0] * (1 - 0.05 * np.sin(yaw) ** 2) + (depths - PIVOT[2]) * np.sin(yaw)
        y = (points[:, 1] - PIVOT[1]) * (1 - 0.5 * (1 - np.cos(pitch))) + (depths - PIVOT[2]) * np.sin(pitch)
        turned = np.column_stack((x * np.cos(roll) - y * np.sin(roll), x * np.sin(roll) + y * np.cos(roll) + PIVOT[1]))
        return turned + CENTRE + (pose.x, pose.y)

    def on_body(self, points: Points, pose: Pose) -> Points:
        """Returns points [N, 2] of the shoulders, relative to the head at rest, in the picture."""
        angle = np.radians(pose.body_roll)
        turn = np.array(((np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))))
        pivot = np.array((0.0, SHOULDER_Y + 0.1))
        return (points - pivot) @ turn.T + pivot + CENTRE + (pose.body_x, pose.body_y)

    def mouth_corners(self, mouth: Points, smile: float) -> tuple[float, float]:
        """Returns half the width of the mouth, and how far its corners are below its middle."""
        opening, wide = mouth[0], mouth[1]
        half = MOUTH_HALF * self.identity.mouth_width * (1 + 0.22 * wide - 0.06 * opening + 0.10 * max(smile, 0.0))
        if wide < 0:
            half = half * (1 + 0.26 * wide)
        return float(half), float(-0.004 - 0.022 * smile + 0.020 * opening)

    def key_points(self, face: Face) -> Points:
        """Returns the joints of a face in the square picture, [K, 2] in head units, in the order of JOINTS."""
        half, corner = self.mouth_corners(face.mouth, face.smile)
        size = self.identity.eye_gap * self.half_width / HALF_WIDTH
        chin = CHIN * self.length + JAW_DROP * face.mouth[0]
        plain = np.array(
            (
                (-EYE_X * size, EYE_Y),
                (EYE_X * size, EYE_Y),
                (0.0, NOSE_Y),
                (-half, MOUTH_Y + corner),
                (half, MOUTH_Y + corner),
            )
        )
        z = self.surface(plain[:, 0], plain[:, 1]) + (0, 0, 0.035, 0, 0)
        head = np.array(((0.0, TOP * self.length, 0.0), (0.0, chin, 0.10)))
        points = self.in_space(np.vstack((head, np.column_stack((plain, z)))), face.pose)
        body = np.array(((0.0, NECK_Y), (-SHOULDER_X, SHOULDER_Y), (SHOULDER_X, SHOULDER_Y)))
        return np.vstack((points, self.on_body(body, face.pose)))

    def fit(self, key_points: Points, near: Pose) -> Pose:
        """Finds the pose whose joints are nearest to given ones, by Gauss-Newton steps.

        Args:
            key_points: [K, 2] in head units, rows of NaN where a joint is missing; of any mouth, as its chin is not
                looked at and its corners count by their middle.
            near: where to start, and what stays where nothing is known.

        Returns:
            The pose, within LIMITS.
        """
        known = np.isfinite(key_points).all(1) & _JAWLESS
        if not known.any():
            return near
        numbers = near.as_array()
        scale = np.array((30.0, 30.0, 30.0, 0.1, 0.1, 0.1, 0.1, 30.0))
        target = self._residuals(key_points, known)
        for _ in range(6):
            here = self._residuals(self.key_points(Face(pose=Pose(*numbers))), known)
            jacobian = np.empty((len(here), len(numbers)))
            for index in range(len(numbers)):
                moved = numbers.copy()
                moved[index] += 1e-3 * scale[index]
                there = self._residuals(self.key_points(Face(pose=Pose(*moved))), known)
                jacobian[:, index] = (there - here) / 1e-3
            # A little damping: it keeps what few joints leave open near the start.
            step = np.linalg.solve(jacobian.T @ jacobian + 1e-6 * np.eye(8), jacobian.T @ (target - here))
            numbers = np.clip(numbers + step * scale, -LIMITS, LIMITS)
            if np.abs(step).max() < 1e-4:
                break
        return Pose.from_array(numbers)

    @staticmethod
    def _residuals(points: Points, known: NDArray[np.bool_]) -> Points:
        left, right = JOINTS.index("mouth_left"), JOINTS.index("mouth_right")
        points, known = points.copy(), known.copy()
        if known[left] and known[right]:
            points[left] = (points[left] + points[right]) / 2
            known[right] = False
        else:
            known[left] = known[right] = False
        return points[known].ravel()


def to_picture(points: Points, height: int, width: int) -> Points:
    """Returns points [N, 2] of the square in picture widths, from the upper left corner of a frame."""
    side = min(height, width)
    pixels = (FOCUS + ZOOM * (points - FOCUS)) * side + ((width - side) / 2, 0.0)
    return pixels / width


def from_picture(points: Points, height: int, width: int) -> Points:
    """Undoes `to_picture`."""
    side = min(height, width)
    square = (points * width - ((width - side) / 2, 0.0)) / side
    return FOCUS + (square - FOCUS) / ZOOM


def blended(here: Pose, there: Pose, amount: float) -> Pose:
    """Returns the pose a share `amount` of the way from one to another."""
    return Pose.from_array(here.as_array() * (1 - amount) + there.as_array() * amount)


def with_pose(face: Face, pose: Pose) -> Face:
    """Returns a face in another pose."""
    return replace(face, pose=pose)
