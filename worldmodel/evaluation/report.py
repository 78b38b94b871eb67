"""One self-contained HTML page of an evaluation: verdict, figures, plots, sheets, and how it was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from worldmodel.evaluation.heads import sections
from worldmodel.evaluation.options import FIGURES
from worldmodel.evaluation.page import STYLE, picture, table
from worldmodel.evaluation.published import section

TITLES = {
    "reconstruction": "Reconstruction",
    "prediction": "Prediction",
    "control": "Control",
    "drift": "Drift",
    "memory": "Memory",
    "lipsync": "Lip sync",
    "pose": "Pose",
    "mood": "Text control",
    "turns": "Turn-taking",
    "identity": "Identity",
    "latency": "Latency",
    "published": "Published measures",
}


def write_report(out: Path, record: Mapping[str, Any]) -> Path:
    """Writes `report.html` beside the pictures that it embeds.

    Args:
        out: the evaluation's folder, with its PNG files.
        record: the content of figures.json.

    Returns:
        The page's path.
    """
    figures, unavailable = record["figures"], record["unavailable"]
    present = [name for name in FIGURES if name in figures or name in unavailable]
    body = [_head(record, present), _verdict(record["targets"])]
    for name in present:
        body.append(f'<h2 id="{name}">{TITLES[name]}</h2>')
        if name in unavailable:
            body.append(f'<p class="note">Not measured: {escape(unavailable[name])}</p>')
        else:
            body.append(SECTIONS[name](figures[name], out))
    body.append(_how(record))
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Evaluation of {escape(Path(record['checkpoint']['folder']).name)}</title><style>{STYLE}</style></head>"
        f"<body>{''.join(body)}</body></html>"
    )
    path = out / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _head(record: Mapping[str, Any], present: Sequence[str]) -> str:
    checkpoint, data = record["checkpoint"], record["data"]
    links = "".join(f'<a href="#{name}">{TITLES[name]}</a>' for name in present)
    quick = " A quick look: few starts and short streams." if record["quick"] else ""
    return (
        f"<h1>Evaluation of {escape(Path(checkpoint['folder']).name)}</h1>"
        f'<p class="soft">{escape(record["date"][:10])} · {checkpoint["parameters"] / 1e6:.1f} M parameters · '
        f"{checkpoint['frame']['height']}×{checkpoint['frame']['width']} at {checkpoint['frame']['fps']:g} Hz · "
        f"compared with {data['clips']} held-out clips ({data['frames']:,} frames) of "
        f"{escape(', '.join(data['worlds']))}.{quick}</p><nav>{links}<a href='#how'>How it was measured</a></nav>"
    )


def _verdict(targets: Sequence[Mapping[str, Any]]) -> str:
    if not targets:
        return ""
    rows = []
    for target in targets:
        mark = {
            True: '<span class="yes">reached</span>',
            False: '<span class="no">missed</span>',
            None: '<span class="soft">not measured</span>',
        }
        rows.append(
            [escape(target["what"]), escape(target["measured"]), escape(target["wanted"]), mark[target["reached"]]]
        )
    return "<h2>Verdict</h2>" + table(["", "measured", "wanted", ""], rows)


def _reconstruction(figures: Mapping[str, Any], out: Path) -> str:
    return (
        "<p>Held-out frames through the autoencoder and back: the most that any prediction can reach.</p>"
        + table(
            ["frames", "PSNR [dB]", "mean of PSNRs [dB]", "5th percentile [dB]", "SSIM"],
            [
                [
                    f"{figures['num_frames']:,}",
                    f"{figures['psnr_db']:.2f}",
                    f"{figures['psnr_mean_db']:.2f}",
                    f"{figures['psnr_5th_percentile_db']:.2f}",
                    f"{figures['ssim']:.3f}",
                ]
            ],
            numbers=True,
        )
        + picture(
            out, "reconstruction_sheet", "Held-out frames (above) and what the autoencoder makes of them (below)."
        )
        + picture(out, "reconstruction", "How the frames' PSNR is distributed.")
    )


def _prediction(figures: Mapping[str, Any], out: Path) -> str:
    rows = []
    for horizon, scores in figures["horizons"].items():
        cells = [f"{scores[way][key]:.{digits}f}" for key, digits in (("psnr_db", 2), ("ssim", 3)) for way in WAYS]
        rows.append([horizon, str(scores["num_starts"]), *cells])
    for horizon, why in figures["unavailable"].items():
        rows.append([horizon, "0", *[f'<span class="soft">{escape(why)}</span>' if n == 0 else "" for n in range(6)]])
    heads = [f"{key}, {way}" for key in ("PSNR", "SSIM") for way in ("model", "copy", "shuffled")]
    return (
        "<p>The model starts from true frames and then gets only the actions; each frame is compared with the rendered "
        "one. <em>Copy</em> shows the last true frame for ever; <em>shuffled</em> is the model under another clip's "
        "actions. PSNR (dB) is that of the mean squared error over all starts.</p>"
        + table(["frames", "starts", *heads], rows, numbers=True)
        + picture(out, "prediction", "Likeness to the truth over the frames predicted.")
        + picture(out, "prediction_sheet", "Truth over generated, from the same frame on under the same actions.")
    )


def _control(figures: Mapping[str, Any], out: Path) -> str:
    names = {
        "clips": "recorded clips, unseen worlds",
        "rendered": "rendered world, scripted",
        "generated": "generated, same scripts",
    }
    rows = []
    for source, label in names.items():
        if source in figures:
            for question, told in (("turn", "turn"), ("move", "walk")):
                result = figures[source][question]
                recall = ", ".join(
                    f"{name} {'–' if share is None else f'{100 * share:.0f} %'}"
                    for name, share in result["recall"].items()
                )
                rows.append([label, told, f"{100 * result['accuracy']:.1f} %", recall, f"{result['num_windows']:,}"])
    missing = _why_not(figures["truth"])
    return (
        "<p>A small inverse-dynamics network, trained on rendered clips only, sees a few frames and says which way "
        "the player turned and walked. If it reads what was told from generated clips as it does from rendered ones, "
        f"the generated world obeys. Accuracy is the mean over the classes. Walks are asked about while the view is "
        f"steady. The reader was {escape(figures['reader'])}.</p>{missing}"
        + table(["clips", "question", "accuracy", "read right, by class", "windows"], rows)
        + picture(out, "control", "What was told (rows) and what was read (columns), in percent of what was told.")
        + picture(out, "control_sheet", "One scripted walk: each action is held, standing still in between.")
    )


def _drift(figures: Mapping[str, Any], out: Path) -> str:
    rows = []
    for name, label in figures["names"].items():
        low, high = figures["range"][name]
        cells = [escape(label), f"{low:.3g} – {high:.3g}", "{:.3g} – {:.3g}".format(*figures["decoded_range"][name])]
        for streams in figures["streams"].values():
            stream = streams[name]
            style = "yes" if stream["within"] else "soft" if stream["within_decoded"] else "no"
            cells.append(f'<span class="{style}">{stream["lowest"]:.3g} – {stream["highest"]:.3g}</span>')
        rows.append(cells)
    outside = ", ".join(figures["outside"])
    verdict = f"Outside somewhere: {outside}." if outside else "None is ever outside."
    for mode, shares in figures.get("rendered_streams", {}).items():
        mean = sum(shares.values()) / len(shares)
        verdict += f" The rendered world's own streams are within the range of the others in {mean:.1%}, {mode}."
    return (
        f"<p>{figures['num_streams']} streams were played at random and as many left alone, for {figures['frames']:,} "
        f"frames. Each statistic is averaged over windows of {figures['window_frames']} frames and should stay in the "
        f"range that {figures['rendered_windows']} such windows of rendered clips span. What lies outside it, but "
        f"within that of the same clips through the autoencoder (grey), is softness, not drift. {escape(verdict)}</p>"
        + table(["statistic", "rendered clips", "the same, decoded", *figures["streams"]], rows)
        + picture(
            out,
            "drift",
            "Each line is a stream. Filled: the range of rendered clips; dotted: of these through the autoencoder.",
        )
        + picture(out, "drift_sheet", "The streams themselves.")
    )


def _memory(figures: Mapping[str, Any], out: Path) -> str:
    ways = [("rendered", "rendered world"), ("back", "back again"), ("away", "turned away"), ("elsewhere", "elsewhere")]
    rows = []
    for angle, result in figures["angles"].items():
        cells = [
            f"{result[way]['psnr_db']:.1f} / {result[way]['ssim']:.3f}" if way in result else "–" for way, _ in ways
        ]
        rows.append([f"{angle}°", str(result["frames_away"]), *cells])
    return (
        "<p>The view turns away and back again (360°: all the way round), and what it comes back to is compared with "
        "what it left: PSNR in dB / SSIM. <em>Rendered world</em> is what a perfect memory scores, <em>elsewhere</em> "
        f"what none does: another place of the same kind.</p>{_why_not(figures['truth'])}"
        + table(["turned", "frames", *(label for _, label in ways)], rows, numbers=True)
        + picture(out, "memory", "Likeness to the place that was left.")
        + picture(out, "memory_sheet", "What was left, the farthest view, and what was come back to, for each angle.")
    )


def _how(record: Mapping[str, Any]) -> str:
    machine, checkpoint, data = record["machine"], record["checkpoint"], record["data"]
    seconds = ", ".join(f"{name} {value:.0f} s" for name, value in record["seconds"].items())
    unread = f"; not read, as the checkpoint lacks it: {', '.join(data['unread'])}" if "unread" in data else ""
    rows = [
        ["date", escape(record["date"])],
        ["command", f"<code>{escape(record['command'])}</code>"],
        ["machine", escape(", ".join(f"{key} {value}" for key, value in machine.items()))],
        ["device", escape(record["device"])],
        ["checkpoint", f"<code>{escape(checkpoint['folder'])}</code>, SHA-256 <code>{checkpoint['sha256']}</code>"],
        [
            "clips",
            f"<code>{escape(data['folder'])}</code>: {data['clips']} clips of {data['shortest']} to {data['longest']} "
            f"frames, {len(data['seeds'])} seeds, {data['damaged']} damaged and skipped{escape(unread)}",
        ],
        ["time taken", escape(seconds)],
        ["sizes", escape(", ".join(f"{key} {value}" for key, value in record["options"].items()))],
    ]
    return (
        '<h2 id="how">How it was measured</h2>'
        + table(["", ""], rows)
        + '<p class="soft">All numbers are in figures.json beside this page.</p>'
    )


def _why_not(truth: Mapping[str, Any]) -> str:
    if truth.get("rendered"):
        return ""
    return f'<p class="note">The rendered world was not driven: {escape(truth.get("why", "unknown"))}</p>'


WAYS = ("model", "copy", "shuffled")
SECTIONS = {
    "reconstruction": _reconstruction,
    "prediction": _prediction,
    "control": _control,
    "drift": _drift,
    "memory": _memory,
    **sections.SECTIONS,
    "published": section.published,
}
