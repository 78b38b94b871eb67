"""Keys that were recorded with others, and turns as keys."""

from pathlib import Path

import numpy as np
import pytest

from conditions import Column, Condition
from conditions.camera import Camera
from conditions.keyboard import KEYS, Keyboard
from worldmodel.data.clip_writer import ClipWriter
from worldmodel.data.clips import Clip, ClipSet, codec

PRESSED = [{"forward": 1, "jump": 1}, {"left": 1}, {"back": 1, "right": 1}, {}]
YAW = np.array([[0.0, 0.0], [3.0, -20.0], [0.0, 20.0], [0.0, 4.9]], np.float32)
THERE = np.array([True, True, True, True])


def stored(
    camera: bool = True, config: object = None, there: np.ndarray = THERE
) -> dict[str, tuple[Condition, Column]]:
    keyboard = codec("keyboard", config)
    clip = {"keyboard": (keyboard, Column(keyboard.column(PRESSED if config is None else [{}] * 4), THERE))}
    return clip | ({"camera": (codec("camera"), Column(YAW, there))} if camera else {})


def adopted(config: dict[str, object], clip: dict[str, tuple[Condition, Column]]) -> Column | None:
    return codec("keyboard", config).adopt(clip)


def test_keys_that_the_model_has_not_are_left_out() -> None:
    column = adopted({"keys": ["right", "forward"]}, stored())
    assert column is not None
    np.testing.assert_array_equal(column.values, [[0, 1], [0, 0], [1, 0], [0, 0]])
    assert column.present.all() and np.asarray(column.values).dtype == np.uint8


def test_keys_that_the_clip_has_not_are_up() -> None:
    column = adopted({}, stored(config={"keys": ["forward", "fly"]}))
    assert column is not None and np.asarray(column.values).shape == (4, len(KEYS)) and not np.any(column.values)


def test_what_was_written_alike_is_taken_as_it_is() -> None:
    clip = stored()
    column = adopted({}, clip)
    assert column is not None and column.values is clip["keyboard"][1].values
    assert codec("keyboard").sources == ("keyboard",) and adopted({}, {}) is None
    assert codec("camera").adopt(clip) is not None and codec("text").adopt(clip) is None


def test_turns_as_keys() -> None:
    config = {"keys": ["forward", "left", "right"], "turn": 5.0}
    assert codec("keyboard", config).sources == ("keyboard", "camera")
    column = adopted(config, stored())
    assert column is not None
    np.testing.assert_array_equal(column.values, [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]])
    column = adopted(config, stored(there=np.array([True, False, True, True])))
    assert column is not None and column.present.tolist() == [True, False, True, True]
    assert adopted(config, stored(camera=False)) is None
    again = codec("keyboard", config)
    assert again.adopt({"keyboard": (again, column)}) == column  # written with turns as keys: no camera is needed


def test_a_clip_set_reads_turns_as_keys(tmp_path: Path) -> None:
    with ClipWriter(tmp_path / "shard-000000.tar") as writer:
        frames = np.zeros((5, 16, 16, 3), np.uint8)
        writer.write(Clip("both", frames, {"keyboard": PRESSED, "camera": YAW}, {"fps": 20.0}))
        writer.write(Clip("keys", frames, {"keyboard": PRESSED}, {"fps": 20.0}))
    directions = codec("keyboard", {"keys": ["forward", "left", "right"], "turn": 5.0})
    clips, whole = ClipSet(tmp_path, [directions]), ClipSet(tmp_path)
    np.testing.assert_array_equal(clips.columns(0)["keyboard"].values, [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]])
    assert list(clips.columns(0)) == ["keyboard"] and clips.columns(1) == {}
    assert clips[0].actions() == whole.read(0, [directions]).actions()
    assert clips[0].actions()[1] == {"keyboard": {"forward": 0, "left": 1, "right": 0}}
    assert whole.read(1, [directions]).actions() == [{}] * 4


def test_turns_need_their_keys() -> None:
    for wrong in ({"turn": -1.0}, {"turn": 200.0}, {"keys": ["forward"], "turn": 5.0}):
        with pytest.raises(ValueError, match=r"keyboard.turn must be 0 to 180 degrees"):
            Keyboard.Config(**wrong)
    assert Camera.Config().scale == 30.0
