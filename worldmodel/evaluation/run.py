"""Runs the figures one after another and keeps the record: figures.json, plots, sheets and the report page."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from worldmodel.evaluation import control, drift, machine, memory, prediction, reconstruction
from worldmodel.evaluation.figure import Task
from worldmodel.evaluation.heads import identity, latency, lipsync, mood, pose, turns
from worldmodel.evaluation.heldout import HeldOut
from worldmodel.evaluation.options import PUBLISHED, Options, Unavailable, suited
from worldmodel.evaluation.published import figure as published
from worldmodel.evaluation.published.networks import load_networks
from worldmodel.evaluation.report import write_report
from worldmodel.evaluation.rollout import Report
from worldmodel.evaluation.targets import judge
from worldmodel.world import WorldModel

MEASURES = {
    "reconstruction": reconstruction.measure,
    "prediction": prediction.measure,
    "control": control.measure,
    "drift": drift.measure,
    "memory": memory.measure,
    "lipsync": lipsync.measure,
    "pose": pose.measure,
    "mood": mood.measure,
    "turns": turns.measure,
    "identity": identity.measure,
    "latency": latency.measure,
    "published": published.measure,
}


def evaluate(
    checkpoint: str | Path,
    data: Path | Sequence[Path],
    out: Path,
    options: Options,
    *,
    only: Sequence[str] | None = None,
    worlds: str = "",
    reader: Path | None = None,
    weights: Mapping[str, Path] | None = None,
    device: torch.device | str | None = None,
    command: str = "",
    quick: bool = False,
    report: Report = print,
) -> dict[str, Any]:
    """Evaluates a checkpoint on held-out clips.

    Args:
        checkpoint: a checkpoint's folder, or its id on the hub.
        data: a clip set of worlds that were not trained on, or several.
        out: the folder for figures.json, report.html, plots and sheets; figures there of the same checkpoint, clips and
            sizes are kept unless they are measured again.
        options: how much to measure.
        only: names of the figures to measure; by default those that suit the world.
        worlds: the module that registers the clips' rendered worlds, "" to do without their truth.
        reader: a saved reader (reader.safetensors or head_reader.safetensors of an evaluation) to use instead of
            training one.
        weights: files of the networks of published measures, by "fid", "fvd", "syncnet" and "identity"; where any are
            given, "published" is measured, too.
        device: where the model runs.
        command: the command line, for the record.
        quick: whether the options are the small ones, for the record.
        report: called with lines of progress.

    Returns:
        The content of figures.json.

    Raises:
        FileNotFoundError: if the clips, the reader or the weights are missing.
        ValueError: if clips and checkpoint do not fit together, the checkpoint is missing or damaged, or weights
            are not of the network that they are given for or could not take effect.
    """
    if reader is not None and not reader.is_file():
        raise FileNotFoundError(f"no reader at {reader}: leave out --reader to train one")
    if weights and only is not None and not set(PUBLISHED) & set(only):
        raise ValueError(
            f"weights are for the figure {PUBLISHED[0]!r}, which --only leaves out: add it, or leave them out"
        )
    world = WorldModel.from_pretrained(checkpoint, device=device)
    assert world.folder is not None
    held_out = HeldOut(data, world)
    if held_out.unread:
        report(f"not read of the clips, as the checkpoint lacks it: {', '.join(held_out.unread)}")
    out.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {
        "date": machine.now(),
        "command": command,
        "machine": machine.describe(),
        "device": str(world.device),
        "quick": quick,
        "checkpoint": {
            "folder": str(checkpoint),
            "sha256": machine.hash_folder(world.folder),
            "parameters": sum(parameter.numel() for parameter in world.parameters()),
            "frame": world.config_dict()["frame"],
        },
        "data": held_out.describe(),
        "options": options.to_dict(),
        "figures": {},
        "unavailable": {},
        "seconds": {},
    }
    _keep(record, out / "figures.json")
    shared: dict[str, Any] = {"published": load_networks(weights or {}, device)}
    for name in (*suited(world.conditions.names), *(PUBLISHED if weights else ())) if only is None else only:
        task = Task(world, held_out, options, out, _prefixed(report, name), worlds, reader, shared)
        begun = time.perf_counter()
        record["figures"].pop(name, None)
        record["unavailable"].pop(name, None)
        try:
            record["figures"][name] = MEASURES[name](task)
        except Unavailable as reason:
            record["unavailable"][name] = str(reason)
            report(f"{name}: not measured: {reason}")
        record["seconds"][name] = round(time.perf_counter() - begun, 1)
        record["targets"] = judge(record["figures"])
        _write(record, out / "figures.json")  # after each: an interruption loses one figure at most
    write_report(out, record)
    return record


def _keep(record: dict[str, Any], path: Path) -> None:
    """Takes over the figures measured before, if they are of the same checkpoint, clips and sizes."""
    record["targets"] = []
    if not path.exists():
        return
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is damaged ({error}): delete it or choose another --out") from error
    same = all(earlier.get(key) == record[key] for key in ("data", "options")) and (
        earlier.get("checkpoint", {}).get("sha256") == record["checkpoint"]["sha256"]
    )
    if same:
        for key in ("figures", "unavailable", "seconds"):
            record[key] = earlier[key]
        record["targets"] = judge(record["figures"])


def _write(record: dict[str, Any], path: Path) -> None:
    temporary = path.with_suffix(".json.tmp")
    temporary.write_text(json.dumps(record, indent=1, allow_nan=False), encoding="utf-8")
    os.replace(temporary, path)


def _prefixed(report: Report, name: str) -> Report:
    return lambda text: report(f"{name}: {text}")
