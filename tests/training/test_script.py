"""train.sh: its commands are ones that the programs accept, in an order that works."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from envs.record import parse_arguments
from tests.training.small import ROOT
from worldmodel.config import load_config

# Stands for python: writes down its arguments, and leaves what the last stage would.
PYTHON = """#!/usr/bin/env bash
printf '%s\\n' "$*" >> commands
for argument; do
    case $argument in run=*) export=${argument#run=}/dynamics/export ;; esac
done
if [ -n "${export:-}" ]; then mkdir -p "$export" && touch "$export/model_index.json"; fi
"""


def run_script(folder: Path, size: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(ROOT / "train.sh", folder)
    (folder / "bin").mkdir()
    (folder / "bin" / "python").write_text(PYTHON)
    (folder / "bin" / "python").chmod(0o755)
    environment = {**os.environ, "SIZE": size, "PATH": f"{folder / 'bin'}:/usr/bin:/bin"}
    return subprocess.run(["bash", "train.sh"], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("size", ["small", "base", "large"])
def test_its_commands_are_accepted(size: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run_script(tmp_path, size)
    assert done.returncode == 0, done.stderr
    record, *stages = [line.split() for line in (tmp_path / "commands").read_text().splitlines()]
    assert record[:2] == ["-m", "envs.record"]
    monkeypatch.chdir(ROOT)
    configs = [load_config(stage[2:]) for stage in stages]
    assert [config.stage for config in configs] == ["autoencoder", "latents", "dynamics"]
    assert all(stage[:2] == ["-m", "worldmodel.training"] for stage in stages)
    assert {config.data.clips for config in configs} == {str(parse_arguments(record[2:]).out)}
    name = "blockworld" if size == "base" else f"blockworld-{size}"
    assert {config.run for config in configs} == {f"runs/{name}"}
    assert (tmp_path / "checkpoints" / name / "model_index.json").exists()


def test_another_size_is_refused(tmp_path: Path) -> None:
    done = run_script(tmp_path, "huge")
    assert done.returncode == 2 and "SIZE must be small, base or large, got huge" in done.stderr
    assert not (tmp_path / "commands").exists()
