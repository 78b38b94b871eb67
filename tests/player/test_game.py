"""Two worlds at one place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import conditions
from envs.record import Recording, env_conditions, record_clip
from player.game import CONTEXT, Game
from player.worlds import World, WorldError, open_world, parse_kwargs
from tests.player.conftest import PATCH, START_ACTIONS, place
from tests.tiny import SIZE, tiny_world

FORWARD = {"keyboard": {"forward": 1}, "camera": [0.0, 0.0]}
TURN = {"keyboard": {}, "camera": [0.0, 10.0]}


class FakeGenerated(gymnasium.Env[np.ndarray, dict[str, Any]]):
    """A generated world as large as the voxel world of 16 pixels, which keeps what it was reset with."""

    def __init__(self) -> None:
        self.action_space = spaces.Dict({name: conditions.space(name) for name in ("keyboard", "camera")})
        self.observation_space = spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        self.options = options or {}
        return np.zeros((SIZE, SIZE, 3), np.uint8), {}


class Counting(FakeGenerated):
    """A world whose frames are as bright as the number of steps that they have behind them, `delay` late."""

    def __init__(self, delay: int) -> None:
        super().__init__()
        self.delay, self.steps = delay, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        self.steps = 0
        return super().reset(seed=seed, options=options)

    def step(self, action: dict[str, Any]) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        frame = np.full((SIZE, SIZE, 3), max(0, self.steps - self.delay), np.uint8)
        return frame, 0.0, False, False, {}


def spy_resets(world: World) -> list[dict[str, Any]]:
    """The options of every reset of a world from now on."""
    seen: list[dict[str, Any]] = []
    reset = world.unwrapped.reset

    def spied(*, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        seen.append(options or {})
        return reset(seed=seed, options=options)

    world.unwrapped.reset = spied  # type: ignore[method-assign]
    return seen


def test_the_rendered_world_is_made_only_when_wanted(generated: World) -> None:
    made: list[tuple[str, dict[str, Any]]] = []

    def make(world: str, kwargs: dict[str, Any]) -> World:
        made.append((world, kwargs))
        return open_world(world, kwargs)

    game = Game(generated, start=1, make_world=make)
    game.step(FORWARD)
    assert made == [] and game.rendered is None
    game.swap()
    assert made == [(PATCH, {"size": 16})]
    game.swap()
    game.swap()
    assert len(made) == 1


def test_a_game_that_is_not_installed_leaves_one_in_the_dream(generated: World) -> None:
    game = Game(generated, start=0)
    meta = generated.get_wrapper_attr("starts")[0].meta
    meta.update({"world": "worldmodel/Luanti-v0", "world_kwargs": {"program": "no-such-game"}})
    for there in (game.swap, game.toggle_both):
        with pytest.raises(WorldError, match="cannot be had: .*make luanti"):
            there()
    game.step(FORWARD)
    assert (game.shown, game.both, game.rendered) == ("generated", False, None)
    game.close()


def test_swapped_for_the_rendered_world_one_stands_where_ones_actions_led(game: Game) -> None:
    for action in (FORWARD, TURN, FORWARD):
        game.step(action)
    game.swap()
    assert game.to_replay == START_ACTIONS + 3
    game.catch_up()
    assert game.to_replay == 0
    assert (game.shown, place(game.picture)) == ("rendered", (START_ACTIONS + 2, START_ACTIONS + 10, 0))
    game.step(FORWARD)
    assert place(game.picture) == (START_ACTIONS + 3, START_ACTIONS + 10, 0)


def test_a_recorded_start_is_found_again_to_the_pixel(tmp_path: Path) -> None:
    size = {"size": SIZE, "biome": "meadow"}
    world = open_world("worldmodel/BlockWorld-v0", size)
    recording = Recording("worldmodel/BlockWorld-v0", size, 1, 24, 5, 1, "mix")
    clip = record_clip(world, recording, 0, env_conditions(world))
    tiny_world().save_pretrained(tmp_path / "tiny", starts=[clip])
    game = Game(open_world("worldmodel/Generated-v0", {"checkpoint": str(tmp_path / "tiny")}))
    game.swap()
    game.catch_up()
    assert (game.picture == clip.frames[-1]).all()
    action = {"keyboard": {"forward": 1, "jump": 1}, "camera": [3.0, -7.0]}
    game.step(action)
    assert (game.picture == world.step(action)[0]).all()


def test_swapped_back_the_generated_world_is_told_where_the_view_points() -> None:
    size = {"size": SIZE, "biome": "meadow"}
    generated = FakeGenerated()
    game = Game(generated, open_world("worldmodel/BlockWorld-v0", size))
    for pitch in (20.0, 5.0, -40.0):
        game.step({"keyboard": {}, "camera": [pitch, 1.0]})
    game.swap()
    told = generated.options["actions"]
    assert [action["camera"].tolist() for action in told] == [[20, 1, 20], [5, 1, 25], [-40, 1, -15]]


def test_catching_up_can_be_done_in_parts(game: Game) -> None:
    for _ in range(50):
        game.step(FORWARD)
    game.swap()
    game.catch_up(budget_s=0)
    assert game.to_replay == START_ACTIONS + 50
    while game.to_replay:
        game.catch_up(budget_s=1e-4)
    assert place(game.picture)[0] == START_ACTIONS + 50


def test_swapped_back_the_generated_world_starts_from_what_was_seen_last(game: Game, generated: World) -> None:
    game.swap()
    game.catch_up()
    for _ in range(CONTEXT + 5):
        game.step(FORWARD)
    resets = spy_resets(generated)
    game.swap()
    (options,) = resets
    last = START_ACTIONS + CONTEXT + 5
    assert [place(frame)[0] for frame in options["first_frames"]] == list(range(last - CONTEXT + 1, last + 1))
    assert options["actions"] == [FORWARD] * (CONTEXT - 1)
    assert (game.shown, place(game.picture)[0]) == ("generated", last)
    game.step(TURN)
    game.swap()
    game.catch_up()
    assert place(game.picture) == (last, START_ACTIONS + 10, 0)


def test_swapping_there_and_back_at_once_leaves_the_generated_world_alone(game: Game, generated: World) -> None:
    game.step(FORWARD)
    before = game.picture
    resets = spy_resets(generated)
    game.swap()
    game.catch_up()
    game.swap()
    assert resets == [] and (game.picture == before).all()


def test_both_are_stepped_with_the_same_action(game: Game, generated: World) -> None:
    game.step(TURN)
    game.toggle_both()
    game.catch_up()
    resets = spy_resets(generated)
    game.step(FORWARD)
    game.step(FORWARD)
    left, right = np.split(game.picture, 2, axis=1)
    assert game.kinds == ["generated", "rendered"]
    assert place(right) == (START_ACTIONS + 2, START_ACTIONS + 10, 0)
    game.swap()
    assert game.kinds == ["generated", "rendered"] and game.world is game.rendered
    assert (game.picture == np.concatenate([left, right], axis=1)).all(), "each stays on its side"
    assert resets == []  # neither was behind
    game.toggle_both()
    assert game.kinds == ["rendered"]


@pytest.mark.parametrize("first", ["generated", "rendered"])
def test_a_rendered_world_waits_for_a_generated_one_that_is_late(first: str) -> None:
    """Both show what the same action led to, though the generated one makes its frames by chunks."""
    late, now = Counting(delay=2), Counting(delay=0)
    game = Game(late, now)
    assert game.shown == "rendered"
    if first == "generated":
        game.swap()
    game.toggle_both()
    assert game.delay == 2
    seen = []
    for _ in range(6):
        game.step({"keyboard": {}})
        seen.append([int(half[0, 0, 0]) for half in np.split(game.picture, 2, axis=1)])
    assert seen == [[0, 0], [0, 0], [1, 1], [2, 2], [3, 3], [4, 4]]
    game.toggle_both()
    assert game.delay == (2 if first == "generated" else 0)


def test_a_new_world_is_the_next_start_for_both(game: Game) -> None:
    game.toggle_both()
    game.catch_up()
    game.step(FORWARD)
    for index in (1, 2, 0):
        game.new_world()
        game.catch_up()
        left, right = np.split(game.picture, 2, axis=1)
        assert place(right) == (START_ACTIONS, START_ACTIONS * (index + 1), index)
        assert np.abs(left.astype(int) - right).max() <= 3  # a clip's frames are stored as film


def test_a_new_world_while_the_rendered_one_is_shown(game: Game) -> None:
    game.swap()
    game.catch_up()
    game.new_world()
    game.catch_up()
    assert (game.shown, place(game.picture)) == ("rendered", (START_ACTIONS, 2 * START_ACTIONS, 1))


def test_a_rendered_world_alone() -> None:
    game = Game(rendered=open_world(PATCH, {}), seed=7)
    game.step(FORWARD)
    assert (game.shown, place(game.picture)) == ("rendered", (1, 0, 7))
    for change in (game.swap, game.toggle_both):
        with pytest.raises(WorldError, match="give a checkpoint too"):
            change()
    assert (game.shown, game.both) == ("rendered", False)
    game.new_world()
    assert place(game.picture) == (0, 0, 8)


def test_a_rendered_world_with_a_checkpoint(generated: World) -> None:
    game = Game(generated, open_world(PATCH, {}), seed=7)
    game.step(FORWARD)
    resets = spy_resets(generated)
    game.swap()
    assert [place(frame) for frame in resets[0]["first_frames"]] == [(0, 0, 7), (1, 0, 7)]
    assert (game.shown, place(game.picture)) == ("generated", (1, 0, 7))
    game.step(FORWARD)
    game.new_world()
    assert (game.shown, place(game.picture)) == ("generated", (0, 0, 8))
    game.step(TURN)
    game.swap()
    game.catch_up()
    assert place(game.picture) == (0, 10, 8)


def test_a_world_that_ends_begins_anew() -> None:
    game = Game(rendered=open_world(PATCH, {"length": 3}))
    for _ in range(4):
        game.step(FORWARD)
    assert place(game.picture) == (1, 0, 1)


def test_long_play_of_one_key_remembers_one_action(game: Game) -> None:
    for _ in range(10):
        game.step(dict(FORWARD))
    assert len({id(action) for action in game._actions[-10:]}) == 1


def test_what_the_rendered_world_has_done_is_not_kept(game: Game, generated: World) -> None:
    game.toggle_both()
    game.catch_up()
    for step in range(6 * CONTEXT):
        game.step(TURN if step % 2 else FORWARD)
    assert len(game._actions) <= 2 * CONTEXT + 1
    game.toggle_both()
    game.step(FORWARD)
    game.swap()
    game.catch_up()
    assert place(game.picture)[0] == START_ACTIONS + 3 * CONTEXT + 1
    game.step(TURN)
    resets = spy_resets(generated)
    game.swap()
    assert len(resets[0]["actions"]) == CONTEXT - 1 and resets[0]["actions"][-1] == TURN


def test_after_too_much_only_a_new_world_can_be_followed(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("player.game.REMEMBERED_BYTES", 40_000)
    for step in range(100):
        game.step(TURN if step % 2 else FORWARD)
    assert len(game._actions) < 90
    for there in (game.swap, game.toggle_both):
        with pytest.raises(WorldError, match="too much was done .* R begins anew"):
            there()
    game.step(FORWARD)
    assert game.shown == "generated"
    game.new_world()
    game.swap()
    game.catch_up()
    assert game.shown == "rendered"


def test_swapping_back_from_a_world_that_is_behind_does_not_wait_for_it(game: Game) -> None:
    for _ in range(20):
        game.step(FORWARD)
    game.swap()
    assert game.to_replay
    game.swap()
    assert game._replayed == 0 and game.shown == "generated"
    game.step(FORWARD)


def test_a_world_that_was_refused_is_refused_again(generated: World) -> None:
    game = Game(generated, start=1, make_world=lambda world, kwargs: open_world(world, {"size": 32}))
    for there in (game.swap, game.swap, game.toggle_both, game.toggle_both):
        with pytest.raises(WorldError, match="frames of one size"):
            there()
    game.step(FORWARD)
    assert (game.shown, game.both, game.rendered) == ("generated", False, None)


def test_worlds_that_do_not_fit_are_refused(generated: World) -> None:
    with pytest.raises(WorldError, match="16x16.*32x32.*--world-kwargs size=16"):
        Game(generated, open_world(PATCH, {"size": 32}))
    with pytest.raises(WorldError, match="no world to play"):
        Game()


def test_starts_that_do_not_say_where_they_were_recorded(game: Game) -> None:
    assert game.generated is not None
    del game.generated.get_wrapper_attr("starts")[0].meta["world"]
    with pytest.raises(WorldError, match="do not say which world"):
        game.swap()
    assert game.shown == "generated"
    game.step(FORWARD)


@pytest.mark.parametrize(
    ("world", "kwargs", "told"),
    [
        ("worldmodel/BlockWold-v0", {}, "did you mean 'worldmodel/BlockWorld-v0'"),
        ("worldmodel/BlockWorld-v0", {"bioem": "meadow"}, "takes no argument 'bioem', did you mean 'biome'"),
        ("CartPole-v1", {}, "whose action is a dict of conditions"),
    ],
)
def test_worlds_that_cannot_be_opened(world: str, kwargs: dict[str, Any], told: str) -> None:
    with pytest.raises(WorldError) as caught:
        open_world(world, kwargs)
    assert told in str(caught.value)


def test_world_kwargs_are_values() -> None:
    assert parse_kwargs(["size=128", "biome=meadow", "depth=true", "place=[1,2]"]) == {
        "size": 128,
        "biome": "meadow",
        "depth": True,
        "place": [1, 2],
    }
    with pytest.raises(WorldError, match="name=value"):
        parse_kwargs(["size"])
