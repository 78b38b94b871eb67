"""Scripts: what they mean, and what is said where they mean nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from gymnasium import spaces

import conditions
from player.scripts import COMMANDS, ScriptError, idle, parse_script, read_script, scripted_walk

SPACE = spaces.Dict({"keyboard": conditions.space("keyboard"), "camera": conditions.space("camera")})


def test_lines_become_steps_and_commands() -> None:
    text = """
    2 forward sprint camera=0,3   # run
    # nothing but a comment
    1
    swap
    {"keyboard": {"jump": 1}}
    """
    run = {"keyboard": {"forward": 1, "sprint": 1}, "camera": [0, 3]}
    rest = {"keyboard": {}, "camera": [0, 0]}
    assert parse_script(text, SPACE) == [run, run, rest, "swap", {"keyboard": {"jump": 1}}]


def test_every_command_is_read() -> None:
    assert parse_script("\n".join([*COMMANDS, "1"]), SPACE)[:-1] == list(COMMANDS)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("20 foward", "unknown key 'foward', did you mean 'forward'?"),
        ("20 forward kamera=1,2", "'kamera' takes no numbers, did you mean 'camera'?"),
        ("20 camera=1", "camera must be [2]"),
        ("20 camera=1,x", "numbers with commas between"),
        ("20 camera=0,181", "camera must lie within"),
        ("20 camera=0,nan", "camera must be finite"),
        ("0 forward", "must be 1 or more"),
        ("forward 20", "begins with a number of steps"),
        ("swop", "did you mean 'swap'?"),
        ("swap 3", "stands alone"),
        ('{"keyboard": {"forwad": 1}}', "did you mean 'forward'?"),
        ('{"keyboard": {"forward": 2}}', "0 to 1, got int 2"),
        ('{"keybord": {}}', "did you mean 'keyboard'?"),
        ('{"camera": "left"}', "camera must be [2]"),
        ('{"camera": [0, 3', "not JSON"),
    ],
)
def test_errors_name_the_line_and_what_would_be_right(line: str, told: str) -> None:
    with pytest.raises(ScriptError) as caught:
        parse_script(f"# a walk\n5 forward\n{line}", SPACE, "walk.txt")
    assert str(caught.value).startswith("walk.txt line 3: ")
    assert told in str(caught.value)


def test_a_script_without_a_step_is_refused() -> None:
    with pytest.raises(ScriptError, match="no step"):
        parse_script("# to do\nswap", SPACE)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match=r"no script at .*walk\.txt"):
        read_script(tmp_path / "walk.txt", SPACE)


def test_the_walk_goes_everywhere() -> None:
    steps = [entry for entry in scripted_walk(SPACE) if isinstance(entry, dict)]
    assert len(steps) == 200
    assert {"forward", "back", "left", "right", "jump", "sprint"} <= {key for step in steps for key in step["keyboard"]}
    turns = [step["camera"] for step in steps]
    assert any(yaw > 0 for _, yaw in turns) and any(yaw < 0 for _, yaw in turns) and any(pitch for pitch, _ in turns)


def test_a_world_without_keys_is_watched() -> None:
    silent = spaces.Dict({"volume": spaces.Box(0, 1)})
    assert scripted_walk(silent) == [{}]
    assert idle(silent) == {}
