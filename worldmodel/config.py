"""A run's configuration: dataclasses, composed. defaults <- YAML <- key=value, and nothing else.

    config = load_config(["config=configs/blockworld.yaml", "stage=dynamics", "training.dynamics.batch_size=8"])

Unknown keys are refused, with the nearest known one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from conditions.values import nearest
from worldmodel.data.remote import is_remote
from worldmodel.data.stream import StreamConfig
from worldmodel.training.config import TrainingConfig
from worldmodel.world import WorldConfig

CLIPS = "data/blockworld"
# Fields of `data` that a mix takes the place of.
ONE_SET: dict[str, str | None] = {"clips": CLIPS, "index": None, "latents": None}


@dataclass
class SetConfig:
    """One of several clip sets that are trained on together."""

    clips: str = ""  # a folder
    weight: float = 1.0  # how often it is drawn from, against the others' weights; 0 leaves it out
    latents: str | None = None  # of these clips, encoded before; by default RUN/latents/NAME

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"the weight of a set in data.mix must be 0 or more, got {self.weight}")


@dataclass
class DataConfig:
    """Where the clips lie, and their latents: folders, or URLs that are streamed (docs/data/streaming.md)."""

    clips: str = CLIPS  # shards, as envs.record writes them: a folder or URL, or https://…/a-{000..099}.tar
    index: str | None = None  # of clips behind a URL; by default index.json beside them
    latents: str | None = None  # of these clips, encoded before; by default RUN/latents
    mix: dict[str, SetConfig] | None = None  # several sets in place of one, by names of one's own
    stream: StreamConfig = field(default_factory=StreamConfig)

    def __post_init__(self) -> None:
        mix = self.mix or {}
        for name, value in mix.items():
            if not value.clips:
                others = [other for other, part in mix.items() if part.clips]
                raise ValueError(f"data.mix.{name} must have clips, a folder, got none{nearest(name, others)}")
            if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
                raise ValueError(f"names in data.mix must be of letters, digits, - and _, got {name!r}")
            for key in ("clips", "latents"):
                place = getattr(value, key)
                if place is not None and is_remote(place):
                    raise ValueError(
                        f"data.mix takes folders, data.mix.{name}.{key} is {place}: fetch it first, or train on that "
                        "set alone by data.clips (docs/data/streaming.md)"
                    )
        if mix and not any(part.weight for part in mix.values()):
            raise ValueError("a set of data.mix must have a weight above 0, got none")
        for key, default in ONE_SET.items():
            if mix and getattr(self, key) != default:
                raise ValueError(
                    f"data.{key} is for one set, and data.mix has {', '.join(mix)}: say it there, or leave the mix "
                    "out by data.mix=null"
                )


@dataclass
class Config:
    """Everything a run is made of. It is stored, resolved, in the run's folder."""

    stage: str = "autoencoder"  # autoencoder | latents | dynamics | posttraining
    run: str = "runs/blockworld"  # the folder that the run lives in
    initial: str | None = None  # a checkpoint to begin from, e.g. of worldmodel.assemble; random weights by default
    parts: dict[str, str] = field(default_factory=dict)  # and of parts of it, from elsewhere: {conditions/text: FOLDER}
    max_minutes: float | None = None  # the stage ends after so many minutes of training, resumed ones counted
    model: WorldConfig = field(default_factory=WorldConfig)
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


def load_config(arguments: Sequence[str] = ()) -> Config:
    """Builds a configuration.

    Args:
        arguments: `config=FILE` names a YAML file; every other `key.sub=value` sets one field, over what the file says.
            A `data.mix` takes the place of the one set that an earlier file names.

    Returns:
        The configuration, its dataclasses' own checks passed.

    Raises:
        ValueError: for a missing file, an unknown key (naming the nearest), or a value of the wrong type or range.
    """
    files, settings = [], []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals:
            raise ValueError(f"arguments must be key=value, got {argument!r}: for example stage=dynamics")
        if key == "config":
            files.append(value)
        else:
            settings.append(argument)
    schema = OmegaConf.structured(Config)
    merged = schema
    for name in files:
        values = read_yaml(name)
        merged = _merge(_without_defaults(_without_set(merged, values), values), values, name)
    parsed = [OmegaConf.from_dotlist([setting]) for setting in settings]
    for values in parsed:
        merged = _without_set(merged, values)
    for setting, values in zip(settings, parsed, strict=True):
        merged = _merge(merged, values, setting)
    return _to_object(merged)


def from_dict(values: dict[str, Any], schema: type) -> Any:
    """An instance of a config dataclass from plain values, as stored in a checkpoint.

    Raises:
        ValueError: as `load_config`.
    """
    given = OmegaConf.create(values)
    return _to_object(_merge(_without_defaults(OmegaConf.structured(schema), given), given, schema.__name__))


def save_config(config: Config, path: str | Path) -> None:
    """Writes a configuration as YAML, every field of it."""
    Path(path).write_text(OmegaConf.to_yaml(OmegaConf.structured(config)))


def read_yaml(path: str | Path) -> Any:
    """Reads a YAML file of settings.

    Raises:
        ValueError: if there is no such file (naming the nearest one beside it) or it is not a mapping.
    """
    file = Path(path)
    if not file.is_file():
        beside = [str(p) for p in file.parent.glob("*.yaml")] if file.parent.is_dir() else []
        raise ValueError(f"no config file {path}{nearest(str(path), beside)}")
    try:
        loaded = OmegaConf.load(file)
    except Exception as error:  # the YAML parser's errors share no base with OmegaConf's
        raise ValueError(f"{path} must be a YAML file: {error}") from error
    if not OmegaConf.is_dict(loaded):
        raise ValueError(f"{path} must hold a mapping of settings, got {type(loaded).__name__}")
    return loaded


def _without_set(merged: Any, values: Any) -> Any:
    """`merged` without its one set of clips, where `values` bring a mix of sets."""
    if not OmegaConf.select(values, "data.mix"):
        return merged
    return OmegaConf.merge(merged, {"data": ONE_SET})


def _merge(schema: Any, values: Any, source: str) -> Any:
    _check_keys(schema, values, source, "")
    try:
        return OmegaConf.merge(schema, values)
    except OmegaConfBaseException as error:
        reason = str(error.msg or error).split("\n")[0]
        raise ValueError(f"{source}: {getattr(error, 'full_key', None) or ''}: {reason}") from error


def _without_defaults(schema: Any, values: Any) -> Any:
    """The schema without the defaults of each free mapping (model.conditions) that `values` gives: it replaces them."""
    if OmegaConf.is_dict(schema) and OmegaConf.is_dict(values):
        for key in values:
            node = cast(Any, schema)._get_node(key) if key in schema else None
            if node is not None and OmegaConf.is_dict(node) and not node._is_none():
                if OmegaConf.get_type(node) is dict:
                    schema[key] = {}
                else:
                    _without_defaults(node, values[key])
    return schema


def _check_keys(schema: Any, values: Any, source: str, prefix: str) -> None:
    if not (OmegaConf.is_dict(schema) and OmegaConf.is_dict(values)):
        return
    element = cast(Any, schema)._metadata.element_type
    if is_dataclass(element):  # a mapping of them by free names (data.mix), which may be null still
        for key in values:
            _check_keys(OmegaConf.structured(element), values._get_node(key), source, f"{prefix}{key}.")
    if schema._is_none() or OmegaConf.get_type(schema) is dict:
        return
    known = [str(key) for key in schema]
    for key in values:
        if key not in known:
            raise ValueError(f"{source}: unknown key {prefix}{key}{nearest(str(key), known)}")
        _check_keys(cast(Any, schema)._get_node(key), values._get_node(key), source, f"{prefix}{key}.")


def _to_object(merged: Any) -> Any:
    try:
        return OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        cause = error.__cause__ if isinstance(error.__cause__, ValueError) else error
        raise ValueError(str(cause)) from error
