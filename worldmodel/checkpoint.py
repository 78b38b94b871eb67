"""Checkpoints: folders of config.json and safetensors, in the diffusers layout without its runtime.

    model_index.json                 what is in the folder, and the model's configuration
    autoencoder/ backbone/ head/ embedding/ conditions/NAME/      config.json + safetensors each
    starts/*.tar                     a few clips to start from

`backbone/` is a stock Qwen2 folder. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from conditions.values import nearest
from worldmodel.autoencoder import Autoencoder
from worldmodel.config import from_dict
from worldmodel.storage import pack, unpack
from worldmodel.world import WorldConfig, WorldModel

if TYPE_CHECKING:
    from worldmodel.data.clips import Clip

INDEX = "model_index.json"
WEIGHTS = "model.safetensors"
FORMAT = 1


def save(world: WorldModel, folder: str | Path, starts: Sequence[Clip] = (), dtype: torch.dtype | None = None) -> None:
    """Writes a checkpoint; the folder changes at once, when all is written.

    Args:
        world: the model.
        folder: where to; replaced if it is a checkpoint already.
        starts: clips to start from.
        dtype: of the stored weights, see `worldmodel.storage.pack`; the model's own by default. With torch.int8 the
            backbone is stored as float16, so that its folder stays a stock one.

    Raises:
        ValueError: if the folder holds something that is not a checkpoint.
    """
    from worldmodel.data.clip_writer import ClipWriter

    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()) and not (folder / INDEX).is_file():
        raise ValueError(f"{folder} must be empty or a checkpoint, to be replaced: choose another folder")
    temporary = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    world.autoencoder.save_pretrained(temporary / "autoencoder", dtype)
    world.backbone.model.config.save_pretrained(temporary / "backbone")
    parts = _parts(world)
    for name in parts:
        # others read the backbone's folder too
        save_part(world, name, temporary / name, torch.float16 if (name, dtype) == ("backbone", torch.int8) else dtype)
    index = {"_class_name": "WorldModel", "format": FORMAT, "parts": ["autoencoder", *parts]}
    index["config"] = world.config_dict()
    (temporary / INDEX).write_text(json.dumps(index, indent=2) + "\n")
    if starts:
        with ClipWriter(temporary / "starts" / "shard-000000.tar", world.conditions) as writer:
            for clip in starts:
                writer.write(clip)
    for extra in folder.glob("*") if folder.exists() else ():
        if extra.is_file() and extra.name != INDEX:  # a README beside the weights stays
            shutil.copy2(extra, temporary / extra.name)
    if folder.exists():
        shutil.rmtree(folder)
    temporary.rename(folder)


def save_part(world: WorldModel, name: str, folder: Path, dtype: torch.dtype | None = None) -> None:
    """Writes one part of a world as a checkpoint holds it: config.json and weights.

    Args:
        world: the model.
        name: of the part, as its folder in a checkpoint.
        folder: where to; made if need be.
        dtype: as in `save`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "config.json").exists():
        (folder / "config.json").write_text(json.dumps(_part_config(world, name), indent=2) + "\n")
    temporary = folder / f"{WEIGHTS}.tmp"
    save_file(pack(_parts(world)[name].state_dict(), dtype), temporary, metadata={"format": "pt"})
    temporary.rename(folder / WEIGHTS)


def load_part(world: WorldModel, name: str, folder: Path) -> None:
    """Reads one part of a world, of a checkpoint or of `save_part`.

    Raises:
        ValueError: if the world has no such part, or the folder's weights are missing, damaged or do not fit.
    """
    parts = _parts(world)
    if name not in parts:
        raise ValueError(f"a world has no part {name!r}{nearest(name, parts)}")
    _load_weights(parts[name], folder)


def load(
    folder_or_id: str | Path, device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> WorldModel:
    """Reads a checkpoint.

    Args:
        folder_or_id: a folder, or the id of a repository on the hub (owner/name).
        device: where to put the model; the CPU by default.
        dtype: of the weights in memory; float32 by default.

    Returns:
        The model, in evaluation mode.

    Raises:
        ValueError: if there is no such checkpoint, or files of it are missing, damaged or do not fit, naming them all.
    """
    folder = resolve(folder_or_id)
    index = read_json(folder / INDEX)
    if index.get("_class_name") != "WorldModel" or index.get("format") != FORMAT:
        raise ValueError(
            f"{folder / INDEX} must be of a WorldModel, format {FORMAT}, got {index.get('_class_name')!r}, format "
            f"{index.get('format')!r}: was it saved by another version?"
        )
    config: WorldConfig = from_dict(index["config"], WorldConfig)
    world = WorldModel(config)
    wrong = []
    try:
        world.autoencoder = Autoencoder.from_pretrained(folder / "autoencoder")
    except (ValueError, FileNotFoundError) as error:
        wrong.append(str(error))
    for name, module in _parts(world).items():
        try:
            _load_weights(module, folder / name)
        except ValueError as error:
            wrong.append(str(error))
    if wrong:
        raise ValueError("\n".join(wrong))
    world.folder = folder
    return world.to(device=device or "cpu", dtype=dtype or torch.float32).eval()


def resolve(folder_or_id: str | Path) -> Path:
    """The folder of a checkpoint, downloaded first where it is a hub id.

    Raises:
        ValueError: if there is none, naming the nearest folder.
    """
    folder = Path(folder_or_id)
    if (folder / INDEX).is_file():
        return folder
    name = str(folder_or_id)
    if not folder.exists() and name.count("/") == 1 and not name.startswith((".", "/")) and not folder.parent.exists():
        try:
            return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.tar", "README.md"]))
        except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
            raise ValueError(f"no checkpoint {name!r}: neither a folder nor to be had from the hub: {error}") from error
    if folder.is_dir():
        raise ValueError(f"{folder} must be a checkpoint, but has no {INDEX}: is it half downloaded?")
    beside = [str(path.parent) for path in (folder.parent.glob(f"*/{INDEX}") if folder.parent.is_dir() else ())]
    raise ValueError(f"no checkpoint in {folder}{nearest(name, beside)}: `make train` makes one")


def read_starts(folder: Path) -> list[Clip]:
    """The starting clips of a checkpoint; empty where it has none."""
    from worldmodel.data.clips import ClipSet

    return list(ClipSet(folder / "starts")) if (folder / "starts").is_dir() else []


def _parts(world: WorldModel) -> dict[str, nn.Module]:
    """Modules by folder, the autoencoder aside, which reads and writes its own."""
    parts: dict[str, nn.Module] = {"backbone": world.backbone.model, "head": world.head, "embedding": world.embedding}
    return parts | {f"conditions/{condition.name}": condition for condition in world.conditions}


def _part_config(world: WorldModel, name: str) -> dict[str, Any]:
    config = world.config_dict()
    if name.startswith("conditions/"):
        return config["conditions"][name.partition("/")[2]]
    return {"head": config["head"], "embedding": config["noise"]}[name]


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder's safetensors files, sharded or not.

    Raises:
        ValueError: if there is no such file, a shard is missing, or one is damaged.
    """
    index = next(folder.glob("*.safetensors.index.json"), None)
    names = sorted(set(read_json(index)["weight_map"].values())) if index else []
    files = [folder / name for name in names] or sorted(folder.glob("*.safetensors"))
    if not files:
        raise ValueError(f"{folder} has no *.safetensors: fetch the checkpoint again")
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        raise ValueError(f"the checkpoint lacks {', '.join(missing)}: fetch it again")
    state: dict[str, Tensor] = {}
    for file in files:
        try:
            state |= load_file(file)
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{file} is damaged or half downloaded ({error}): fetch it again") from error
    return unpack(state)


def _load_weights(module: nn.Module, folder: Path) -> None:
    state, wanted = read_weights(folder), module.state_dict()
    wrong = compare(state, wanted)
    if wrong:
        raise ValueError(f"the weights in {folder} do not fit the model: {'; '.join(wrong)}")
    module.load_state_dict(state)


def compare(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    """Every key that is missing, unknown or of another shape, in words."""
    wrong = [f"{key} {tuple(value.shape)} is missing" for key, value in wanted.items() if key not in state]
    wrong += [f"{key} {tuple(value.shape)} is not known" for key, value in state.items() if key not in wanted]
    return wrong + [
        f"{key} must be {tuple(wanted[key].shape)}, got {tuple(value.shape)}"
        for key, value in state.items()
        if key in wanted and wanted[key].shape != value.shape
    ]


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON file that holds a mapping.

    Raises:
        ValueError: if it is missing or damaged.
    """
    try:
        loaded = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise ValueError(f"the checkpoint lacks {path}: fetch it again") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged ({error}): fetch it again") from error
    if not isinstance(loaded, dict):
        raise ValueError(f"{path} must hold a mapping, got {type(loaded).__name__}: fetch it again")
    return loaded


if __name__ == "__main__":
    from worldmodel.assemble import main

    if sys.argv[1:2] != ["assemble"]:
        raise SystemExit("usage: python -m worldmodel.checkpoint assemble config=FILE out=DIR [backbone=DIR …]")
    main(sys.argv[2:])
