"""What a small talking head's checkpoint should reach, and whether it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worldmodel.evaluation.target import Target

AGREEMENT, LAG = 0.8, 1  # Pearson's r of the mouth, and the frames by which its peak may be off
CHANCE = 0.15  # |r| below which a control agrees by chance only
CLOSED = 0.95
LANGUAGE_GAP = 0.1
POSE = 0.03  # of the picture's width
MOOD = 0.85
IDENTITY = 1.2  # times the unlikeness at 10 s, at 4 minutes
LONGEST_MS, P95_MS, FIRST_MS = 480.0, 400.0, 600.0
READ_APERTURE, READ_POSE = 0.97, 0.015  # below these the reader itself would be in the way


def judge(figures: Mapping[str, Any]) -> list[Target]:
    """Compares the figures of heads with their targets; figures that were not measured are left out."""
    lines: list[Target] = []
    for name, lines_of in JUDGES.items():
        if name in figures:
            lines += lines_of(figures[name])
    return lines


def _lipsync(figures: Mapping[str, Any]) -> list[Target]:
    made = figures["generated"]
    lines = [
        _least("lipsync", "mouth against the truth, Pearson's r", made["r"], AGREEMENT),
        Target(
            "lipsync",
            "lag of the peak",
            f"{made['lag']:+d} frames",
            f"within {LAG} frame",
            abs(made["lag"]) <= LAG,
        ),
        _least("lipsync", "mouth closed on silence", made["closed"]["silence"]["share"], CLOSED, percent=True),
        _least("lipsync", "mouth closed on p, b and m", made["closed"]["bilabial"]["share"], CLOSED, percent=True),
    ]
    sounds = {"shuffled": "another clip's sound", "shifted": "moved sound", "silent": "silence"}
    for name, sound in sounds.items():
        value = figures["controls"].get(name, {}).get("r")
        what, wanted = f"agreement with the truth under {sound}, r", f"|r| < {CHANCE:g}"
        if value is None:
            lines.append(Target("lipsync", what, "not measured", wanted, None))
        else:
            lines.append(Target("lipsync", what, f"{value:.3f}", wanted, abs(value) < CHANCE))
    gap = figures["gap"]
    what, wanted = "r in a language not trained on", f"at most {LANGUAGE_GAP:g} lower"
    if gap is None:
        lines.append(Target("lipsync", what, "no such clips, or no others", wanted, None))
    else:
        lines.append(
            Target("lipsync", what, f"{abs(gap):.3f} {'lower' if gap > 0 else 'higher'}", wanted, gap <= LANGUAGE_GAP)
        )
    for name, label in (("rendered", "held-out clips"), ("decoded", "the same, decoded")):
        read = figures["reader"][name]
        lines.append(_least("lipsync", f"the reader itself, {label}, r", read["aperture_r"], READ_APERTURE))
    return lines


def _pose(figures: Mapping[str, Any]) -> list[Target]:
    return [
        _most("pose", "joints from where they were told to be", figures["generated"]["mean"], POSE),
        _most("pose", "the reader itself, recorded clips", figures["rendered"]["mean"], READ_POSE),
    ]


def _mood(figures: Mapping[str, Any]) -> list[Target]:
    names = {"told": "mood read back, told anew", "rendered": "the reader itself, mood in recorded clips"}
    return [_least("mood", what, figures[name]["accuracy"], MOOD, percent=True) for name, what in names.items()]


def _turns(figures: Mapping[str, Any]) -> list[Target]:
    made = figures["generated"]["other"]["closed"]
    return [_least("turns", "mouth closed while the other speaks", made, CLOSED, percent=True)]


def _identity(figures: Mapping[str, Any]) -> list[Target]:
    ratio, wanted = figures["ratio"], f"≤ {IDENTITY:g} × that at 10 s"
    what = "unlikeness to the person at 4 minutes"
    if ratio is None:
        return [Target("identity", what, "not measured", wanted, None)]
    return [Target("identity", what, f"{ratio:.2f} ×", wanted, ratio <= IDENTITY)]


def _latency(figures: Mapping[str, Any]) -> list[Target]:
    every, first = figures["all_ms"], figures["sound_to_first_ms"]
    minutes = figures["seconds"] / 60
    limits = (
        ("longest chunk", every["max"], min(LONGEST_MS, figures["chunk_ms"])),
        ("chunks, 95th percentile", every["p95"], P95_MS),
        ("first sound to first frame, longest", first["max"], FIRST_MS),
    )
    lines = [
        Target("latency", what, f"{value:.0f} ms", f"≤ {limit:.0f} ms", value <= limit) for what, value, limit in limits
    ]
    long = minutes >= 10
    reached = False if figures["misses"] else True if long else None
    measured = f"{figures['misses']} in {minutes:.1f} minutes"
    return [*lines, Target("latency", "chunks that missed their deadline", measured, "none in 10 minutes", reached)]


def _least(figure: str, what: str, value: float | None, least: float, percent: bool = False) -> Target:
    wanted = f"≥ {100 * least:.0f} %" if percent else f"≥ {least:g}"
    if value is None:
        return Target(figure, what, "not measured", wanted, None)
    return Target(figure, what, f"{100 * value:.1f} %" if percent else f"{value:.3f}", wanted, value >= least)


def _most(figure: str, what: str, value: float, most: float) -> Target:
    return Target(figure, what, f"{100 * value:.2f} % of the width", f"≤ {100 * most:g} %", value <= most)


JUDGES = {
    "lipsync": _lipsync,
    "pose": _pose,
    "mood": _mood,
    "turns": _turns,
    "identity": _identity,
    "latency": _latency,
}
