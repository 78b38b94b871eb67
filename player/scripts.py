"""Scripts: what to do in a world, written down. A source of actions as the keys are, and as easily checked.

One line is one of

    20 forward sprint camera=0,3    so many steps with these keys held and this turn (pitch, yaw) in each
    5                               so many steps of nothing
    {"camera": [0, 3]}              one step's action as JSON, as recordings are written
    swap                            a command: see COMMANDS

A `#` begins a comment.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from conditions.values import check, nearest

Action = dict[str, Any]
Entry = Action | str  # one step's action, or a command's name

COMMANDS = {
    "swap": "the generated world for the rendered one, or back (Tab)",
    "side-by-side": "show both, or one again (V)",
    "new": "a new world (R)",
    "picture": "write the frame as a PNG (F2)",
}

WALK = """
30 forward
12 forward camera=0,5
20 forward sprint
4 forward jump
10 camera=0,-6
10 camera=2,0
10 camera=-2,0
25 forward left
18 camera=0,5
5
20 forward right sprint
8 forward jump
14 camera=0,-5
14 back
"""


class ScriptError(ValueError):
    """A line of a script that cannot be played."""


def parse_script(text: str, space: spaces.Dict, name: str = "script") -> list[Entry]:
    """Reads a script for a world.

    Args:
        text: the script's lines.
        space: the world's action space.
        name: what errors call the script.

    Returns:
        One entry per step or command. Steps of one line share one action.

    Raises:
        ScriptError: naming the line, what is wrong in it and the nearest thing that would be right.
    """
    entries: list[Entry] = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            entries += _parse_line(line, space)
        except ScriptError as error:
            raise ScriptError(f"{name} line {number}: {error}") from None
    if not any(isinstance(entry, dict) for entry in entries):
        raise ScriptError(f"{name} has no step: write lines such as '20 forward camera=0,3'")
    return entries


def read_script(path: str | Path, space: spaces.Dict) -> list[Entry]:
    """Reads a script from a file; see parse_script.

    Raises:
        ScriptError: if there is no such file, or a line of it cannot be played.
    """
    path = Path(path)
    if not path.is_file():
        raise ScriptError(f"no script at {path}: check --script; `python play.py --help` shows what one looks like")
    return parse_script(path.read_text(), space, path.name)


def scripted_walk(space: spaces.Dict) -> list[Entry]:
    """The walk played where there is no one at the keys: all directions, turns, looks, jumps, a rest."""
    try:
        return parse_script(WALK, space, "walk")
    except ScriptError:  # a world without these keys: it is shown as it goes by itself
        return [idle(space)]


def idle(space: spaces.Dict) -> Action:
    """The action of one who does nothing: no key held, no turn. (What is left out of an action is unknown instead.)"""
    nothing: Action = {"keyboard": {}, "camera": [0.0, 0.0]}
    return {name: value for name, value in nothing.items() if name in space.spaces}


def plain(value: Any) -> Any:
    """An action in JSON's types: arrays become lists, NumPy's numbers become Python's."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return value


def check_action(action: object, space: spaces.Dict) -> Action:
    """Sees that an action, perhaps a partial one, is one of the space's.

    Raises:
        ScriptError: naming what is unknown, or what was expected of a value.
    """
    if not isinstance(action, dict):
        raise ScriptError(f'an action is an object such as {{"keyboard": {{"forward": 1}}}}, got {action!r}')
    for name, value in action.items():
        if name not in space.spaces:
            raise ScriptError(f"this world has no condition {name!r}{nearest(name, space.spaces)}")
        box = space.spaces[name]
        if _is_in(box, value):
            continue  # it may take what no plain box does, as NaN for a joint that is missing
        try:
            check(box, value, name)
        except ValueError as error:
            raise ScriptError(str(error)) from None
    return action


def _is_in(space: spaces.Space, value: Any) -> bool:
    """Whether numbers are in a box, by its own word."""
    if not isinstance(space, spaces.Box):
        return False
    try:
        return space.contains(np.asarray(value, space.dtype))
    except (TypeError, ValueError):
        return False


def _parse_line(line: str, space: spaces.Dict) -> list[Entry]:
    line = line.strip()
    if line.startswith("{"):
        try:
            action = json.loads(line)
        except json.JSONDecodeError as error:
            raise ScriptError(f"not JSON: {error}") from None
        return [check_action(action, space)]
    words = line.split("#", 1)[0].split()
    if not words:
        return []
    if words[0] in COMMANDS:
        if len(words) > 1:
            raise ScriptError(f"a command stands alone, got {' '.join(words[1:])!r} after {words[0]!r}")
        return [words[0]]
    if not words[0].isdecimal():
        raise ScriptError(
            f"a line begins with a number of steps ('20 forward') or is a command, got {words[0]!r}"
            + nearest(words[0], COMMANDS)
        )
    steps = int(words[0])
    if steps < 1:
        raise ScriptError("the number of steps must be 1 or more, got 0")
    keyboard = space.spaces.get("keyboard")
    keys = list(keyboard.spaces) if isinstance(keyboard, spaces.Dict) else []
    action = idle(space)
    for word in words[1:]:
        name, equals, value = word.partition("=")
        if equals:
            action[name] = _parse_value(name, value, space)
        elif word in keys:
            action["keyboard"][word] = 1
        else:
            raise ScriptError(f"unknown key {word!r}{nearest(word, keys)}")
    return [check_action(action, space)] * steps


def _parse_value(name: str, value: str, space: spaces.Dict) -> list[float]:
    boxes = [key for key, inner in space.spaces.items() if isinstance(inner, spaces.Box)]
    if name not in boxes:
        raise ScriptError(f"{name!r} takes no numbers{nearest(name, boxes)}")
    try:
        return [float(number) for number in value.split(",")]
    except ValueError:
        raise ScriptError(f"{name}= wants numbers with commas between, such as camera=0,3, got {value!r}") from None
