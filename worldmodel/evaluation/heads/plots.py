"""The plots of talking heads, in the manner of the others.

Shapes: T frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodel.evaluation.plots import COLOURS, canvas

NAMES = {"generated": "generated", "rendered": "recorded, as read", "truth": "truth"}
SHADES = {"generated": COLOURS["model"], "rendered": COLOURS["truth"], "truth": COLOURS["truth"]}
LINES = {"generated": "-", "rendered": "--", "truth": "--"}
Curves = tuple[NDArray[np.floating], NDArray[np.floating]]


def lipsync(
    path: Path, curves: Mapping[str, Sequence[float]], lags: Sequence[int], mouths: Sequence[Curves], fps: float
) -> None:
    """Agreement over the lag, and some mouths over time.

    Args:
        path: the PNG.
        curves: by source, mean r at each lag.
        lags: in frames.
        mouths: (true, generated) aperture [T] of some clips.
        fps: frames per second.
    """
    with canvas(path, 1 + len(mouths), 1, (9.0, 2.4 + 1.5 * len(mouths))) as axes:
        for name, curve in curves.items():
            axes[0].plot(lags, curve, LINES[name], marker="o", ms=3, color=SHADES[name], label=NAMES[name])
        axes[0].axvspan(-1, 1, color=COLOURS["truth"], alpha=0.1)
        axes[0].set(xlabel="frames by which the mouth is too late", ylabel="Pearson's r")
        axes[0].legend()
        for ax, (true, made) in zip(axes[1:], mouths, strict=True):
            seconds = (np.arange(len(true)) + 1) / fps
            ax.plot(seconds, true, LINES["truth"], color=SHADES["truth"], label=NAMES["truth"])
            ax.plot(seconds, made, LINES["generated"], color=SHADES["generated"], label=NAMES["generated"])
            ax.set(ylabel="aperture", ylim=(-0.05, 1.05))
        axes[-1].set_xlabel("seconds")
        if mouths:
            axes[1].legend(fontsize=7)


def pose(path: Path, figures: Mapping[str, Any]) -> None:
    """Distance of the joints over the clips' time, and by joint."""
    with canvas(path, 1, 2, (9.0, 3.0)) as axes:
        seconds, means = zip(*figures["seconds"], strict=True)
        axes[0].plot(seconds, 100 * np.array(means), color=SHADES["generated"], label=NAMES["generated"])
        for name, line in (("rendered", "--"), ("still", ":")):
            label = NAMES.get(name, "head held still")
            shade = SHADES.get(name, COLOURS["shuffled"])
            axes[0].axhline(100 * figures[name]["mean"], ls=line, color=shade, label=label)
        axes[0].set(xlabel="seconds", ylabel="distance [% of the width]", ylim=(0, None))
        axes[0].legend(fontsize=7)
        known = {name: value for name, value in figures["joints"].items() if value is not None}
        axes[1].barh(
            [name.replace("_", " ") for name in known], [100 * v for v in known.values()], color=COLOURS["model"]
        )
        axes[1].set_xlabel("distance [% of the width]")


def mood(path: Path, figures: Mapping[str, Any]) -> None:
    """What was told against what was read."""
    titles = {
        "told": "told anew",
        "worded": "in any words",
        "recorded": "as recorded, generated",
        "rendered": "recorded clips",
    }
    names = [figures["moods"].get(str(index), str(index)) for index in range(len(figures["told"]["confusion"]))]
    with canvas(path, 1, len(titles), (4.0 * len(titles), 3.8)) as axes:
        for ax, (source, title) in zip(axes, titles.items(), strict=True):
            counts = np.array(figures[source]["confusion"], float)
            share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
            ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
            ax.grid(False)
            for row, column in zip(*np.nonzero(counts), strict=True):
                shade = "white" if share[row, column] > 0.5 else "black"
                text = f"{100 * share[row, column]:.0f}"
                ax.text(column, row, text, ha="center", va="center", color=shade, fontsize=7)
            ax.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=7)
            ax.set_yticks(range(len(names)), names, fontsize=7)
            accuracy = figures[source]["accuracy"]
            ax.set(xlabel="read [%]", ylabel="told" if source == "told" else "")
            ax.set_title(f"{title}: " + ("–" if accuracy is None else f"{100 * accuracy:.0f} %"))


def turns(path: Path, mouths: Curves, speaks: Sequence[NDArray[np.bool_]], fps: float) -> None:
    """A conversation: who speaks, and the mouth.

    Args:
        path: the PNG.
        mouths: (true, generated) aperture [T].
        speaks: when it speaks itself and when the other does, [T] each.
        fps: frames per second.
    """
    seconds = (np.arange(len(mouths[0])) + 1) / fps
    with canvas(path, 1, 1, (9.0, 2.8)) as (ax,):
        for spoken, colour, label in zip(speaks, (COLOURS["model"], COLOURS["copy"]), ("it", "the other"), strict=True):
            ax.fill_between(
                seconds,
                0,
                1.05,
                where=spoken.tolist(),
                step="mid",
                color=colour,
                alpha=0.15,
                lw=0,
                label=f"{label} speaks",
            )
        for name, mouth in zip(("truth", "generated"), mouths, strict=True):
            ax.plot(seconds, mouth, LINES[name], color=SHADES[name], label=NAMES[name])
        ax.set(xlabel="seconds", ylabel="aperture")
        ax.legend(fontsize=7, ncols=4)


def identity(path: Path, figures: Mapping[str, Any]) -> None:
    """Unlikeness to the person's recorded clip over the time of long streams."""
    with canvas(path, 1, 2, (9.0, 3.0)) as axes:
        for ax, name, label in zip(
            axes,
            ("who", "colour"),
            ("unlikeness of the person [1 − cosine]", "colours of the face [% of full scale]"),
            strict=True,
        ):
            minutes = np.array(figures["seconds"]) / 60
            ax.plot(minutes, figures[name], color=COLOURS["model"], label="generated")
            for source, line, colour, told in (
                ("rendered", "--", "truth", "recorded clips"),
                ("others", ":", "shuffled", "another person"),
            ):
                if source in figures:
                    ax.axhline(figures[source][name], ls=line, color=COLOURS[colour], label=told)
            ax.set(xlabel="minutes", ylabel=label, ylim=(0, None))
        axes[0].legend(fontsize=7)


def latency(path: Path, first_ms: Sequence[float], all_ms: Sequence[float], lasts_ms: float) -> None:
    """How long every chunk took.

    Args:
        path: the PNG.
        first_ms, all_ms: from each chunk's conditions to its first and to its last frame.
        lasts_ms: how long a chunk may take.
    """
    with canvas(path, 1, 2, (9.0, 3.0)) as axes:
        minutes = np.arange(len(all_ms)) * lasts_ms / 60_000
        for times, shade, label in ((all_ms, "model", "last frame"), (first_ms, "copy", "first frame")):
            axes[0].plot(minutes, times, ".", ms=2, color=COLOURS[shade], label=label)
            axes[1].hist(times, bins=40, color=COLOURS[shade], alpha=0.7, label=label)
        axes[0].axhline(lasts_ms, color=COLOURS["warn"], ls="--", label="deadline")
        axes[1].axvline(lasts_ms, color=COLOURS["warn"], ls="--")
        axes[0].set(xlabel="minutes of the stream", ylabel="ms after the chunk's sound", ylim=(0, None))
        axes[1].set(xlabel="ms after the chunk's sound", ylabel="chunks")
        axes[0].legend(fontsize=7)
