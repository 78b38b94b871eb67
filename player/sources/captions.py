"""Captions: one for the whole time, or a file of captions with times.

One line of such a file is a time and a caption, from then on:

    0       calm
    4.5     happy, talking lively
    1:02.5  tired            minutes and seconds; hours before them if need be
    1:10                     nothing: from here on the caption is missing

A `#` begins a comment.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from pathlib import Path

from player.sources.base import SourceError, Tell, existing


class Captions:
    """Captions with times, as a source.

    Args:
        lines: (second it begins, caption or "" for none), in order of time.
        fps: frames a second.
        max_length: characters that a caption can have.
        tell: is told of captions that are cut to it.
    """

    def __init__(self, lines: Sequence[tuple[float, str]], fps: float, max_length: int, tell: Tell) -> None:
        self._starts = [start for start, _ in lines]
        self._texts = [_one_line(text, max_length, tell) for _, text in lines]
        self._fps = fps
        self._frame = 0

    @property
    def frames(self) -> None:
        """The last caption does not end."""
        return None

    def read(self) -> str | None:
        """Returns the caption of the next frame, or None before the first one and where the file says nothing."""
        index = bisect.bisect_right(self._starts, self._frame / self._fps + 1e-9) - 1
        self._frame += 1
        return self._texts[index] or None if index >= 0 else None

    def close(self) -> None:
        """Nothing to let go of."""


def read_captions(path: str | Path, option: str = "--captions") -> list[tuple[float, str]]:
    """Reads a file of captions with times.

    Returns:
        (second, caption) of each line.

    Raises:
        SourceError: if there is no such file, it has no caption, or a line of it has no time or goes back in time.
    """
    path = existing(path, "file of captions", option)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} must be text in UTF-8: {error}") from error
    lines: list[tuple[float, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#", 1)[0].split(maxsplit=1)
        if not words:
            continue
        start = _seconds(words[0])
        if start is None:
            raise SourceError(
                f"{path} line {number} must begin with a time, in seconds or as 1:02.5, got {words[0]!r}: "
                "write lines such as '4.5 happy'"
            )
        if lines and start < lines[-1][0]:
            raise SourceError(
                f"{path} line {number} goes back in time, from {lines[-1][0]:g} s to {start:g} s: sort it"
            )
        lines.append((start, words[1].strip() if len(words) > 1 else ""))
    if not any(text for _, text in lines):
        raise SourceError(f"{path} has no caption: write lines such as '4.5 happy'")
    return lines


def _seconds(word: str) -> float | None:
    try:
        parts = [float(part) for part in word.split(":")]
    except ValueError:
        return None
    total = 0.0
    for part in parts:
        total = total * 60 + part
    return total if len(parts) <= 3 and 0 <= total < float("inf") and min(parts) >= 0 else None


def _one_line(text: str, max_length: int, tell: Tell) -> str:
    text = " ".join(text.split())
    text = "".join(character for character in text if ord(character) >= 32 and not 0xD800 <= ord(character) <= 0xDFFF)
    if len(text) > max_length:
        tell(f"a caption of {len(text)} characters is cut to {max_length}: {text[:40]!r} …")
    return text[:max_length]
