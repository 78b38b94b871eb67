"""Sessions: the stream against the whole forward, rows that leave each other alone, resets, forks, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from conditions import Prepared
from tests.tiny import tiny_actions, tiny_frames, tiny_world
from worldmodel.data.clips import Clip
from worldmodel.flow import solve
from worldmodel.frames import to_frames, to_model
from worldmodel.layout import LayoutConfig
from worldmodel.session import Session

STEPS = 14  # more than three windows of four


@pytest.mark.parametrize(
    ("head", "layout"),
    [
        ("dit", LayoutConfig(window_chunks=4)),
        ("mlp", LayoutConfig(window_chunks=4)),
        ("dit", LayoutConfig(chunk_frames=2, window_chunks=2, reference="chunk", places=True)),
        ("dit", LayoutConfig(chunk_frames=2, window_chunks=2, direct=True, shortcut=True)),
        ("dit", LayoutConfig(chunk_frames=2, window_chunks=2, direct=True, direct_ahead=1, shortcut=True)),
    ],
)
@torch.no_grad()
def test_a_stream_equals_the_whole_forward(head: str, layout: LayoutConfig) -> None:
    """Every frame a session makes, from one pass over the whole clip: the same hidden states, latents and pixels."""
    world = tiny_world(head=head, layout=layout)
    if layout.direct:  # these begin at nothing
        torch.manual_seed(0)
        torch.nn.init.normal_(world.embedding.entry.weight, std=0.1)
        torch.nn.init.normal_(world.embedding.shortcut.weight, std=0.1)
    world.config.noise.max_sigma = 0.0  # so that the context of the two is the same without following the noise
    frames, actions = tiny_frames(3), tiny_actions(2 + STEPS)
    picture = None if layout.reference == "none" else tiny_frames(1, seed=5)[0]
    session = world.session(0, frames, actions[:2], reference=picture, num_steps=1)
    noises: list[torch.Tensor] = []
    field = world.head.forward

    def listen(x: torch.Tensor, timestep: torch.Tensor, guide: torch.Tensor) -> torch.Tensor:
        noises.append(x)
        return field(x, timestep, guide)

    world.head.forward = listen  # type: ignore[method-assign]
    latents = [*world.autoencoder.encode(to_model(frames)[None]).unbind(1)]
    pictures = []
    for first in range(2, 2 + STEPS, layout.chunk_frames):
        for frame in session.stream_chunk(actions[first : first + layout.chunk_frames]):
            pictures.append(frame)
            latents.append(session.latents)

    clip = torch.stack(latents, dim=1)
    bucket = torch.full((1, clip.shape[1] - 1), world.config.noise.stream_bucket)
    reference = None if picture is None else world.autoencoder.encode(to_model(picture[None])[None])[:, 0]
    prepared = world.conditions.prepare(actions, layout.chunk_frames)
    hidden = world.hidden(clip[:, :-1], bucket, prepared, reference)[:, 2:]
    for step in range(STEPS):
        guide = world.head.guide(hidden[:, step])
        tokens = solve(lambda x, t, guide=guide: field(x, t, guide), noises[step], 1)  # type: ignore[misc]
        expected = tokens.transpose(1, 2).reshape(1, *world.latent_shape)
        torch.testing.assert_close(clip[:, 3 + step], expected, atol=1e-4, rtol=0)
    whole = to_frames(world.autoencoder.decode(clip))[0, 3:].numpy().astype(int)
    assert np.abs(whole - np.stack(pictures)).max() <= 1  # rounding


def test_chunks_of_frames_stream_as_they_train() -> None:
    """F = 3 with a reference in every chunk, and as a sink."""
    for reference in ("chunk", "sink"):
        world = tiny_world(chunk_frames=3, reference=reference)
        frames = tiny_frames(4)
        session = world.session(0, frames, tiny_actions(3), reference=frames[0])
        with pytest.raises(ValueError, match="call step_chunk"):
            session.step({})
        assert session.step_chunk(tiny_actions(3)).shape == (3, 16, 16, 3)
        other = world.session(0, frames, tiny_actions(3), reference=tiny_frames(1, seed=5)[0])
        assert (other.step_chunk(tiny_actions(3)) != session.step_chunk(tiny_actions(3))).any()


def test_frames_of_a_chunk_come_one_by_one_and_none_is_skipped() -> None:
    """As the whole chunk gives them; what is not taken is made before the next chunk, or before a row starts anew."""
    world, frames, chunks = tiny_world(chunk_frames=3), tiny_frames(4), [tiny_actions(3, seed=i) for i in range(3)]
    whole = world.session(0, frames, tiny_actions(3))
    expected = [whole.step_chunk(chunk) for chunk in chunks]
    session = world.session(0, frames, tiny_actions(3))
    assert np.array_equal(np.stack(list(session.stream_chunk(chunks[0]))), expected[0])
    left = session.stream_chunk(chunks[1])
    assert np.array_equal(next(left), expected[1][0]) and len(session.latency["total"]) == 1
    with pytest.raises(ValueError, match="keyboard"):
        session.stream_chunk([{"keyboard": {"fly": 1}}] * 3)  # refused before anything is made
    assert np.array_equal(session.step_chunk(chunks[2]), expected[2])
    assert next(left, None) is None and len(session.latency["total"]) == 3

    batch, other = (world.session(0, [frames] * 2, [tiny_actions(3)] * 2, num_streams=2) for _ in range(2))
    next(batch.stream_chunk([chunks[0]] * 2))
    batch.reset(1, frames, tiny_actions(3), seed=7)
    other.step_chunk([chunks[0]] * 2)
    assert np.array_equal(batch.step_chunk([chunks[1]] * 2)[0], other.step_chunk([chunks[1]] * 2)[0])


def test_the_same_seed_gives_the_same_stream() -> None:
    world, frames, actions = tiny_world(), tiny_frames(3), tiny_actions(2)

    def run(seed: int) -> np.ndarray:
        session = world.session(seed, frames, actions)
        return np.stack([session.step(action) for action in tiny_actions(6, seed=1)])

    assert np.array_equal(run(3), run(3))
    assert not np.array_equal(run(3), run(4))


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_reset_and_fork_leave_the_other_rows_bit_equal(guidance: float) -> None:
    world, frames = tiny_world(), tiny_frames(3)

    def make() -> Session:
        return world.session(0, [frames] * 3, [tiny_actions(2)] * 3, num_streams=3, guidance=guidance)

    plain, touched = make(), make()
    for step in range(6):
        rows = tiny_actions(3, seed=step)
        if step == 2:
            touched.reset(1, tiny_frames(4, seed=7), tiny_actions(3, seed=7), seed=99)
        if step == 4:
            touched.fork(0, 2)
        a, b = plain.step(rows), touched.step(rows)
        assert np.array_equal(a[0], b[0])
        assert np.array_equal(a[2], b[2]) == (step < 4)
        assert np.array_equal(a[1], b[1]) == (step < 2)


def test_a_reset_row_is_a_new_session() -> None:
    world = tiny_world()
    batch = world.session(0, [tiny_frames(3)] * 2, num_streams=2)
    for step in range(5):
        batch.step(tiny_actions(2, seed=step))
    batch.reset(1, tiny_frames(4, seed=7), tiny_actions(3, seed=7), seed=99)
    single = world.session(99, tiny_frames(4, seed=7), tiny_actions(3, seed=7))
    for step in range(5):
        action = tiny_actions(1, seed=step)[0]
        pair = batch.step([{}, action])
        assert np.abs(pair[1].astype(int) - single.step(action).astype(int)).max() <= 1


def test_a_fork_continues_as_its_source() -> None:
    world = tiny_world()
    session = world.session(0, [tiny_frames(3, seed=row) for row in range(2)], num_streams=2)
    session.step(tiny_actions(2))
    session.fork(0, 1)
    for step in range(6):
        pair = session.step([tiny_actions(1, seed=step)[0]] * 2)
        assert np.array_equal(pair[0], pair[1])


def test_conditions_matter_and_missing_is_not_zero() -> None:
    world, frames = tiny_world(), tiny_frames(3)

    def after(action: dict) -> np.ndarray:
        return world.session(0, frames).step(action)

    still = {"keyboard": {}, "camera": [0.0, 0.0]}
    assert not np.array_equal(after({"keyboard": {"forward": 1}, "camera": [0.0, 0.0]}), after(still))
    assert not np.array_equal(after({}), after(still))
    assert np.array_equal(after({"keyboard": None}), after({}))


def test_guidance_one_is_no_guidance_and_null_rows_see_nothing() -> None:
    world, frames = tiny_world(), tiny_frames(3)
    action = tiny_actions(1)[0]
    plain = world.session(0, frames).step(action)
    assert not np.array_equal(plain, world.session(0, frames, guidance=3.0).step(action))
    assert np.array_equal(world.session(0, frames).step({}), world.session(0, frames, guidance=3.0).step({}))
    guided = world.session(0, frames, guidance=1000.0).step(action)
    with pytest.raises(ValueError, match="guidance must be a finite number, got nan"):
        world.session(0, frames, guidance=float("nan"))
    world.config.flow.guidance = 1000.0  # what the model's own config says is done where nothing else is asked for
    assert np.array_equal(guided, world.session(0, frames).step(action))
    assert np.array_equal(plain, world.session(0, frames, guidance=1.0).step(action))
    world.config.flow.guidance_parallel = 0.0
    assert not np.array_equal(guided, world.session(0, frames).step(action))
    world.config.flow.guidance_parallel = 1.0
    world.config.flow.guidance_until = 0.5  # in the steps at 1 and 0.75 only
    assert not np.array_equal(guided, world.session(0, frames).step(action))
    world.config.flow.guidance_until = 1.0  # in none: the same, but for the rounding of a larger batch
    assert np.abs(world.session(0, frames).step(action).astype(int) - plain).max() <= 1
    assert np.abs(guided.astype(int) - plain).max() > 1


def test_starts_come_with_the_checkpoint(tmp_path) -> None:  # noqa: ANN001
    world = tiny_world()
    clip = Clip("start", tiny_frames(4), {"keyboard": [{"forward": 1}] * 3, "camera": [[0.0, 3.0]] * 3}, {"fps": 20.0})
    world.save_pretrained(tmp_path / "ck", starts=[clip])
    loaded = type(world).from_pretrained(tmp_path / "ck")
    assert loaded.session(5).step({"keyboard": {"forward": 1}}).shape == (16, 16, 3)
    with pytest.raises(ValueError, match="no starting clips"):
        world.session(5)


def test_errors_change_nothing() -> None:
    world = tiny_world()
    session, twin = (world.session(0, tiny_frames(3)) for _ in range(2))
    for bad, words in [
        ({"keybord": {}}, "keyboard"),
        ({"keyboard": {"foward": 1}}, "forward"),
        ({"camera": [0.0, float("nan")]}, "camera"),
        ({"camera": [0.0]}, "camera"),
        ({"keyboard": {"forward": 7}}, "forward"),
    ]:
        with pytest.raises(ValueError, match=words):
            session.step(bad)
    assert np.array_equal(session.step({}), twin.step({}))
    with pytest.raises(ValueError, match="row must be 0 to 0"):
        session.reset(1, tiny_frames(2))
    with pytest.raises(ValueError, match="16x16"):
        session.reset(0, np.zeros((2, 8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="uint8"):
        session.reset(0, np.zeros((2, 16, 16, 3), np.float32))
    with pytest.raises(ValueError, match="one value fewer"):
        session.reset(0, tiny_frames(3), tiny_actions(3))
    assert np.array_equal(session.step({}), twin.step({}))  # nor did what was refused cost the stream any of its noise
    with pytest.raises(ValueError, match="takes no reference"):
        world.session(0, tiny_frames(2), reference=tiny_frames(1)[0])
    two = world.session(0, [tiny_frames(2)] * 2, num_streams=2)
    with pytest.raises(ValueError, match="one entry per stream"):
        two.step({})


def test_latency_is_filed() -> None:
    session = tiny_world().session(0, tiny_frames(2))
    for _ in range(3):
        session.step({})
    assert len(session.latency["total"]) == 3
    parts = zip(*(session.latency[part] for part in ("conditions", "backbone", "head", "decode")), strict=True)
    assert session.latency["total"] == pytest.approx([sum(laps) for laps in parts])
    assert all(0 < each["p50"] <= each["p95"] for each in session.latency.summary().values())


def test_loss_is_causal_in_conditions() -> None:
    """By gradient: the hidden state that guides a frame sees its own conditions and no later ones."""
    world, count = tiny_world(), 7
    prepared = world.conditions.prepare(tiny_actions(count))
    camera = prepared["camera"].x.clone().requires_grad_()
    prepared["camera"] = Prepared(camera, prepared["camera"].present)
    bucket = torch.zeros(1, count, dtype=torch.long)
    hidden = world.hidden(torch.randn(1, count, *world.latent_shape), bucket, prepared)
    for step in range(count):
        (gradient,) = torch.autograd.grad(hidden[0, step].square().sum(), camera, retain_graph=True)
        seen = gradient[0].abs().sum(dim=-1) > 0
        assert seen[step] and not seen[step + 1 :].any()


def test_a_temperature_is_the_spread_of_the_noise_that_frames_begin_at(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[torch.Tensor] = []

    def solved(field: Any, noise: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        begun.append(noise)
        return solve(field, noise, *args, **kwargs)

    monkeypatch.setattr("worldmodel.streams.solve", solved)
    world = tiny_world()
    for temperature in (1.0, 0.5):
        world.config.flow.temperature = temperature
        world.session(0, tiny_frames(1)).step(tiny_actions(1)[0])
    torch.testing.assert_close(begun[1], begun[0] / 2)
