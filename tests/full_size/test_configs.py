"""The full-size configurations: their numbers, and a narrow twin of each that learns, streams, is saved and loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.full_size.twin import NAMES, full, narrow_world, picture, random_batch, raw_values
from worldmodel.config import load_config
from worldmodel.frames import to_model
from worldmodel.training.cost import count, meta_world
from worldmodel.world import WorldModel

SPATIAL = 676_896_140  # the public dc-ae-f64c128-in-1.0
TEMPORAL = 104_869_888
BACKBONE = {"3b": 3_085_938_688, "0.5b": 494_032_768}  # the public Qwen2.5 folders, word embedding included
HEAD = {"3b": 458_712_704, "0.5b": 457_385_600}
EMBEDDING = {"3b": 430_080, "0.5b": 188_160}
WORDS = {"3b": 151936 * 2048, "0.5b": 151936 * 896}


@pytest.mark.parametrize("name", NAMES)
def test_parameters_of_every_part(name: str) -> None:
    world, size = meta_world(full(name).model), name.partition("-")[2]
    assert sum(p.numel() for p in world.autoencoder.spatial_parameters()) == SPATIAL
    assert sum(p.numel() for p in world.autoencoder.temporal_parameters()) == TEMPORAL
    assert count(world.backbone) == BACKBONE[size]
    assert count(world.backbone, trained=True) == BACKBONE[size] - WORDS[size]
    assert count(world.head) == HEAD[size]
    assert count(world.embedding) == EMBEDDING[size]
    assert 0 < count(world.conditions) < 10e6
    assert all(parameter.is_meta for parameter in world.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_the_papers_numbers(name: str) -> None:
    config = full(name)
    world = meta_world(config.model)
    assert (world.autoencoder.spatial_compression, world.latent_shape) == (64, (128, 6, 10))
    assert world.frame_tokens == 60 and world.config.autoencoder.temporal_history == 5
    assert config.training.temporal.frames == config.training.joint.frames == 8
    assert (config.model.noise.num_buckets, config.model.noise.max_sigma, config.model.flow.num_steps) == (20, 0.5, 4)
    phase = config.training.dynamics
    assert (phase.optimizer, phase.lr, phase.warmup_steps) == ("adamw", 5e-5, 1000)
    assert (phase.weight_decay, phase.clip, phase.epochs, phase.batch_size) == (0.01, 1.0, 100, 2 * 64)
    assert config.training.precision == "bf16" and config.training.spatial.steps == 0
    layout, conditions = world.layout, world.conditions
    if name.startswith("midas"):
        assert conditions.names == ["audio", "pose", "text"] and config.model.frame.fps == 12.5
        assert [conditions[n].num_tokens for n in conditions.names] == [1, 10, 256]
        assert layout.condition_tokens == 6 + 60 + 256 and layout.reference_tokens == 60
        assert (layout.config.chunk_frames, layout.config.window_chunks) == (6, 8)
        assert layout.chunk_tokens == 322 + 60 + 6 * 60
    else:
        assert conditions.names == ["keyboard", "camera"] and layout.chunk_tokens == 2 + 60


def test_a_files_conditions_replace_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("model: {conditions: {pose: {}}}\n")
    assert list(load_config([f"config={path}"]).model.conditions) == ["pose"]
    assert list(load_config([f"config={path}", "model.conditions.camera={}"]).model.conditions) == ["pose", "camera"]
    assert list(load_config([]).model.conditions) == ["keyboard", "camera"]


@pytest.mark.parametrize("name", NAMES)
def test_a_narrow_twin_learns(name: str) -> None:
    """Forward and backward under gradient checkpointing: a finite loss, and a gradient wherever one is due."""
    world = narrow_world(name).train()
    assert len(world.backbone.model.layers) == full(name).model.backbone.num_hidden_layers
    latents, prepared = random_batch(world, 1, 3 * world.config.layout.chunk_frames)
    world.config.condition_dropout = 0.0
    reference = None if world.config.layout.reference == "none" else latents[:, 0]
    loss = world.loss(latents, prepared, torch.Generator().manual_seed(1), reference)["loss"]
    loss.backward()
    assert torch.isfinite(loss)
    still = {
        key
        for key, parameter in world.named_parameters()
        if parameter.requires_grad and not key.startswith("autoencoder.")
        if parameter.grad is None or not torch.isfinite(parameter.grad).all() or not parameter.grad.any()
    }
    # No value is missing here, so placeholders have nothing to learn.
    assert {key for key in still if not key.endswith("placeholder")} == set()


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_a_narrow_twin_streams_as_it_trains(name: str) -> None:
    """Past the window, the velocities that a session meets are those of one pass over the whole clip."""
    world = narrow_world(name)
    world.config.noise.max_sigma = 0.0  # so that the context of the two is the same without following the noise
    chunk, first = world.config.layout.chunk_frames, picture(world)
    uses = world.config.layout.reference != "none"
    session = world.session(0, first[None], reference=first if uses else None, num_steps=1)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    field = world.head.forward

    def listen(x: torch.Tensor, timestep: torch.Tensor, guide: torch.Tensor) -> torch.Tensor:
        seen.append((x, field(x, timestep, guide)))
        return seen[-1][1]

    world.head.forward = listen  # type: ignore[method-assign]
    actions = raw_values(world, 3 * chunk)
    for start in range(0, len(actions), chunk):
        session.step_chunk(actions[start : start + chunk])
    assert len(seen) == len(actions)

    begin = world.autoencoder.encode(to_model(first[None, None]))
    frames = [(x - v).transpose(1, 2).reshape(1, *world.latent_shape) for x, v in seen]
    clip = torch.stack([begin[:, 0], *frames], dim=1)[:, :-1]
    bucket = torch.full((1, clip.shape[1]), world.config.noise.stream_bucket)
    hidden = world.hidden(clip, bucket, world.conditions.prepare(actions, chunk), begin[:, 0] if uses else None)
    for index, (x, streamed) in enumerate(seen):
        whole = field(x, torch.ones(1), world.head.guide(hidden[:, index]))
        torch.testing.assert_close(streamed, whole, atol=1e-4 * float(whole.abs().max()), rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_a_narrow_twin_is_saved_and_loaded(name: str, tmp_path: Path) -> None:
    world = narrow_world(name)
    world.save_pretrained(tmp_path / "world")
    again = WorldModel.from_pretrained(tmp_path / "world")
    assert again.config == world.config
    state = again.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in world.state_dict().items())


@pytest.mark.parametrize("kind", ["dit_cross", "mlp"])
def test_other_heads_by_config(kind: str) -> None:
    config = full("midas-3b", f"model.head.kind={kind}").model
    per_layer = {"dit_cross": 4 * (1152 * 1152 + 1152), "mlp": -4 * (1152 * 1152 + 1152)}[kind]
    assert count(meta_world(config).head) == HEAD["3b"] + 28 * per_layer
