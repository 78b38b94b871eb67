"""A run that begins from a world whose conditions told less.

Shapes: B batch, T frames.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.tiny import tiny_actions, tiny_config, tiny_frames, tiny_world
from worldmodel.layout import LayoutConfig
from worldmodel.training.initial import adapt
from worldmodel.world import WorldModel


def first_latents(world: WorldModel, chunk: list[dict[str, Any]]) -> Tensor:
    """Latents of the first frame that a stream makes under a chunk's actions."""
    session = world.session(seed=3, first_frames=tiny_frames(1))
    next(session.stream_chunk(chunk))
    assert session.latents is not None
    return session.latents


def test_what_a_condition_tells_besides_is_not_listened_to_at_first() -> None:
    """The camera's level comes after its turns: a stream of the new model is that of the old one, to the bit."""
    config = tiny_config()
    config.conditions["camera"] = {"level": True}
    before = tiny_world()
    after = adapt(before, config).eval()
    assert after.conditions["camera"].features > before.conditions["camera"].features
    streams = [world.session(seed=3, first_frames=tiny_frames(1)) for world in (before, after)]
    for action in tiny_actions(6):
        one, other = (stream.step(action) for stream in streams)
        assert (one == other).all()
    turns, level = [{"camera": [0.0, 0.0]}], [{"camera": [0.0, 0.0, 40.0]}]
    assert (first_latents(after, turns) == first_latents(after, level)).all()
    with torch.no_grad():
        after.conditions["camera"].projection.weight[:, before.conditions["camera"].features :] += 1.0
    assert (first_latents(after, turns) != first_latents(after, level)).any(), "once it has weights, it is heard"


def test_what_is_told_ahead_is_not_listened_to_at_first() -> None:
    """Frames that also hear of the next one begin as those that do not, to the bit."""
    config = tiny_config()
    config.layout = LayoutConfig(chunk_frames=2, window_chunks=4, direct=True, direct_ahead=1)
    before = tiny_world(layout=LayoutConfig(chunk_frames=2, window_chunks=4, direct=True))
    after = adapt(before, config).eval()
    streams = [world.session(seed=3, first_frames=tiny_frames(1)) for world in (before, after)]
    actions = tiny_actions(2)
    for one, other in zip(*(stream.stream_chunk(actions) for stream in streams), strict=True):
        assert (one == other).all()

    def told(conditions: Tensor) -> Tensor:
        """What is added to the first of a chunk's frames, the second's tokens being all ones or as they were."""
        added = after.embedding.entering(conditions)
        assert isinstance(added, Tensor)
        return added[:, 0]

    quiet = torch.zeros(1, 1, after.conditions.tokens_per_chunk(2), after.backbone.width)
    loud = quiet.clone()
    loud[:, :, after.conditions.frame_places(2)[1]] = 1.0
    assert (told(quiet) == told(loud)).all()
    with torch.no_grad():
        after.embedding.entry.weight[:, before.embedding.entry.in_features :] += 0.3
    assert (told(quiet) != told(loud)).any(), "once it has weights, the first frame hears of the second"


def test_conditions_come_and_go() -> None:
    """A world takes one more, before the others even, and hears them as it did; and does without one."""
    layout = LayoutConfig(chunk_frames=2, window_chunks=4, places=True, direct=True, direct_ahead=1)
    before = tiny_world(layout=layout)
    torch.nn.init.normal_(before.embedding.entry.weight)
    config = tiny_config()
    config.layout = layout
    config.conditions = {"text": {"num_tokens": 3, "features": 32}, **config.conditions}
    after = adapt(before, config)
    slots = after.conditions.token_slots(2)
    assert slots[:4] == [("text", 0), ("text", 1), ("text", 2), ("keyboard", 0)]
    own = torch.equal(after.embedding.condition_place[3:], before.embedding.condition_place)
    assert own and after.embedding.condition_place[:3].abs().sum() > 0
    for (_, one), (_, other) in zip(
        before.conditions["camera"].named_parameters(), after.conditions["camera"].named_parameters(), strict=True
    ):
        assert torch.equal(one, other)
    told = torch.randn(1, 1, len(slots), after.backbone.width)
    assert torch.equal(after.embedding.entering(told), before.embedding.entering(told[:, :, 3:]))
    again = adapt(after, before.config)
    for key, value in before.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key
