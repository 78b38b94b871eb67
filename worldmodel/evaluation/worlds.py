"""Driving the rendered world that a clip was recorded from, under a script: the truth that no clip holds.

The world is made by its id through Gymnasium's registry, with the module that registers it named at run time
(`gymnasium.make("envs:worldmodel/BlockWorld-v0")`), so that this package needs no rendered world to be installed.

Shapes: T frames, H W pixels.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from worldmodel.evaluation.figure import Task
from worldmodel.evaluation.heldout import Place
from worldmodel.evaluation.labels import Track
from worldmodel.evaluation.options import Unavailable
from worldmodel.evaluation.scripts import Action

# A retraced picture is the clip's, but for its compression and, in a real game, for leaves that withered or came late.
CLEARLY, RETRACED = 32, 0.06  # levels of 255; share of pixels that may differ by more


@dataclass(frozen=True)
class Driven:
    """What the rendered world showed under a script.

    Attributes:
        frames: [T + 1, H, W, 3] uint8, the first being the last frame before the script.
        track: where the player was in them, as far as the world tells.
    """

    frames: NDArray[np.uint8]
    track: Track


class RenderedWorlds:
    """The worlds that clips were recorded from, each retraced to a frame of its clip and then driven by a script.

    Args:
        task: the evaluation; its `worlds` names the module that registers the worlds.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self._envs: dict[str, gymnasium.Env[Any, Any]] = {}

    def __enter__(self) -> RenderedWorlds:
        return self

    def __exit__(self, *exception: object) -> None:
        for env in self._envs.values():
            env.close()

    def drive(self, clip: int, frame: int, script: Sequence[Action]) -> Driven:
        """Retraces a clip to a frame by its own actions, then follows a script.

        Args:
            clip: the clip's number.
            frame: the frame of it at which the script begins.
            script: T actions.

        Raises:
            Unavailable: if the world cannot be made or ends, or the retraced frame is not the clip's: another version
                of the world drew it.
        """
        held_out = self.task.held_out
        meta = held_out.meta(clip)
        env = self._env(meta)
        try:
            told = held_out.recorded_actions(Place(clip, 0, frame + 1))
        except ValueError as error:  # of a condition that is not installed here, say
            raise Unavailable(f"clip {held_out.clips.keys[clip]} cannot be retraced: {error}") from error
        picture, info = env.reset(seed=int(meta["seed"]))
        for action in told:
            picture, _, _, _, info = env.step(action)
        recorded = held_out.frames(Place(clip, frame, 1))[0]
        others = (np.abs(np.asarray(picture, np.int16) - recorded).max(axis=-1) > CLEARLY).mean()
        if others > RETRACED:
            raise Unavailable(
                f"the rendered world does not retrace clip {held_out.clips.keys[clip]}: {others:.0%} of its frame "
                f"{frame} is different, {RETRACED:.0%} at most expected; were the clips recorded with another version?"
            )
        return _follow(env, np.asarray(picture), info, script)

    def explore(self, meta: dict[str, Any], seed: int, script: Sequence[Action]) -> Driven:
        """Follows a script in a world of another seed.

        Args:
            meta: of a clip of such a world.
            seed: of the world.
            script: T actions.

        Raises:
            Unavailable: if the world cannot be made or ends.
        """
        env = self._env(meta)
        picture, info = env.reset(seed=seed)
        return _follow(env, np.asarray(picture), info, script)

    def perform(
        self, meta: dict[str, Any], seed: int, frames: int, told: Sequence[Action] = ()
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Lets a world that brings its own player (`env.explorer`) be played by it, as while clips are recorded.

        Args:
            meta: of a clip of such a world.
            seed: of the world and the player.
            frames: T, how many to play.
            told: what it is told in place of the player's own conditions, T - 1 actions, or none.

        Returns:
            Frames [T, H, W, 3] uint8, and the T infos by name, each with their numbers as an array [T, ...].

        Raises:
            Unavailable: if the world cannot be made or ends, or brings no player.
        """
        env = self._env(meta)
        own = getattr(env.unwrapped, "explorer", None)
        if own is None:
            raise Unavailable(f"the rendered world {meta['world']} brings no player of its own (env.explorer)")
        with _unavailable(f"{meta['world']} cannot be played"):
            player = own(seed, frames)
        picture, info = env.reset(seed=seed, options=getattr(player, "reset_options", None))
        pictures, infos = [np.array(picture)], [info]
        while len(pictures) < frames:
            action = {**player.act(picture, info), **(told[len(pictures) - 1] if told else {})}
            picture, _, _, _, info = env.step(action)
            pictures.append(np.array(picture))
            infos.append(info)
        columns = {name: np.asarray([each[name] for each in infos]) for name in info if _is_number(info[name])}
        return np.stack(pictures), columns

    def _env(self, meta: dict[str, Any]) -> gymnasium.Env[Any, Any]:
        name, kwargs = meta.get("world"), meta.get("world_kwargs", {})
        if not name or not (self.task.worlds or ":" in name):
            raise Unavailable("no module of rendered worlds is named (--worlds), or the clips do not name their world")
        name = name if ":" in name else f"{self.task.worlds}:{name}"
        identity = json.dumps([name, kwargs], sort_keys=True)
        if identity not in self._envs:
            with _unavailable(f"{name} cannot be made", TypeError, ValueError):  # it takes other arguments today
                self._envs[identity] = _Fallible(gymnasium.make(name, disable_env_checker=True, **kwargs).unwrapped)
        return self._envs[identity]


class _Fallible(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A world that may be a game of its own, which starts at a reset and may end at any step."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        with _unavailable("does not start"):
            return self.env.reset(seed=seed, options=options)

    def step(self, action: Action) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        with _unavailable("ended"):
            return self.env.step(action)


@contextmanager
def _unavailable(what: str, *others: type[Exception]) -> Iterator[None]:
    """Says of a world's errors, and of others named, that what needs it cannot be measured."""
    errors: tuple[type[Exception], ...] = (ImportError, gymnasium.error.Error, *others)
    try:
        yield
    except errors as error:
        raise Unavailable(f"the rendered world {what}: {error}") from error


def _is_number(value: Any) -> bool:
    return np.asarray(value).dtype.kind in "iuf"


def _follow(
    env: gymnasium.Env[Any, Any], picture: NDArray[np.uint8], info: dict[str, Any], script: Sequence[Action]
) -> Driven:
    pictures, infos = [np.array(picture)], [info]
    for action in script:
        picture, _, _, _, info = env.step(action)
        pictures.append(np.array(picture))
        infos.append(info)
    told = {name: [i[name] for i in infos] for name in ("position", "pitch") if all(name in i for i in infos)}
    return Driven(np.stack(pictures), Track.of(told))


def drive_each(
    task: Task, places: Sequence[Place], scripts: Sequence[Sequence[Action]], take: Callable[[Driven], None]
) -> dict[str, Any]:
    """Drives the rendered world from the end of each place's context, one place after the other.

    Args:
        task: the evaluation.
        places: stretches of clips; the script begins at their frame `context_frames - 1`.
        scripts: one per place.
        take: is given what was seen at each place.

    Returns:
        For the record {"rendered": bool, "why": the reason if the world cannot be driven}.
    """
    with RenderedWorlds(task) as worlds:
        for number, (place, script) in enumerate(zip(places, scripts, strict=True)):
            try:
                seen = worlds.drive(place.clip, place.first + task.options.context_frames - 1, script)
            except Unavailable as reason:
                return {"rendered": False, "why": str(reason)}
            take(seen)
            if (number + 1) % 4 == 0:
                task.report(f"rendered the truth of {number + 1}/{len(places)} scripts")
    return {"rendered": True}


def drive_all(
    task: Task, places: Sequence[Place], scripts: Sequence[Sequence[Action]]
) -> tuple[list[Driven] | None, dict[str, Any]]:
    """As `drive_each`.

    Returns:
        What was seen at each place, or None if the world cannot be driven; and what `drive_each` returns.
    """
    driven: list[Driven] = []
    truth = drive_each(task, places, scripts, driven.append)
    return driven if truth["rendered"] else None, truth
