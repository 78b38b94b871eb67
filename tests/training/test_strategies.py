"""Whole models, FSDP2 and ZeRO-2 on gloo: the losses of one process, killed and continued by another number of them."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training.small import ROOT, command, launch, losses
from tests.training.test_stages import refused
from worldmodel.training.__main__ import main

FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
ZERO = {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "2"}
SETTINGS = [
    "stage=dynamics",
    "training.dynamics.steps=40",
    "training.dynamics.optimizer=adamw",
    "training.dynamics.batch_size=8",
    "training.dynamics.accumulation=2",
    "training.dynamics.clip=0.5",  # below every gradient's norm
    "training.dynamics.ema=0.9",
    "model.backbone.gradient_checkpointing=true",
    "model.noise.redraw=1",
]


def family(pid: int) -> list[int]:
    """A process and all that it started, and those started in turn."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            parents[int(entry.parent.name)] = int(entry.read_text().rsplit(")", 1)[1].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def kill_in_the_middle(arguments: list[str], metrics: Path, environment: dict[str, str], processes: int) -> None:
    """Starts a run and kills all its processes at once after its tenth step."""
    with subprocess.Popen(
        command(*arguments, f"training.num_processes={processes}", processes=processes),
        cwd=ROOT,
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.DEVNULL,
    ) as process:
        while process.poll() is None and (not metrics.exists() or metrics.read_text().count("\n") < 10):
            time.sleep(0.02)
        for pid in family(process.pid):  # the launcher gives each worker a session of its own
            os.kill(pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL  # not done already


def weights(export: Path) -> dict[str, torch.Tensor]:
    files = sorted(export.rglob("*.safetensors"))
    return {f"{file.relative_to(export)} {key}": value for file in files for key, value in load_file(file).items()}


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({}, id="ddp"),
        pytest.param(FSDP, id="fsdp2"),
        pytest.param(
            ZERO,
            id="zero2",
            marks=pytest.mark.skipif(
                importlib.util.find_spec("deepspeed") is None, reason="deepspeed is not installed (the extra deepspeed)"
            ),
        ),
    ],
)
def test_two_then_four_processes_give_the_losses_of_one(
    environment: dict[str, str], encoded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [f"config={encoded / 'small.yaml'}", *SETTINGS]
    one = shutil.copytree(encoded, tmp_path / "one")
    main([*arguments, f"run={one}", "training.dynamics.accumulation=4"])

    shared = [*arguments, f"run={encoded}", "training.save_every_steps=3"]
    kill_in_the_middle(shared, encoded / "dynamics" / "metrics.jsonl", environment, processes=2)
    with monkeypatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        launch(*shared, "training.dynamics.accumulation=1", "training.num_processes=4", processes=4)
    assert losses(encoded / "dynamics") == pytest.approx(losses(one / "dynamics"), abs=2e-5)

    expected, got = weights(one / "dynamics" / "export"), weights(encoded / "dynamics" / "export")
    assert expected.keys() == got.keys()
    for name, tensor in expected.items():  # averaged, and stored as float16
        assert torch.allclose(got[name].float(), tensor.float(), atol=1e-3), name
    assert len(list((encoded / "dynamics" / "samples").glob("*.png"))) == 1
    if environment:
        check_last_snapshot(encoded)


def check_last_snapshot(run: Path) -> None:
    """It is in four files; whole models do not continue it; damaged, it is named."""
    last = sorted((run / "dynamics" / "checkpoint").iterdir())[-1]
    assert len(list(last.glob("shard-*-of-00004.safetensors"))) == 4
    refused("holds a run with sharded weights.*launch it as before", run, "dynamics", *SETTINGS[1:])
    shard = last / "shard-00002-of-00004.safetensors"
    shard.write_bytes(shard.read_bytes()[:-20])
    refused("step-00000040-0-dynamics cannot be read .* delete that folder", run, "dynamics", *SETTINGS[1:])


def test_bf16_is_sharded_too(encoded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers gathered in bf16 give autocast's losses up to its rounding of the small weights."""
    arguments = [f"config={encoded / 'small.yaml'}", *SETTINGS, "training.precision=bf16", "training.dynamics.steps=6"]
    one = shutil.copytree(encoded, tmp_path / "one")
    launch(*arguments, f"run={one}", processes=1)  # in a process of its own: accelerate fixes a process's precision
    for name, value in {**FSDP, "FSDP_RESHARD_AFTER_FORWARD": "false"}.items():
        monkeypatch.setenv(name, value)
    launch(*arguments, f"run={encoded}", processes=2)
    assert losses(encoded / "dynamics") == pytest.approx(losses(one / "dynamics"), abs=0.02)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (FSDP, "FSDP2 was asked for with one process: launch by configs/accelerate/one-gpu.yaml"),
        ({**FSDP, "FSDP_VERSION": "1"}, "FSDP of version 1 .FSDP_VERSION=1.: set fsdp_version: 2"),
        (
            {**FSDP, "FSDP_OFFLOAD_PARAMS": "true", "FSDP_ACTIVATION_CHECKPOINTING": "true"},
            "set fsdp_offload_params: false; .*set model.backbone.gradient_checkpointing=true",
        ),
        ({**ZERO, "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"}, "another stage of ZeRO .*=3.: set zero_stage: 2"),
        ({**ZERO, "ACCELERATE_GRADIENT_CLIPPING": "1.0"}, "clipping .*set training.PHASE.clip instead"),
        ({"ACCELERATE_DYNAMO_BACKEND": "INDUCTOR"}, "torch.compile .*set training.compile=true instead"),
        ({"ACCELERATE_USE_MEGATRON_LM": "true"}, "Megatron-LM .*choose FSDP2 or DeepSpeed's ZeRO-2"),
    ],
)
def test_what_a_launcher_asks_for_in_vain_is_refused(
    environment: dict[str, str], message: str, encoded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    refused(message, encoded, "dynamics", "training.dynamics.optimizer=adamw")
    assert not (encoded / "dynamics" / "export").exists()
