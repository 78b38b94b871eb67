"""The explorers cover the action space, evenly, whatever the space."""

import itertools

import numpy as np
import pytest
from gymnasium import spaces

import conditions
from envs.explorer import MAX_TURN, WALKS, Explorer, make_explorer

SPACE = spaces.Dict([(name, conditions.space(name)) for name in ("keyboard", "camera")])
FRAME = np.zeros((16, 16, 3), np.uint8)


def play(explorer: Explorer, steps: int, moves: bool = True) -> list[dict]:
    rng = np.random.default_rng(0)
    position = np.zeros(3)
    actions = []
    for _ in range(steps):
        actions.append(explorer.act(FRAME, {"position": position}))
        position = position + moves * rng.normal(0, 1, 3)
    return actions


@pytest.fixture(scope="module")
def played() -> tuple[np.ndarray, np.ndarray]:
    """Keys [clips, T, K] and camera [clips, T, 2] of many clips."""
    clips = [play(make_explorer("mix", SPACE, seed), 255) for seed in range(40)]
    keys = np.array([[list(action["keyboard"].values()) for action in clip] for clip in clips])
    return keys, np.array([[action["camera"] for action in clip] for clip in clips])


def test_actions_are_of_the_space() -> None:
    for kind in ("mix", "walk", "random"):
        assert all(SPACE.contains(action) for action in play(make_explorer(kind, SPACE, 0), 300))


def test_turns_both_ways_at_all_speeds(played: tuple[np.ndarray, np.ndarray]) -> None:
    yaw = played[1][..., 1]
    left, none, right = (yaw < -0.1).mean(), (np.abs(yaw) <= 0.1).mean(), (yaw > 0.1).mean()
    assert min(left, none, right) > 0.25
    assert abs(left - right) < 0.06
    speeds = np.histogram(np.abs(yaw[np.abs(yaw) > 0.1]), bins=5, range=(0, MAX_TURN))[0]
    assert speeds.min() / speeds.sum() > 0.05
    assert np.abs(yaw).max() <= MAX_TURN


def test_every_key_and_walk_and_nothing(played: tuple[np.ndarray, np.ndarray]) -> None:
    keys, camera = played
    names = list(SPACE["keyboard"].spaces)
    for name, share in zip(names, keys.mean(axis=(0, 1)), strict=True):
        assert share > (0.001 if name.startswith("hotbar") else 0.01), name
    assert 0.25 < keys[..., names.index("forward")].mean() < 0.5
    assert keys[..., names.index("back")].mean() > 0.08
    still = (keys.sum(-1) == 0) & (camera == 0).all(-1)
    assert 0.04 < still.mean() < 0.3
    walk = keys[..., :4]
    assert 0.25 < (walk.sum(-1) == 0).mean() < 0.5
    turn = np.sign(np.where(np.abs(camera[..., 1]) > 0.1, camera[..., 1], 0))
    for down, sign in itertools.product(WALKS, (-1, 0, 1)):
        wanted = [int(name in down) for name in names[:4]]
        assert ((walk == wanted).all(-1) & (turn == sign)).sum() > 20, (down, sign)
    for one, other in itertools.combinations(("forward", "jump", "sprint", "attack"), 2):
        assert (keys[..., names.index(one)] & keys[..., names.index(other)]).sum() > 20, (one, other)


def test_looks_up_and_down_and_back_to_level(played: tuple[np.ndarray, np.ndarray]) -> None:
    pitch = np.cumsum(played[1][..., 0], axis=1)
    assert np.percentile(pitch, 2) < -15 and np.percentile(pitch, 98) > 25
    assert np.median(np.abs(pitch)) < 8
    assert np.abs(pitch).max() < 70
    for above, below in ((-32, -15), (15, 32)):  # and lives on there, where the horizon is at an edge of the view
        assert ((pitch > above) & (pitch < below)).mean() > 0.06


def test_looks_away_and_back_and_all_round(played: tuple[np.ndarray, np.ndarray]) -> None:
    keys, camera = played
    away_and_back = full_turns = 0
    for yaw, walk in zip(np.round(camera[..., 1], 3), keys[..., :4].sum(-1), strict=True):
        runs = [
            (float(speed) if not walks else np.nan, float(speed), len(list(run)))
            for (speed, walks), run in itertools.groupby(zip(yaw, walk, strict=True))
        ]
        for (one, _, count), (rest, _, _), (other, _, back) in zip(runs, runs[1:], runs[2:], strict=False):
            away_and_back += rest == 0 and one == -other != 0 and count == back
        full_turns += sum(abs(abs(speed * steps) - 360) < 1 for _, speed, steps in runs)
    assert away_and_back > 5 and full_turns > 5


def test_same_seed_same_play() -> None:
    one, other, third = (play(make_explorer("mix", SPACE, seed), 200) for seed in (1, 1, 2))
    np.testing.assert_equal(one, other)
    assert not all(np.array_equal(a["camera"], b["camera"]) for a, b in zip(one, third, strict=True))


def test_walk_leaves_the_hands_alone() -> None:
    actions = play(make_explorer("walk", SPACE, 0), 2000)
    for name in ("attack", "use", "hotbar.1"):
        assert not any(action["keyboard"][name] for action in actions)
    assert any(action["keyboard"]["jump"] for action in actions)


@pytest.mark.parametrize("seen", ["position", "frame"])
def test_gets_away_from_walls(seen: str) -> None:
    """In a world where nothing ever moves, walking goes on no longer than it takes to notice, then a turn or jump."""
    explorer = make_explorer("walk", SPACE, 0)
    longest = run = 0
    for _ in range(3000):
        action = explorer.act(FRAME, {"position": np.zeros(3)} if seen == "position" else {})
        keys = action["keyboard"]
        pushes = any(keys[key] for key in ("forward", "back", "left", "right")) and not keys["jump"]
        run = run + 1 if pushes else 0
        longest = max(longest, run)
    assert longest <= 24


def test_a_moving_world_is_left_in_peace() -> None:
    moving, stuck = (play(make_explorer("walk", SPACE, 0), 1000, moves) for moves in (True, False))
    jumps = [np.mean([action["keyboard"]["jump"] for action in actions]) for actions in (moving, stuck)]
    assert jumps[1] > 1.5 * jumps[0]


def test_any_space() -> None:
    space = spaces.Dict(
        {
            "keyboard": spaces.Dict({"up": spaces.Discrete(2), "attack": spaces.Discrete(2)}),
            "pose": spaces.Box(-1, 1, (3,), np.float32),
            "text": spaces.Text(5, min_length=1),
        }
    )
    actions = play(make_explorer("mix", space, 0), 1500)
    assert all(space.contains(action) for action in actions)
    assert 0 < np.mean([action["keyboard"]["up"] for action in actions]) < 1
    assert 5 < len({action["text"] for action in actions}) < 1000  # held for a while
    np.testing.assert_equal(actions, play(make_explorer("mix", space, 0), 1500))
