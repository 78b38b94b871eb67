"""Captions that lie beside a film: one for all of it, a line of JSON for every stretch of frames, or with times."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

from conditions.text import Text
from worldmodel.data.clips import codec
from worldmodel.data.convert.common import Skip
from worldmodel.data.convert.files import Recording

SUFFIXES = (".txt", ".srt", ".vtt")  # the first that is there is taken
CLOCK = r"(?:(\d+):)?(\d+):(\d+)[.,](\d+)"
TIMES = re.compile(rf"\s*{CLOCK}\s*-->\s*{CLOCK}.*")
TAGS = re.compile(r"<[^>]*>|\{\\[^}]*\}")

Caption = Callable[[int, float], str | None]  # of frame number k, whose middle is at that second of the film


def read_captions(recording: Recording, num_frames: int) -> Caption | None:
    """Reads the captions of a recording.

    Args:
        recording: with any of SUFFIXES among its files.
        num_frames: V, frames of the film; lines of JSON must have V - 1 values.

    Returns:
        What says the caption of a frame, None where there is none; or None if there is no file.

    Raises:
        Skip: if the file is not what its suffix says, or does not fit the film.
    """
    suffix = next((suffix for suffix in SUFFIXES if suffix in recording.files), None)
    if suffix is None:
        return None
    try:
        data = recording.files[suffix].read().decode("utf-8-sig")
        if suffix != ".txt":
            return _timed(data)
        condition = codec("text")
        assert isinstance(condition, Text)
        if data.lstrip().startswith('{"'):
            lines = condition.decode((data.rstrip("\n") + "\n").encode()).tolist()
            if len(lines) != num_frames - 1:
                raise Skip("broken captions", f"{suffix} has {len(lines)} values, the film {num_frames - 1}")
            return lambda number, second: lines[number - 1]
        text = condition.validate(" ".join(data.split()))
    except ValueError as error:
        if isinstance(error, Skip):
            raise
        raise Skip("broken captions", f"{suffix}: {error}") from error
    return (lambda number, second: text) if text else None


def _timed(data: str) -> Caption:
    """Reads SubRip or WebVTT."""
    cues: list[tuple[float, float, str]] = []
    for block in re.split(r"\n\s*\n", data.replace("\r\n", "\n").replace("\r", "\n")):
        lines = block.split("\n")
        found = next(((n, match) for n, line in enumerate(lines) if (match := TIMES.fullmatch(line))), None)
        if found is None:  # a heading, a comment or a style
            continue
        number, match = found
        text = html.unescape(TAGS.sub("", " ".join(lines[number + 1 :])))
        start, stop = _seconds(*match.groups()[:4]), _seconds(*match.groups()[4:])
        if text := codec("text").validate(" ".join(text.split())):
            cues.append((start, stop, text))
    if not cues:
        raise ValueError("no caption with times such as 00:00:01,000 --> 00:00:04,000 is in it")

    def caption(number: int, second: float) -> str | None:
        return " ".join(text for start, stop, text in cues if start <= second < stop) or None

    return caption


def _seconds(hours: str | None, minutes: str, seconds: str, part: str) -> float:
    return 3600 * int(hours or 0) + 60 * int(minutes) + int(seconds) + float(f"0.{part}")
