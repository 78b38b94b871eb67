"""Which windows are asked about, and the right answers."""

from __future__ import annotations

import numpy as np
import pytest

from worldmodel.evaluation.inverse_dynamics import IGNORED
from worldmodel.evaluation.labels import SETTLE, Commands, Track, commands, label
from worldmodel.evaluation.motion import GAP
from worldmodel.evaluation.scripts import (
    MOVES,
    TURNS,
    action,
    held_actions,
    idle,
    random_play,
    turn_away_and_back,
)

BACK, STAY, FORWARD = range(3)
LEFT, AHEAD, RIGHT = range(3)


NOWHERE = Track()


def told(frames: int, walk: int, pitch: float = 0.0, yaw: float = 0.0) -> Commands:
    """The same command in every step."""
    return Commands(np.full((frames, 2), (pitch, yaw)), np.full(frames, walk), np.zeros(frames, bool))


def test_commands_of_mappings_and_arrays() -> None:
    keys = ["jump", "forward", "back"]
    told = commands([action("forward", 5.0, -2.0), {"keyboard": np.array([0, 0, 1])}, {}], keys)
    assert told.camera.tolist() == [[-2.0, 5.0], [0.0, 0.0], [0.0, 0.0]]
    assert told.walk.tolist() == [FORWARD, BACK, STAY]
    assert commands([], keys).camera.shape == (0, 2)


def test_both_keys_at_once_are_none() -> None:
    assert commands([action("forward", back=1)], []).walk.tolist() == [STAY]


def test_steps_sideways_and_jumps_are_not_asked() -> None:
    n = 2 * GAP
    for key, turn in (("left", IGNORED), ("right", IGNORED), ("jump", AHEAD), ("sneak", AHEAD)):
        answers = label(commands([action("forward", **{key: 1})] * n, []), NOWHERE)
        assert (answers[0] == turn).all() and (answers[1] == IGNORED).all()


def test_windows_in_which_the_command_changes_are_not_asked() -> None:
    n = 3 * GAP
    script = idle(n) + [action("forward")] * n + [action(yaw=6.0)] * n
    turn, move = label(commands(script, []), NOWHERE)
    assert len(turn) == len(script) + 1 - GAP
    assert (turn[: 2 * n - GAP + 1] == AHEAD).all() and (turn[2 * n :] == RIGHT).all()
    assert (turn[2 * n - GAP + 1 : 2 * n] == IGNORED).all()
    assert (move[:SETTLE] == IGNORED).all()  # nothing is known of the steps before the clip
    assert (move[SETTLE : n - GAP + 1] == STAY).all() and (move[n + SETTLE : 2 * n - GAP + 1] == FORWARD).all()
    assert (move[n - GAP + 1 : n + SETTLE] == IGNORED).all()
    assert (move[2 * n - GAP + 1 :] == IGNORED).all()  # a walk is not asked about while the view turns


def test_slow_turns_are_ambiguous() -> None:
    n = 2 * GAP
    assert (label(told(n, STAY, yaw=0.8), NOWHERE)[0] == IGNORED).all()
    assert (label(told(n, STAY, yaw=-3.0), NOWHERE)[0] == LEFT).all()


def test_a_walk_against_a_wall_and_a_slide_are_not_asked() -> None:
    n = 4 * GAP
    positions = np.zeros((n + 1, 3))
    positions[:, 2] = np.minimum(np.arange(n + 1), 2 * GAP) * 0.2  # a wall half way
    move = label(told(n, FORWARD), Track(positions))[1]
    assert (move[SETTLE:GAP] == FORWARD).all() and (move[2 * GAP :] == IGNORED).all()
    assert (label(told(n, STAY), Track(positions))[1][:GAP] == IGNORED).all()
    positions[:, [1, 2]] = positions[:, [2, 1]]  # falling is not walking
    assert (label(told(n, STAY), Track(positions))[1][SETTLE:] == STAY).all()


def test_a_walk_is_not_asked_about_while_looking_at_the_sky() -> None:
    n = 2 * GAP
    for pitch, answer in ((-60.0, IGNORED), (-20.0, FORWARD)):
        move = label(told(n, FORWARD), Track(pitch=np.full(n + 1, pitch)))[1]
        assert (move[SETTLE:] == answer).all()
    nodding = label(told(n, FORWARD, pitch=4.0), NOWHERE)
    assert (nodding[1] == IGNORED).all() and (nodding[0] == AHEAD).all()


def test_lengths_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"got 5 commands and \[5\] places"):
        label(told(5, STAY), Track(np.zeros((5, 3))))
    assert len(label(told(GAP - 1, STAY), NOWHERE)[0]) == 0


def test_tracks_are_read_and_cut() -> None:
    track = Track.of({"position": [[0, 64, index] for index in range(5)], "yaw": [0] * 5})
    assert track.pitch is None and track.positions is not None
    part = track.cut(2, 2)
    assert part.positions is not None and part.positions[:, 2].tolist() == [2, 3] and part.pitch is None


def test_held_actions_ask_for_everything() -> None:
    script, stretches = held_actions(np.random.default_rng(0), hold=18, settle=6)
    assert len(script) == 8 * 24
    asked = commands(script, [])
    for held in stretches:
        assert (np.sign(asked.camera[held.start : held.stop, 1]) == TURNS.index(held.turn) - 1).all()
        assert (asked.walk[held.start : held.stop] == MOVES.index(held.move)).all()
    turn, move = label(asked, NOWHERE)
    assert {LEFT, AHEAD, RIGHT} <= set(turn.tolist()) and {BACK, STAY, FORWARD} <= set(move.tolist())


def test_random_play_keeps_near_the_horizon_and_is_reproducible() -> None:
    script = random_play(np.random.default_rng(3), 500)
    assert len(script) == 500
    pitch = np.cumsum([step["camera"][0] for step in script])
    assert np.abs(pitch).max() <= 35.01
    assert {len(step["keyboard"]) for step in script} > {0, 1}
    again = random_play(np.random.default_rng(3), 500)
    assert all(
        (a["camera"] == b["camera"]).all() and a["keyboard"] == b["keyboard"]
        for a, b in zip(script, again, strict=True)
    )


@pytest.mark.parametrize("angle", [30, 90, 360])
def test_turning_away_comes_back(angle: int) -> None:
    script, farthest, back = turn_away_and_back(angle, 7.0)
    yaw = np.cumsum([step["camera"][1] for step in script])
    assert len(script) == back
    assert yaw[back - 1] % 360 == pytest.approx(0, abs=1e-3) or yaw[back - 1] == pytest.approx(360, abs=1e-3)
    assert yaw[farthest - 1] == pytest.approx(180 if angle == 360 else angle, abs=8)
    assert np.abs([step["camera"][1] for step in script]).max() <= 7.0
