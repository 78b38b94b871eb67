"""A full-size checkpoint to start training from, put together from public weights; what has no source is random.

    python -m worldmodel.checkpoint assemble config=configs/midas-3b.yaml backbone=DIR autoencoder=DIR head=DIR out=DIR

`backbone` is a folder of Qwen2.5, `autoencoder` of diffusers' AutoencoderDC or of DC-AE 1.5, `head` of PixArt-alpha's
transformer; each may be left out. Only safetensors are read, in one file or in shards: nothing is ever unpickled.

Shapes: D width of the backbone, E width of the head.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from conditions import ConditionSet
from conditions.values import nearest
from worldmodel.autoencoder import Autoencoder, AutoencoderConfig, dcgen
from worldmodel.backbone import Backbone, BackboneConfig
from worldmodel.checkpoint import compare, read_json, read_weights, save
from worldmodel.config import load_config
from worldmodel.head import Head
from worldmodel.pixart import from_pixart, positions
from worldmodel.world import WorldConfig, WorldModel, new_embedding

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
OWN = ("backbone", "autoencoder", "head", "out", "dtype", "seed")
DTYPES = ("bfloat16", "float16", "float32")


@dataclass
class Source:
    """Where a part's weights came from, for the table."""

    part: str
    module: nn.Module
    origin: str


def assemble(
    config: WorldConfig,
    backbone: Path | None = None,
    autoencoder: Path | None = None,
    head: Path | None = None,
    dtype: torch.dtype = torch.bfloat16,
    seed: int = 0,
) -> tuple[WorldModel, list[Source]]:
    """Builds a world from parts.

    Args:
        config: of the world.
        backbone: folder of a Qwen2 model; random weights without one, as for the others.
        autoencoder: folder of an AutoencoderDC, or of DC-AE 1.5 as DC-Gen stores it; the temporal blocks begin as zero
            residuals.
        head: folder of PixArt-alpha's transformer.
        dtype: of the weights in memory.
        seed: of the random ones.

    Returns:
        The world, for saving, and what came from where.

    Raises:
        ValueError: for a folder without safetensors, of another architecture or of other shapes, all listed at once.
    """
    torch.manual_seed(seed)
    with torch.device("meta"):
        world = WorldModel(config)
    values, width = world.head.final_layer.out_features, world.backbone.width
    origins = dict.fromkeys(("autoencoder", "backbone", "head"), "random")
    wrong = []
    try:
        if autoencoder is None:
            world.autoencoder = Autoencoder(config.autoencoder)
        else:
            world.autoencoder, origins["autoencoder"] = read_autoencoder(autoencoder, config.autoencoder)
    except ValueError as error:
        wrong.append(str(error))
    try:
        if backbone is None:
            world.backbone = Backbone(config.backbone).to(dtype)
        else:
            state = read_backbone(backbone, config.backbone, world.backbone.model)
            world.backbone.model.load_state_dict({key: value.to(dtype) for key, value in state.items()}, assign=True)
            origins["backbone"] = str(backbone)
    except ValueError as error:
        wrong.append(str(error))
    try:
        world.head = Head(config.head, values, width, world.frame_tokens)
        if head is not None:
            height, breadth = (size // config.patch_size for size in world.latent_size)
            origins["head"] = read_head(head, world.head, (height, breadth))
    except ValueError as error:
        wrong.append(str(error))
    if wrong:
        raise ValueError("\n".join(wrong))
    world.conditions = ConditionSet(config.conditions, width)
    world.embedding = new_embedding(config, world.layout, world.conditions, values, width)
    for module in (world.autoencoder, world.conditions, world.embedding, world.head):
        module.to(dtype)
    parts: dict[str, nn.Module] = {"autoencoder": world.autoencoder, "backbone": world.backbone}
    for condition in world.conditions:
        parts[f"conditions/{condition.name}"] = condition
        frozen = getattr(condition.config, "pretrained", None)
        if frozen is not None:
            words = f"random; {frozen} stays frozen beside it, read when first needed"
            origins[f"conditions/{condition.name}"] = words
    parts |= {"embedding": world.embedding, "head": world.head}
    return world, [Source(name, module, origins.get(name, "random")) for name, module in parts.items()]


def read_head(folder: Path, head: Head, grid: tuple[int, int]) -> str:
    """Takes over what a head can of PixArt-alpha's transformer.

    Args:
        folder: of the transformer, or of the pipeline that it is a part of.
        head: is filled.
        grid: rows and columns of a frame's tokens.

    Returns:
        Where it came from, and how much of the head that is.

    Raises:
        ValueError: as `from_pixart`.
    """
    folder = subfolder(folder, "transformer")
    found = read_config(folder)
    state = from_pixart(found, weights_of(folder), head, str(folder))
    state["position"] = positions(found, *grid, head.config.hidden_size)
    head.load_state_dict(state, strict=False)
    total = sum(value.numel() for value in head.state_dict().values())
    return f"{folder} ({100 * sum(value.numel() for value in state.values()) / total:.1f} %, the rest random)"


def read_backbone(folder: Path, config: BackboneConfig, model: nn.Module) -> dict[str, Tensor]:
    """The weights of a Qwen2 folder under the keys of a bare Qwen2Model.

    The output layer (`lm_head`) is left out, tied to the word embedding or not; and so is the word embedding where
    `backbone.vocab_size` is 1.

    Args:
        folder: of a Qwen2ForCausalLM or a Qwen2Model.
        config: what is wanted.
        model: a Qwen2Model, on any device, that gives keys and shapes.

    Raises:
        ValueError: for another architecture, or listing every setting and shape that does not fit.
    """
    found = read_config(folder)
    if found.get("model_type") != "qwen2":
        raise ValueError(
            f"{folder} must be of model_type 'qwen2', got {found.get('model_type')!r}: give a Qwen2.5 folder"
        )
    if found.get("use_sliding_window"):
        raise ValueError(f"{folder} uses a sliding window of its own, which the layout replaces: give one without")
    found["rope_theta"] = (found.get("rope_parameters") or {}).get("rope_theta", found.get("rope_theta"))
    free = {"gradient_checkpointing", "max_position_embeddings"} | ({"vocab_size"} if config.vocab_size == 1 else set())
    wrong = [
        f"backbone.{name} must be {found.get(name)}, got {value}"
        for name, value in asdict(config).items()
        if name not in free and found.get(name) != value
    ]
    state = {key.removeprefix("model."): value for key, value in weights_of(folder).items() if key != "lm_head.weight"}
    words = state.get("embed_tokens.weight")
    if config.vocab_size == 1 and words is not None:
        state["embed_tokens.weight"] = torch.zeros(1, words.shape[1], dtype=words.dtype)
    wrong += compare(state, model.state_dict())
    if wrong:
        raise ValueError(f"the backbone in {folder} does not fit the config: {'; '.join(wrong)}")
    return state


def read_autoencoder(folder: Path, config: AutoencoderConfig) -> tuple[Autoencoder, str]:
    """An autoencoder with the weights of a folder of AutoencoderDC's, DC-AE 1.5's or ours, and the time of a config.

    Returns:
        The autoencoder, and where it came from.

    Raises:
        ValueError: listing every setting, or every weight, that does not fit.
    """
    folder = subfolder(folder, "vae")
    values, weights = read_config(folder), weights_of(folder)
    if dcgen.is_dcgen(values):
        try:
            values, weights = dcgen.fields_of(values), dcgen.renamed(weights)
        except ValueError as error:
            raise ValueError(f"{folder}: {error}") from error
    learned = any(".temporal." in key for key in weights)
    temporal = {name: value for name, value in asdict(config).items() if name.startswith("temporal_")}
    try:
        found = AutoencoderConfig.from_dict({**values, **({} if learned else temporal)})
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error
    wanted = asdict(config)
    wrong = [
        f"autoencoder.{name} must be {value}, got {wanted[name]}"
        for name, value in asdict(found).items()
        if wanted[name] != value
    ]
    if wrong:
        raise ValueError(f"the autoencoder in {folder} does not fit the config: {'; '.join(wrong)}")
    autoencoder = Autoencoder(found)
    autoencoder.load_weights(weights, str(folder))
    return autoencoder, str(folder) if learned or not config.temporal_stages else f"{folder} (temporal blocks: zero)"


def subfolder(folder: Path, name: str) -> Path:
    """The folder itself, or the one of a whole diffusers pipeline that holds the part."""
    return folder / name if (folder / name / "config.json").is_file() else folder


def read_config(folder: Path) -> dict[str, Any]:
    """A part's config.json.

    Raises:
        ValueError: if there is no such folder or file, or it is damaged.
    """
    if not folder.is_dir():
        raise ValueError(
            f"there is no folder {folder}: download the part first, e.g. by `hf download ID --local-dir DIR`"
        )
    return read_json(folder / "config.json")


def weights_of(folder: Path) -> dict[str, Tensor]:
    """A folder's tensors.

    Raises:
        ValueError: if it has pickled weights only, which are never read, or a shard is missing or damaged.
    """
    pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if pickles and not any(folder.glob("*.safetensors*")):
        raise ValueError(
            f"{folder} has pickled weights only ({', '.join(pickles)}), which may run any code and are never read: "
            "fetch the safetensors of that model"
        )
    return read_weights(folder)


def table(sources: Sequence[Source]) -> str:
    """Parts, parameters, dtype, bytes, and what was loaded from where."""
    rows = [("part", "parameters", "dtype", "bytes", "from")]
    total = [0, 0]
    for source in sources:
        tensors = list(source.module.state_dict().values())
        count, size = sum(t.numel() for t in tensors), sum(t.numel() * t.element_size() for t in tensors)
        dtypes = sorted({str(t.dtype).removeprefix("torch.") for t in tensors if t.is_floating_point()})
        rows.append((source.part, f"{count:,}", "+".join(dtypes), f"{size:,}", source.origin))
        total = [total[0] + count, total[1] + size]
    rows.append(("all", f"{total[0]:,}", "", f"{total[1]:,}", ""))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = []
    for part, count_, dtype, size_, origin in rows:
        cells = (part.ljust(widths[0]), count_.rjust(widths[1]), dtype.ljust(widths[2]), size_.rjust(widths[3]), origin)
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    """Assembles, saves and prints the table.

    Args:
        arguments: config=FILE, model.…=…, and out=DIR backbone=DIR autoencoder=DIR head=DIR dtype=bfloat16 seed=0.

    Raises:
        SystemExit: with the reason, where the parts do not fit.
    """
    own = {key: value for key, _, value in (a.partition("=") for a in arguments) if key in OWN}
    try:
        config = load_config([a for a in arguments if a.partition("=")[0] not in OWN]).model
        if "out" not in own:
            raise ValueError("say where the checkpoint goes: out=DIR")
        dtype = own.get("dtype", "bfloat16")
        if dtype not in DTYPES:
            raise ValueError(f"unknown dtype {dtype!r}{nearest(dtype, DTYPES)}")
        folders = {name: Path(own[name]) for name in ("backbone", "autoencoder", "head") if name in own}
        world, sources = assemble(config, dtype=getattr(torch, dtype), seed=int(own.get("seed", "0")), **folders)
        print(table(sources), flush=True)
        save(world, own["out"])
    except (ValueError, json.JSONDecodeError) as error:
        raise SystemExit(f"error: {error}") from error
    print(f"wrote {own['out']}: train from it by initial={own['out']}")
