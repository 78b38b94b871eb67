"""Snapshots of a run in progress: written whole or not at all, the last two kept."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

KEEP = 2


@dataclass
class Progress:
    """Where a run stands."""

    phase: str  # its name
    index: int = 0  # among the phases of the run
    phase_step: int = 0  # steps taken in the phase
    step: int = 0  # steps taken in all phases
    seconds: float = 0.0  # spent in the phase


@dataclass
class Snapshot:
    """What `load_latest` finds."""

    progress: Progress
    weights: dict[str, Tensor]
    average: dict[str, Tensor]
    optimizers: list[dict]
    fingerprint: dict[str, object]


def save_snapshot(
    folder: Path,
    progress: Progress,
    weights: Mapping[str, Tensor],
    average: Mapping[str, Tensor],
    optimizers: Sequence[torch.optim.Optimizer],
    fingerprint: Mapping[str, object],
) -> Path:
    """Writes a snapshot beside the earlier ones and drops all but the last two.

    Args:
        folder: holds the snapshots of one stage.
        progress: where the run stands.
        weights: every tensor that the run changes.
        average: the moving average of the weights trained in this phase.
        optimizers: as built by `build_optimizers`.
        fingerprint: the settings that a continued run must share.

    Returns:
        The snapshot's folder.
    """
    target = folder / f"step-{progress.step:08d}-{progress.index}-{progress.phase}"
    partial = folder / f"{target.name}.tmp"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_file({name: tensor.detach().contiguous() for name, tensor in weights.items()}, partial / "weights.safetensors")
    save_file({name: tensor.detach().contiguous() for name, tensor in average.items()}, partial / "average.safetensors")
    torch.save([optimizer.state_dict() for optimizer in optimizers], partial / "optimizers.pt")
    state = {"progress": asdict(progress), "fingerprint": dict(fingerprint)}
    (partial / "progress.json").write_text(json.dumps(state, indent=2) + "\n")
    for path in partial.iterdir():
        with open(path, "rb") as file:
            os.fsync(file.fileno())
    if target.exists():  # the same step, saved again: the older one makes room under a name that is never read
        doomed = folder / f"{target.name}.old.tmp"
        shutil.rmtree(doomed, ignore_errors=True)
        os.replace(target, doomed)
    os.replace(partial, target)
    for path in [*_list(folder)[:-KEEP], *folder.glob("*.tmp")]:
        shutil.rmtree(path)
    return target


def load_latest(folder: Path, device: torch.device | str = "cpu") -> Snapshot | None:
    """Reads the newest snapshot, or None where there is none.

    Raises:
        ValueError: if it cannot be read; the message names it and says what to do.
    """
    found = _list(folder)
    if not found:
        return None
    path = found[-1]
    try:
        state = json.loads((path / "progress.json").read_text())
        return Snapshot(
            progress=Progress(**state["progress"]),
            weights=load_file(path / "weights.safetensors", device=str(device)),
            average=load_file(path / "average.safetensors", device=str(device)),
            optimizers=torch.load(path / "optimizers.pt", map_location=device, weights_only=True),
            fingerprint=state["fingerprint"],
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, pickle.UnpicklingError, SafetensorError) as error:
        raise ValueError(
            f"the snapshot {path} cannot be read ({error}): delete that folder, and the same command continues "
            "from the one before"
        ) from error


def _list(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*") if not path.name.endswith(".tmp"))
