"""A talking head small enough for tests: random weights, sound, pose and words, a reference picture, chunks."""

from __future__ import annotations

import torch

from tests.tiny import tiny_config
from worldmodel.world import WorldModel

FPS = 12.5
SAMPLES = 1280  # a frame


def talking_world(chunk_frames: int = 1, reference: str = "chunk", fps: float = FPS) -> WorldModel:
    """A tiny world of 16x16 pixels that takes audio, listen, pose and text."""
    config = tiny_config(chunk_frames, reference)
    config.frame.fps = fps
    sound = {"samples": round(16000 / fps), "features": 8, "num_mels": 8}
    text = {"num_tokens": 2, "features": 8, "num_layers": 1, "max_length": 16}
    pose = {"num_tokens": 2, "features": 8}
    config.conditions = {"audio": dict(sound), "listen": dict(sound), "pose": pose, "text": text}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        world = WorldModel(config).eval()
        for parameter in world.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1)
    return world
