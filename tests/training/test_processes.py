"""Training as it is started for real: in processes of its own, killed, doubled, and from recording to playing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

import play
from envs import record
from tests.training.small import ROOT, command, launch, losses, write_config
from worldmodel.data.video import decode_video
from worldmodel.training.__main__ import main


# Muon orthogonalises in bfloat16, so that the last bit of a float32 gradient is a thousandth of its update.
@pytest.mark.parametrize(
    ("stage", "optimizer", "tolerance"), [("autoencoder", "adamw", 1e-6), ("dynamics", "muon", 1e-3)]
)
def test_two_processes_give_the_losses_of_one(stage: str, optimizer: str, tolerance: float, encoded: Path) -> None:
    shutil.rmtree(encoded / stage, ignore_errors=True)
    phases = ("spatial", "temporal", "joint", "dynamics")
    arguments = [f"config={encoded / 'small.yaml'}", f"stage={stage}", f"run={encoded}"]
    arguments += [f"training.{phase}.optimizer={optimizer}" for phase in phases]
    main(arguments)
    alone = losses(encoded / stage)
    shutil.rmtree(encoded / stage)
    launch(*arguments, "training.num_processes=2", processes=2)
    assert losses(encoded / stage) == pytest.approx(alone, abs=tolerance)


# What a thread of the process group still holds when Python ends aborts it, now and then.
LEAVING = """
import os, sys
from worldmodel.training.__main__ import main

main(sys.argv[1:])
threads = [open(f"/proc/self/task/{task}/comm").read() for task in os.listdir("/proc/self/task")]
sys.exit(f"a process group is left behind: {threads}" if any("gloo" in name for name in threads) else 0)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are listed in /proc")
def test_each_process_leaves_the_others_before_it_ends(encoded: Path, tmp_path: Path) -> None:
    shutil.rmtree(encoded / "dynamics", ignore_errors=True)
    (tmp_path / "leaving.py").write_text(LEAVING)
    settings = [f"config={encoded / 'small.yaml'}", "stage=dynamics", f"run={encoded}", "training.num_processes=2"]
    launch(*settings, processes=2, program=(str(tmp_path / "leaving.py"),))


def test_killed_in_the_middle_it_continues_to_the_same_losses(encoded: Path, tmp_path: Path) -> None:
    arguments = [f"config={encoded / 'small.yaml'}", "stage=dynamics", "training.dynamics.steps=120"]
    whole = shutil.copytree(encoded, tmp_path / "whole")
    main([*arguments, f"run={whole}"])

    arguments += [f"run={encoded}", "training.save_every_steps=3"]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true"}
    metrics = encoded / "dynamics" / "metrics.jsonl"
    with subprocess.Popen(command(*arguments), cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and (not metrics.exists() or metrics.read_text().count("\n") < 10):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL  # not done already
    main(arguments)
    assert losses(encoded / "dynamics") == losses(whole / "dynamics")


def test_from_a_recorded_world_to_a_played_one(tmp_path: Path) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    recorded = ["--clips", "2", "--frames", "10", "--out", str(data), "--workers", "1", "--clips-per-shard", "1"]
    assert record.main([*recorded, "--world-kwargs", "size=16", "biome=meadow"]) == 0
    config = write_config(tmp_path / "small.yaml", data)
    for stage in ("autoencoder", "latents", "dynamics"):
        main([f"config={config}", f"stage={stage}", f"run={run}"])
    film = tmp_path / "film.mp4"
    arguments = ["--checkpoint", str(run / "dynamics" / "export"), "--headless", "--frames", "5", "--out", str(film)]
    assert play.main(arguments) == 0
    frames = decode_video(film.read_bytes())
    assert frames.shape == (5, 16, 16, 3) and all((frames[0] != frame).any() for frame in frames[1:])
    assert len(film.with_suffix(".jsonl").read_text().splitlines()) == 4
