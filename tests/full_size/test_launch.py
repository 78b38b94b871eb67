"""Accelerate's configurations, and worlds that a run begins from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file

from tests.full_size.twin import ROOT
from tests.tiny import tiny_config, tiny_world
from worldmodel.config import Config
from worldmodel.training import launch
from worldmodel.training.config import PhaseConfig, TrainingConfig
from worldmodel.training.initial import adapt, resize_places
from worldmodel.training.run import Run
from worldmodel.training.schedule import in_steps

FILES = sorted((ROOT / "configs" / "accelerate").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_accelerate_reads_its_configurations(path: Path) -> None:
    found = load_config_from_file(str(path))
    assert isinstance(found, ClusterConfig) and found.mixed_precision == "bf16"
    assert found.distributed_type.value in ("NO", "MULTI_GPU")  # what training supports
    assert f"--config_file configs/accelerate/{path.name}" in path.read_text()
    assert f"configs/accelerate/{path.name}" in (ROOT / "docs" / "train.md").read_text()


@pytest.mark.parametrize("asked", ["bf16", "fp16"])
def test_another_precision_than_the_launchers_is_refused(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", asked)
    with pytest.raises(RuntimeError, match=f"the launcher was asked for {asked}, this run for fp32"):
        launch.start(TrainingConfig(precision="fp32"))


def test_a_world_goes_on_at_another_size_and_rate(tmp_path: Path) -> None:
    world = tiny_world()
    config = tiny_config()
    config.frame = replace(config.frame, height=32, width=24, fps=40.0)
    config.layout = replace(config.layout, window_chunks=6)
    bigger = adapt(world, config)
    before, after = world.state_dict(), bigger.state_dict()
    assert after["head.position"].shape == (12, 32) and world.frame_tokens == 4
    same = [key for key in before if key not in ("embedding.position", "head.position")]
    assert all(torch.equal(before[key], after[key]) for key in same)
    assert torch.allclose(after["embedding.position"].mean(0), before["embedding.position"].mean(0), atol=0.02)
    assert bigger.session(0, torch.zeros(1, 32, 24, 3, dtype=torch.uint8).numpy()).step({}).shape == (32, 24, 3)


def test_places_are_interpolated_bilinearly() -> None:
    places = torch.tensor([[0.0], [1.0]])  # two places, side by side
    assert torch.equal(resize_places(places, (1, 2), (2, 2)), torch.tensor([[0.0], [1.0], [0.0], [1.0]]))
    assert resize_places(places, (1, 2), (1, 4)).flatten().tolist() == [0.0, 0.25, 0.75, 1.0]


def test_another_model_is_refused_with_every_difference() -> None:
    config = tiny_config()
    config.backbone = replace(config.backbone, rope_theta=1e4)
    config.head = replace(config.head, hidden_size=64)
    with pytest.raises(ValueError) as caught:
        adapt(tiny_world(), config)
    message = str(caught.value)
    assert "backbone.rope_theta must be 10000.0, got 1000000.0" in message
    assert "head.blocks.0.attn.qkv.weight must be (192, 64), got (96, 32)" in message


def test_a_run_begins_from_a_world_and_its_autoencoder(tmp_path: Path) -> None:
    world = tiny_world()
    world.save_pretrained(tmp_path / "world")
    config = Config(run=str(tmp_path / "run"), initial=str(tmp_path / "world"), model=tiny_config())
    run = Run(config, [], launch.start(TrainingConfig(precision="fp32")))
    begun = run.initial()
    assert begun is not None
    assert all(torch.equal(value, begun.state_dict()[key]) for key, value in world.state_dict().items())
    expected = world.autoencoder.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in run.autoencoder().state_dict().items())
    config.model.autoencoder = replace(config.model.autoencoder, temporal_history=4)
    with pytest.raises(ValueError, match="temporal_history = 5, the config asks for 4"):
        run.autoencoder()
    config.initial = None
    assert run.initial() is None
    with pytest.raises(ValueError, match="needs this run's autoencoder"):
        run.autoencoder()


class Clips:
    """Three clips of 100 frames."""

    def __len__(self) -> int:
        return 3

    def num_frames(self, index: int) -> int:
        return 100


def test_epochs_are_steps() -> None:
    clips: object = Clips()
    assert in_steps(PhaseConfig(epochs=2, frames=10, batch_size=4), clips).steps == 15  # type: ignore[arg-type]
    assert in_steps(PhaseConfig(epochs=0.5, frames=10, batch_size=4), clips).steps == 4  # type: ignore[arg-type]
    plain = PhaseConfig(steps=7)
    assert in_steps(plain, clips) is plain  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="epochs must be above 0 and stand in place of steps, got 2 and 3"):
        PhaseConfig(epochs=2, steps=3)
