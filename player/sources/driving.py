"""A driving video: the key points of the face in it, frame by frame, as a pose.

Shapes: H W pixels, K = 10 joints.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import av.error
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from conditions.pose import JOINTS
from player.sources.base import SourceError, Tell, existing
from worldmodel.data.faces import Detect, FaceDetector, Picture, joints_of


class DrivingVideo:
    """The face in a video as a source of key points; neck and shoulders are missing, as the mesh has none.

    Args:
        path: of any container and codec that FFmpeg reads.
        fps: frames a second asked for; each takes the video's frame of its moment.
        detect: finds a face's landmarks.
        tell: is told of frames without a face, and of damage.
        option: where the file was named, for errors.

    Raises:
        SourceError: if there is no such file, or no picture can be read from it.
    """

    def __init__(self, path: str | Path, fps: float, detect: Detect, tell: Tell, option: str = "--drive") -> None:
        self._path = existing(path, "video", option)
        self._fps, self._detect, self._tell = fps, detect, tell
        try:
            self._container = av.open(str(self._path))
        except av.error.FFmpegError as error:
            raise SourceError(f"{self._path} cannot be read as a video: {error.strerror}: check {option}") from error
        if not self._container.streams.video:
            self._container.close()
            raise SourceError(f"{self._path} holds no picture: give {option} a video with a face")
        seconds = (self._container.duration or 0) / av.time_base
        self._length = round(seconds * fps) or None
        self._pictures = self._read()
        self._next = next(self._pictures, None)
        if self._next is None:
            self._container.close()
            raise SourceError(f"no picture of {self._path} could be decoded: check {option}")
        self._points: NDArray[np.float32] | None = None
        self._frame = 0
        self._faceless = False

    @property
    def frames(self) -> int | None:
        """How many frames asked for it lasts."""
        return self._length

    def read(self) -> NDArray[np.float32] | None:
        """Returns the joints [10, 2] of the next frame; None where there is no face, or the video has ended."""
        now = self._frame / self._fps + 1e-6
        self._frame += 1
        if self._length is not None and self._frame > self._length:
            return None
        picture = None
        while self._next is not None and self._next[0] <= now:
            picture = self._next[1]
            self._next = next(self._pictures, None)
        if picture is not None:
            self._points = self._found(picture.to_ndarray(format="rgb24").astype(np.uint8, copy=False))
        elif self._next is None:
            self._points = None
        return self._points

    def close(self) -> None:
        """Closes the file and the detector."""
        self._container.close()
        if isinstance(self._detect, FaceDetector):
            self._detect.close()

    def _found(self, picture: Picture) -> NDArray[np.float32] | None:
        landmarks = self._detect(picture)
        if (landmarks is None) != self._faceless:
            self._faceless = landmarks is None
            seconds = (self._frame - 1) / self._fps
            found = "no face is found, so the head goes its own way" if self._faceless else "a face is found again"
            self._tell(f"{self._path} at {seconds:.1f} s: {found}")
        return None if landmarks is None else joints_of(landmarks)

    def _read(self) -> Iterator[tuple[float, av.VideoFrame]]:
        stream = self._container.streams.video[0]
        begins = (self._container.start_time or 0) / av.time_base
        try:
            for frame in self._container.decode(stream):
                if frame.time is not None:
                    yield frame.time - begins, frame
        except av.error.FFmpegError as error:
            self._tell(f"{self._path} is damaged ({error.strerror}): the pose ends there")


def fits(space: spaces.Space) -> bool:
    """Whether a world's pose has the joints that a driving video gives."""
    return space.shape == (len(JOINTS), 2)


def face_detector(model: str | Path | None) -> FaceDetector:
    """Opens the detector of faces.

    Raises:
        SourceError: where `FaceDetector` raises ValueError.
    """
    try:
        return FaceDetector(model)
    except ValueError as error:
        raise SourceError(f"{error}; or give --pose FILE.npz, key points found elsewhere") from error
