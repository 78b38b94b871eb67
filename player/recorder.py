"""Films of play: an mp4 of what was shown and heard, and beside it the actions, one JSON line each.

The first frame stands before the first action: T frames have T - 1 actions, and the action on line t (from 0) leads
from frame t to frame t + 1. The lines are a script, so that `--script FILM.jsonl` does it all again. Sound is left out
of them: it is in the film.

Shapes: T frames, H W pixels, S samples a frame.
"""

from __future__ import annotations

import json
import time
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.video.stream import VideoStream
from PIL import Image

from player.drive import VOICES
from player.interrupts import unbroken
from player.scripts import Action, plain
from player.soundtrack import Soundtrack, joined

# Readable up to the last second or two, if cut short.
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}
QUALITY = {"crf": "16", "preset": "veryfast"}


class Recorder:
    """Writes a film frame by frame.

    Until it is closed the film is `NAME.part.mp4`, which plays as far as it was written even if the program is killed.
    Where the size of the frames changes, another film begins: `NAME-2.mp4`, and so on.

    Attributes:
        films: the files finished so far.
        frames: frames written, over all of them.
    """

    def __init__(self, path: str | Path, fps: float, channels: int = 0) -> None:
        """Prepares a film; it is opened with the first frame.

        Args:
            path: the film, ending in .mp4.
            fps: frames per second.
            channels: of its sound; 0 for none.

        Raises:
            ValueError: for a name that does not end in .mp4.
            FileNotFoundError: if the folder does not exist.
        """
        self.path = Path(path)
        if self.path.suffix != ".mp4":
            raise ValueError(f"a film's name must end in .mp4, got {self.path}")
        if not self.path.parent.is_dir():
            raise FileNotFoundError(f"no folder {self.path.parent} to write {self.path.name} to: make it first")
        self.films: list[Path] = []
        self.frames = 0
        self._fps = Fraction(fps).limit_denominator(1001)
        self._channels = channels
        self._film: _Film | None = None

    def write(self, frame: np.ndarray, action: Action | None, sound: np.ndarray | None = None) -> None:
        """Adds a frame, the action that led to it, and what is heard while it is shown.

        Args:
            frame: [H, W, 3] uint8.
            action: not written for the first frame of a film.
            sound: [S, channels] float32 in [-1, 1] at 16 kHz; None is silence.
        """
        with unbroken():  # whoever interrupts finds a line for every frame and sound for both
            if self._film is not None and self._film.shape != frame.shape:
                self._finish()
            if self._film is None:
                number = len(self.films) + 1
                name = self.path if number == 1 else self.path.with_stem(f"{self.path.stem}-{number}")
                self._film = _Film(name, frame.shape, self._fps, self._channels)
            self._film.write(frame, action, sound)
            self.frames += 1

    def close(self) -> list[Path]:
        """Finishes the film.

        Returns:
            The films written.
        """
        self._finish()
        return self.films

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _finish(self) -> None:
        if self._film is not None:
            self._film.close()
            self.films.append(self._film.path)
            self._film = None


class _Film:
    """One mp4 and its actions."""

    def __init__(self, path: Path, shape: tuple[int, ...], fps: Fraction, channels: int) -> None:
        self.path = path
        self.shape = shape
        self._part = path.with_suffix(".part.mp4")
        self._actions = path.with_suffix(".jsonl").open("w", encoding="utf-8")
        self._container = av.open(str(self._part), "w", options=FRAGMENTS)
        self._stream: VideoStream = self._container.add_stream("libx264", rate=fps, options=QUALITY)
        self._stream.height, self._stream.width = shape[:2]
        # What every player reads; odd sizes cannot be halved, as its colours are.
        self._stream.pix_fmt = "yuv420p" if shape[0] % 2 == 0 and shape[1] % 2 == 0 else "yuv444p"
        self._stream.codec_context.gop_size = max(1, round(fps))
        self._frames = 0
        self._sound = Soundtrack(path.with_suffix(".part.wav"), fps, channels) if channels else None

    def write(self, frame: np.ndarray, action: Action | None, sound: np.ndarray | None) -> None:
        if self._sound is not None:
            self._sound.write(sound)
        if self._frames:
            told = {name: value for name, value in (action or {}).items() if name not in VOICES}
            self._actions.write(json.dumps(plain(told)) + "\n")
            self._actions.flush()
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        picture.pts = self._frames
        picture.time_base = 1 / Fraction(self._stream.codec_context.framerate)
        self._container.mux(self._stream.encode(picture))
        self._frames += 1

    def close(self) -> None:
        """Writes what is left, and copies the fragments into a plain mp4, which more programs can seek in."""
        self._container.mux(self._stream.encode())
        self._container.close()
        self._actions.close()
        if self._sound is not None:
            self._sound.close()
        whole = self.path.with_suffix(".tmp.mp4")
        joined(self._part, None if self._sound is None else self._sound.path, whole)
        whole.replace(self.path)
        self._part.unlink()
        if self._sound is not None:
            self._sound.path.unlink()


def write_picture(path: Path, frame: np.ndarray) -> None:
    """Writes a frame, [H, W, 3] uint8, as a PNG."""
    Image.fromarray(frame).save(path)


def name_by_time(suffix: str, folder: Path | None = None) -> Path:
    """A name for a picture or film of this moment, in `recordings/` unless told: play-20260131-175959-123.png."""
    folder = Path("recordings") if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    now = time.time()
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    return folder / f"play-{stamp}-{int(now * 1000) % 1000:03d}{suffix}"
