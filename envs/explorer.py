"""Scripted players that cover an action space evenly and know nothing of the world they are in.

Keys and camera follow independent scripts of random length, so that every combination comes up, broken by scenes:
standing still, turning away and back, a full turn, digging and placing at one's feet. What is not keys or camera is
sampled from its space and held for a while.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import repeat
from typing import Any

import numpy as np
from gymnasium import spaces

WALKS: dict[tuple[str, ...], float] = {
    ("forward",): 0.28,
    (): 0.18,
    ("back",): 0.22,
    ("left",): 0.07,
    ("right",): 0.07,
    ("forward", "left"): 0.05,
    ("forward", "right"): 0.05,
    ("back", "left"): 0.04,
    ("back", "right"): 0.04,
}
# Mean steps that a key is up and down; any other key counts as OTHER.
RHYTHMS = {"jump": (25, 4), "sprint": (70, 25), "sneak": (120, 15), "attack": (70, 8), "use": (70, 2)}
OTHER = (350, 2)
MAX_TURN = 15.0  # degrees per step
LEAN = 35.0  # degrees up or down that some look ahead for long
STUCK_STEPS = 8

Step = tuple[set[str], float, float]  # keys down, pitch, yaw


class Explorer:
    """Plays by script.

    Args:
        space: the env's action space, a Dict; entries "keyboard" and "camera" are understood.
        seed: the same seed and the same observations give the same actions.
        hands: whether to break, place and choose blocks, or only to move and look.
    """

    def __init__(self, space: spaces.Dict, seed: int, hands: bool = True) -> None:
        self._rng = np.random.default_rng(seed)
        self._space = space
        keyboard = space.spaces.get("keyboard")
        self._keys = list(keyboard.spaces) if isinstance(keyboard, spaces.Dict) else []
        held = {key for walk in WALKS for key in walk}
        taps = [key for key in self._keys if key not in held and (hands or key in ("jump", "sprint", "sneak"))]
        self._hands = hands
        self._pitch = 0.0  # what was asked for so far
        # the pitch it comes back to
        self._ahead = 0.0 if self._rng.random() < 0.8 else float(self._rng.uniform(-LEAN, LEAN))
        self._walk = self._walking()
        self._taps = {key: self._tapping(*RHYTHMS.get(key, OTHER)) for key in taps}
        self._yaws = self._turning()
        self._pitches = self._nodding()
        self._scene: Iterator[Step] = iter(())
        self._until_scene = self._length(30, 150)
        self._others = {
            name: self._sampling(sub) for name, sub in space.spaces.items() if name not in ("keyboard", "camera")
        }
        self._past: deque[tuple[np.ndarray, bool]] = deque(maxlen=STUCK_STEPS)

    def act(self, observation: np.ndarray, info: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the next action.

        Args:
            observation: the latest frame [H, W, 3] uint8.
            info: the latest info; its "position", if there, tells whether a step got anywhere, or else the frame does.

        Returns:
            A complete raw action of the space.
        """
        step = next(self._scene, None)
        if step is None and self._is_stuck():
            self._past.clear()
            self._scene = self._escaping()
            step = next(self._scene)
        if step is None:
            self._until_scene -= 1
            if self._until_scene <= 0:
                self._until_scene = self._length(30, 150)
                self._scene = self._choose_scene()
            keys = next(self._walk) | {key for key, tap in self._taps.items() if next(tap)}
            step = (keys, next(self._pitches), next(self._yaws))
        keys, pitch, yaw = step
        self._pitch = float(np.clip(self._pitch + pitch, -90, 90))
        self._remember(observation, info, bool(keys & {"forward", "back", "left", "right"}))
        action: dict[str, Any] = {}
        for name, sub in self._space.spaces.items():
            if name == "keyboard" and self._keys:
                action[name] = {key: int(key in keys) for key in self._keys}
            elif name == "camera" and isinstance(sub, spaces.Box):
                action[name] = np.clip(np.array([pitch, yaw], np.float32), sub.low, sub.high)
            else:
                action[name] = next(self._others[name])
        return action

    def _length(self, shortest: int, longest: int) -> int:
        return round(float(np.exp(self._rng.uniform(np.log(shortest), np.log(longest)))))

    def _walking(self) -> Iterator[set[str]]:
        walks = [walk for walk in WALKS if set(walk) <= set(self._keys)]
        weights = np.array([WALKS[walk] for walk in walks])
        while True:
            walk = set(walks[self._rng.choice(len(walks), p=weights / weights.sum())])
            yield from repeat(walk, self._length(3, 40))

    def _tapping(self, up: int, down: int) -> Iterator[bool]:
        while True:
            yield from repeat(False, self._rng.geometric(1 / up))
            yield from repeat(True, self._rng.geometric(1 / down))

    def _turning(self) -> Iterator[float]:
        while True:
            kind = self._rng.random()
            if kind < 0.4:
                yield from repeat(0.0, self._length(3, 30))
            elif kind < 0.8:
                speed = self._speed()
                yield from repeat(speed, max(2, round(self._rng.uniform(15, 180) / abs(speed))))
            else:  # a hand that is never quite steady
                speed = 0.0
                for _ in range(self._length(5, 40)):
                    speed = 0.8 * speed + self._rng.normal(0, 2.5)
                    yield speed

    def _speed(self) -> float:
        return float(self._rng.choice([-1, 1]) * self._rng.uniform(0.5, MAX_TURN))

    def _nodding(self) -> Iterator[float]:
        while True:
            yield from repeat(0.0, self._length(6, 40))
            if self._rng.random() < 0.15:  # some look up or down for long, and live on there
                self._ahead = self._rng.uniform(-LEAN, LEAN) if self._ahead == 0 else 0.0
            level = self._rng.random() < 0.75
            yield from self._look_ahead() if level else self._look_to(self._rng.uniform(-50, 55))
            if not level:  # long enough for all that was seen before to leave a model's window
                yield from repeat(0.0, self._length(3, 80))
                yield from self._look_ahead()

    def _look_ahead(self) -> Iterator[float]:
        yield from self._look_to(self._ahead + self._rng.normal(0, 6))

    def _look_to(self, target: float) -> Iterator[float]:
        speed = self._rng.uniform(1, 10)
        while abs(target - self._pitch) > 0.5:
            yield float(np.clip(target - self._pitch, -speed, speed))

    def _sampling(self, space: spaces.Space) -> Iterator[Any]:
        space.seed(int(self._rng.integers(2**31)))
        while True:
            yield from repeat(space.sample(), self._length(3, 40))

    def _choose_scene(self) -> Iterator[Step]:
        scenes: list[Callable[[], Iterator[Step]]] = [self._standing, self._standing]
        scenes += [self._looking_away, self._spinning]
        if self._hands and {"attack", "use"} <= set(self._keys):
            scenes.append(self._building)
        return scenes[self._rng.integers(len(scenes))]()

    def _standing(self) -> Iterator[Step]:
        yield from repeat((set(), 0.0, 0.0), self._length(5, 40))

    def _looking_away(self) -> Iterator[Step]:
        speed = self._speed()
        steps = max(2, round(self._rng.uniform(40, 180) / abs(speed)))
        yield from repeat((set(), 0.0, speed), steps)
        yield from repeat((set(), 0.0, 0.0), self._length(1, 15))
        yield from repeat((set(), 0.0, -speed), steps)

    def _spinning(self) -> Iterator[Step]:
        steps = int(self._rng.integers(25, 73))
        speed = float(self._rng.choice([-1, 1])) * 360.0 / steps
        walks = {"forward"} & set(self._keys) if self._rng.random() < 0.4 else set()
        yield from repeat((walks, 0.0, speed), steps)

    def _building(self) -> Iterator[Step]:
        yield from ((set(), pitch, 0.0) for pitch in self._look_to(self._rng.uniform(25, 60)))
        if self._rng.random() < 0.5:
            yield from repeat(({"attack"}, 0.0, 0.0), self._length(5, 25))
        for _ in range(int(self._rng.integers(1, 4))):
            yield from repeat(({"use"}, 0.0, 0.0), 2)
            yield from repeat((set(), 0.0, 0.0), self._length(2, 8))
        yield from ((set(), pitch, 0.0) for pitch in self._look_ahead())

    def _escaping(self) -> Iterator[Step]:
        jump = {"jump"} & set(self._keys)
        if self._rng.random() < 0.5:  # over it
            yield from repeat((({"forward"} & set(self._keys)) | jump, 0.0, 0.0), 8)
        else:  # away from it
            speed = float(self._rng.choice([-1, 1]) * self._rng.uniform(5, MAX_TURN))
            yield from repeat((set(), 0.0, speed), round(self._rng.uniform(70, 180) / abs(speed)))
            yield from repeat((({"forward"} & set(self._keys)) | jump, 0.0, 0.0), 12)

    def _remember(self, observation: np.ndarray, info: Mapping[str, Any], walks: bool) -> None:
        # Without a position, a coarse picture stands for it; 64 grey levels count as one block.
        place = info["position"] if "position" in info else observation[::8, ::8].ravel() / 64
        self._past.append((np.asarray(place, np.float64), walks))

    def _is_stuck(self) -> bool:
        if len(self._past) < STUCK_STEPS or not all(walks for _, walks in self._past):
            return False
        first, last = self._past[0][0], self._past[-1][0]
        return bool(np.abs(first - last).max() < 0.25)


class RandomExplorer:
    """Samples the whole space anew at every step. Arguments as `Explorer`."""

    def __init__(self, space: spaces.Dict, seed: int) -> None:
        self._space = space
        self._space.seed(seed)

    def act(self, observation: np.ndarray, info: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the next action; what was seen does not matter."""
        return self._space.sample()


def make_explorer(kind: str, space: spaces.Dict, seed: int) -> Explorer | RandomExplorer:
    """Returns an explorer by name: "mix" does everything, "walk" only moves and looks, "random" samples the space."""
    if kind == "random":
        return RandomExplorer(space, seed)
    return Explorer(space, seed, hands=kind == "mix")


EXPLORERS = ("mix", "walk", "random")
