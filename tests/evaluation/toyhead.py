"""Heads of a few blocks: how bright they are says what they do, so that a reader of a few lines reads them exactly.

Top left the aperture, top right how far to the right the joints are, bottom left the mood, bottom right who it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tests.tiny import tiny_config
from worldmodel.data.clip_writer import ClipWriter
from worldmodel.data.clips import Clip, codec
from worldmodel.evaluation.heads.network import Reading
from worldmodel.evaluation.rollout import Start
from worldmodel.evaluation.scripts import Action
from worldmodel.world import WorldConfig, WorldModel

SIZE, FPS, SAMPLES, JOINTS = 16, 12.5, 1280, 10
MOODS = ("calm", "glad", "cross")
CONDITIONS = {
    "audio": {"features": 8},
    "listen": {"features": 8},
    "pose": {"num_tokens": 2, "features": 8, "positions": True},
}
CONDITIONS |= {"text": {"num_tokens": 2, "features": 8}}
BASE = np.stack([np.linspace(0.2, 0.6, JOINTS), np.linspace(0.1, 0.9, JOINTS)], axis=1)  # joints at rest
REACH = 0.3  # widths between the leftmost and the rightmost head


def head_config(size: int = SIZE) -> WorldConfig:
    """A tiny head: chunks of 6 frames, a picture in each."""
    config = tiny_config(6, "chunk")
    config.frame.height = config.frame.width = size
    config.frame.fps = FPS
    config.conditions = CONDITIONS
    return config


def draw(aperture: float, shift: float, mood: int, who: float) -> np.ndarray:
    """A picture [16, 16, 3] uint8; all but the mood are 0 to 1."""
    half = SIZE // 2
    frame = np.zeros((SIZE, SIZE, 3), np.uint8)
    frame[:half, :half], frame[:half, half:] = round(255 * aperture), round(255 * shift)
    frame[half:, :half], frame[half:, half:] = 100 * mood, round(255 * who)
    return frame


class ToyReader:
    """Reads what `draw` drew."""

    num_moods = len(MOODS)

    def read(self, frames: np.ndarray) -> Reading:
        half = SIZE // 2
        block = frames[..., 0].reshape(-1, 2, half, 2, half).mean((2, 4)) / 255  # [T, 2, 2]
        points = BASE + np.stack([REACH * block[:, 0, 1], 0 * block[:, 0, 1]], axis=-1)[:, None]
        mood = np.eye(len(MOODS))[(block[:, 1, 0] * 2.55).round().astype(int).clip(0, 2)]
        angle = 0.5 * np.pi * block[:, 1, 1]
        who = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        return Reading(*(x.astype(np.float32) for x in (block[:, 0, 0], points, mood, who)))


def obedient(
    world: WorldModel, starts: Sequence[Start], actions: Sequence[Sequence[Action]], seed: int
) -> Iterator[tuple[np.ndarray, None]]:
    """A model without a flaw, in the place of `rollout.stream`: what it is told is what it shows."""
    who = [ToyReader().read(start.frames[-1:]).who[0] for start in starts]
    for step in zip(*actions, strict=True):
        frames = []
        for action, person in zip(step, who, strict=True):
            sound = action.get("audio")
            aperture = 0.0 if sound is None else float(np.abs(sound).max())
            pose = action.get("pose")
            shift = 0.5 if pose is None else (pose[0, 0] - BASE[0, 0]) / REACH
            mood = MOODS.index(action["text"]) if "text" in action else 0
            frames.append(draw(aperture, float(shift), mood, float(np.arctan2(person[1], person[0]) / (0.5 * np.pi))))
        yield np.stack(frames), None


def play(seed: int, frames: int) -> Clip:
    """Someone who speaks and is silent in turn with another, and moves about; the mood changes half-way."""
    rng = np.random.default_rng(seed)
    said = np.repeat(rng.integers(0, 2, frames // 8 + 1), 8)[:frames].astype(bool)
    said[:8], said[8:16], said[16:24] = False, True, False  # each of the two speaks
    aperture = np.where(said, rng.uniform(0.35, 1.0, frames), 0.0)
    viseme = np.where(said, 10, 0)
    closures = said & (rng.random(frames) < 0.2)
    aperture[closures], viseme[closures] = 0.0, 1
    shift = 0.5 + 0.45 * np.sin(np.arange(frames) / 6 + seed)
    mood = np.where(np.arange(frames) < frames // 2, seed % 3, (seed + 1) % 3)
    points = BASE + np.stack([REACH * shift, 0 * shift], axis=-1)[:, None]
    tone = np.where(np.arange(SAMPLES) % 2, 1.0, -1.0).astype(np.float32)
    columns = {
        "audio": [tone * np.float32(a) for a in aperture[1:]],
        "listen": [tone * np.float32(0 if s else 0.5) for s in said[1:]],
        "pose": list(points[1:].astype(np.float32)),
        "text": [MOODS[m] for m in mood[1:]],
    }
    info = {"aperture": aperture, "key_points": points, "mood_index": mood, "viseme_index": viseme}
    info |= {"speaking": said.astype(int), "listening": (~said).astype(int)}
    meta = {"fps": FPS, "world": "tests/NoHead-v0", "seed": seed, "info": {k: v.tolist() for k, v in info.items()}}
    meta |= {"scene": "dialogue", "language": "far" if seed % 4 == 3 else "near", "held_out": seed % 4 == 3}
    pictures = [draw(a, s, m, seed / 10) for a, s, m in zip(aperture, shift, mood, strict=True)]
    return Clip(f"{seed:06d}", np.stack(pictures), columns, meta)


def write_heads(folder: Path, count: int, frames: int) -> Path:
    """A clip set of `count` toy heads."""
    with ClipWriter(folder / "shard-000000.tar", [codec(name) for name in CONDITIONS]) as writer:
        for seed in range(count):
            writer.write(play(seed, frames))
    return folder
