"""VPT's contractor recordings: people playing, 640x360 at 20 Hz, keys and mouse line by line.

`RELPATH.mp4` and `RELPATH.jsonl`. Line t was written with frame t: its action takes effect in frame t + 1, and its
`hotbar`, cursor and menu flags are those of frame t. Source of the names, the factors and the stuck attack button:
openai/Video-Pre-Training, README.md, run_inverse_dynamics_model.py and data_loader.py.

Shapes: V frames, H W pixels.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel.data.convert.common import Format, Options, Skip, Track, Video, require, segments
from worldmodel.data.convert.cursor import draw_cursor
from worldmodel.data.convert.files import Recording, find_recordings

DEGREES_PER_PIXEL = 360.0 / 2400.0
WINDOW_HEIGHT = 720.0  # of the game, in whose pixels the cursor is given
# In these versions of the recorder, the mouse moved by another measure while a menu was open.
MENU_FACTOR = {"5.7": 0.5, "5.8": 0.5, "6.7": 2.0, "6.8": 2.0, "6.9": 2.0}
KEYS = {
    **{"w": "forward", "s": "back", "a": "left", "d": "right", "space": "jump"},
    **{"left.shift": "sneak", "left.control": "sprint"},
    **{str(slot): f"hotbar.{slot}" for slot in range(1, 10)},
}
BUTTONS = {0: "attack", 1: "use"}
MAX_PIXELS = 1e6  # far beyond any screen and any turn: a number that is none of the recorder's
# The last line may lack its frame, or the last frame its line; more than that, and nobody knows where one is missing.
MAX_DIFFERENCE = 1


class Vpt(Format):
    """Reads VPT's contractor recordings."""

    def find(self, source: Path) -> list[Recording]:
        """Lists the recordings, those with only one of their two files too."""
        return find_recordings(source, (".mp4", ".jsonl"))

    def read(self, recording: Recording, options: Options) -> Track:
        """Reads one, up to the first line that is broken."""
        require(recording, ".mp4", ".jsonl")
        video = recording.files[".mp4"].read()
        notes: Counter[str] = Counter()
        lines, total = read_lines(recording.files[".jsonl"].read())
        frames = Video(video).num_frames
        if abs(total - frames) > MAX_DIFFERENCE:
            raise Skip("lengths disagree", f"{frames} frames and {total} lines")
        if len(lines) < total:
            notes["frames after a broken line"] += frames - min(frames, len(lines))
        count = min(frames, len(lines))
        lines = lines[:count]
        keyboard = read_keys(lines, notes)
        menu = np.array([bool(line["isGuiOpen"]) for line in lines], bool)
        version = next((part for part in reversed(Path(recording.name).parts[:-1]) if part in MENU_FACTOR), "")
        camera = read_camera(lines, menu, MENU_FACTOR.get(version, 1.0), notes)
        notes["frames without any action"] += sum(
            not keys and turn is not None and not turn.any() for keys, turn in zip(keyboard, camera, strict=True)
        )
        notes["frames with an open menu"] += int(menu.sum())
        keep = ~menu if options.gui == "cut" else np.ones(count, bool)

        def draw(index: int, frame: np.ndarray) -> None:
            if menu[index]:
                scale = frame.shape[0] / WINDOW_HEIGHT
                draw_cursor(frame, lines[index]["mouse"]["x"] * scale, lines[index]["mouse"]["y"] * scale)

        def annotate(start: int, stop: int) -> dict[str, Any]:
            return {"menu": segments(menu[start:stop])}

        conditions = {"keyboard": keyboard[: count - 1], "camera": camera[: count - 1]}
        meta = {"world": "minecraft", "set": "vpt"}
        return Track(video, 0, conditions, segments(keep), 20.0, meta, annotate, draw, notes)


def read_lines(data: bytes) -> tuple[list[dict[str, Any]], int]:
    """Reads the lines up to the first broken one: what follows it may be out of step.

    Returns:
        Those lines, each with all that is used of it; and how many lines there are at all.

    Raises:
        Skip: if the first line is broken already, or there is none.
    """
    texts = data.split(b"\n")
    if not texts[-1].strip():
        texts.pop()
    lines: list[dict[str, Any]] = []
    for number, text in enumerate(texts):
        try:
            line = json.loads(text)
            problem = _problem(line)
        except (ValueError, RecursionError) as error:
            problem = str(error)
        if problem:
            if not number:
                raise Skip("broken jsonl", f"line 1 of {len(texts)}: {problem}")
            return lines, len(texts)
        lines.append(line)
    if not lines:
        raise Skip("broken jsonl", "it has no lines")
    return lines, len(texts)


def read_keys(lines: list[dict[str, Any]], notes: Counter[str]) -> list[dict[str, int]]:
    """Returns the keys that are down at each line, by our names.

    The attack button counts from when it is first pressed, if the first line has it pressed: in some recordings it is
    stuck from the start. A slot of the hotbar that changes without its key, by the wheel, counts as that key at the
    line before.
    """
    result: list[dict[str, int]] = []
    stuck = lines[0]["mouse"].get("newButtons") == [0]
    for number, line in enumerate(lines):
        keys: dict[str, int] = {}
        for key in line["keyboard"]["keys"]:
            key = key.removeprefix("key.keyboard.")
            name = KEYS.get(key)
            if name is not None:
                keys[name] = 1
            else:
                notes[f"key without a name here: {re.sub('[^a-z0-9.]+', '', key.lower())[-20:]}"] += 1
        buttons = line["mouse"]["buttons"]
        if number and stuck and 0 in line["mouse"].get("newButtons", []):
            stuck = False
        if stuck and 0 in buttons:
            notes["frames with a stuck attack button"] += 1
            buttons = [button for button in buttons if button != 0]
        for button in buttons:
            if button in BUTTONS:
                keys[BUTTONS[button]] = 1
            else:
                notes["mouse button without a name here"] += 1
        result.append(keys)
    for number in range(len(lines) - 1):
        before, after = lines[number].get("hotbar"), lines[number + 1].get("hotbar")
        if isinstance(before, int) and isinstance(after, int) and before != after and 0 <= after < 9:
            name = f"hotbar.{after + 1}"
            if not any(name in keys for keys in result[max(number - 1, 0) : number + 2]):
                result[number][name] = 1
                notes["slots chosen by the wheel"] += 1
    return result


def read_camera(
    lines: list[dict[str, Any]], menu: np.ndarray, factor: float, notes: Counter[str]
) -> list[np.ndarray | None]:
    """Returns pitch and yaw in degrees at each line, [2] float32; where a menu is open, they move the cursor.

    A turn of more than 180 degrees is an error of the recorder: it counts as missing.
    """
    pixels = np.array([[line["mouse"]["dy"], line["mouse"]["dx"]] for line in lines], np.float64)
    degrees = (pixels * DEGREES_PER_PIXEL * np.where(menu, factor, 1.0)[:, None]).astype(np.float32)
    wild = np.any(np.abs(degrees) > 180, axis=1).tolist()
    notes["turns of more than 180 degrees, taken as missing"] += sum(wild)
    return [None if is_wild else turn for turn, is_wild in zip(degrees, wild, strict=True)]


def _problem(line: Any) -> str:
    """Returns what of a line is not as it must be, or ""."""
    if not isinstance(line, dict):
        return f"it must be an object, got {type(line).__name__}"
    mouse, keyboard = line.get("mouse"), line.get("keyboard")
    if not isinstance(mouse, dict) or not isinstance(keyboard, dict):
        return "mouse and keyboard must be objects"
    for name in ("x", "y", "dx", "dy"):
        value = mouse.get(name)
        if not isinstance(value, int | float) or not abs(value) <= MAX_PIXELS:
            return f"mouse.{name} must be a number of pixels, got {str(value)[:40]}"
    keys = keyboard.get("keys")
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        return f"keyboard.keys must be a list of names, got {str(keys)[:40]}"
    for name in ("buttons", "newButtons"):
        buttons = mouse.get(name, [])
        if not isinstance(buttons, list) or not all(isinstance(button, int) for button in buttons):
            return f"mouse.{name} must be a list of numbers, got {str(buttons)[:40]}"
    if "buttons" not in mouse:
        return "mouse.buttons is missing"
    return "" if isinstance(line.get("isGuiOpen"), bool) else "isGuiOpen must be true or false"
