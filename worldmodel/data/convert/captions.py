"""Captions beside a video: one text for all of it, lines of JSON as clips have them, or subtitles with times."""

from __future__ import annotations

import json
import re

from worldmodel.data.convert.common import Skip

SUFFIXES = (".txt", ".srt", ".vtt")
TIME = r"(?:(\d+):)?(\d+):(\d+)[.,](\d{1,3})"
SPAN = re.compile(rf"\s*{TIME}\s*-->\s*{TIME}")
TAG = re.compile(r"<[^>]*>|\{\\[^}]*\}")


def read_captions(suffix: str, data: bytes, frames: int, fps: float) -> list[str | None]:
    """Returns the caption of each frame, by the middle of the frame; None where there is none.

    Args:
        suffix: ".txt", ".srt" or ".vtt".
        data: the file.
        frames: T.
        fps: frames a second.

    Raises:
        Skip: if it is not such a file.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Skip("malformed captions", f"{suffix} must be UTF-8: {error}") from error
    if suffix == ".txt":
        return _plain(text, frames)
    captions: list[str | None] = [None] * frames
    spans = 0
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n")):
        lines = block.strip().split("\n")
        at = next((number for number, line in enumerate(lines) if SPAN.match(line)), None)
        if at is None:
            continue
        match = SPAN.match(lines[at])
        assert match is not None
        spans += 1
        start, stop = _seconds(match.groups()[:4]), _seconds(match.groups()[4:])
        words = " ".join(TAG.sub("", line).strip() for line in lines[at + 1 :]).strip()
        for frame in range(frames):
            if words and start <= (frame + 0.5) / fps < stop:
                captions[frame] = words
    if not spans:
        raise Skip("malformed captions", f"{suffix} must have lines such as 00:00:01,500 --> 00:00:04,000, got none")
    return captions


def _plain(text: str, frames: int) -> list[str | None]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return [None] * frames
    if not lines[0].startswith("{"):
        return [" ".join(lines)] * frames
    captions: list[str | None] = []
    for number, line in enumerate(lines, start=1):
        try:
            run = json.loads(line)
            captions += [str(run["text"])] * int(run["frames"])
        except (ValueError, KeyError, TypeError) as error:
            raise Skip("malformed captions", f'line {number} must be like {{"frames": 12, "text": "calm"}}') from error
    # The runs count steps, as in a clip: the first leads to frame 1.
    captions = [captions[0] if captions else None, *captions]
    return captions[:frames] + [None] * (frames - len(captions))


def _seconds(parts: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, fraction = parts
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0) + float(f"0.{fraction}")
