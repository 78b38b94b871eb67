"""The evaluation's plots. Each is one PNG with labelled axes and units; colours are told apart in grey, too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

COLOURS = {"model": "#1b6ca8", "copy": "#e08214", "shuffled": "#7a7a7a", "truth": "#2a9d5c", "warn": "#c0392b"}
LABELS = {"model": "model", "copy": "copy of the last true frame", "shuffled": "model, another clip's actions"}
SHOWN_DB = 40  # of memory: a rendered world comes back to the very picture, which is any number of dB
STYLES = {"model": "-", "copy": "--", "shuffled": ":"}
SETTINGS: dict[str, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "savefig.facecolor": "white",
}


@contextmanager
def canvas(path: Path, rows: int, columns: int, size: tuple[float, float]) -> Iterator[list[Axes]]:
    """Axes, row by row, of a figure that is written when the block ends. Opens no window whatever the backend."""
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=size, layout="constrained")
        yield list(np.atleast_1d(figure.subplots(rows, columns)).ravel())
        figure.savefig(path, dpi=120)


def histogram(path: Path, values: NDArray[np.float64], label: str) -> None:
    """The distribution of one number over frames, with its median."""
    with canvas(path, 1, 1, (6.0, 2.6)) as (ax,):
        ax.hist(values, bins=min(40, max(5, len(values) // 8)), color=COLOURS["model"], alpha=0.85)
        median = float(np.median(values))
        ax.axvline(median, color=COLOURS["warn"], lw=1.5, label=f"median {median:.1f}")
        ax.set(xlabel=label, ylabel="frames")
        ax.legend()


def prediction(path: Path, marks: NDArray[np.int64], scores: Mapping[str, NDArray[np.float64]]) -> None:
    """PSNR and SSIM over the frames predicted.

    Args:
        path: the PNG.
        marks: [M] frames after the context, counted from 1.
        scores: by way, [S, M, 2] PSNR in dB and SSIM of each start.
    """
    from worldmodel.evaluation.scores import pooled_db

    with canvas(path, 1, 2, (9.0, 3.2)) as axes:
        for way, values in scores.items():
            style: dict[str, Any] = {"color": COLOURS[way], "ls": STYLES[way], "lw": 2, "label": LABELS[way]}
            axes[0].plot(marks, [pooled_db(values[:, column, 0]) for column in range(len(marks))], **style)
            axes[1].plot(marks, values[..., 1].mean(0), **style)
            if way == "model":
                low, high = np.percentile(values[..., 1], [25, 75], axis=0)
                axes[1].fill_between(marks, low, high, color=COLOURS[way], alpha=0.15, label="model, middle half")
        for ax, label in zip(axes, ("PSNR [dB]", "SSIM"), strict=True):
            ax.set_xscale("log")
            ticks = [frame for frame in (1, 3, 10, 30, 50, 100, 300) if frame <= marks[-1]]
            ax.set_xticks(ticks, [str(frame) for frame in ticks])
            ax.minorticks_off()
            ax.set(xlabel="frames predicted", ylabel=label)
        axes[1].legend()


def confusion(path: Path, figures: Mapping[str, Any], questions: Mapping[str, Sequence[str]]) -> None:
    """What was told against what was read, for each question and each source of clips.

    Args:
        path: the PNG.
        figures: of `control`: "clips", "generated", and "rendered" where there is one.
        questions: {"turn": names, "move": names}.
    """
    titles = {"clips": "recorded clips", "rendered": "rendered, scripted", "generated": "generated, scripted"}
    sources = [source for source in titles if source in figures]
    with canvas(path, len(questions), len(sources), (3.1 * len(sources), 2.7 * len(questions))) as axes:
        for index, ax in enumerate(axes):
            (question, names), source = list(questions.items())[index // len(sources)], sources[index % len(sources)]
            result = figures[source][question]
            counts = np.array(result["confusion"], dtype=float)
            share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
            ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
            ax.grid(False)
            for row in range(3):
                for column in range(3):
                    shade = "white" if share[row, column] > 0.5 else "black"
                    ax.text(column, row, f"{100 * share[row, column]:.0f}", ha="center", va="center", color=shade)
            ax.set_xticks(range(3), names)
            ax.set_yticks(range(3), names)
            ax.set(xlabel="read [%]", ylabel="told" if index % len(sources) == 0 else "")
            ax.set_title(f"{question}, {titles[source]}: {100 * result['accuracy']:.1f} %")


def drift(
    path: Path,
    names: Mapping[str, str],
    rendered: NDArray[np.float64],
    decoded: NDArray[np.float64],
    values: Mapping[str, NDArray[np.float64]],
    window: int,
) -> None:
    """Each statistic of the streams over time, in the bands that rendered clips span.

    Args:
        path: the PNG.
        names: S statistics, short name to label.
        rendered: [2, S] the band of the clips.
        decoded: [2, S] the band of the clips through the autoencoder.
        values: by mode, [B, num_windows, S].
        window: frames of a window.
    """
    colours = (COLOURS["model"], COLOURS["copy"])
    columns = 3
    rows = -(-len(names) // columns)
    with canvas(path, rows, columns, (3.4 * columns, 2.2 * rows)) as axes:
        for index, label in enumerate(names.values()):
            ax = axes[index]
            ax.axhspan(*rendered[:, index], color=COLOURS["truth"], alpha=0.14, label="rendered clips")
            ax.axhspan(*decoded[:, index], fill=False, ec=COLOURS["truth"], ls=":", label="the same, decoded")
            for (mode, streams), colour, line in zip(values.items(), colours, ("-", "--"), strict=True):
                times = (np.arange(streams.shape[1]) + 0.5) * window
                for row, stream in enumerate(streams):
                    ax.plot(
                        times, stream[:, index], line, color=colour, lw=1, alpha=0.8, label=mode if row == 0 else None
                    )
            ax.set_title(label)
            ax.set_xlabel("frame")
        axes[0].legend(fontsize=7)
        for ax in axes[len(names) :]:
            ax.set_axis_off()


def memory(path: Path, angles: Mapping[str, Mapping[str, Any]]) -> None:
    """Likeness to the place that was left, by the angle turned away from it."""
    ways = {
        "rendered": ("rendered world", COLOURS["truth"], "-"),
        "back": ("generated, back again", COLOURS["model"], "-"),
        "away": ("generated, still turned away", COLOURS["copy"], "--"),
        "elsewhere": ("another place", COLOURS["shuffled"], ":"),
    }
    with canvas(path, 1, 2, (9.0, 3.0)) as axes:
        places = np.arange(len(angles))
        for ax, key, label in zip(
            axes, ("psnr_db", "ssim"), (f"PSNR to the place left [dB], {SHOWN_DB} at most", "SSIM"), strict=True
        ):
            for way, (name, colour, line) in ways.items():
                known = [
                    (place, min(a[way][key], SHOWN_DB))
                    for place, a in zip(places, angles.values(), strict=True)
                    if way in a
                ]
                if known:
                    ax.plot(*zip(*known, strict=True), line, marker="o", ms=4, color=colour, label=name)
            ticks = [f"{angle}°\n{figures['frames_away']} frames" for angle, figures in angles.items()]
            ax.set_xticks(places, ticks)
            ax.set(xlabel="turned away by", ylabel=label)
        axes[1].legend()
