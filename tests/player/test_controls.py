"""Live controls: what hands did between two frames becomes one action."""

from __future__ import annotations

import pytest
from gymnasium import spaces

import conditions
from player.controls import ARROWS, BUTTONS, DEGREES_PER_ARROW, DEGREES_PER_PIXEL, KEYS, MAX_TURN, Controls

SPACE = spaces.Dict({"keyboard": conditions.space("keyboard"), "camera": conditions.space("camera")})


@pytest.fixture
def controls() -> Controls:
    return Controls(SPACE)


def test_a_press_shorter_than_a_frame_counts_once(controls: Controls) -> None:
    controls.press("space")
    controls.release("space")
    assert controls.read()["keyboard"] == {"jump": 1}
    assert controls.read()["keyboard"] == {}


def test_a_held_key_counts_until_it_is_released(controls: Controls) -> None:
    controls.press("w")
    assert controls.read()["keyboard"] == controls.read()["keyboard"] == {"forward": 1}
    assert controls.active == {"forward"}
    controls.release("w")
    assert controls.read()["keyboard"] == {}
    assert controls.active == frozenset()


def test_every_key_of_the_keyboard_can_be_pressed(controls: Controls) -> None:
    reached = {*KEYS.values(), *BUTTONS.values()}
    assert reached == set(SPACE["keyboard"].spaces)
    for key in (*KEYS, *BUTTONS):
        controls.press(key)
    action = controls.read()
    assert set(action["keyboard"]) == reached
    assert set(action) == {"keyboard", "camera"}


def test_one_of_two_keys_for_the_same_thing_is_enough(controls: Controls) -> None:
    controls.press("left shift")
    controls.press("right shift")
    controls.release("left shift")
    controls.read()
    assert controls.read()["keyboard"] == {"sneak": 1}


def test_mouse_motion_adds_up_and_is_used_up(controls: Controls) -> None:
    controls.move(10, -4)
    controls.move(10, 0)
    assert controls.read()["camera"] == pytest.approx([-4 * DEGREES_PER_PIXEL, 20 * DEGREES_PER_PIXEL])
    assert controls.read()["camera"] == [0, 0]


def test_a_quick_turn_is_made_in_several_steps(controls: Controls) -> None:
    controls.move(2.5 * MAX_TURN / DEGREES_PER_PIXEL, 0)
    assert [controls.read()["camera"][1] for _ in range(4)] == pytest.approx([MAX_TURN, MAX_TURN, MAX_TURN / 2, 0])


@pytest.mark.parametrize("key", ARROWS)
def test_arrows_turn_while_held_and_after_a_short_press(controls: Controls, key: str) -> None:
    wanted = [DEGREES_PER_ARROW * axis for axis in ARROWS[key]]
    controls.press(key)
    assert controls.read()["camera"] == controls.read()["camera"] == wanted
    controls.release(key)
    assert controls.read()["camera"] == [0, 0]


def test_clear_lets_go_of_everything(controls: Controls) -> None:
    controls.press("w")
    controls.move(5, 5)
    controls.clear()
    assert controls.read() == {"keyboard": {}, "camera": [0, 0]}


def test_keys_that_a_world_does_not_know_do_nothing(controls: Controls) -> None:
    controls.press("x")
    controls.press(7)
    assert controls.read()["keyboard"] == {}


def test_only_what_the_world_takes_is_given() -> None:
    keyboard = spaces.Dict({"forward": spaces.Discrete(2)})
    walker = Controls(spaces.Dict({"keyboard": keyboard}))
    walker.press("w")
    walker.press("space")
    walker.move(3, 3)
    assert walker.read() == {"keyboard": {"forward": 1}}
