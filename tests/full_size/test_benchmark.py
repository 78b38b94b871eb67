"""The full-size benchmark, at small widths: every figure is there, and a short training's loss falls."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from benchmarks import full_size
from benchmarks.reduced import narrow
from tests.full_size.twin import ROOT, full
from worldmodel.world import WorldConfig


def shallow() -> WorldConfig:
    """Two layers of each, since speed is not what is tested."""
    config = narrow(full("minecraft-0.5b").model)
    backbone, head = replace(config.backbone, num_hidden_layers=2), replace(config.head, num_layers=2)
    return replace(config, backbone=backbone, head=head)


def test_reduced_on_a_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = OmegaConf.load(ROOT / "configs" / "minecraft-0.5b.yaml")
    values.model.backbone.num_hidden_layers = values.model.head.num_layers = 2
    OmegaConf.save(values, tmp_path / "shallow.yaml")
    arguments = ["--config", str(tmp_path / "shallow.yaml"), "--streams", "1", "2", "--chunks", "1", "--warmup", "0"]
    assert full_size.main([*arguments, "--reduced", "--device", "cpu", "--train-steps", "1", "--windows", "1"]) == 0
    text = capsys.readouterr().out
    assert "reduced on" in text and "peaks measured" in text
    for head in ("x floor", "GFLOP", "FPS of each", "first frame ms", "first_loss", "tokens"):
        assert head in text
    with pytest.raises(SystemExit):
        full_size.main([*arguments, "--device", "cpu"])
    assert "add --reduced" in capsys.readouterr().err


def test_a_short_training_learns() -> None:
    world = full_size.build(shallow(), torch.device("cpu"), torch.float32)
    figures = full_size.train(world, frames=2, windows=1, steps=3)
    assert figures["last_loss"] < figures["first_loss"]
    weights = sum(p.numel() * p.element_size() for p in world.parameters())
    assert weights / 1e9 < figures["peak_gb"] < 100
    tokens = 2 + 6  # of a frame: keys and camera, and 2x3 places
    assert figures["tokens"] == pytest.approx(tokens * figures["frames"])


def test_half_precision_streams() -> None:
    """bf16 throughout, as on a GPU."""
    world = full_size.build(shallow(), torch.device("cpu"), torch.bfloat16)
    figures = full_size.stream(world, num_streams=2, chunks=1, warmup=0)
    assert figures["frame"] > 0 and figures["first"] > 0
