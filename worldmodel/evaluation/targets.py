"""What a small world's checkpoint should reach, and whether it does; `heads.targets` says it of talking heads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from worldmodel.evaluation.heads import targets as heads
from worldmodel.evaluation.target import Target

RECONSTRUCTION_DB = 26.0
CONTROL = 0.85
CONTROL_TRUTH = 0.95
HORIZONS = ("1", "10", "50")


def judge(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Compares figures with their targets.

    Args:
        figures: by name, what each `measure` returned; those not measured are left out.

    Returns:
        A list of `Target` as dicts, in the order of the report.
    """
    targets: list[Target] = []
    if "reconstruction" in figures:
        value = figures["reconstruction"]["psnr_db"]
        wanted = f"≥ {RECONSTRUCTION_DB:g} dB"
        targets.append(
            Target("reconstruction", "reconstruction PSNR", f"{value:.2f} dB", wanted, value >= RECONSTRUCTION_DB)
        )
    for horizon in HORIZONS if "prediction" in figures else ():
        targets += _prediction(horizon, figures["prediction"]["horizons"].get(horizon))
    if "control" in figures:
        targets += _control(figures["control"])
    if "drift" in figures:
        drift = figures["drift"]
        total = len(drift["streams"]) * len(drift["range"])
        for suffix, clips in (("", "rendered clips"), ("_decoded", "rendered clips, sharp or decoded")):
            what = f"statistics within the range of {clips}, to frame {drift['frames']}"
            measured = f"{total - len(drift['outside' + suffix])} of {total}"
            targets.append(Target("drift", what, measured, "all", drift["within" + suffix]))
    targets += heads.judge(figures)
    return [asdict(target) for target in targets]


def _prediction(horizon: str, scores: Mapping[str, Any] | None) -> list[Target]:
    plural = "" if horizon == "1" else "s"
    lines = []
    for key, name, digits in (("psnr", "PSNR", 2), ("ssim", "SSIM", 3)):
        what = f"prediction at {horizon} frame{plural}, {name}"
        if scores is None:
            lines.append(Target("prediction", what, "not measured", "beats both", None))
            continue
        column = "psnr_db" if key == "psnr" else "ssim"
        model, copied, shuffled = (f"{scores[way][column]:.{digits}f}" for way in ("model", "copy", "shuffled"))
        wanted = f"beats copy ({copied}) and shuffled ({shuffled})"
        lines.append(Target("prediction", what, model, wanted, scores[f"beats_{key}"]))
    return lines


def _control(figures: Mapping[str, Any]) -> list[Target]:
    lines = []
    truth = ("rendered", "rendered world, same scripts")
    if "rendered" not in figures:
        truth = ("clips", "recorded clips")
    names = dict([("generated", "generated clips"), truth])
    questions = {"turn": "left / none / right", "move": "back / none / forward"}
    for source, where in names.items():
        least = CONTROL if source == "generated" else CONTROL_TRUTH
        for question, classes in questions.items():
            if source in figures:
                value = figures[source][question]["accuracy"]
                what = f"{classes} read back, {where}"
                lines.append(Target("control", what, f"{100 * value:.1f} %", f"≥ {100 * least:.0f} %", value >= least))
    return lines
