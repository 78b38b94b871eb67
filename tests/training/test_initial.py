"""A run that begins from a world whose conditions told less.

Shapes: B batch, T frames.
"""

from __future__ import annotations

import torch

from tests.tiny import tiny_actions, tiny_config, tiny_frames
from worldmodel.training.initial import adapt
from worldmodel.world import WorldModel


def test_what_a_condition_tells_besides_is_not_listened_to_at_first():
    """The camera's level comes after its turns: a stream of the new model is that of the old one, to the bit."""
    config = tiny_config()
    torch.manual_seed(0)
    before = WorldModel(config).eval()
    config = tiny_config()
    config.conditions["camera"] = {"level": True}
    after = adapt(before, config).eval()
    assert after.conditions["camera"].features > before.conditions["camera"].features
    first, actions = tiny_frames(1), tiny_actions(6)
    streams = [world.session(seed=3, first_frames=first) for world in (before, after)]
    for action in actions:
        one, other = (stream.step(action) for stream in streams)
        assert (one == other).all()
    told = after.session(seed=3, first_frames=first)
    weight = after.conditions["camera"].projection.weight
    with torch.no_grad():
        weight[:, before.conditions["camera"].features :] += 1.0
        told.step({"camera": [0.0, 0.0, 40.0]})
        streams[1].step({"camera": [0.0, 0.0]})
    assert (told.step(actions[0]) != streams[1].step(actions[0])).any(), "once it has weights, it is heard"
