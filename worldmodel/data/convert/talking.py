"""Films of a talking head: VoxCeleb2, HDTF, one's own; any container and codec that FFmpeg reads.

Value t of a clip leads from frame t to frame t + 1, as in `worldmodel/Avatar-v0`: it is what is heard while frame t + 1
is shown, the joints of its face, and its caption. Everything is found by its time in the file, never by counting.

Shapes: V frames, H W pixels, S samples of a frame.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from conditions import Condition
from conditions.encoders.sound import SAMPLE_RATE
from conditions.values import nearest
from worldmodel.data.clips import codec
from worldmodel.data.convert.captions import SUFFIXES as CAPTIONS
from worldmodel.data.convert.captions import read_captions
from worldmodel.data.convert.common import MIN_FRAMES, Box, Format, Options, Skip, Track, split
from worldmodel.data.convert.files import Recording, Stored, find_recordings
from worldmodel.data.convert.framing import (
    LOST_S,
    Face,
    Viewer,
    around_faces,
    centred,
    find_cuts,
    find_shots,
)
from worldmodel.data.convert.pictures import Film, SteadyFrames, opened
from worldmodel.data.convert.sound import Sound
from worldmodel.data.faces import Detect, FaceDetector

VIDEOS = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts"),
    *(".flv", ".wmv", ".3gp", ".ogv"),
)
RATES = (12.5, 25.0)
CROPS = ("none", "center", "face")
CHANNELS = ("left", "right")


@dataclass(frozen=True)
class TalkingOptions(Options):
    """What the clips' content depends on besides the source.

    Attributes:
        fps: 12.5 or 25 frames per second.
        crop: "none", the whole picture, stretched; "center", the most of its middle; "face", about the face.
        face_model: path of the detector's model, for "face".
        listen: the channel of the other one's voice, "left" or "right"; the other channel is the face's own.
    """

    frames: int = 300
    size: tuple[int, int] | None = (128, 128)
    fps: float = 12.5
    crop: str = "center"
    face_model: str | None = None
    listen: str | None = None

    def __post_init__(self) -> None:
        if self.fps not in RATES:
            raise ValueError(f"--fps must be 12.5 or 25, got {self.fps:g}")
        if self.crop not in CROPS:
            raise ValueError(f"--crop must be one of {', '.join(CROPS)}, got {self.crop!r}{nearest(self.crop, CROPS)}")
        if self.listen not in (None, *CHANNELS):
            raise ValueError(f"--listen must be left or right, got {self.listen!r}")
        if self.size is None:
            raise ValueError("--size must be given: the clips of a set are of one size, such as 128")
        if self.face_model is not None and self.crop != "face":
            raise ValueError(f"--face-model is for --crop face, got --crop {self.crop}: nothing would look for a face")


@dataclass
class _Look:
    """What a first look at a film's frames tells: numbers, [V] steps and faces."""

    numbers: list[int]
    steps: np.ndarray
    faces: list[Face | None]
    shape: tuple[int, int]
    again: int


class TalkingHeads(Format):
    """Reads films of a talking head."""

    def __init__(self) -> None:
        self._detect: Detect | None = None

    def begin(self, options: Options) -> None:
        """Opens the detector, for --crop face."""
        if not isinstance(options, TalkingOptions):
            raise ValueError("the format video must have its own options, TalkingOptions")
        if options.crop == "face":
            self._detect = FaceDetector(options.face_model)

    def end(self) -> None:
        """Closes it."""
        if isinstance(self._detect, FaceDetector):
            self._detect.close()

    def conditions(self, options: Options) -> list[Condition]:
        """Returns the conditions of sound, of as many samples as a frame lasts."""
        return [codec(name, {"samples": _samples(options)}) for name in ("audio", "listen")]

    def find(self, source: Path) -> list[Recording]:
        """Lists the films, each with its captions where they lie beside it."""
        suffixes = (*VIDEOS, *CAPTIONS)
        try:
            found = find_recordings(source, (*suffixes, *(suffix.upper() for suffix in suffixes)))
        except ValueError as error:
            if not source.is_dir():
                raise
            raise ValueError(
                f"{source} must hold films ({' '.join(VIDEOS)}) or tar archives of them, got none"
            ) from error
        films = []
        for recording in found:
            files = {suffix.lower(): stored for suffix, stored in recording.files.items()}
            if recording.problem or any(suffix in files for suffix in VIDEOS):
                films.append(Recording(recording.name, files, recording.problem, recording.extra))
        if not films:
            raise ValueError(f"{source} must hold films ({' '.join(VIDEOS)}) or tar archives of them, got none")
        return films

    def read(self, recording: Recording, options: Options) -> Track:
        """Looks through one film: its shots, its faces, its sound and its captions."""
        assert isinstance(options, TalkingOptions) and options.size is not None
        videos = [suffix for suffix in VIDEOS if suffix in recording.files]
        if len(videos) > 1:
            raise Skip("two films of one name", f"there are {', '.join(videos)}")
        stored = recording.files[videos[0]]
        film = Film(stored, options.fps)
        look = self._look(film)
        if not look.numbers:
            raise Skip("no picture", film.damage or "its video stream is empty")
        damage = film.damage
        notes: Counter[str] = Counter()
        notes["frames that show a picture again: the film has fewer"] += look.again
        seen = None
        if self._detect is not None:
            seen = np.array([face is not None for face in look.faces])
            notes["frames without a face"] += int((~seen).sum())
            if not seen.any():
                raise Skip("no face", f"in none of {len(seen)} frames")
        cuts = find_cuts(look.steps, look.faces)
        shots = find_shots(look.numbers, cuts, seen, round(LOST_S * options.fps))
        notes["cuts from one shot to the next"] += int(cuts.sum())
        spans = [span for shot in shots for span in split(*shot, options.frames)]
        if not spans:
            longest = max(stop - start for start, stop in shots)
            reason = ("broken film", damage) if damage else ("too short", f"the longest shot has {longest} frames")
            raise Skip(reason[0], f"{reason[1]}; a clip has at least {min(MIN_FRAMES, options.frames)} frames")
        boxes = _boxes(look, spans, options)
        if options.crop != "none":
            small = sum(boxes[start].width < options.size[1] / 1.5 for start, _ in spans)
            notes["clips enlarged by more than half: the face or the picture is small"] += small
        values = self._conditions(recording, stored, film, look, options, notes)
        if seen is not None:
            values["pose"] = _poses(look, spans, boxes)

        def annotate(start: int, stop: int) -> dict[str, Any]:
            begins = film.begins_s + look.numbers[start] / options.fps
            return {"begins_s": round(begins, 3), "crop": list(boxes[start])}

        meta = {"world": "video", "set": "video"}
        frames = SteadyFrames(Film(stored, options.fps), len(look.numbers))
        cut = Skip("broken film", damage) if damage else None
        return Track(frames, 0, values, spans, options.fps, meta, annotate, boxes=boxes, notes=notes, cut=cut)

    def _look(self, film: Film) -> _Look:
        """Goes through the frames once, and keeps none."""
        look = _Look([], np.zeros(0), [], (0, 0), 0)
        viewer = Viewer(film, self._detect)
        steps: list[float] = []
        for moment in film.moments():
            look.again += moment.again and bool(look.numbers)
            step, face = viewer.look(moment)
            steps.append(step)
            look.numbers.append(moment.number)
            look.faces.append(face)
        look.shape = viewer.shape
        look.steps = np.array(steps)
        return look

    def _conditions(
        self,
        recording: Recording,
        stored: Stored,
        film: Film,
        look: _Look,
        options: TalkingOptions,
        notes: Counter[str],
    ) -> dict[str, Any]:
        values: dict[str, Any] = {}
        sound = Sound(stored, apart=options.listen is not None)
        if sound:
            starts = [film.begins_s + number / options.fps for number in look.numbers[1:]]
            own = 0 if options.listen in (None, "right") else 1
            values["audio"] = Heard(sound, starts, _samples(options), own)
            if options.listen is not None:
                values["listen"] = Heard(sound, starts, _samples(options), 1 - own)
        notes["films without sound"] += not sound and not sound.damage
        notes["films whose sound is broken in places: it is missing there"] += bool(sound.damage)
        caption = read_captions(recording, look.numbers[-1] + 1)
        if caption is not None:
            begins = film.begins_s - _zero(stored)
            texts = [caption(number, begins + (number + 0.5) / options.fps) for number in look.numbers[1:]]
            if any(text is not None for text in texts):
                values["text"] = texts
            notes["films with captions"] += 1
        return values


class Heard(Sequence[Any]):
    """What is heard during every frame but the first, cut out of a film's sound when it is asked for."""

    def __init__(self, sound: Sound, starts: list[float], samples: int, channel: int) -> None:
        self._sound, self._starts, self._samples, self._channel = sound, starts, samples, channel

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: Any) -> Any:
        """Returns [S] float32, or None where it is missing; a list of them for a slice."""
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        return self._sound.at(self._starts[index], self._samples, self._channel)


def _samples(options: Options) -> int:
    assert isinstance(options, TalkingOptions)
    return round(SAMPLE_RATE / options.fps)


def _zero(stored: Stored) -> float:
    """Returns when a film begins by its own clock, as its players and its captions count."""
    with opened(stored) as container:
        return (container.start_time or 0) / 1e6


def _boxes(look: _Look, spans: list[tuple[int, int]], options: TalkingOptions) -> dict[int, Box]:
    assert options.size is not None
    height, width = look.shape
    aspect = options.size[1] / options.size[0]
    boxes = {}
    for start, stop in spans:
        faces = [face for face in look.faces[start:stop] if face is not None]
        if options.crop == "face":
            boxes[start] = around_faces(faces, height, width, aspect)
        else:
            boxes[start] = Box(0, 0, height, width) if options.crop == "none" else centred(height, width, aspect)
    return boxes


def _poses(look: _Look, spans: list[tuple[int, int]], boxes: dict[int, Box]) -> list[np.ndarray | None]:
    """Returns the joints of every frame but the first, in widths of its clip's box."""
    poses: list[np.ndarray | None] = [None] * (len(look.faces) - 1)
    for start, stop in spans:
        for index in range(start + 1, stop):
            face = look.faces[index]
            if face is not None:
                poses[index - 1] = face.in_box(boxes[start])
    return poses
