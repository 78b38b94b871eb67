"""The command line of training:

    accelerate launch -m worldmodel.training config=configs/blockworld.yaml stage=autoencoder run=runs/blockworld
    python -m worldmodel.training config=… stage=latents run=…              (the same, in one process)
    ACCELERATE_USE_CPU=true torchrun --nproc_per_node 2 -m worldmodel.training config=… stage=dynamics run=…

The stages, in order: autoencoder, latents, dynamics; posttraining goes on from a trained world. Those that train take
max_minutes=N, or training.PHASE.steps=N. Every field of the configuration can be set by key=value, such as
training.dynamics.lr=1e-3 or model.flow.guidance=2; docs/train.md tells what there is. Stopped or killed at any moment,
the same command continues.
"""

from __future__ import annotations

import fcntl
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from conditions.values import nearest
from worldmodel.config import load_config, save_config
from worldmodel.training import launch
from worldmodel.training.autoencoder import AutoencoderStage
from worldmodel.training.config import STAGES
from worldmodel.training.dynamics import DynamicsStage
from worldmodel.training.latents import encode
from worldmodel.training.loop import Trainer
from worldmodel.training.posttraining import PostTrainingStage
from worldmodel.training.run import Run
from worldmodel.training.stage import Stage

TRAINED: dict[str, Callable[[Run], Stage]] = {
    "autoencoder": AutoencoderStage,
    "dynamics": DynamicsStage,
    "posttraining": PostTrainingStage,
}


def main(arguments: Sequence[str]) -> None:
    """Runs one stage.

    Args:
        arguments: `config=FILE` and key=value settings.

    Raises:
        SystemExit: for settings that cannot be run, with the reason; or when told to stop, after saving.
    """
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return
    with refusing():
        config = load_config(arguments)
        if config.stage not in STAGES:
            raise ValueError(f"unknown stage {config.stage!r}{nearest(config.stage, STAGES)}")
        run = Run(config, arguments, launch.start(config.training))
        folder, main_process = run.folder(config.stage), run.accelerator.is_main_process
    with launch.leaving(run.accelerator), locked(folder, main_process):
        with refusing():
            if config.stage == "latents":
                encode(run)
                return
            stage: Stage = TRAINED[config.stage](run)
            model = config.model.autoencoder if config.stage == "autoencoder" else config.model
            fingerprint = run.fingerprint(asdict(model), stage.phases)
            trainer = Trainer(stage, config.training, run.accelerator, folder, config.max_minutes, fingerprint)
            if main_process:
                save_config(config, folder / "config.yaml")
        trainer.run()


@contextmanager
def refusing() -> Iterator[None]:
    """Ends the program with one line where settings or files are wrong, instead of a traceback."""
    try:
        yield
    except (ValueError, RuntimeError, FileNotFoundError) as error:
        raise SystemExit(f"error: {error}") from error


@contextmanager
def locked(folder: Path, main_process: bool) -> Iterator[None]:
    """Holds a stage's folder, so that a second run does not write into it."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        if main_process:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SystemExit(f"error: another run is writing to {folder}: wait for it, or choose run=…") from None
        yield


if __name__ == "__main__":
    main(sys.argv[1:])
