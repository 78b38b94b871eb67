"""Scripted play: what the streams are steered by. An action is a dict of keyboard and camera, as a step takes it.

Minecraft's own names and units: keys are 0 or 1, camera is [pitch, yaw] in degrees per step, yaw > 0 turns right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Action = dict[str, Any]
TURNS = ("left", "none", "right")
MOVES = ("back", "none", "forward")


def action(move: str = "none", yaw: float = 0.0, pitch: float = 0.0, **keys: int) -> Action:
    """One action: an optional walking key, other keys by name, and degrees of camera."""
    walking = {} if move == "none" else {move: 1}
    return {"keyboard": {**walking, **keys}, "camera": np.array([pitch, yaw], dtype=np.float32)}


def idle(frames: int) -> list[Action]:
    """No key and no camera for a number of frames: a player who does not touch anything."""
    return [action() for _ in range(frames)]


@dataclass(frozen=True)
class Held:
    """One action held for a stretch of frames, [start, stop) in steps of the script."""

    turn: str
    move: str
    start: int
    stop: int


def held_actions(rng: np.random.Generator, hold: int, settle: int) -> tuple[list[Action], list[Held]]:
    """Every turn and every walk, each held for the same time, in random order: a balanced test of control.

    Turning is scripted standing still and walking is scripted looking ahead, each direction once, and two stretches
    combine both; in between the player stands for `settle` frames, so that no stretch inherits speed from the last.

    Args:
        rng: draws the order and each turn's speed, 3 to 8 degrees per step.
        hold: frames for which each is held.
        settle: idle frames before each.

    Returns:
        The actions, 8 * (settle + hold) of them, and the eight stretches in them (without the idle frames).
    """
    kinds = [("left", "none"), ("right", "none"), ("none", "forward"), ("none", "back"), ("none", "none")]
    kinds += [("none", "forward"), ("none", "back")]
    kinds += [(str(rng.choice(["left", "right"])), str(rng.choice(["forward", "back"])))]
    actions: list[Action] = []
    stretches = []
    for index in rng.permutation(len(kinds)):
        turn, move = kinds[index]
        yaw = float(rng.uniform(3.0, 8.0)) * (TURNS.index(turn) - 1)
        actions += idle(settle)
        stretches.append(Held(turn, move, len(actions), len(actions) + hold))
        actions += [action(move, yaw) for _ in range(hold)]
    return actions, stretches


def random_play(rng: np.random.Generator, frames: int) -> list[Action]:
    """A player without a plan: walks, turns, jumps, looks up and down, stops; each for 5 to 30 frames.

    The pitch wanders but is steered back to the horizon, as people do: its sum stays within 35 degrees.

    Args:
        rng: draws everything.
        frames: how many actions.

    Returns:
        `frames` actions.
    """
    actions: list[Action] = []
    pitch = 0.0
    while len(actions) < frames:
        move = str(rng.choice(MOVES, p=[0.15, 0.25, 0.6]))
        keys = {key: 1 for key, chance in (("jump", 0.15), ("sprint", 0.2), ("left", 0.1)) if rng.random() < chance}
        yaw = float(rng.choice([0.0, rng.uniform(-3, 3), rng.uniform(-8, 8)]))
        length = int(rng.integers(5, 31))
        target = float(rng.uniform(-35, 35)) if rng.random() < 0.3 else 0.0
        rate = (target - pitch) / length
        actions += [action(move, yaw, rate, **keys) for _ in range(length)]
        pitch = target
    return actions[:frames]


def turn_away_and_back(angle: int, rate: float) -> tuple[list[Action], int, int]:
    """Turns right by an angle and back by the same; 360 goes all the way round instead.

    Args:
        angle: degrees, up to 360.
        rate: degrees per frame, at most; lowered so that whole steps make the angle.

    Returns:
        The actions; the number of them after which the view is farthest away; the number after which it is back.
    """
    steps = int(np.ceil(angle / rate))
    away = [action(yaw=angle / steps) for _ in range(steps)]
    if angle == 360:
        return away, steps // 2, steps
    return away + [action(yaw=-angle / steps) for _ in range(steps)], steps, 2 * steps
