"""The report page's sections on talking heads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from worldmodel.evaluation.page import picture, table


def lipsync(figures: Mapping[str, Any], out: Path) -> str:
    """Mouths against the truth, under the clip's own sound and under controls."""
    rows = []
    for source, label in (("generated", "generated"), ("rendered", "recorded clips, as read")):
        part = figures[source]
        shut = [_percent(part["closed"][name]["share"]) for name in ("silence", "bilabial", "open")]
        numbers = [f"{part[key]:.3f}" for key in ("r", "peak_r")]
        numbers += [f"{part['lag']:+d}", _percent(part["near"]), f"{part['margin']:.3f}", f"{part['distance']:.3f}"]
        rows.append([label, *numbers, f"{part['error']:.3f}", *shut])
    head = ["", "r", "peak r", "lag", "within 1 frame", "margin", "distance", "error"]
    head += ["closed on silence", "closed on p b m", "closed when open"]
    controls, shown = figures["controls"], []
    told = {
        "shuffled": ("another clip's sound", "r_other", "with that clip's mouth"),
        "shifted": (f"sound moved by {controls['shift_frames']} frames", "r_moved", "where the sound now is"),
        "silent": ("silence", "closed", "share of closed frames"),
    }
    for name, (label, key, what) in told.items():
        if name in controls:
            truth = f"{controls[name]['r_truth']:.3f}" if "r_truth" in controls[name] else "0"
            shown.append([label, f"{controls[name]['r']:.3f}", truth, f"{controls[name][key]:.3f} {what}"])
    languages = [
        [
            escape(name) + (" (held out)" if part["held_out"] else ""),
            str(part["num_clips"]),
            *(f"{part[key]:.3f}" for key in ("r", "r_rendered", "margin")),
            f"{part['lag']:+d}",
        ]
        for name, part in figures["languages"].items()
    ]
    return (
        f"<p>{figures['num_clips']} held-out clips with speech were performed anew from their first picture. The "
        "mouth's aperture, read from the pictures by a small network, is compared with the truth: Pearson's r (mean "
        "over the clips), the lag at which it peaks (above 0: the mouth is late), and how far the two are apart there. "
        "<em>Distance</em> is the least root mean square difference of the standardised curves over the lags, "
        "<em>margin</em> its median minus its least, as SyncNet's confidence is.</p>"
        + table(head, rows, numbers=True)
        + "<p>Controls: agreement with the clip's own truth under sounds that have nothing to do with it. A perfect "
        "mouth would score what stands beside.</p>"
        + table(["sound", "r with the truth", "perfect mouth", ""], shown)
        + table(["language", "clips", "r", "r as read from recorded clips", "margin", "lag"], languages, numbers=True)
        + _reader(figures["reader"])
        + picture(out, "lipsync", "Agreement over the lag, and three mouths over time.")
        + _sheet(
            out, "lipsync_sheet", "Truth over generated, every second frame of the liveliest stretch of some clips."
        )
    )


def pose(figures: Mapping[str, Any], out: Path) -> str:
    """Joints against where they were told to be."""
    names = {"generated": "generated", "rendered": "recorded clips, as read", "still": "head held still"}
    rows = [
        [label, *(f"{100 * figures[name][key]:.2f} %" for key in ("mean", "p95")), f"{figures[name]['px']:.2f}"]
        for name, label in names.items()
    ]
    return (
        f"<p>Distance of the joints from the key points given, in {figures['num_frames']:,} frames of "
        f"{figures['num_clips']} clips, as read from the pictures; joints outside the picture are not asked about.</p>"
        + table(["", "mean, of the width", "95th percentile", "mean in pixels"], rows, numbers=True)
        + picture(out, "pose", "Over the clips' time, and by joint.")
        + _sheet(out, "pose_sheet", "Truth over generated; the dots are where the joints were told to be.")
    )


def mood(figures: Mapping[str, Any], out: Path) -> str:
    """Moods told and read."""
    names = {
        "told": f"each mood told anew to {figures['num_clips']} heads",
        "worded": "the same in any words that the clips have",
        "recorded": "clips performed anew under their own captions",
        "rendered": "recorded clips: how well the reader reads",
    }
    rows = [
        [label, _percent(figures[name]["accuracy"]), str(figures[name]["num_stretches"])]
        for name, label in names.items()
    ]
    return (
        f"<p>Heads are told one mood after another, each for {figures['hold_frames']} frames, whatever their first "
        "picture showed; after a second the reader says what it sees.</p>"
        + table(["", "read as told", "stretches"], rows, numbers=True)
        + picture(out, "mood", "What was told (rows) and what was read (columns), in percent of what was told.")
        + _sheet(out, "mood_sheet", "The last frame of each mood.")
    )


def turns(figures: Mapping[str, Any], out: Path) -> str:
    """Mouths in both turns."""
    names = {"generated": "generated", "rendered": "recorded clips, as read", "truth": "truth"}
    rows = []
    for source, label in names.items():
        for turn, told in (("other", "the other speaks"), ("own", "it speaks")):
            part = figures[source][turn]
            numbers = ["–" if part[key] is None else f"{part[key]:.3f}" for key in ("aperture", "movement")]
            rows.append([label, told, *numbers, _percent(part["closed"]), f"{part['num_frames']:,}"])
    return (
        f"<p>The mouth in {figures['num_clips']} clips in which the other one speaks: its mean aperture, its mean "
        "change from frame to frame, and how often it is closed.</p>"
        + table(["", "turn", "aperture", "movement", "closed", "frames"], rows)
        + picture(out, "turns", "A conversation.")
    )


def identity(figures: Mapping[str, Any], out: Path) -> str:
    """Unlikeness to the person's recorded clip over time."""
    rows = [
        [f"at {mark} s", f"{part['who']:.4f}", f"{part['colour']:.2f} %"] for mark, part in figures["marks"].items()
    ]
    slopes = [figures[f"slope_{name}"] for name in ("who", "colour")]
    if None not in slopes:
        rows.append(["slope per minute", f"{slopes[0]:+.4f}", f"{slopes[1]:+.2f} %"])
    for source, label in (
        ("rendered", "recorded clips, against another part of themselves"),
        ("others", "recorded clips, against another person"),
    ):
        if source in figures:
            rows.append([label, f"{figures[source]['who']:.4f}", f"{figures[source]['colour']:.2f} %"])
    flicker = figures["flicker"]
    still = (
        f"Where recorded clips are still, they change by {flicker['rendered']:.2f} levels of 255 from frame to frame, "
        f"generated ones by {flicker['generated']:.2f}."
        if flicker
        else "No clip's pose is given all along: flicker was not measured."
    )
    return (
        f"<p>{figures['num_streams']} streams of {figures['num_frames']:,} frames follow their clip's conditions over "
        "and over. Five seconds at a time, what the reader sees of the person (1 − cosine) and the colours of the "
        f"face, cut out upright, are compared with the person's recorded clip. {still}</p>"
        + table(["", "person", "colours"], rows, numbers=True)
        + picture(out, "identity", "Means over five seconds and all streams.")
        + _sheet(out, "identity_sheet", "The streams themselves.")
    )


def latency(figures: Mapping[str, Any], out: Path) -> str:
    """Times of chunks."""
    names = {
        "first_ms": "a chunk's sound complete, to its first frame",
        "all_ms": "to its last frame",
        "sound_to_first_ms": "a chunk's first sound, to its first frame",
    }
    rows = [[label, *(f"{figures[name][key]:.0f}" for key in ("p50", "p95", "max"))] for name, label in names.items()]
    parts = ", ".join(f"{part} {times['p50']:.0f}" for part, times in figures["parts"].items())
    return (
        f"<p>One stream alone, {figures['num_chunks']:,} chunks ({figures['seconds']:,.0f} s) of "
        f"{figures['chunk_frames']} frames, which last {figures['chunk_ms']:.0f} ms: {figures['misses']} took longer. "
        f"Medians of the parts, in ms: {escape(parts)}. The machine's load was {figures['load'][0]:g} before "
        f"and {figures['load'][1]:g} after.</p>"
        + table(["ms", "median", "95th percentile", "longest"], rows, numbers=True)
        + picture(out, "latency", "Every chunk.")
    )


def _reader(figures: Mapping[str, Any]) -> str:
    rows = []
    for name, label in (("rendered", "held-out clips"), ("decoded", "the same through the autoencoder")):
        part = figures[name]
        r = "–" if part["aperture_r"] is None else f"{part['aperture_r']:.3f}"
        pose = _percent(part["pose_error"], 2)
        shut = [_percent(part["closed"][kind]["share"]) for kind in ("silence", "bilabial")]
        numbers = [
            r,
            f"{part['aperture_error']:.3f}",
            *shut,
            pose,
            _percent(part["mood_accuracy"]),
            f"{part['who_same']:.3f}",
        ]
        numbers.append("–" if part["who_other"] is None else f"{part['who_other']:.3f}")
        rows.append([label, *numbers])
    head = [
        "what the reader sees",
        "aperture r",
        "aperture error",
        "closed on silence",
        "on p b m",
        "joints, of the width",
        "mood of a frame",
    ]
    return f"<p>How well the reader reads what it has not learned from ({escape(figures['source'])}):</p>" + table(
        [*head, "likeness, same person", "another"], rows, numbers=True
    )


def _sheet(out: Path, name: str, caption: str) -> str:
    """A contact sheet, where there was something to show."""
    return picture(out, name, caption) if (out / f"{name}.png").exists() else ""


def _percent(share: float | None, digits: int = 1) -> str:
    return "–" if share is None else f"{100 * share:.{digits}f} %"


SECTIONS: dict[str, Callable[[Mapping[str, Any], Path], str]] = {
    "lipsync": lipsync,
    "pose": pose,
    "mood": mood,
    "turns": turns,
    "identity": identity,
    "latency": latency,
}
