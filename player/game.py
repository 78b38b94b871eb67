"""What is being played: a generated world, the rendered one it was learned from, or both, at one place.

The two are kept at the same place by the actions alone. Everything done since the start is remembered; when the
rendered world is wanted, it begins where the starting clip was recorded, by its seed, and does what was done there and
what the player did since. When the generated world is wanted back, it starts from the rendered frames seen last.

Shapes: T frames, H W pixels.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Literal

import gymnasium
import numpy as np

from player.scripts import Action, plain
from player.worlds import World, WorldError, delay_of, frame_rate, height_and_width, observed, open_world

Kind = Literal["generated", "rendered"]
CONTEXT = 16  # rendered frames that a generated world is started from
REMEMBERED_BYTES = 64 * 2**20  # of actions that the rendered world is behind; beyond, the way to its place is lost


class Game:
    """One or two worlds, and what of them is shown.

    Attributes:
        shown: which world the player is in.
        both: whether both are stepped and shown beside each other.
    """

    def __init__(
        self,
        generated: World | None = None,
        rendered: World | None = None,
        seed: int = 0,
        start: int | None = None,
        make_world: Callable[[str, dict[str, Any]], World] = open_world,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Begins in the rendered world if one is given, else in the generated one.

        Args:
            generated: a generated world, reset with the options of envs.generated.
            rendered: a rendered world. With none, the one that the starting clips were recorded in is made when wanted.
            seed: of the first start; every new world counts on from it.
            start: index of the generated world's first starting clip; by seed if None.
            make_world: makes a rendered world from an id and its arguments.
            options: more options for every reset of the world that it begins in, such as a portrait.

        Raises:
            WorldError: if neither is given, or their actions or the sizes of their frames differ.
        """
        if generated is None and rendered is None:
            raise WorldError("there is no world to play: give a generated one, a rendered one, or both")
        self.generated = generated
        self.rendered = rendered
        self.shown: Kind = "generated" if rendered is None else "rendered"
        self.both = False
        self._own_rendered = rendered is None  # made from the starting clips, and by these placed
        self._made_from: tuple[str, str] | None = None
        self._make_world = make_world
        self._options = dict(options or {})
        self._frames: dict[Kind, np.ndarray] = {}
        self._waiting: deque[np.ndarray] = deque()  # rendered frames, the newest one last
        self._seed = seed
        if generated is not None and rendered is not None:
            _check_pair(generated, rendered)
        self._begin(start)

    # what is shown

    @property
    def world(self) -> World:
        """The world that the player is in."""
        return self._world_of(self.shown)

    @property
    def fps(self) -> float:
        """Frames per second at which the game is to be played."""
        return frame_rate(self.world)

    @property
    def to_replay(self) -> int:
        """Actions that the rendered world, being wanted, is behind; 0 when it can go on."""
        wanted = self.both or self.shown == "rendered"
        return len(self._actions) - self._replayed if wanted and self.rendered is not None else 0

    @property
    def kinds(self) -> list[Kind]:
        """Which worlds the picture shows, from left to right."""
        return ["generated", "rendered"] if self.both else [self.shown]

    @property
    def delay(self) -> int:
        """Steps between that of an action and the one whose picture shows it, beyond the usual one."""
        return max(delay_of(self._world_of(kind)) for kind in self.kinds)

    @property
    def picture(self) -> np.ndarray:
        """The frame shown, [H, W, 3] uint8, or two beside each other, [H, 2 W, 3]."""
        frames = dict(self._frames)
        if self.both:  # a rendered frame waits for the generated one of the same action
            frames["rendered"] = self._waiting[0]
        return np.concatenate([frames[kind] for kind in self.kinds], axis=1)

    # playing

    def step(self, action: Action) -> None:
        """Every world that is shown takes the action.

        Args:
            action: a dict of conditions.

        Raises:
            ValueError: if the world does not take it.
        """
        assert not self.to_replay, "the rendered world has yet to catch up"
        if not self._alone:
            self._remember(action)
        ended = False
        kinds = self.kinds
        if self.generated is not None and "generated" in kinds:
            self._frames["generated"], _, terminated, truncated, _ = self.generated.step(action)
            self._generated_at = len(self._actions)
            ended = bool(terminated or truncated)
        if self.rendered is not None and "rendered" in kinds:
            ended |= self._step_rendered(action)
        if ended:
            self.new_world()

    def new_world(self) -> None:
        """Starts anew, in another place, in the same kind of world."""
        self._seed += 1
        start = None
        if self._start is not None and self.generated is not None:
            start = (self._start + 1) % len(self.generated.get_wrapper_attr("starts"))
        self._begin(start)

    def swap(self) -> None:
        """Goes over to the other world, at the same place.

        Raises:
            WorldError: if there is no other world.
        """
        if self.shown == "generated":
            self._want_rendered()
            self.shown = "rendered"
        else:
            self._want_generated()
            self.shown = "generated"

    def toggle_both(self) -> None:
        """Shows both worlds beside each other, stepped with the same actions, or only one again.

        Raises:
            WorldError: if there is no other world.
        """
        if not self.both:
            self._want_rendered() if self.shown == "generated" else self._want_generated()
        self.both = not self.both
        if self.both and not self.to_replay:
            self._wait(anew=True)

    def catch_up(self, budget_s: float = float("inf")) -> None:
        """Lets the rendered world do what was done without it, for at most so many seconds."""
        until = time.perf_counter() + budget_s
        while self.to_replay and time.perf_counter() < until:
            self._step_rendered(self._actions[self._replayed])

    def close(self) -> None:
        """Closes the worlds."""
        for world in (self.generated, self.rendered):
            if world is not None:
                world.close()

    # behind it

    def _world_of(self, kind: Kind) -> World:
        world = self.generated if kind == "generated" else self.rendered
        assert world is not None
        return world

    def _wait(self, anew: bool = False) -> None:
        """Keeps the rendered frame for when it is shown beside the generated one."""
        if anew:
            self._waiting.clear()
        self._waiting.append(self._frames["rendered"])
        behind = delay_of(self.generated) if self.generated is not None else 0
        while len(self._waiting) > behind + 1:
            self._waiting.popleft()

    @property
    def _alone(self) -> bool:
        """Whether there is no other world to go to at this place, so that nothing has to be remembered for it."""
        return self._start is None if self._own_rendered else self.generated is None

    def _begin(self, start: int | None) -> None:
        """Resets the world shown; the other is brought along when it is wanted."""
        self._actions: list[Action] = []  # since the rendered world's reset, those of the starting clip included
        self._replayed = 0  # how many of them the rendered world has done
        self._generated_at = 0  # how many of them the generated world's frame has behind it
        self._behind_bytes = 0  # of them since it was last there
        self._too_far = False  # whether they became too many
        self._start: int | None = None
        self._seen: deque[np.ndarray] = deque(maxlen=CONTEXT)  # rendered frames, the last ones
        self._between: deque[Action] = deque(maxlen=CONTEXT - 1)  # the actions between them, as the world tells them
        if self._own_rendered:
            assert self.generated is not None
            options = self._options | ({} if start is None else {"start": start})
            self._frames["generated"], info = self.generated.reset(seed=self._seed, options=options)
            self._start = info.get("start")
            if self._start is not None:
                clip = self.generated.get_wrapper_attr("starts")[self._start]
                self._actions += [plain(action) for action in clip.actions()]
            self._generated_at = len(self._actions)
            self._placed = False
            if self.both or self.shown == "rendered":
                self._want_rendered()
        else:
            assert self.rendered is not None
            self._frames["rendered"], _ = self.rendered.reset(seed=self._seed, options=self._options)
            self._wait(anew=True)
            self._seen.append(self._frames["rendered"])
            self._generated_at = -1
            if self.both or self.shown == "generated":
                self._want_generated()

    def _remember(self, action: Action) -> None:
        """Keeps an action for the rendered world, as long as that may still do it."""
        if self._actions and _same(self._actions[-1], action):
            action = self._actions[-1]  # one dict for a key held long, so that an hour of play stays small
        else:
            self._behind_bytes += _bytes_of(action)
        self._actions.append(action)
        if self._replayed > 2 * CONTEXT:  # done: only the last ones are wanted again
            done = self._replayed - CONTEXT
            del self._actions[:done]
            self._replayed, self._generated_at, self._behind_bytes = CONTEXT, self._generated_at - done, 0
        if self._behind_bytes > REMEMBERED_BYTES and self._own_rendered:
            self._start, self._placed, self._too_far = None, False, True
            self._actions, self._replayed, self._generated_at, self._behind_bytes = [], 0, 0, 0

    def _step_rendered(self, action: Action) -> bool:
        assert self.rendered is not None
        frame, _, terminated, truncated, info = self.rendered.step(action)
        self._frames["rendered"] = frame
        self._wait()
        self._seen.append(frame)
        self._between.append(observed(self.rendered, action, info))
        self._replayed += not self._alone
        return bool(terminated or truncated)

    def _want_rendered(self) -> None:
        """Has the rendered world there, though perhaps still behind."""
        if not self._own_rendered or self._placed:
            return
        assert self.generated is not None
        if self._too_far:
            raise WorldError("too much was done since the start for the rendered world to follow: R begins anew")
        if self._start is None:
            raise WorldError("it was started from a picture of its own, which no rendered world shows: leave that out")
        meta = self.generated.get_wrapper_attr("starts")[self._start].meta
        if not {"world", "world_kwargs", "seed"} <= meta.keys():
            raise WorldError("this checkpoint's starting clips do not say which world they were recorded in")
        made_from = (meta["world"], repr(sorted(meta["world_kwargs"].items())))
        try:
            if made_from != self._made_from:
                if self.rendered is not None:
                    self.rendered.close()
                self.rendered, self._made_from = None, None
                made = self._make_world(meta["world"], meta["world_kwargs"])
                try:
                    _check_pair(self.generated, made)
                except WorldError:
                    made.close()
                    raise
                self.rendered, self._made_from = made, made_from
            assert self.rendered is not None
            self._frames["rendered"], _ = self.rendered.reset(seed=meta["seed"])
            self._wait(anew=True)
        except gymnasium.error.Error as error:  # a game that is not installed, or does not start: the dream goes on
            raise WorldError(f"the rendered world cannot be had: {error}") from error
        self._seen.append(self._frames["rendered"])
        self._placed = True

    def _want_generated(self) -> None:
        """Has the generated world at the rendered one's place: started from the frames seen there last."""
        if self.generated is None:
            raise WorldError("there is no generated world to go to: give a checkpoint too (--checkpoint DIR)")
        if self._generated_at == len(self._actions):
            return
        self.catch_up()
        options = {"first_frames": np.stack(self._seen), "actions": list(self._between)}
        self._frames["generated"], _ = self.generated.reset(seed=self._seed, options=options)
        self._generated_at = len(self._actions)


def _check_pair(generated: World, rendered: World) -> None:
    """Refuses two worlds that cannot be stepped and shown together."""
    if generated.action_space != rendered.action_space:
        raise WorldError(
            f"both worlds must take the same actions: the generated one takes {generated.action_space}, the "
            f"rendered one {rendered.action_space}: give --world the world that the checkpoint learned from"
        )
    wanted, got = height_and_width(generated), height_and_width(rendered)
    if wanted != got:
        raise WorldError(
            f"both worlds must have frames of one size: the generated one's are {wanted[0]}x{wanted[1]}, the "
            f"rendered one's {got[0]}x{got[1]}: give --world-kwargs size={wanted[0]}"
        )


def _same(one: Action, other: Action) -> bool:
    """Whether two actions are equal; those with arrays, as sound is, are taken for different ones."""
    if any(isinstance(value, np.ndarray) for action in (one, other) for value in action.values()):
        return False
    return one == other


def _bytes_of(action: Action) -> int:
    """About how much memory an action takes."""
    return 500 + sum(value.nbytes for value in action.values() if isinstance(value, np.ndarray))
