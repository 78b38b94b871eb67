"""The training loss, flow matching, noise buckets; checkpoints and configuration."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from conditions import Prepared, collate
from tests.tiny import tiny_actions, tiny_config, tiny_world
from worldmodel import WorldModel
from worldmodel.config import Config, from_dict, load_config, save_config
from worldmodel.embedding import NoiseConfig, corrupt, draw_buckets, to_latents, to_tokens
from worldmodel.flow import FlowConfig, interpolate, sample_timesteps, solve, solver_timesteps, velocity
from worldmodel.head import attend
from worldmodel.storage import pack, unpack
from worldmodel.world import WorldConfig


def batch(world: WorldModel, clips: int = 3, frames: int = 6) -> tuple[torch.Tensor, dict]:
    torch.manual_seed(0)
    prepared = collate([world.conditions.prepare(tiny_actions(frames, seed=i)) for i in range(clips)])
    return torch.randn(clips, frames + 1, *world.latent_shape), prepared


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_overfit_one_batch() -> None:
    """A clip that repeats is learned: the velocity's error falls far below that of knowing nothing (2.0)."""
    torch.manual_seed(0)
    world = WorldModel(tiny_config())
    latents, prepared = batch(world, clips=2, frames=4)
    optimizer = torch.optim.AdamW(world.dynamics_parameters(), lr=4e-3)
    losses = []
    for step in range(120):
        loss = world.loss(latents, prepared, torch.Generator().manual_seed(step))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 1.5
    assert sum(losses[-5:]) / 5 < 0.7 * losses[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_heads_attention_is_torchs(dtype: torch.dtype) -> None:
    """In training, too, where it takes another way on a CPU."""
    torch.manual_seed(0)
    tensors = [torch.randn(3, 2, 16, 8).to(dtype).requires_grad_() for _ in range(3)]
    outputs = [attention(*tensors) for attention in (attend, torch.nn.functional.scaled_dot_product_attention)]
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-5 if dtype == torch.float32 else 1e-2)
    (one, other) = (torch.autograd.grad(output.float().square().sum(), tensors) for output in outputs)
    for gradient, expected in zip(one, other, strict=True):
        assert (gradient - expected).norm() < 0.02 * expected.norm()


def test_a_clips_loss_does_not_depend_on_its_batch() -> None:
    """With one generator per clip: what makes two processes equal to one."""
    world = tiny_world()
    latents, prepared = batch(world)
    rows = [torch.Generator().manual_seed(i) for i in range(3)]
    together = world.loss(latents, prepared, rows)["clip_loss"]
    for i in range(3):
        one = {name: type(value)(value.x[i : i + 1], value.present[i : i + 1]) for name, value in prepared.items()}
        alone = world.loss(latents[i : i + 1], one, [torch.Generator().manual_seed(i)])["clip_loss"]
        torch.testing.assert_close(alone[0], together[i], atol=1e-5, rtol=1e-5)


def test_every_parameter_of_the_dynamics_learns() -> None:
    world = tiny_world()
    world.config.condition_dropout = 0.5  # so that the placeholders take part
    latents, prepared = batch(world, clips=8)
    world.loss(latents, prepared, torch.Generator().manual_seed(0))["loss"].backward()
    trained = {id(p) for p in world.dynamics_parameters()}
    idle = [
        name
        for name, p in world.named_parameters()
        if id(p) in trained and (p.grad is None or not p.grad.any()) and name != "embedding.bucket"
    ]
    assert not idle
    assert all(p.grad is None for p in world.autoencoder.parameters())


def test_latents_of_another_autoencoder_are_refused() -> None:
    world = tiny_world()
    with pytest.raises(ValueError, match=r"latents must be \[B, T \+ 1, 8, 2, 2\]"):
        world.loss(torch.randn(1, 3, 16, 2, 2), world.conditions.prepare(tiny_actions(2)))


# -- redrawn context --------------------------------------------------------------------------------------------------


def test_a_redrawn_frame_is_the_models_own_from_the_true_past() -> None:
    world = tiny_world()
    latents, prepared = batch(world, clips=2)
    context = latents[:, :-1]

    def redraw(context: torch.Tensor) -> torch.Tensor:
        return world.redraw(context, prepared, [torch.Generator().manual_seed(row) for row in range(2)])

    drawn = redraw(context)
    assert torch.equal(drawn[:, 0], context[:, 0]) and not drawn.requires_grad
    assert (drawn[:, 1:] != context[:, 1:]).all()
    changed = context.clone()
    changed[:, 2] += 1  # it stays in what is redrawn of it, and is seen by the frames after it
    again = redraw(changed)
    assert torch.equal(again[:, :2], drawn[:, :2]) and (again[:, 2:] != drawn[:, 2:]).any(dim=(2, 3, 4)).all()


def test_redrawing_leaves_a_frame_that_the_model_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the true velocity, what was noised comes back as it was."""
    world = tiny_world()
    latents, prepared = batch(world, clips=2)
    context = latents[:, :-1]
    data = to_tokens(context[:, 1:], 1).flatten(0, 1)
    monkeypatch.setattr(world.head, "forward", lambda x, t, guide: (x - data) / t[:, None, None])
    torch.testing.assert_close(world.redraw(context, prepared), context, atol=1e-4, rtol=1e-4)


def test_a_share_of_the_clips_learns_from_redrawn_frames() -> None:
    world = tiny_world()
    latents, prepared = batch(world, clips=8)

    def losses(share: float) -> torch.Tensor:
        world.config.noise.redraw = share
        generators = [torch.Generator().manual_seed(row) for row in range(8)]
        return world.loss(latents, prepared, generators)["clip_loss"]

    whole = losses(0.999999)
    one = world.loss(latents[3:4], {k: Prepared(*(v[3:4] for v in p)) for k, p in prepared.items()}, [rng(3)])
    torch.testing.assert_close(one["clip_loss"][0], whole[3])  # a clip's loss does not depend on its batch
    same = losses(0.5) == whole
    assert same.any() and not same.all()


def test_redrawing_under_autocast_keeps_all_gradients() -> None:
    world = tiny_world()
    world.config.noise.redraw = 1.0
    latents, prepared = batch(world, clips=8)
    with torch.autocast("cpu", torch.bfloat16):
        loss = world.loss(latents, prepared, rng(0))["loss"]
    loss.backward()
    trained = {id(p) for p in world.dynamics_parameters()}
    named = [(name, p) for name, p in world.named_parameters() if id(p) in trained]
    assert not [name for name, p in named if p.grad is None]


# -- flow and noise ---------------------------------------------------------------------------------------------------


def test_the_solver_undoes_the_path() -> None:
    """The path is straight, so one step of Euler with the true velocity is exact, and so are four."""
    data, noise = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    assert torch.equal(interpolate(data, noise, torch.tensor(0.0)), data)
    assert torch.equal(interpolate(data, noise, torch.tensor(1.0)), noise)
    for steps in (1, 4):
        torch.testing.assert_close(solve(lambda x, t: velocity(data, noise), noise, steps), data)


def test_the_solver_visits_linspace() -> None:
    seen: list[float] = []
    solve(lambda x, t: (seen.append(t[0].item()), torch.zeros_like(x))[1], torch.zeros(1, 1), 4)
    assert seen == [1.0, 0.75, 0.5, 0.25]


def test_the_solver_begins_anywhere() -> None:
    data, noise, t = torch.randn(2, 3, 4), torch.randn(2, 3, 4), torch.tensor([0.3, 0.8])
    middle = interpolate(data, noise, t[:, None, None])
    torch.testing.assert_close(solve(lambda x, t: velocity(data, noise), middle, 3, t), data)


def gaussian(spread: float) -> Callable[[Tensor, Tensor], Tensor]:
    """The velocity that carries normal noise to normal data of a spread: E[noise - data | x(t)]."""

    def field(x: Tensor, timestep: Tensor) -> Tensor:
        t = timestep[:, None]
        return x * (t - (1 - t) * spread**2) / ((1 - t) ** 2 * spread**2 + t**2)

    return field


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("shift", [1.0, 0.5])
def test_many_steps_reach_the_data_by_any_solver(order: int, shift: float) -> None:
    noise = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    begin = torch.full((9,), 0.8, dtype=torch.float64)  # on the path of each point
    middle = noise * torch.tensor(0.2**2 * 0.3**2 + 0.8**2).sqrt()
    for start, first in ((noise, 1.0), (middle, begin)):
        drawn = solve(gaussian(0.3), start, 2000, first, order, shift)
        torch.testing.assert_close(drawn, 0.3 * noise, atol=1e-3, rtol=0)


def test_few_steps_of_the_second_order_keep_the_spread() -> None:
    """Data as spread as the noise: four steps of Euler lose a good part of it, which looks soft."""
    noise = torch.ones(1, 1)
    euler, adams = (solve(gaussian(1.0), noise, 4, order=order).item() for order in (1, 2))
    assert euler < 0.75 and 0.93 < adams < 1
    # data less spread than the noise, as details are: more steps where they are decided
    even, shifted = (solve(gaussian(0.3), noise, 4, shift=shift).item() / 0.3 for shift in (1.0, 0.5))
    assert even < shifted - 0.1 and shifted < 1


def test_shifted_timesteps_crowd_towards_the_data() -> None:
    assert torch.equal(solver_timesteps(4), torch.linspace(1, 0, 5))
    assert solver_timesteps(4, 0.5).tolist() == pytest.approx([1, 0.6, 1 / 3, 1 / 7, 0])


@pytest.mark.parametrize("wrong", [{"order": 3}, {"shift": 0.0}, {"shift": float("nan")}, {"temperature": -0.1}])
def test_a_solver_that_there_is_not_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"flow.{next(iter(wrong))} must be"):
        FlowConfig(**wrong)


def test_timesteps_and_buckets_are_spread() -> None:
    generator = torch.Generator().manual_seed(0)
    t = sample_timesteps((4000,), FlowConfig(), generator, torch.zeros(()))
    assert 0 < t.min() and t.max() < 1 and abs(t.mean() - 0.5) < 0.02 and abs(t.std() - 0.21) < 0.02
    buckets = draw_buckets(1, 20_000, NoiseConfig(), generator, torch.zeros(()))
    counts = torch.bincount(buckets[0], minlength=20)
    assert len(counts) == 20 and counts.min() > 850


def test_corruption_mixes_as_the_paper_says() -> None:
    latents, config = torch.randn(1, 3, 2, 2, 2), NoiseConfig(num_buckets=3, max_sigma=0.5)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(3))
    out = corrupt(latents, torch.tensor([[0, 1, 2]]), config, torch.Generator().manual_seed(3))
    for i, sigma in enumerate((0.0, 0.25, 0.5)):
        torch.testing.assert_close(out[:, i], sigma * noise[:, i] + (1 - sigma) * latents[:, i])


def test_patches_round_trip() -> None:
    latents = torch.randn(2, 3, 4, 6, 8)
    assert to_tokens(latents, 2).shape == (2, 3, 12, 16)
    assert torch.equal(to_latents(to_tokens(latents, 2), 2, 6), latents)


# -- checkpoints ------------------------------------------------------------------------------------------------------


def test_a_checkpoint_round_trips(tmp_path: Path) -> None:
    world = tiny_world()
    world.save_pretrained(tmp_path / "ck")
    (tmp_path / "ck" / "README.md").write_text("mine")
    world.save_pretrained(tmp_path / "ck")  # replaces itself, and leaves a README alone
    assert (tmp_path / "ck" / "README.md").read_text() == "mine"
    loaded = WorldModel.from_pretrained(tmp_path / "ck")
    assert loaded.config == world.config
    for name, value in world.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_half_precision_storage(tmp_path: Path) -> None:
    world = tiny_world()
    world.save_pretrained(tmp_path / "ck", dtype=torch.float16)
    loaded = WorldModel.from_pretrained(tmp_path / "ck")
    for name, value in world.state_dict().items():
        assert loaded.state_dict()[name].dtype == torch.float32
        torch.testing.assert_close(loaded.state_dict()[name], value, atol=2e-3, rtol=2e-3)


def test_eight_bit_storage(tmp_path: Path) -> None:
    """Every weight within half a step of its row's scale; the backbone stays a stock float16 folder."""
    world = tiny_world()
    world.save_pretrained(tmp_path / "ck", dtype=torch.int8)
    stored = load_file(tmp_path / "ck" / "backbone" / "model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float16}
    stored = load_file(tmp_path / "ck" / "head" / "model.safetensors")
    assert torch.int8 in {value.dtype for value in stored.values()}
    loaded = WorldModel.from_pretrained(tmp_path / "ck").state_dict()
    for name, value in world.state_dict().items():
        assert loaded[name].dtype == torch.float32
        largest = value.abs().amax(dim=1, keepdim=True) if value.ndim >= 2 else value.abs()
        assert ((loaded[name] - value).abs() <= largest / 254 + 1e-3).all(), name


def test_a_scale_without_its_matrix_is_refused() -> None:
    stored = pack({"a": torch.randn(64, 64)}, torch.int8)
    with pytest.raises(ValueError, match=r"a.int8_scale \(64, 1\) must have an int8 tensor a that it fits"):
        unpack({"a.int8_scale": stored["a.int8_scale"]})


def test_stock_transformers_loads_the_backbone(tmp_path: Path) -> None:
    from transformers import Qwen2Model

    world = tiny_world()
    world.save_pretrained(tmp_path / "ck")
    stock = Qwen2Model.from_pretrained(tmp_path / "ck" / "backbone")
    for name, value in world.backbone.model.state_dict().items():
        assert torch.equal(stock.state_dict()[name], value)


def test_damaged_checkpoints_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "good"
    tiny_world().save_pretrained(folder)
    with pytest.raises(ValueError, match="did you mean .*good"):
        WorldModel.from_pretrained(tmp_path / "goood")
    weights = folder / "head" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="head/model.safetensors is damaged"):
        WorldModel.from_pretrained(folder)
    weights.unlink()
    with pytest.raises(ValueError, match="head has no"):
        WorldModel.from_pretrained(folder)
    weights.write_bytes(whole)
    index = json.loads((folder / "model_index.json").read_text())
    index["config"]["head"]["hidden_size"] = 64
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="do not fit the model: .*must be"):
        WorldModel.from_pretrained(folder)
    (folder / "model_index.json").write_text("{")
    with pytest.raises(ValueError, match="model_index.json is damaged"):
        WorldModel.from_pretrained(folder)
    (folder / "model_index.json").unlink()
    with pytest.raises(ValueError, match="half downloaded"):
        WorldModel.from_pretrained(folder)


def test_saving_never_replaces_what_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(ValueError, match="must be empty or a checkpoint"):
        tiny_world().save_pretrained(tmp_path)
    assert (tmp_path / "thesis.tex").exists()


# -- configuration ----------------------------------------------------------------------------------------------------


def test_config_is_defaults_then_yaml_then_arguments(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("model:\n  layout:\n    window_chunks: 5\n  backbone:\n    hidden_size: 128\n")
    config = load_config([f"config={tmp_path / 'a.yaml'}", "model.backbone.hidden_size=64", "max_minutes=2"])
    assert (config.model.layout.window_chunks, config.model.backbone.hidden_size, config.max_minutes) == (5, 64, 2.0)
    assert config.model.layout.chunk_frames == Config().model.layout.chunk_frames
    save_config(config, tmp_path / "b.yaml")
    assert load_config([f"config={tmp_path / 'b.yaml'}"]) == config


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("model.backbone.hiden_size=64", "unknown key model.backbone.hiden_size, did you mean 'hidden_size'"),
        ("stag=dynamics", "did you mean 'stage'"),
        ("model.layout.window_chunks=many", "window_chunks"),
        ("model.layout.window_chunks=0", "must be 1 or more"),
        ("dynamics", "must be key=value"),
        ("config=configs/nothing.yaml", "no config file"),
    ],
)
def test_bad_settings_are_named(argument: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        load_config([argument])


def test_the_stored_config_is_the_config() -> None:
    world = tiny_world(chunk_frames=2)
    assert from_dict(json.loads(json.dumps(world.config_dict())), WorldConfig) == world.config


def test_a_picture_must_divide_into_tokens() -> None:
    config = tiny_config()
    config.frame.height = 20
    with pytest.raises(ValueError, match="multiples of 8"):
        WorldModel(config)
