"""Snapshots: what is written is read back, and nothing half written is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from worldmodel.training.config import PhaseConfig
from worldmodel.training.optim import Gradients, build_optimizers
from worldmodel.training.report import Report
from worldmodel.training.snapshot import Progress, load_latest, save_snapshot


def save(folder: Path, step: int) -> nn.Module:
    torch.manual_seed(step)
    model = nn.Sequential(nn.Linear(16, 16), nn.LayerNorm(16))
    parameters = dict(model.named_parameters())
    Gradients(list(parameters.values())).buffer.normal_()
    optimizers = build_optimizers(model, list(parameters.values()), PhaseConfig())
    for optimizer in optimizers:
        optimizer.step()
    average = {name: tensor / 2 for name, tensor in parameters.items()}
    save_snapshot(folder, Progress("one", step=step), model.state_dict(), average, optimizers, {"size": 16})
    return model


def test_round_trip(tmp_path: Path) -> None:
    assert load_latest(tmp_path) is None
    model = save(tmp_path, 3)
    snapshot = load_latest(tmp_path)
    assert snapshot is not None and snapshot.progress == Progress("one", step=3)
    assert snapshot.fingerprint == {"size": 16}
    for name, tensor in model.state_dict().items():
        assert torch.equal(snapshot.weights[name], tensor) and torch.equal(snapshot.average[name], tensor / 2)
    muon, adamw = snapshot.optimizers
    assert muon["state"][0]["momentum_buffer"].any() and adamw["state"][0]["exp_avg"].any()


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    for step in (3, 20, 100, 100):
        save(tmp_path, step)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000020-0-one", "step-00000100-0-one"]


def test_half_written_snapshots_are_passed_over(tmp_path: Path) -> None:
    save(tmp_path, 3)
    (tmp_path / "step-00000004-0-one.tmp").mkdir()
    snapshot = load_latest(tmp_path)
    assert snapshot is not None and snapshot.progress.step == 3


@pytest.mark.parametrize("name", ["weights.safetensors", "optimizers.pt", "progress.json"])
def test_a_damaged_snapshot_is_named(tmp_path: Path, name: str) -> None:
    save(tmp_path, 3)
    path = tmp_path / "step-00000003-0-one" / name
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ValueError, match="step-00000003-0-one cannot be read .* delete that folder"):
        load_latest(tmp_path)


def test_records_after_the_snapshot_are_dropped(tmp_path: Path) -> None:
    report = Report(tmp_path, step=0)
    for step in (1, 2, 3):
        report.scalars(step, "one", {"loss": float(step)})
    report.close()
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 4, "pha')  # killed while it wrote
    report = Report(tmp_path, step=2)
    report.scalars(3, "one", {"loss": 30.0})
    report.close()
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [line[:11] for line in lines] == ['{"step": 1,', '{"step": 2,', '{"step": 3,'] and "30.0" in lines[-1]
