"""The paper's last phase at full size: what its file says, and a narrow talking head that goes on under it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.reduced import narrow
from tests.full_size.test_configs import BACKBONE, EMBEDDING, HEAD
from tests.full_size.twin import ROOT, full, raw_values
from worldmodel.config import load_config
from worldmodel.training.cost import count, meta_world
from worldmodel.training.initial import adapt
from worldmodel.training.plan import Plan, report
from worldmodel.world import WorldModel

LATER = f"config={ROOT / 'configs' / 'midas-posttraining.yaml'}"


@pytest.mark.parametrize("name", ["midas-3b", "midas-0.5b"])
def test_laid_over_either_size(name: str) -> None:
    config, before, size = full(name, LATER), full(name), name.partition("-")[2]
    world, layout = meta_world(config.model), config.model.layout
    assert (world.latent_size, world.frame_tokens, config.model.frame.fps) == ((9, 15), 135, 25)
    assert layout.chunk_frames / config.model.frame.fps == before.model.layout.chunk_frames / 12.5 == 0.48
    assert layout.window_chunks == before.model.layout.window_chunks == 8 and layout.reference == "chunk"
    assert world.layout.condition_tokens == 12 * 1 + 12 * 10 + 256
    audio, pose = (config.model.conditions[key] for key in ("audio", "pose"))
    assert audio["samples"] * config.model.frame.fps == 16_000  # the sound of a frame, neither more nor less
    assert pose["scale"] * config.model.frame.fps == 0.02 * 12.5  # the same speed reads the same
    # Nothing but the places in the frame is larger; all else is carried over.
    width, places = config.model.backbone.hidden_size, 135 - 60
    assert count(world.backbone) == BACKBONE[size]
    assert count(world.head) == HEAD[size] + places * 1152
    assert count(world.embedding) == EMBEDDING[size] + places * width
    assert count(world.conditions) == count(meta_world(before.model).conditions)
    phase = config.training.posttraining
    assert phase.frames == layout.window_chunks * layout.chunk_frames and phase.lr < before.training.dynamics.lr
    assert config.stage == "posttraining" and "Memory of stage=posttraining" in report(config, Plan(hours=20))
    assert config.run != before.run and config.data.clips != before.data.clips


@torch.no_grad()
def test_a_narrow_talking_head_goes_on() -> None:
    """At another size and rate, with the small causal ear, which must hear as many ms as before."""
    before = narrow(full("midas-0.5b").model)
    before.backbone = replace(before.backbone, num_hidden_layers=2)
    before.head = replace(before.head, num_layers=2)
    after = narrow(load_config([f"config={ROOT / 'configs' / 'midas-0.5b.yaml'}", LATER]).model)
    after = replace(
        after, backbone=before.backbone, head=before.head, frame=replace(after.frame, height=192, width=256)
    )
    with pytest.raises(ValueError, match=r"audio.ear.head.1.weight must be \(8, 56\), got \(8, 64\)"):
        adapt(WorldModel(before), after)
    after.conditions["audio"]["context_ms"] = 360  # 40 ms and 360 before them, where it was 80 and 320
    world = adapt(WorldModel(before), after).eval()
    assert world.config.frame.fps == 25 and world.latent_size == (3, 4)
    picture = np.random.default_rng(0).integers(0, 256, (192, 256, 3), dtype=np.uint8)
    session = world.session(0, picture[None], reference=picture, num_steps=1)
    assert session.step_chunk(raw_values(world, 12)).shape == (12, 192, 256, 3)
