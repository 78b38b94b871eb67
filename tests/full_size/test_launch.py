"""Accelerate's configurations, and worlds that a run begins from."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import (
    prepare_deepspeed_cmd_env,
    prepare_multi_gpu_env,
    prepare_simple_launcher_cmd_env,
)

from tests.full_size.twin import ROOT
from tests.tiny import tiny_config, tiny_world
from worldmodel.checkpoint import save_part
from worldmodel.config import Config
from worldmodel.training import launch, strategy
from worldmodel.training.config import PhaseConfig, TrainingConfig
from worldmodel.training.initial import adapt, resize_places
from worldmodel.training.run import Run
from worldmodel.training.schedule import in_steps

FILES = sorted((ROOT / "configs" / "accelerate").glob("*.yaml"))
TRAIN = (ROOT / "docs" / "train.md").read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_launched_as_it_says(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What accelerate makes of its line in docs/train.md asks for the file's strategy, and nothing in vain."""
    (line,) = re.findall(rf"^    (accelerate launch .*/{path.name} .*-m worldmodel.training ….*)$", TRAIN, re.MULTILINE)
    words = line.replace("$NODE", "1").replace("$FIRST", "10.0.0.1").split()
    assert f"accelerate launch --config_file configs/accelerate/{path.name}" in path.read_text()
    monkeypatch.chdir(ROOT)
    arguments, defaults, _ = _validate_launch_command(launch_command_parser().parse_args(words[2:]))
    assert (
        arguments.mixed_precision == "bf16" and arguments.module and arguments.training_script == "worldmodel.training"
    )
    number = [word for word in arguments.training_script_args if word.startswith("training.num_processes=")]
    assert number == ([f"training.num_processes={arguments.num_processes}"] if arguments.num_processes > 1 else [])
    if arguments.use_deepspeed:
        arguments.deepspeed_fields_from_accelerate_config = ",".join(defaults.deepspeed_config)
        _, environment = prepare_deepspeed_cmd_env(arguments)
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: path)  # as where it is installed
    elif arguments.num_processes > 1:
        environment = prepare_multi_gpu_env(arguments)
    else:
        _, environment = prepare_simple_launcher_cmd_env(arguments)
    for name in environment.keys() - os.environ.keys():
        monkeypatch.setenv(name, environment[name])
    wanted = {"fsdp2": strategy.FSDP2, "deepspeed-zero2": strategy.ZERO2}.get(path.stem, strategy.WHOLE)
    assert strategy.asked_strategy() == wanted


def test_without_deepspeed_its_strategy_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="the package is missing: install it by pip install"):
        launch.start(TrainingConfig(precision="fp32"))


@pytest.mark.parametrize("stage", ["autoencoder", "muon", "compiled", "redraw"])
def test_what_cannot_be_sharded_is_refused(stage: str) -> None:
    world = tiny_world()
    phase = PhaseConfig(optimizer="muon" if stage == "muon" else "adamw")
    messages = {
        "autoencoder": "stage=autoencoder is trained with one whole model per process, got FSDP2",
        "muon": "muon needs each matrix whole: set training.dynamics.optimizer=adamw",
        "compiled": "set training.compile=false",
        "redraw": "model.noise.redraw between 0 and 1 they differ: got 0.5, set it to 0 or 1",
    }
    world.config.noise = replace(world.config.noise, redraw=0.5 if stage == "redraw" else 0.0)
    model = world.autoencoder if stage == "autoencoder" else world
    asked: Any = SimpleNamespace(name=stage, model=model, phases={"dynamics": phase})
    with pytest.raises(ValueError, match=messages[stage]):
        strategy.check_strategy(strategy.FSDP2, asked, 2, compiled=stage == "compiled")
    strategy.check_strategy(strategy.WHOLE, asked, 2, compiled=True)


def test_slurm_starts_a_launcher_on_every_node(tmp_path: Path) -> None:
    """With stand-ins for Slurm's commands, which call one another as they do on a cluster."""
    commands = {
        "scontrol": 'printf "node07\\nnode09\\n"',
        "srun": 'shift; for SLURM_NODEID in 0 1; do export SLURM_NODEID; "$@"; done',
        "accelerate": 'echo "$@"',
    }
    for name, body in commands.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    slurm = {"SLURM_NNODES": "2", "SLURM_GPUS_PER_NODE": "h200:4", "SLURM_JOB_NODELIST": "node[07,09]"}
    environment = {**slurm, "SLURM_JOB_ID": "12345", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    script = ROOT / "configs" / "accelerate" / "slurm.sbatch"
    done = subprocess.run(
        ["bash", str(script), "stage=dynamics", "data.clips=a b"], env=environment, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == [
        "launch --config_file configs/accelerate/multi-node.yaml --num_machines 2 --num_processes 8 "
        f"--machine_rank {node} --main_process_ip node07 --main_process_port 32345 -m worldmodel.training "
        "stage=dynamics data.clips=a b training.num_processes=8"
        for node in (0, 1)
    ], done.stderr


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
    other = tiny_world(seed=1)
    save_part(other, "conditions/keyboard", tmp_path / "keys")
    config.parts = {"conditions/keyboard": str(tmp_path / "keys")}
    parts = run.begin().state_dict()
    assert all(
        torch.equal(value, (other if key.startswith("conditions.conditions.keyboard") else world).state_dict()[key])
        for key, value in parts.items()
    )
    config.parts = {"conditions/keybord": str(tmp_path / "keys")}
    with pytest.raises(
        ValueError, match="a world has no part 'conditions/keybord', did you mean 'conditions/keyboard'"
    ):
        run.begin()
    config.parts = {}
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
