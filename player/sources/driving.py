"""A driving video: the key points of the face in it, frame by frame, as a pose.

They are placed as in the clips that `worldmodel.data.convert video --crop face` makes of such a film: by its steady
frames, upright, in widths of a part of the picture about the face, which stays until another shot begins.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import av
import av.error
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from conditions.pose import JOINTS
from player.sources.base import SourceError, Tell, existing
from worldmodel.data.convert.common import Box, Skip
from worldmodel.data.convert.files import Stored
from worldmodel.data.convert.framing import LOST_S, Face, Viewer, around_faces, find_cuts, find_shots
from worldmodel.data.convert.pictures import Film
from worldmodel.data.faces import Detect, FaceDetector

AHEAD_S = 24.0  # as long as a clip: what the face moves over until then is in the part of the picture about it


class _Look(NamedTuple):
    """A frame that was looked at: how much it differs from the one before, and the face in it."""

    step: float
    face: Face | None


class DrivingVideo:
    """The face in a video as a source of key points; neck and shoulders are missing, as the mesh has none.

    Args:
        path: of any container and codec that FFmpeg reads.
        fps: frames a second asked for.
        detect: finds a face's landmarks.
        tell: is told of frames without a face, and of damage.
        option: where the file was named, for errors.
        aspect: width over height of the world's picture.

    Raises:
        SourceError: if there is no such file, or no picture can be read from it.
    """

    def __init__(
        self,
        path: str | Path,
        fps: float,
        detect: Detect,
        tell: Tell,
        option: str = "--drive",
        aspect: float = 1.0,
    ) -> None:
        self._path = existing(path, "video", option)
        self._fps, self._detect, self._tell, self._aspect = fps, detect, tell, aspect
        try:
            with av.open(str(self._path)) as container:
                if not container.streams.video:
                    raise SourceError(f"{self._path} holds no picture: give {option} a video with a face")
                self._begins_s = (container.start_time or 0) / av.time_base
                self._length = round((container.duration or 0) / av.time_base * fps) or None
        except av.error.FFmpegError as error:
            raise SourceError(f"{self._path} cannot be read as a video: {error.strerror}: check {option}") from error
        self._film = Film(Stored((self._path,)), fps)
        self._viewer = Viewer(self._film, detect)
        self._frame = 0
        self._faceless = self._failed = self._ended = False
        self._box: Box | None = None
        self._left = 0  # frames until it is to be chosen anew
        self._shot: list[_Look] = []  # the last frame of a shot that may go on after these, or nothing
        self._looks = self._look()
        self._ahead: deque[_Look] = deque()
        problem = "there is none"
        try:
            self._ahead.extend(islice(self._looks, max(1, round(AHEAD_S * fps))))
        except Skip as error:
            problem = error.detail
        if not self._ahead:
            raise SourceError(f"no picture of {self._path} could be decoded: {problem}: check {option}")

    @property
    def frames(self) -> int | None:
        """How many frames asked for it lasts."""
        return self._length

    def read(self) -> NDArray[np.float32] | None:
        """Returns the joints [10, 2] of the next frame; None where there is no face, or the video has ended."""
        if not self._ahead:
            if self._film.damage and not self._ended:
                self._tell(f"{self._path} is damaged ({self._film.damage}): the pose ends there")
            self._ended = True
            return None
        if not self._left:
            self._choose()
        look = self._ahead.popleft()
        self._ahead.extend(islice(self._looks, 1))
        self._left -= 1
        if (look.face is None) != self._faceless:
            self._faceless = look.face is None
            found = "no face is found, so the head goes its own way" if self._faceless else "a face is found again"
            self._tell(f"{self._path} at {self._frame / self._fps:.1f} s: {found}")
        self._frame += 1
        return None if look.face is None or self._box is None else look.face.in_box(self._box)

    def close(self) -> None:
        """Closes the file and the detector."""
        self._looks.close()
        if isinstance(self._detect, FaceDetector):
            self._detect.close()

    def _look(self) -> Generator[_Look, None, None]:
        """Looks at every frame from the file's beginning on; where the film has a hole, there is no face."""
        count = late = 0
        for moment in self._film.moments():
            if not count:  # the sound may begin before the picture
                late = max(0, round((self._film.begins_s - self._begins_s) * self._fps))
            for _ in range(count, moment.number + late):
                yield _Look(0.0, None)
            count = moment.number + late + 1
            try:
                look = _Look(*self._viewer.look(moment))
            except Exception as error:  # of a picture that FFmpeg cannot turn into colours, or whatever of a detector
                look = _Look(0.0, None)
                if not self._failed:
                    self._failed = True
                    where = f"{self._path} at {(count - 1) / self._fps:.1f} s"
                    self._tell(f"{where}: a frame cannot be looked at ({error}): such frames count as without a face")
            yield look

    def _choose(self) -> None:
        """Chooses the part of the picture that counts, and for how many frames, as for a clip of talking heads."""
        looks = [*self._shot, *self._ahead]
        faces = [look.face for look in looks]
        seen = np.array([face is not None for face in faces])
        cuts = find_cuts(np.array([look.step for look in looks]), faces)
        shots = find_shots(range(len(looks)), cuts, seen, round(LOST_S * self._fps))
        start, stop = shots[0] if shots else (len(looks), len(looks))
        if self._shot and stop == 1:  # it does not go on
            self._shot = []
            return self._choose()
        if start:  # before the next face
            self._left = start
            return
        if not self._shot:
            there = [face for face in faces[:stop] if face is not None]
            self._box = around_faces(there, *self._viewer.shape, self._aspect)
        self._left = stop - len(self._shot)
        self._shot = [] if cuts[stop:].any() or seen[stop:].any() else [looks[stop - 1]]


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
