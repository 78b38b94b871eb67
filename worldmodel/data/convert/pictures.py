"""The pictures of any film, brought to a steady frame rate by their times.

Frame k lasts from k / fps to (k + 1) / fps after the film's first picture, and shows the picture that is on the screen
in the middle of that: the mouth of its own sound, as `worldmodel/Avatar-v0` draws it.

Shapes: V frames, H W pixels.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError

from worldmodel.data.convert.common import Skip
from worldmodel.data.convert.files import Stored

MAX_GAP_S = 0.5  # a picture that stays longer is a hole in the film, not a still one
ROUNDING_S = 0.002  # some containers keep times in whole milliseconds


class Moment(NamedTuple):
    """A frame of the steady rate.

    Attributes:
        number: k.
        picture: what it shows.
        again: whether frame k - 1 shows the same picture.
    """

    number: int
    picture: av.VideoFrame
    again: bool


@dataclass
class Film:
    """A film whose pictures are read one by one, as often as need be.

    Attributes:
        stored: the file.
        fps: frames a second asked for.
        begins_s: when its first picture is shown, by the file's clock; known once `moments` has yielded.
        damage: what ended `moments` before the film's end, or "".
    """

    stored: Stored
    fps: float
    begins_s: float = 0.0
    damage: str = ""

    def moments(self) -> Iterator[Moment]:
        """Yields the frames in order; where the film has a hole, their numbers have one."""
        number = 0
        before: tuple[float, av.VideoFrame] | None = None
        usual = 1 / self.fps  # how long the last picture stayed
        for time, picture in self._pictures():
            if before is not None:
                stays = time - before[0]
                usual = stays if stays <= MAX_GAP_S else usual
                yield from self._during(*before, usual, number)
                number = max(number, self._first_after(before[0] + usual))
            before = time, picture
        if before is not None:
            yield from self._during(*before, usual, number)

    def upright(self, picture: av.VideoFrame) -> np.ndarray:
        """Returns a picture as it is to be seen, [H, W, 3] uint8: turned, and its pixels made square."""
        if self._pixel != 1:
            picture = picture.reformat(width=max(1, round(picture.width * self._pixel)), format="rgb24")
        return np.rot90(picture.to_ndarray(format="rgb24"), round(self._turn / 90))

    def _pictures(self) -> Iterator[tuple[float, av.VideoFrame]]:
        """Yields pictures and their times after the first, ever later; ends at the first that cannot be trusted."""
        self.damage = ""
        self._pixel, self._turn = Fraction(1), 0
        last, size = -1.0, (0, 0)
        try:
            with opened(self.stored) as container:
                if not container.streams.video:
                    raise Skip("no picture", "it holds no video stream")
                stream = container.streams.video[0]
                stream.codec_context.thread_count = 1
                self._pixel = stream.sample_aspect_ratio or Fraction(1)
                for picture in container.decode(stream):
                    at = f"after {max(last, 0):.2f} s"
                    if picture.is_corrupt or picture.time is None:
                        self.damage = f"a picture is {'broken' if picture.is_corrupt else 'without a time'} {at}"
                        return
                    if last < 0:
                        self.begins_s, size = picture.time, (picture.height, picture.width)
                        self._turn = picture.rotation
                    time = picture.time - self.begins_s
                    if time <= last or (picture.height, picture.width) != size:
                        self.damage = f"{'time goes back' if time <= last else 'the picture changes its size'} {at}"
                        return
                    yield time, picture
                    last = time
        except FFmpegError as error:
            if last < 0:
                raise Skip("unreadable", f"no picture can be decoded: {error}") from error
            self.damage = f"it breaks off after {last:.2f} s: {error}"

    def _during(self, begins: float, picture: av.VideoFrame, stays: float, number: int) -> Iterator[Moment]:
        first = max(number, self._first_after(begins))
        for k in range(first, self._first_after(begins + stays)):
            yield Moment(k, picture, k > first)

    def _first_after(self, time: float) -> int:
        """Returns the first frame whose middle lies after a time."""
        return max(0, math.floor((time + ROUNDING_S) * self.fps - 0.5) + 1)


class SteadyFrames:
    """The frames of a film as a track's video: V of them, and never another one in their place."""

    def __init__(self, film: Film, num_frames: int) -> None:
        self.fps: float | None = film.fps
        self.num_frames = num_frames
        self._film = film

    def frames(self) -> Iterator[np.ndarray]:
        """Yields them, [H, W, 3] uint8; raises Skip where one cannot be read again."""
        count = 0
        frame = np.zeros(0, np.uint8)
        for moment in self._film.moments():
            if count == self.num_frames:
                return
            if not moment.again or not count:
                frame = self._film.upright(moment.picture)
            yield frame
            count += 1
        if count < self.num_frames:
            raise Skip("broken frame", f"frame {count} of {self.num_frames} is missing: {self._film.damage}")


def opened(stored: Stored) -> InputContainer:
    """Opens a film, on disk or inside an archive; raises FFmpegError, or ValueError if it is gone."""
    if stored.size is None and stored.paths[0].is_file():
        return av.open(str(stored.paths[0]), "r")
    return av.open(io.BytesIO(stored.read()), "r")


def thumbnail(picture: av.VideoFrame) -> np.ndarray:
    """Returns a picture's brightness, [32, 32] float32 in 0 to 255, to tell one shot from the next."""
    return picture.reformat(width=32, height=32, format="gray").to_ndarray().astype(np.float32)
