"""Where a face is: the landmarks that a detector finds in a picture, and the joints of a pose that they give.

The detector is MediaPipe's FaceLandmarker, the extra `driving`, with its model file from Google's page of the task
(`face_landmarker.task`; the package brings none).

Shapes: H W pixels, L landmarks of the face mesh, K = 10 joints.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conditions.pose import HIGHEST, JOINTS, LOWEST

Picture = NDArray[np.uint8]
Detect = Callable[[Picture], NDArray[np.float32] | None]  # [H, W, 3] -> landmarks [L, 2] in picture widths, or no face

# Landmarks of the face mesh, by whose middle each joint is taken. Left is the picture's left, the person's right.
MESH = {
    "head_top": (10,),
    "chin": (152,),
    "left_eye": (33, 133),
    "right_eye": (362, 263),
    "nose": (1,),
    "mouth_left": (61,),
    "mouth_right": (291,),
}


def joints_of(landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turns landmarks of the face mesh [L, 2], in picture widths, into joints [10, 2].

    A joint is NaN if the mesh has none of its kind (neck and shoulders), or it lies nowhere near the picture.
    """
    points = np.full((len(JOINTS), 2), np.nan, np.float32)
    for joint, indices in MESH.items():
        point = landmarks[list(indices)].mean(axis=0)
        if ((point >= LOWEST) & (point <= HIGHEST)).all():
            points[JOINTS.index(joint)] = point
    return points


class FaceDetector:
    """MediaPipe's detector of face landmarks. Close it: left to the interpreter's end, MediaPipe complains there."""

    def __init__(self, model: str | Path | None) -> None:
        """Opens it.

        Args:
            model: path of its `face_landmarker.task`.

        Raises:
            ValueError: if the extra `driving` is not installed, or the model is missing or broken.
        """
        try:
            import mediapipe
            from mediapipe.tasks.python import BaseOptions, vision
        except ModuleNotFoundError as error:
            raise ValueError(
                "key points of a face need MediaPipe, which is not installed: pip install 'worldmodel[driving]', or "
                "pip install mediapipe"
            ) from error
        if model is None:
            raise ValueError(
                "MediaPipe's package brings no model: give --face-model FILE, the face_landmarker.task of "
                "https://ai.google.dev/edge/mediapipe/solutions/vision/face_landmarker"
            )
        path = Path(model)
        if not path.is_file() or not path.stat().st_size:
            problem = "is empty (0 bytes)" if path.is_file() else "is not there"
            raise ValueError(f"the face model {path} {problem}: check --face-model")
        options = vision.FaceLandmarkerOptions(base_options=BaseOptions(model_asset_path=str(path)))
        try:
            self._landmarker: Any = vision.FaceLandmarker.create_from_options(options)
        except (RuntimeError, ValueError, OSError) as error:
            raise ValueError(f"{path} is no face_landmarker.task: {error}") from error
        self._image: Any = mediapipe.Image
        self._format: Any = mediapipe.ImageFormat.SRGB

    def __call__(self, picture: Picture) -> NDArray[np.float32] | None:
        """Returns the landmarks [L, 2] of the face in [H, W, 3], in picture widths; None if none is found."""
        image = self._image(image_format=self._format, data=np.ascontiguousarray(picture))
        faces = self._landmarker.detect(image).face_landmarks
        if not faces:
            return None
        across = picture.shape[0] / picture.shape[1]  # MediaPipe measures y in heights
        return np.array([(point.x, point.y * across) for point in faces[0]], np.float32)

    def close(self) -> None:
        """Lets go of the model."""
        self._landmarker.close()
