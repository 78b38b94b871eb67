"""The picture of a run's curves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from worldmodel.training import curves


def record(run: Path, stage: str, *phases: tuple[str, list[float]]) -> None:
    lines = [
        {"step": step, "phase": phase, "minutes": 0.5 * step, curves.SHOWN[stage][0]: value}
        for phase, values in phases
        for step, value in enumerate(values, 1)
    ]
    (run / stage).mkdir(parents=True)
    (run / stage / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_runs_are_laid_end_to_end(tmp_path: Path) -> None:
    record(tmp_path / "a", "autoencoder", ("spatial", [20.0, 22.0]), ("joint", [23.0]))
    record(tmp_path / "b", "autoencoder", ("spatial", [24.0, 25.0]))
    record(tmp_path / "b", "dynamics", ("dynamics", [2.0, 1.0, 0.5]))
    read = curves.read([tmp_path / "a", tmp_path / "b"], "autoencoder")
    assert [phase for phase, _ in read] == ["spatial", "joint", "spatial"]
    assert np.concatenate([curve for _, curve in read]).T.tolist() == [[0.5, 1, 1.5, 2, 2.5], [20, 22, 23, 24, 25]]
    out = tmp_path / "curves.png"
    assert curves.main([str(tmp_path / "a"), str(tmp_path / "b"), str(out)]) == 0
    both = Image.open(out).size
    assert curves.main([str(tmp_path / "a"), str(out)]) == 0
    assert both[0] > 1.5 * Image.open(out).size[0]  # a panel for each stage that is there


def test_what_cannot_be_drawn_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "curves.png")
    assert curves.main([str(tmp_path), out]) == 2
    assert "give the run= folder of a training" in capsys.readouterr().err
    assert curves.main([out]) == 2
    assert "usage" in capsys.readouterr().err
    record(tmp_path / "a", "dynamics", ("dynamics", [1.0]))
    with (tmp_path / "a" / "dynamics" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "pha')
    assert curves.main([str(tmp_path / "a"), out]) == 2
    assert "metrics.jsonl is damaged" in capsys.readouterr().err
    assert not Path(out).exists()
