"""The full-size benchmark, at small widths: every figure is there, and a short training's loss falls."""

from __future__ import annotations

import pytest
import torch

from benchmarks import full_size
from benchmarks.reduced import narrow
from tests.full_size.twin import ROOT, full


def test_reduced_on_a_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    config = f"{ROOT}/configs/minecraft-0.5b.yaml"
    arguments = ["--config", config, "--reduced", "--streams", "1", "2", "--chunks", "1", "--warmup", "0"]
    assert full_size.main([*arguments, "--device", "cpu", "--train-steps", "1", "--windows", "1"]) == 0
    text = capsys.readouterr().out
    assert "reduced on" in text and "peaks measured" in text
    for head in ("x floor", "GFLOP", "FPS of each", "first frame ms", "first_loss", "tokens"):
        assert head in text
    with pytest.raises(SystemExit):
        full_size.main(["--config", config, "--device", "cpu"])
    assert "add --reduced" in capsys.readouterr().err


def test_a_short_training_learns() -> None:
    world = full_size.build(narrow(full("minecraft-0.5b").model), torch.device("cpu"), torch.float32)
    figures = full_size.train(world, frames=2, windows=1, steps=4)
    assert figures["last_loss"] < figures["first_loss"]
    tokens = 2 + 6  # of a frame: keys and camera, and 2x3 places
    assert figures["tokens"] == pytest.approx(tokens * figures["frames"])


def test_half_precision_streams() -> None:
    """bf16 throughout, as on a GPU."""
    world = full_size.build(narrow(full("minecraft-0.5b").model), torch.device("cpu"), torch.bfloat16)
    figures = full_size.stream(world, num_streams=2, chunks=1, warmup=0)
    assert figures["frame"] > 0 and figures["first"] > 0
