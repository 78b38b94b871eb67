"""What all formats share: from a recording's video and values to clips, in order and never out of step.

Shapes: V frames of a video, T frames of a clip, H W pixels.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import av
import numpy as np
from av.error import FFmpegError
from PIL import Image

from conditions import Condition, names
from worldmodel.data.clips import Clip
from worldmodel.data.convert.files import Recording

MIN_FRAMES = 16  # a shorter rest of a recording is left out


class Skip(ValueError):
    """Why a recording is not converted.

    Args:
        reason: the kind, one of few, for counting.
        detail: what exactly was found.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail[:300]}")
        self.reason = reason
        self.detail = detail[:300]


@dataclass(frozen=True)
class Options:
    """What the clips' content depends on besides the source.

    Attributes:
        frames: T of a clip; a recording's last clip may be shorter, down to MIN_FRAMES.
        size: H, W of the clips; the source's when None.
        gui: what becomes of frames with an open menu, "draw" (with the cursor) or "cut".
        fps: frames a second that the clips are said to have; the source's when None. No frame is added or left out.
    """

    frames: int = 256
    size: tuple[int, int] | None = None
    gui: str = "draw"
    fps: float | None = None


class Box(NamedTuple):
    """A part of a picture, in pixels."""

    top: int
    left: int
    height: int
    width: int


class Frames(Protocol):
    """The frames of a video, in order.

    Attributes:
        num_frames: V.
        fps: frames per second, where it is known.
    """

    num_frames: int
    fps: float | None

    def frames(self) -> Iterator[np.ndarray]:
        """Yields them, [H, W, 3] uint8; raises Skip where one is missing or broken, and those before are right."""


@dataclass
class Track:
    """A recording as its format understands it.

    Attributes:
        video: the mp4 file, or its frames as a format reads them itself.
        first: the frame of the video that values[0] leads on from.
        conditions: name -> raw values (None where missing) or packed array; values[i] leads from frame first + i of
            the video to frame first + i + 1.
        segments: ranges (start, stop) of frames to take, counted from `first`; what lies between is left out.
        fps: frames per second where the video does not say.
        meta: what is known about it.
        annotate: tells what is known about frames start to stop - 1, counted from `first`.
        draw: draws on frame i, counted from `first`, [H, W, 3] uint8 at the video's size, in place.
        notes: things to count in the report: what was left out or repaired.
        boxes: the part of the picture that a clip shows, by its first frame counted from `first`; all of it by default.
        cut: what ended it early, as far as reading has found out.
    """

    video: bytes | Frames
    first: int
    conditions: Mapping[str, Any]
    segments: list[tuple[int, int]]
    fps: float = 20.0
    meta: dict[str, Any] = field(default_factory=dict)
    annotate: Callable[[int, int], dict[str, Any]] | None = None
    draw: Callable[[int, np.ndarray], None] | None = None
    notes: Counter[str] = field(default_factory=Counter)
    boxes: Mapping[int, Box] = field(default_factory=dict)
    cut: Skip | None = None


class Format(Protocol):
    """How a format is read."""

    def begin(self, options: Options) -> None:
        """Readies what reading needs besides the recordings; raises ValueError where that is not there."""
        return None

    def end(self) -> None:
        """Lets go of it."""
        return None

    def conditions(self, options: Options) -> list[Condition]:
        """Returns the conditions whose values are not those of their default configs."""
        return []

    def find(self, source: Path) -> list[Recording]:
        """Lists the recordings of a folder, sorted; raises ValueError where it holds none."""

    def read(self, recording: Recording, options: Options) -> Track:
        """Reads one; raises Skip where its parts are missing, broken or do not fit together."""


class Video:
    """An mp4 file whose every decoded frame is checked to be the one that the file announces at that place.

    Args:
        data: its bytes.

    Raises:
        Skip: if it is not a whole mp4 file.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        try:
            with av.open(io.BytesIO(data), "r") as container:
                if not container.streams.video:
                    raise Skip("mp4 without video", "no video stream")
                stream = container.streams.video[0]
                self.fps = float(stream.average_rate) if stream.average_rate else None
                announced = stream.frames
                packets = [packet for packet in container.demux(stream) if packet.size]
        except FFmpegError as error:
            raise Skip("truncated mp4", f"{len(data)} bytes: {error}") from error
        if any(packet.is_corrupt for packet in packets) or len(packets) < announced or not packets:
            raise Skip("truncated mp4", f"{len(packets)} of {announced} frames are there")
        self._times = sorted(packet.pts for packet in packets if packet.pts is not None and not packet.is_discard)
        self.num_frames = len(self._times)

    def frames(self) -> Iterator[np.ndarray]:
        """Yields the frames in order, [H, W, 3] uint8.

        Raises:
            Skip: where one is missing or broken; those before are right.
        """
        count = 0
        try:
            with av.open(io.BytesIO(self._data), "r") as container:
                stream = container.streams.video[0]
                stream.codec_context.thread_count = 1
                for frame in container.decode(stream):
                    if frame.is_corrupt or count >= self.num_frames or frame.pts != self._times[count]:
                        raise Skip("broken frame", f"frame {count} of {self.num_frames} is missing or broken")
                    yield frame.to_ndarray(format="rgb24")
                    count += 1
        except FFmpegError as error:
            raise Skip("broken frame", f"frame {count} of {self.num_frames}: {error}") from error
        if count != self.num_frames:
            raise Skip("broken frame", f"frame {count} of {self.num_frames} is missing")


def make_clips(track: Track, key: str, options: Options, cuts: list[Skip]) -> Iterator[Clip]:
    """Decodes a recording once, resizes its frames and cuts it into clips.

    Neighbouring clips share one frame, so that no action is lost.

    Args:
        track: the recording.
        key: the beginning of the clips' names.
        options: how long and how large.
        cuts: filled with what ended the recording early, if anything did; its clips before that are right.
    """
    if track.cut is not None:
        cuts.append(track.cut)
    video = Video(track.video) if isinstance(track.video, bytes) else track.video
    spans = [span for segment in track.segments for span in split(*segment, options.frames)]
    fps = options.fps or video.fps or track.fps
    track.notes["frames left out"] += _uncovered(spans, video.num_frames - track.first)
    frames: dict[int, list[np.ndarray]] = {start: [] for start, _ in spans}
    stops = dict(spans)
    last = max(stops.values(), default=0)
    try:
        for number, frame in enumerate(video.frames()):
            index = number - track.first
            if index >= last:
                break
            wanted = [start for start in frames if start <= index < stops[start]]
            if not wanted:
                continue
            if track.draw is not None:
                track.draw(index, frame)
            for start in wanted:
                frames[start].append(resize(frame, options.size, track.boxes.get(start)))
                if index == stops[start] - 1:
                    whole = np.stack(frames.pop(start))
                    values = {name: values[start:index] for name, values in track.conditions.items()}
                    known = {} if track.annotate is None else track.annotate(start, index + 1)
                    meta = {"fps": fps, **track.meta, "first_frame": track.first + start, **known}
                    yield Clip(f"{key}-{track.first + start:06d}", whole, values, meta)
    except Skip as error:
        cuts.append(error)


def split(start: int, stop: int, frames: int) -> list[tuple[int, int]]:
    """Splits frames start to stop - 1 into ranges of at most `frames`, neighbours sharing one frame."""
    spans = [(first, min(first + frames, stop)) for first in range(start, max(stop - 1, start), frames - 1)]
    return [span for span in spans if span[1] - span[0] >= min(MIN_FRAMES, frames)]


def segments(keep: np.ndarray) -> list[tuple[int, int]]:
    """Returns the ranges (start, stop) in which a [T] bool array is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], keep.astype(np.int8), [0]])))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def resize(frame: np.ndarray, size: tuple[int, int] | None, box: Box | None = None) -> np.ndarray:
    """Resizes [H, W, 3] uint8 to `size` H, W, each pixel the mean of the area that it covers.

    A part of it that a box cuts out is resized by Lanczos' filter instead, as portraits are: it may be enlarged too.
    """
    if box is not None:
        top, left, height, width = box
        part = frame[top : top + height, left : left + width]
        if size is None or part.shape[:2] == size:
            return part.copy()
        return np.asarray(Image.fromarray(part).resize(size[::-1], Image.Resampling.LANCZOS))
    if size is None or frame.shape[:2] == size:
        return frame
    return np.asarray(Image.fromarray(frame).resize(size[::-1], Image.Resampling.BOX))


def clean_key(number: int, name: str) -> str:
    """Returns a clip's name from a recording's: unlike any other number's, and without dots and slashes."""
    return f"{number:06d}-{re.sub(r'[^A-Za-z0-9_-]+', '-', name)[-60:]}"


def require(recording: Recording, *files: str) -> None:
    """Checks that a recording has all its files.

    Raises:
        Skip: naming the first that is missing.
    """
    for file in files:
        if file not in recording.files:
            raise Skip(f"no {file}", f"there are {sorted(recording.files)}")


def load_npz(data: bytes, required: Sequence[str], optional: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Reads the named arrays of a npz file, and no other; objects are refused.

    Raises:
        Skip: if it is not a whole npz file or a required key is missing.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            missing = [key for key in required if key not in archive.files]
            if missing:
                raise Skip("npz without its key", f"{missing[0]!r} is missing, there are {sorted(archive.files)[:20]}")
            return {key: archive[key] for key in archive.files if key in required or key in optional}
    except Skip:
        raise
    # What is no archive at all is taken for a single array, or for a pickle.
    except (ValueError, OSError, EOFError, KeyError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise Skip("malformed npz", f"{len(data)} bytes: {error}") from error


def same_length(video_frames: int, values: int, expected: int, what: str) -> None:
    """Checks that a recording has as many values as its frames ask for.

    Raises:
        Skip: naming both counts, if not: nobody can tell at which end one is missing.
    """
    if values != expected:
        raise Skip("lengths disagree", f"{video_frames} frames and {values} {what}, expected {expected}")


def has_text() -> bool:
    """Returns whether a condition for prompts is registered."""
    return "text" in names()


def _uncovered(spans: list[tuple[int, int]], total: int) -> int:
    covered = np.zeros(max(total, 0), bool)
    for start, stop in spans:
        covered[start:stop] = True
    return int((~covered).sum())
