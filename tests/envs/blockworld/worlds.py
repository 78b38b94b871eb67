"""Worlds to try things in."""

import gymnasium

import envs  # noqa: F401  registers the ids

WORLD = "worldmodel/BlockWorld-v0"
FLOOR = 10


def make(**kwargs):
    return gymnasium.make(WORLD, **{"size": 64, "biome": "meadow", **kwargs}).unwrapped
