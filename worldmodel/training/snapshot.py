"""Snapshots of a run in progress: written whole or not at all, the last two kept.

Where one process holds the whole state, it writes it: weights, average, optimizers.pt. Where the state is shared, each
process writes a file of whole tensors, so that any number of processes, under any sharing, can read them again.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

KEEP = 2
MOMENTS = ("exp_avg", "exp_avg_sq")  # AdamW's


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
    """What `load_latest` finds: the whole state, or `shards` to read it from."""

    progress: Progress
    weights: dict[str, Tensor]
    average: dict[str, Tensor]
    optimizers: list[dict]
    fingerprint: dict[str, object]
    shards: Shards | None = None


class Shards:
    """The tensors of a shared snapshot, read as they are asked for.

    Args:
        folder: of the snapshot.
        count: of its files.

    Raises:
        OSError, SafetensorError: if a file is missing or damaged.
    """

    def __init__(self, folder: Path, count: int) -> None:
        self._files: dict[str, Any] = {}
        for index in range(count):
            file = safe_open(folder / _shard(index, count), framework="pt")
            self._files |= dict.fromkeys(file.keys(), file)

    def read(self, name: str, rows: slice = slice(None)) -> Tensor:
        """Rows of a tensor, on the CPU.

        Args:
            name: weights/NAME, average/NAME, or one of MOMENTS/NAME.
            rows: along its first dimension.
        """
        return self._files[name].get_slice(name)[rows]


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
    target, partial = _begin(folder, progress)
    save_file({name: tensor.detach().contiguous() for name, tensor in weights.items()}, partial / "weights.safetensors")
    save_file({name: tensor.detach().contiguous() for name, tensor in average.items()}, partial / "average.safetensors")
    torch.save([optimizer.state_dict() for optimizer in optimizers], partial / "optimizers.pt")
    _publish(partial, target, {"progress": asdict(progress), "fingerprint": dict(fingerprint)})
    return target


def save_shards(
    folder: Path,
    progress: Progress,
    tensors: Mapping[str, Callable[[], Tensor]],
    sizes: Mapping[str, int],
    fingerprint: Mapping[str, object],
) -> None:
    """Writes a snapshot by all processes together, each a file; they must see one file system.

    Args:
        folder: holds the snapshots of one stage.
        progress: where the run stands.
        tensors: by name, what gathers it whole in every process; called by all of them, in this order.
        sizes: of each, by which they are shared out.
        fingerprint: the settings that a continued run must share.
    """
    index, count = torch.distributed.get_rank(), torch.distributed.get_world_size()
    owner, load = {}, [0] * count
    for name in sorted(tensors, key=lambda name: (-sizes[name], name)):
        owner[name] = load.index(min(load))
        load[owner[name]] += sizes[name]
    target, partial = _begin(folder, progress) if index == 0 else _paths(folder, progress)
    torch.distributed.barrier()
    own: dict[str, Tensor] = {}
    for name, gather in tensors.items():
        whole = gather()
        if owner[name] == index:
            own[name] = whole.detach().cpu().contiguous()
        del whole
    save_file(own, partial / _shard(index, count))
    _sync(partial / _shard(index, count))
    torch.distributed.barrier()
    if index == 0:
        _publish(partial, target, {"progress": asdict(progress), "fingerprint": dict(fingerprint), "shards": count})
    torch.distributed.barrier()


def _paths(folder: Path, progress: Progress) -> tuple[Path, Path]:
    """Where a snapshot will be, and where it is written."""
    target = folder / f"step-{progress.step:08d}-{progress.index}-{progress.phase}"
    return target, folder / f"{target.name}.tmp"


def _shard(index: int, count: int) -> str:
    return f"shard-{index:05d}-of-{count:05d}.safetensors"


def _begin(folder: Path, progress: Progress) -> tuple[Path, Path]:
    target, partial = _paths(folder, progress)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return target, partial


def _sync(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _publish(partial: Path, target: Path, state: Mapping[str, object]) -> None:
    """Gives a snapshot its name, by which it is read, once all of it is on disk; drops all but the last."""
    folder = target.parent
    (partial / "progress.json").write_text(json.dumps(state, indent=2) + "\n")
    for path in partial.iterdir():
        _sync(path)
    if target.exists():  # the same step, saved again: the older one makes room under a name that is never read
        doomed = folder / f"{target.name}.old.tmp"
        shutil.rmtree(doomed, ignore_errors=True)
        os.replace(target, doomed)
    os.replace(partial, target)
    for path in [*_list(folder)[:-KEEP], *folder.glob("*.tmp")]:
        shutil.rmtree(path)


def load_latest(folder: Path, device: torch.device | str = "cpu") -> Snapshot | None:
    """Reads the newest snapshot, or None where there is none.

    Raises:
        ValueError: if it cannot be read; the message names it and says what to do.
    """
    found = _list(folder)
    if not found:
        return None
    path = found[-1]
    place = "cpu" if torch.device(device).type == "cpu" else str(device)  # safetensors knows no numbered CPU
    try:
        state = json.loads((path / "progress.json").read_text())
        progress = Progress(**state["progress"])
        if "shards" in state:
            return Snapshot(progress, {}, {}, [], state["fingerprint"], Shards(path, state["shards"]))
        return Snapshot(
            progress=progress,
            weights=load_file(path / "weights.safetensors", device=place),
            average=load_file(path / "average.safetensors", device=place),
            optimizers=torch.load(path / "optimizers.pt", map_location=place, weights_only=True),
            fingerprint=state["fingerprint"],
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, pickle.UnpicklingError, SafetensorError) as error:
        raise ValueError(
            f"the snapshot {path} cannot be read ({error}): delete that folder, and the same command continues "
            "from the one before"
        ) from error


def _list(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*") if not path.name.endswith(".tmp"))
