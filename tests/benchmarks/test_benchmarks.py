"""The benchmarks run, measure what they say, and name what is wrong."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import record, results, step_latency, train_throughput
from tests.tiny import tiny_frames, tiny_world
from tests.training.small import write_config


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    tiny_world().save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


def test_step_latency_measures_and_appends(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(results, "RESULTS", tmp_path / "RESULTS.md")
    line = ["--checkpoint", str(checkpoint), "--frames", "12", "--warmup", "2", "--cold-starts", "1", "--append"]
    assert step_latency.main([*line, "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert all(part in printed for part in (*step_latency.PARTS, "a step", "FPS sustained"))
    assert "| tiny | cpu | 1 | 12 |" in (tmp_path / "RESULTS.md").read_text()


def test_warm_figures_are_those_of_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    session = tiny_world().session(first_frames=[tiny_frames(3)] * 2, num_streams=2)
    step, slow = session.step, 0.02

    def slower(actions: Any) -> np.ndarray:
        time.sleep(slow)
        return step(actions)

    monkeypatch.setattr(session, "step", slower)
    figures = step_latency.warm(session, frames=8, warmup=2)
    assert 1000 * slow <= figures["p50_ms"] <= figures["p95_ms"]
    assert figures["slowest_fps"] <= figures["fps"] + 1e-6 < 1 / slow
    parts = sum(figures[f"{part}_p50_ms"] for part in step_latency.PARTS)
    assert 0 < parts < figures["p95_ms"]


def test_a_missing_checkpoint_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["--checkpoint", str(tmp_path / "nowhere"), "--cold-starts", "0"]
    assert step_latency.main(line) == 1
    assert "nowhere" in capsys.readouterr().err


def test_recording_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["--world", "tests.evaluation.toyworld:tests/Toy-v0", "--world-kwargs", "size=16", "--workers", "1"]
    assert record.main([*line, "--frames", "50", "--clips", "2", "--clip-frames", "8"]) == 0
    header, _, row = capsys.readouterr().out.splitlines()[2:5]
    assert "drawn, one core [FPS]" in header and "tests/Toy-v0" in row
    assert record.main(["--world", "worldmodel/BlockWrold-v0"]) == 1
    assert "BlockWrold" in capsys.readouterr().err


def test_training_is_measured_phase_by_phase(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path / "small.yaml", tmp_path / "clips")
    assert train_throughput.main(["--config", str(config), "--steps", "4"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    measured = {row[2]: float(row[-1]) for row in rows if len(row) == 7 and row[1] == "small"}
    assert set(measured) == {"spatial", "temporal", "joint", "dynamics"} and min(measured.values()) > 0
    assert train_throughput.main(["--config", str(tmp_path / "nowhere.yaml")]) == 1
    assert "nowhere.yaml" in capsys.readouterr().err
