"""Every stage runs, learns, continues after an interruption as if there had been none, and says what is wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from tests.tiny import tiny_config
from tests.training.small import losses, write_clips, write_config
from worldmodel import WorldModel
from worldmodel.autoencoder import Autoencoder
from worldmodel.data.clips import ClipSet
from worldmodel.frames import to_model
from worldmodel.training import loop
from worldmodel.training.__main__ import main
from worldmodel.training.autoencoder import AutoencoderStage
from worldmodel.training.dynamics import DynamicsStage
from worldmodel.training.pictures import grid

STAGES: dict[str, Any] = {"autoencoder": AutoencoderStage, "dynamics": DynamicsStage}


def train(run: Path, stage: str, *settings: str) -> None:
    main([f"config={run / 'small.yaml'}", f"stage={stage}", f"run={run}", *settings])


def at_call(stage: str, number: int, action: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Does something in the middle of a stage's step, the `number`-th from now."""
    plain, calls = STAGES[stage].loss, []

    def loss(self: Any, *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == number:
            action()
        return plain(self, *arguments)

    monkeypatch.setattr(STAGES[stage], "loss", loss)


class Killed(Exception):
    """Stands for a process that is no more."""


def die() -> None:
    raise Killed


def same_weights(a: Path, b: Path) -> bool:
    names = sorted(path.relative_to(a) for path in a.rglob("*.safetensors"))
    assert names == sorted(path.relative_to(b) for path in b.rglob("*.safetensors")) and names
    pairs = [(load_file(a / name), load_file(b / name)) for name in names]
    return all(torch.equal(x[key], y[key]) for x, y in pairs for key in x)


# -- what stages leave behind ------------------------------------------------------------------------------------------


def test_a_run_leaves_metrics_pictures_and_a_world(trained: Path) -> None:
    assert len(losses(trained / "autoencoder")) == 12 and len(losses(trained / "dynamics")) == 4
    assert any((trained / "dynamics" / "tensorboard").iterdir())
    names = sorted(path.name for path in (trained / "autoencoder" / "samples").iterdir())
    assert names == ["00000004-spatial.png", "00000008-temporal.png", "00000012-joint.png"]
    picture = np.asarray(Image.open(trained / "dynamics" / "samples" / "00000004-dynamics.png"))
    assert picture.shape[2] == 3 and picture.shape[1] > picture.shape[0] > 4 * 16

    world = WorldModel.from_pretrained(trained / "dynamics" / "export")
    clip = world.starts()[0]
    assert len(world.starts()) == 2 and clip.frames.shape == (4, 16, 16, 3) and len(clip.actions()) == 3
    session = world.session(first_frames=clip.frames, first_conditions=clip.actions())
    assert session.step({"keyboard": {"left": 1}}).shape == (16, 16, 3)


def test_the_world_is_stored_in_half_the_bytes_and_loaded_whole(trained: Path) -> None:
    stored = load_file(trained / "dynamics" / "export" / "head" / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    world = WorldModel.from_pretrained(trained / "dynamics" / "export")
    assert {parameter.dtype for parameter in world.parameters()} == {torch.float32}


def test_latents_have_unit_variance(trained: Path, clips: Path) -> None:
    autoencoder = Autoencoder.from_pretrained(trained / "autoencoder" / "export")
    frames = np.stack([clip.frames[:8] for clip in ClipSet(clips)])
    with torch.no_grad():
        latents = autoencoder.encode(to_model(frames))
    assert latents.mean(dim=(0, 1, 3, 4)).abs().max() < 0.3
    assert (latents.std(dim=(0, 1, 3, 4)) - 1).abs().max() < 0.3


@pytest.mark.parametrize(("phase", "moved", "still"), [("spatial", False, True), ("temporal", True, False)])
def test_a_phase_trains_its_own_part(phase: str, moved: bool, still: bool, trained: Path, tmp_path: Path) -> None:
    """`moved` and `still`: whether the temporal blocks, and the rest, may have changed."""
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(trained / "small.yaml", run)
    others = {"spatial", "temporal", "joint"} - {phase}  # and the refinement is off unless asked for
    train(run, "autoencoder", *(f"training.{other}.steps=0" for other in others))
    torch.manual_seed(0)
    before = Autoencoder(tiny_config().autoencoder).state_dict()
    after = Autoencoder.from_pretrained(run / "autoencoder" / "export").state_dict()
    changed = {name for name in before if not name.startswith("latents_") and not before[name].equal(after[name])}
    assert changed
    assert any(".temporal." in name for name in changed) == moved
    assert any(".temporal." not in name for name in changed) == still


def test_refining_leaves_the_latents_as_they_are(encoded: Path) -> None:
    folder = encoded / "autoencoder" / "export"
    before = Autoencoder.from_pretrained(folder).state_dict()
    train(encoded, "autoencoder", "training.refine.steps=3", "training.reconstruction.texture=1")
    after = Autoencoder.from_pretrained(folder).state_dict()
    changed = {name for name in before if not before[name].equal(after[name])}
    assert changed and all(name.startswith("decoder.") for name in changed)
    record = json.loads((encoded / "autoencoder" / "metrics.jsonl").read_text().splitlines()[-1])
    assert record["phase"] == "refine" and record["texture"] > 0
    train(encoded, "dynamics", "training.dynamics.steps=1")  # the latents of before still do


def test_the_reference_picture_is_given_where_the_layout_has_one(clips: Path, tmp_path: Path) -> None:
    write_config(tmp_path / "small.yaml", clips)
    layout = ["model.layout.reference=sink", "model.layout.chunk_frames=2", "training.dynamics.frames=6"]
    for stage in ("autoencoder", "latents", "dynamics"):
        train(tmp_path, stage, *layout)
    assert WorldModel.from_pretrained(tmp_path / "dynamics" / "export").config.layout.reference == "sink"


# -- learning ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_dynamics_overfit_one_window(optimizer: str, encoded: Path, tmp_path: Path) -> None:
    clips = write_clips(tmp_path / "one", num_clips=1, num_frames=6, clips_per_shard=1)
    shutil.rmtree(encoded / "latents")
    one = [f"data.clips={clips}", "model.condition_dropout=0", "model.noise.max_sigma=0"]
    phase = [f"training.dynamics.{key}" for key in (f"optimizer={optimizer}", "steps=50", "lr=0.01", "frames=5")]
    train(encoded, "latents", *one)
    train(encoded, "dynamics", *one, *phase)
    curve = losses(encoded / "dynamics")
    assert np.mean(curve[-10:]) < 0.4 * np.mean(curve[:3])


def test_the_autoencoder_overfits_one_window(trained: Path, tmp_path: Path) -> None:
    shutil.copy(trained / "small.yaml", tmp_path)
    clips = write_clips(tmp_path / "one", num_clips=1, num_frames=3, clips_per_shard=1)
    phase = ["training.joint.steps=40", "training.joint.lr=0.01", "training.spatial.steps=0"]
    train(tmp_path, "autoencoder", f"data.clips={clips}", *phase, "training.temporal.steps=0")
    curve = losses(tmp_path / "autoencoder")
    assert np.mean(curve[-10:]) < 0.3 * np.mean(curve[:3])


def test_forward_passes_add_up(encoded: Path, trained: Path) -> None:
    train(encoded, "dynamics", "training.dynamics.accumulation=2")
    assert losses(encoded / "dynamics") == pytest.approx(losses(trained / "dynamics"), abs=1e-5)


# -- interruptions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("killed_at", [2, 7, 9, 12])
def test_the_autoencoder_continues_to_the_same_losses(
    killed_at: int, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(trained / "small.yaml", tmp_path)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        at_call("autoencoder", killed_at, die, patch)
        train(tmp_path, "autoencoder", "training.save_every_steps=2")
    train(tmp_path, "autoencoder", "training.save_every_steps=2")
    assert losses(tmp_path / "autoencoder") == losses(trained / "autoencoder")
    assert same_weights(tmp_path / "autoencoder" / "export", trained / "autoencoder" / "export")


def test_dynamics_continue_to_the_same_losses(encoded: Path, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(Killed):
        at_call("dynamics", 4, die, patch)
        train(encoded, "dynamics", "training.save_every_steps=2")
    assert not (encoded / "dynamics" / "export").exists()
    train(encoded, "dynamics")
    assert losses(encoded / "dynamics") == losses(trained / "dynamics")
    assert same_weights(encoded / "dynamics" / "export", trained / "dynamics" / "export")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_and_saves(
    number: signal.Signals, encoded: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = signal.getsignal(number)
    with monkeypatch.context() as patch, pytest.raises(SystemExit) as stopped:
        at_call("dynamics", 2, lambda: os.kill(os.getpid(), number), patch)
        train(encoded, "dynamics")
    assert stopped.value.code == 128 + number and signal.getsignal(number) is handler
    assert losses(encoded / "dynamics") == losses(trained / "dynamics")[:2]
    train(encoded, "dynamics")
    assert losses(encoded / "dynamics") == losses(trained / "dynamics")


def test_a_finished_stage_stays_and_more_steps_continue_it(
    encoded: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained / "dynamics", encoded / "dynamics")
    index = encoded / "dynamics" / "export" / "model_index.json"
    written = index.stat().st_mtime_ns
    train(encoded, "dynamics")
    assert "a larger max_minutes or steps continues" in capsys.readouterr().out
    assert index.stat().st_mtime_ns == written
    train(encoded, "dynamics", "training.dynamics.steps=6")
    assert losses(encoded / "dynamics")[:4] == losses(trained / "dynamics") and len(losses(encoded / "dynamics")) == 6
    assert index.stat().st_mtime_ns > written


def test_time_ends_a_run_and_counts_over_interruptions(
    encoded: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]

    def tick(self: Any, *arguments: Any) -> Any:
        clock[0] += 10.0
        return plain(self, *arguments)

    plain = DynamicsStage.loss
    monkeypatch.setattr(DynamicsStage, "loss", tick)
    monkeypatch.setattr(loop.time, "monotonic", lambda: clock[0])
    timed = ["max_minutes=1", "training.dynamics.steps=null", "training.save_every_steps=1"]
    with monkeypatch.context() as patch, pytest.raises(Killed):
        at_call("dynamics", 4, die, patch)
        train(encoded, "dynamics", *timed)
    train(encoded, "dynamics", *timed)
    assert len(losses(encoded / "dynamics")) == 6  # of ten seconds each, three before it was killed and three after
    assert "100.0%" in capsys.readouterr().out


# -- what is refused ---------------------------------------------------------------------------------------------------


def refused(message: str, run: Path, stage: str, *settings: str) -> None:
    with pytest.raises(SystemExit, match=message) as refusal:
        train(run, stage, *settings)
    assert str(refusal.value.code).startswith("error: ")


def test_stages_in_the_wrong_order_are_told_the_command(trained: Path, tmp_path: Path, encoded: Path) -> None:
    shutil.copy(trained / "small.yaml", tmp_path)
    command = f"python -m worldmodel.training stage=autoencoder config=.*small.yaml run={tmp_path}"
    refused(f"needs this run's autoencoder.*{command}", tmp_path, "dynamics")
    refused(f"needs this run's autoencoder.*{command}", tmp_path, "latents")
    (encoded / "latents" / "shard-000001.safetensors").unlink()
    refused("1 of 2 shards are missing.*python -m worldmodel.training stage=latents", encoded, "dynamics")


def test_latents_of_other_clips_are_refused(encoded: Path, tmp_path: Path) -> None:
    """Of the same names, and written over: with one frame more in each clip, which a tar file's size need not show."""
    latents = encoded / "latents"
    shutil.copy(latents / "shard-000001.safetensors", latents / "shard-000007.safetensors")
    refused("latents of 1 shards that the clips have not, shard-000007 for one", encoded, "dynamics")
    (latents / "shard-000007.safetensors").unlink()
    clips = f"data.clips={write_clips(tmp_path / 'again', num_frames=13)}"
    refused("the latents of shard-000000 .* are of other clips .* stage=latents", encoded, "dynamics", clips)
    train(encoded, "latents", clips)
    train(encoded, "dynamics", clips)


def test_bad_settings_are_named(trained: Path, tmp_path: Path) -> None:
    shutil.copy(trained / "small.yaml", tmp_path)
    refused("unknown stage 'dynamcis', did you mean 'dynamics'", tmp_path, "dynamcis")
    refused(
        "no clips in nowhere .data.clips.: record some by python -m envs.record",
        tmp_path,
        "autoencoder",
        "data.clips=nowhere",
    )
    refused("training.num_processes is 2, got 1", tmp_path, "autoencoder", "training.num_processes=2")
    refused("optimizer must be one of muon, adamw, got 'sgd'", tmp_path, "autoencoder", "training.joint.optimizer=sgd")
    refused("must be 32x32 pixels", tmp_path, "autoencoder", "model.frame.height=32", "model.frame.width=32")
    refused("nothing ends phase joint: set max_minutes=N", tmp_path, "autoencoder", "training.joint.steps=null")
    refused("windows of 99 frames must fit", tmp_path, "autoencoder", "training.joint.frames=99")


def test_accelerate_that_starts_too_few_is_noticed(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(trained / "small.yaml", tmp_path)
    # What `accelerate launch --cpu --num_processes 2` leaves in the environment of the one process that it starts.
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    refused("asked for several processes and started one.*torchrun", tmp_path, "autoencoder")


def test_compiling_where_nothing_compiles_is_refused(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compile(function: Any) -> Any:
        raise RuntimeError("InvalidCxxCompiler: no working compiler")

    shutil.copy(trained / "small.yaml", tmp_path)
    monkeypatch.setattr(torch, "compile", compile)
    refused("needs a C.. compiler.*no working compiler", tmp_path, "autoencoder", "training.compile=true")


def test_a_run_of_other_settings_is_not_continued(trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    refused("training.seed = 0, got 5", run, "dynamics", "training.seed=5")
    refused("training.dynamics.batch_size = 4, got 8", run, "dynamics", "training.dynamics.batch_size=8")
    refused(
        "autoencoder .* has temporal_history = 5, the config asks for 3",
        run,
        "dynamics",
        "model.autoencoder.temporal_history=3",
    )


def test_latents_of_another_autoencoder_are_refused(encoded: Path) -> None:
    train(encoded, "autoencoder", "training.joint.steps=5")
    refused("of another autoencoder than the run's: delete the folder", encoded, "dynamics")
    refused("of this autoencoder .* delete the folder", encoded, "latents")


def test_a_folder_in_use_is_refused(encoded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_call("dynamics", 1, lambda: refused("another run is writing to", encoded, "dynamics"), monkeypatch)
    train(encoded, "dynamics")


def test_a_loss_that_is_not_finite_ends_the_run_before_it_is_saved(
    encoded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = DynamicsStage.loss
    calls: list[int] = []

    def loss(self: Any, *arguments: Any) -> dict[str, Tensor]:
        figures = dict(plain(self, *arguments))
        calls.append(1)
        return {**figures, "loss": figures["loss"] * (float("nan") if len(calls) == 3 else 1.0)}

    monkeypatch.setattr(DynamicsStage, "loss", loss)
    settings = ["training.save_every_steps=1", "training.log_every_steps=100"]
    with pytest.raises(FloatingPointError, match="no longer finite at step 3.*smaller training.dynamics.lr"):
        train(encoded, "dynamics", *settings)
    saved = sorted(path.name for path in (encoded / "dynamics" / "checkpoint").iterdir())
    assert saved == ["step-00000001-0-dynamics", "step-00000002-0-dynamics"]


def test_a_grid_refuses_rows_that_differ() -> None:
    row = np.zeros((5, 4, 6, 3), np.uint8)
    assert grid([row, row], columns=3).shape == (4 + 2 + 4, 6 * 3 + 2 * 2, 3)
    with pytest.raises(ValueError, match="must have one shape"):
        grid([row, row[:3]])
