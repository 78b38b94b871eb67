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


def run_script(folder: Path, size: str, task: str, **dials: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(ROOT / "train.sh", folder)
    (folder / "bin").mkdir()
    (folder / "bin" / "python").write_text(PYTHON)
    (folder / "bin" / "python").chmod(0o755)
    environment = {**os.environ, "TASK": task, "SIZE": size, **dials, "PATH": f"{folder / 'bin'}:/usr/bin:/bin"}
    return subprocess.run(["bash", "train.sh"], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("task", ["blockworld", "avatar", "luanti"])
@pytest.mark.parametrize("size", ["small", "base", "large"])
def test_its_commands_are_accepted(size: str, task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run_script(tmp_path, size, task)
    assert done.returncode == 0, done.stderr
    commands = [line.split() for line in (tmp_path / "commands").read_text().splitlines()]
    records = [command for command in commands if command[1] == "envs.record"]
    readings = [command for command in commands if command[1] == "envs.avatar.reading"]
    *stages, drawn = commands[len(records) + len(readings) :]
    monkeypatch.chdir(ROOT)
    configs = [load_config(stage[2:]) for stage in stages]
    assert [config.stage for config in configs] == ["autoencoder", "latents", "dynamics"]
    assert all(stage[:2] == ["-m", "worldmodel.training"] for stage in stages)
    assert len(readings) == (task == "avatar")
    for _, _, config, out in readings:  # and all stages know of what it writes
        assert {stage.parts.get("conditions/text") for stage in configs} == {out.removeprefix("out=")}
        assert load_config([config]).model == configs[0].model
    recorded = [parse_arguments(command[2:]) for command in records]
    assert all(task in command.world.lower() and command.clips > 0 for command in recorded)
    folders = [str(command.out) for command in recorded]
    assert len(folders) == len(set(folders)) and (len(folders) > 1) == (task == "luanti")
    for config in configs:
        mix = config.data.mix
        assert folders == ([config.data.clips] if mix is None else [part.clips for part in mix.values()])
    told = parse_arguments([*done.stdout.splitlines()[-1].split()[3:-1], str(tmp_path)])  # clips to measure it on
    seeds = [command.world_kwargs.get("world_seed") for command in [*recorded, told]]
    assert len(set(seeds)) == (len(seeds) if task == "luanti" else 1)
    assert told.world == recorded[0].world and told.seed >= recorded[0].seed + recorded[0].clips
    name = task if size == "base" else f"{task}-{size}"
    assert {config.run for config in configs} == {f"runs/{name}"}
    assert (tmp_path / "checkpoints" / name / "model_index.json").exists()
    assert drawn == ["-m", "worldmodel.training.curves", f"runs/{name}", f"checkpoints/{name}/curves.png"]


@pytest.mark.parametrize("task", ["blockworld", "avatar", "luanti"])
def test_a_world_is_trained_on(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run_script(tmp_path, "base", task, FROM="checkpoints/avatar")
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "commands").read_text().splitlines()
    monkeypatch.chdir(ROOT)
    configs = [load_config(line.split()[2:]) for line in lines if line.startswith("-m worldmodel.training config")]
    assert [config.stage for config in configs] == ["latents", "dynamics"]
    assert {config.initial for config in configs} == {"checkpoints/avatar"}
    assert not any(config.training.principal_start for config in configs)
    own = load_config([f"config=configs/{'avatar' if task == 'avatar' else 'blockworld'}.yaml"])
    assert {config.training.dynamics.lr for config in configs} == {2e-3} != {own.training.dynamics.lr}
    assert {config.run for config in configs} == {f"runs/{task}-on"}, "apart from a run from nothing"


@pytest.mark.parametrize(
    ("size", "task", "said"),
    [
        ("huge", "avatar", "SIZE must be small, base or large, got huge"),
        ("base", "farm", "TASK must be blockworld, avatar or luanti, got farm"),
    ],
)
def test_another_size_or_task_is_refused(size: str, task: str, said: str, tmp_path: Path) -> None:
    done = run_script(tmp_path, size, task)
    assert done.returncode == 2 and said in done.stderr
    assert not (tmp_path / "commands").exists()
