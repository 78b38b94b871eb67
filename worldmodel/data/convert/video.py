"""A folder of films of people talking: VoxCeleb2, HDTF, or one's own recordings.

Any container that FFmpeg reads, with sound or without, and captions of the same name if there are. Value t of a clip is
what is heard, seen and said during frame t + 1, as in `worldmodel/Avatar-v0`.

Shapes: V frames at the rate wanted, H W pixels, L landmarks, K joints.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from conditions import Condition
from conditions.encoders.sound import HOP, SAMPLE_RATE
from worldmodel.data import faces
from worldmodel.data.clips import codec
from worldmodel.data.convert import captions
from worldmodel.data.convert.common import Format, Options, Skip, Track, segments
from worldmodel.data.convert.files import Recording, find_recordings
from worldmodel.data.convert.film import Film

FILMS = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".ogv", ".3gp")
FPS = 12.5
CROPS = ("center", "face", "none")
CHANNELS = {"left": 0, "right": 1}
AROUND = 2.2  # sides of the cut for one of the face: hair and shoulders are in it
BELOW = 0.12  # of the cut's side that its middle is below the face's
LEAP = 0.5  # of the face's size, from one frame to the next: another shot, or another face


class Box(NamedTuple):
    """A square of pixels."""

    x: int
    y: int
    side: int

    def cut(self, picture: np.ndarray) -> np.ndarray:
        """Cuts it out of [H, W, 3]."""
        return picture[self.y : self.y + self.side, self.x : self.x + self.side]


class TalkingVideo(Format):
    """Reads films of talking heads."""

    def find(self, source: Path) -> list[Recording]:
        """Lists the films with their captions, in the folder and in tar archives."""
        return [r for r in find_recordings(source, (*FILMS, *captions.SUFFIXES)) if r.problem or _films(r)]

    def conditions(self, options: Options) -> list[Condition]:
        """Audio and listen, of as many samples a frame as the rate asks for.

        Raises:
            ValueError: for a rate whose frames are not whole hops of sound.
        """
        samples = SAMPLE_RATE / (options.fps or FPS)
        if samples % HOP:
            raise ValueError(
                f"--fps must give frames of a multiple of {1000 * HOP // SAMPLE_RATE} ms of sound, 12.5 or 25 for "
                f"example, got {options.fps:g}"
            )
        return [codec(name, {"samples": int(samples)}) for name in ("audio", "listen")]

    def read(self, recording: Recording, options: Options) -> Track:
        """Reads one: finds the face if asked to, and puts sound, key points and captions in step with the pictures."""
        found = _films(recording)
        if len(found) > 1:
            raise Skip("two films of one name", f"there are {', '.join(found)}")
        film = Film(recording.files[found[0]].read(), options.fps or FPS)
        notes: Counter[str] = Counter()
        values: dict[str, Sequence[object] | NDArray[np.int16]] = {}

        sound, damage = film.sound()
        notes["films without sound"] += sound is None
        notes["films with damaged sound, silent there"] += bool(damage) and sound is not None
        if sound is not None and options.listen is None:
            values["audio"] = sound[0] if len(sound) == 1 else _mixed(sound)
        elif sound is not None and options.listen is not None:
            if len(sound) != 2:
                raise Skip("not two channels", f"--listen {options.listen} wants a channel for each speaker")
            other = CHANNELS[options.listen]
            values |= {"audio": sound[1 - other], "listen": sound[other]}
        for suffix in captions.SUFFIXES:
            if suffix in recording.files:
                data = recording.files[suffix].read()
                values["text"] = captions.read_captions(suffix, data, film.num_frames, film.fps)

        spans = [(0, film.num_frames)]
        if options.crop == "face":
            spans, boxes, values["pose"] = _follow(film, options.face_model, notes)
            starts = np.array([start for start, _ in spans])
            film.edit = lambda index, picture: boxes[max(0, int(np.searchsorted(starts, index, side="right")) - 1)].cut(
                picture
            )
        elif options.crop != "none":
            film.edit = lambda _, picture: _middle(picture).cut(picture)
        # Value t leads to frame t + 1: it is that frame's own.
        steps = {name: column[1:] for name, column in values.items()}
        return Track(film, 0, steps, spans, film.fps, {"world": "video", "set": "video"}, notes=notes)


def _films(recording: Recording) -> list[str]:
    return [suffix for suffix in FILMS if suffix in recording.files]


def _mixed(sound: NDArray[np.int16]) -> NDArray[np.int16]:
    return sound.astype(np.int32).sum(axis=0).__floordiv__(len(sound)).astype(np.int16)


def _middle(picture: np.ndarray) -> Box:
    height, width = picture.shape[:2]
    side = min(height, width)
    return Box((width - side) // 2, (height - side) // 2, side)


@functools.lru_cache(maxsize=1)
def _detector(model: str | None) -> faces.Detect:
    return faces.mediapipe_detector(model)


def _follow(
    film: Film, model: str | None, notes: Counter[str]
) -> tuple[list[tuple[int, int]], list[Box], list[NDArray[np.float32] | None]]:
    """Finds the face in every frame.

    Returns:
        The shots with a face, as ranges of frames; the square that is cut out of each; and every frame's joints
        [K, 2] in widths of that square, None where there is no face.

    Raises:
        Skip: if no frame has a face, or the film breaks off.
    """
    detect = _detector(model)
    size, marks = (0, 0), []
    for picture in film.frames():
        size = picture.shape[:2]
        landmarks = detect(picture)
        marks.append(None if landmarks is None else landmarks * size[1])  # in pixels
    there = np.array([mark is not None for mark in marks], bool)
    if not there.any():
        raise Skip("no face", f"in none of {len(marks)} frames")
    notes["frames without a face"] += int((~there).sum())
    spans: list[tuple[int, int]] = []
    for start, stop in segments(there):
        shot = [mark for mark in marks[start:stop] if mark is not None]
        centers = np.array([(mark.min(0) + mark.max(0)) / 2 for mark in shot])
        sizes = np.array([(mark.max(0) - mark.min(0)).max() for mark in shot])
        leaps = np.linalg.norm(np.diff(centers, axis=0), axis=1) > LEAP * sizes[1:]
        edges = [start, *(start + 1 + np.flatnonzero(leaps)).tolist(), stop]
        spans += list(zip(edges[:-1], edges[1:], strict=True))
        notes["cuts between shots"] += int(leaps.sum())
    boxes, points = [], [None] * len(marks)  # type: list[Box], list[NDArray[np.float32] | None]
    for start, stop in spans:
        shot = [mark for mark in marks[start:stop] if mark is not None]
        boxes.append(box := _around(shot, *size))
        for frame, mark in zip(range(start, stop), shot, strict=True):
            points[frame] = faces.joints_of(((mark - (box.x, box.y)) / box.side).astype(np.float32))
    return spans, boxes, points


def _around(shot: Sequence[np.ndarray], height: int, width: int) -> Box:
    """The square around the faces of a shot that lies within the picture."""
    center = np.median([(mark.min(0) + mark.max(0)) / 2 for mark in shot], axis=0)
    side = AROUND * float(np.median([(mark.max(0) - mark.min(0)).max() for mark in shot]))
    side = max(2, min(round(side), height, width))
    x, y = center - side / 2 + (0, BELOW * side)
    return Box(int(np.clip(round(x), 0, width - side)), int(np.clip(round(y), 0, height - side)), side)
