"""GF-Minecraft (GameFactory): random keys and turns in MineDojo, with descriptions of the scene.

`video/seed_X_part_Y.mp4` with `metadata/seed_X_part_Y.json`, whose `actions` are numbered entries: "0" stands for the
reset and is ignored, k led from frame k - 1 to frame k. Keys: `ws` 1 forward, 2 back; `ad` 1 left, 2 right; `scs`
1 jump, 2 sneak, 3 sprint; `pitch_delta` and `yaw_delta` in steps of 15 degrees. `annotation.csv` gives ranges of frames
a prompt. Source: the data set's README and the paper, arXiv 2501.08325.

Shapes: V frames.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel.data.convert.common import Format, Options, Skip, Track, Video, has_text, require
from worldmodel.data.convert.files import Recording, Stored

DEGREES = 15.0  # one unit of a delta
CHOICES = {
    "ws": (None, "forward", "back"),
    "ad": (None, "left", "right"),
    "scs": (None, "jump", "sneak", "sprint"),
}
MAX_FIELD = 1 << 20  # characters in a field of the table
MAX_PROMPT = 4096  # characters, as many as the condition takes


class GfMinecraft(Format):
    """Reads GF-Minecraft's folders, `data_2003` and `data_269`, or a folder of them."""

    def find(self, source: Path) -> list[Recording]:
        """Lists the recordings, those with only one of their two files too, each with its prompts."""
        if not source.is_dir():
            raise ValueError(f"the source must be a folder, got {source}")
        parts = {path.parent for name in ("video", "metadata") for path in source.rglob(name) if path.is_dir()}
        recordings = []
        for part in sorted(parts):
            prompts = _read_prompts(part / "annotation.csv")
            stems = {path.stem for path in (part / "video").glob("*.mp4")}
            stems |= {path.stem for path in (part / "metadata").glob("*.json")}
            for stem in sorted(stems):
                places = {".mp4": part / "video" / f"{stem}.mp4", ".json": part / "metadata" / f"{stem}.json"}
                files = {suffix: Stored((path,)) for suffix, path in places.items() if path.is_file()}
                name = str((part / stem).relative_to(source))
                recordings.append(Recording(name, files, extra={"prompts": prompts.get(stem, [])}))
        if not recordings:
            raise ValueError(f"{source} must hold video/*.mp4 and metadata/*.json, got none")
        return recordings

    def read(self, recording: Recording, options: Options) -> Track:
        """Reads one; values[t] are those of entry t + 1."""
        require(recording, ".mp4", ".json")
        video = recording.files[".mp4"].read()
        entries, meta = _read_entries(recording.files[".json"].read())
        frames = Video(video).num_frames
        # The last action's frame may not have been recorded any more.
        if len(entries) not in (frames, frames + 1):
            raise Skip("lengths disagree", f"{frames} frames and {len(entries)} actions, expected {frames} or one more")
        steps = entries[1:frames]
        keyboard = [_keys(entry, number) for number, entry in enumerate(steps, 1)]
        camera = [_turn(entry, number) for number, entry in enumerate(steps, 1)]
        conditions: dict[str, Any] = {"keyboard": keyboard, "camera": np.array(camera, np.float32).reshape(-1, 2)}
        prompts = recording.extra["prompts"]
        notes = Counter[str]()
        texts = [_prompt(prompts, number) for number in range(1, frames)]
        notes["frames without a prompt"] += texts.count(None)
        if has_text() and any(text is not None for text in texts):
            conditions["text"] = texts

        def annotate(start: int, stop: int) -> dict[str, Any]:
            return {"prompts": sorted({text for text in texts[start : stop - 1] if text is not None})}

        meta = {"world": "minecraft", "set": "gf-minecraft", **meta}
        return Track(video, 0, conditions, [(0, frames)], 16.0, meta, annotate, notes=notes)


def _read_entries(data: bytes) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Skip("broken json", str(error)) from error
    actions = content.get("actions") if isinstance(content, dict) else None
    if not isinstance(actions, dict) or not all(isinstance(entry, dict) for entry in actions.values()):
        raise Skip("broken json", "it must have actions, an object of objects")
    missing = [number for number in range(len(actions)) if str(number) not in actions]
    if missing:
        raise Skip("broken json", f"actions must be numbered from 0 without a gap, {missing[0]} is missing")
    meta = {key: content[key] for key in ("biome", "initial_weather", "start_time") if key in content}
    return [actions[str(number)] for number in range(len(actions))], meta


def _keys(entry: dict[str, Any], number: int) -> dict[str, int]:
    keys = {}
    for name, choices in CHOICES.items():
        value = entry.get(name)
        if not isinstance(value, int) or not 0 <= value < len(choices):
            raise Skip("unknown action", f"{name} must be 0 to {len(choices) - 1}, got {value!r} in entry {number}")
        if (key := choices[value]) is not None:
            keys[key] = 1
    return keys


def _turn(entry: dict[str, Any], number: int) -> list[float]:
    turn = []
    for name in ("pitch_delta", "yaw_delta"):
        value = entry.get(name)
        if not isinstance(value, int | float) or not math.isfinite(value) or abs(value) * DEGREES > 180:
            raise Skip("unknown action", f"{name} must be a number, at most 12, got {value!r} in entry {number}")
        turn.append(value * DEGREES)
    return turn


def _read_prompts(path: Path) -> dict[str, list[tuple[int, int, str]]]:
    """Reads annotation.csv: video -> ranges of frames, the last included, and their prompts."""
    if not path.is_file():
        return {}
    csv.field_size_limit(MAX_FIELD)
    prompts: dict[str, list[tuple[int, int, str]]] = {}
    try:
        rows = csv.DictReader(io.StringIO(path.read_text("utf-8-sig")))
        names = {word: _column(rows.fieldnames or [], word) for word in ("video", "start", "end", "prompt")}
        for row in rows:
            span = int(row[names["start"]]), int(row[names["end"]])
            text = "".join(letter if letter.isprintable() else " " for letter in row[names["prompt"]])
            prompts.setdefault(Path(row[names["video"]]).stem, []).append((*span, " ".join(text.split())[:MAX_PROMPT]))
    except (csv.Error, UnicodeDecodeError, TypeError, ValueError) as error:
        raise ValueError(f"{path} must be a table of videos, first and last frames and prompts: {error}") from error
    return prompts


def _column(names: Any, word: str) -> str:
    for name in names:
        if word in str(name).lower():
            return str(name)
    raise ValueError(f"no column is called {word!r}, there are {list(names)[:10]}")


def _prompt(prompts: list[tuple[int, int, str]], frame: int) -> str | None:
    return next((text for start, end, text in prompts if start <= frame <= end and text), None)
