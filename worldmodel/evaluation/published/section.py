"""The report page's section on published measures."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from worldmodel.evaluation.page import table

NAMES = {"fid": "FID", "fvd": "FVD", "syncnet": "SyncNet", "identity": "face identity"}


def published(figures: Mapping[str, Any], out: Path) -> str:
    """What was measured, by which weights, and what the recorded clips score themselves."""
    rows = []
    if "fid" in figures:
        part = figures["fid"]
        rows.append([f"FID, {part['images']:,} images of each", f"{part['value']:.2f}", "0"])
    if "fvd" in figures:
        part = figures["fvd"]
        rows.append([f"FVD, {part['videos']:,} videos of {part['frames']} frames", f"{part['value']:.2f}", "0"])
    if "syncnet" in figures:
        part = figures["syncnet"]
        for key, what in (("lse_c", "LSE-C, higher is better"), ("lse_d", "LSE-D, lower is better")):
            rows.append(
                [f"{what}, {part['num_clips']} clips", *(f"{part[s][key]:.3f}" for s in ("generated", "recorded"))]
            )
        late = [f"{part[source]['late']:+.0f}" for source in ("generated", "recorded")]
        rows.append(["lips late, frames of 1/25 s, median", *late])
    if "identity" in figures:
        part = figures["identity"]
        for key, what in (("mean", "cosine with the first picture, mean"), ("lowest", "its 10th percentile")):
            rows.append([what, *(f"{part[source][key]:.3f}" for source in ("generated", "recorded"))])
        if part["others"] is not None:
            rows.append(["first pictures of other clips with it", "", f"{part['others']:.3f}"])
    notes = [f"{NAMES[name]} was not measured: {escape(why)}." for name, why in figures["unavailable"].items()]
    if figures.get("syncnet", {}).get("repeated", 1) != 1:
        notes.append(
            "SyncNet looks at 25 pictures a second; slower ones stand for longer, so compare with the recorded."
        )
    if figures.get("identity", {}).get("in_place", 1) < 1:
        share = figures["identity"]["in_place"]
        notes.append(
            f"{100 * share:.0f} % of the faces were put in place by key points; the others are whole pictures."
        )
    files = [
        [NAMES[name], escape(str(about["file"])), f"<code>{about['sha256'][:16]}…</code>", str(about["features"])]
        for name, about in figures["weights"].items()
    ]
    return (
        f"<p>{figures['num_clips']} held-out clips of {figures['frames']} frames, performed anew, through networks "
        "that others trained. A Fréchet distance falls with the number of pictures: compare only what was measured "
        "on as many.</p>"
        + table(["", "generated", "recorded"], rows, numbers=True)
        + "".join(f'<p class="note">{note}</p>' for note in notes)
        + table(["network", "file", "SHA-256", "features"], files)
    )
