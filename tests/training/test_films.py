"""Films of people become a talking head by the commands of docs/data/talking-heads.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.data.convert.talking import clap, write_film
from worldmodel import WorldModel
from worldmodel.data.convert.__main__ import main as convert
from worldmodel.training.__main__ import main


def test_films_train_a_talking_head(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, seconds in (("a", 3.0), ("b", 3.0), ("c", 1.5)):
        write_film(tmp_path / f"in/{name}.mp4", seconds=seconds, flash_s=1.0, sound=clap(seconds, 48000, 1.0))
    convert(["video", str(tmp_path / "in"), str(tmp_path / "heads"), "--crop", "none", "--workers", "1"])
    overlay = Path("configs/talking-heads.yaml").read_text().splitlines()
    kept = [line for line in overlay if "pose:" not in line]  # as without a model of faces
    (tmp_path / "heads.yaml").write_text("\n".join(kept))
    config = ["config=configs/avatar.yaml", f"config={tmp_path / 'heads.yaml'}"]
    steps = {"spatial": 2, "temporal": 1, "joint": 1, "refine": 1, "dynamics": 2}
    settings = [f"training.{name}.{key}" for name in steps for key in (f"steps={steps[name]}", "batch_size=2")]
    settings += [f"data.clips={tmp_path / 'heads'}", f"run={tmp_path / 'run'}", "training.principal_start=false"]
    settings += ["training.threads=1", "training.num_starts=1", "training.precision=fp32"]
    for stage in ("autoencoder", "latents", "dynamics"):
        main([*config, *settings, f"stage={stage}"])
    told = capsys.readouterr().out
    assert told.count("1 of 3 clips have fewer than the 25 frames of a window, and are left out") == 1
    world = WorldModel.from_pretrained(tmp_path / "run" / "dynamics" / "export")
    session = world.session(reference=world.starts()[0].frames[0])
    frames = session.step_chunk([{"audio": np.full(1280, 0.1, np.float32)}] * 6)
    assert frames.shape == (6, 128, 128, 3) and frames.std() > 0
