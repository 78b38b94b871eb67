"""Lip sync: does the mouth open when the sound says so, at the right time, and close when it must?

The aperture that is read from generated frames is compared with the true one of the clip, and with that under
controls: the sound of *another* clip, the clip's own sound *moved* by some seconds, and *silence*. A model whose mouth
follows the sound agrees with the truth under the clip's own sound alone.

Shapes: T frames, L lags.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodel.evaluation.figure import Task
from worldmodel.evaluation.heads import plots
from worldmodel.evaluation.heads.curves import LAGS, correlation, lagged
from worldmodel.evaluation.heads.network import Reading
from worldmodel.evaluation.heads.streams import SHOWN_STEP, Told, as_told, draw_shown, perform
from worldmodel.evaluation.heads.truth import CLOSED, closures, language, talks
from worldmodel.evaluation.options import Unavailable
from worldmodel.evaluation.scripts import Action
from worldmodel.evenly import evenly


def measure(task: Task) -> dict[str, Any]:
    """Compares mouths.

    Returns:
        generated, rendered (what the reader makes of the recorded frames: the most that could be reached): each as
        `compare`, with "closed" as `closures`; controls: {"shuffled" | "shifted" | "silent": {"r", ...}}; languages:
        {name: {"r", "lag", "num_clips", "held_out"}}; gap: how much lower r is in languages kept out of training;
        reader: how well it reads.

    Raises:
        Unavailable: if there is no such head, or nobody speaks in the clips.
    """
    task.needs_head("audio")
    performance = as_told(task)
    told = [each for each in performance.told if talks(task, each.clip)]
    if not told:
        raise Unavailable(
            "nobody speaks in the clips, or their sound is missing: record more with python -m envs.record"
        )
    figures: dict[str, Any] = {"num_clips": len(told), "frames": performance.frames, "lags": list(LAGS)}
    everyone = [each.truth for each in performance.told]
    for source in ("generated", "rendered"):
        mouths = [getattr(each, source).aperture for each in told]
        figures[source] = compare(mouths, [each.truth.aperture for each in told])
        figures[source]["closed"] = closures([getattr(each, source).aperture for each in performance.told], everyone)
    figures["languages"] = _languages(task, told)
    figures["gap"] = _gap(figures["languages"])
    figures["controls"] = _controls(task, told)
    figures["reader"] = {"source": performance.reader.source, **performance.reader.accuracy}
    _draw(task, figures, told)
    return figures


def compare(generated: Sequence[NDArray[np.floating]], truth: Sequence[NDArray[np.floating]]) -> dict[str, Any]:
    """Figures of the mouths of some clips.

    Args:
        generated: [T] aperture of each clip.
        truth: the same, true.

    Returns:
        r: Pearson's at lag 0, mean over the clips, r_lowest and r_highest its 10th and 90th percentile; curve: mean r
        at each lag; peak_r and lag: the highest of the curve and where; near: share of clips whose own peak is within
        a frame of 0; error: mean absolute difference; distance: at a lag, the root mean square difference of the two
        curves, each standardised, that is sqrt(2 - 2 r); its least over the lags; margin: its median over the lags
        minus its least, as SyncNet's confidence is (0 for a mouth that follows nothing, up to about 1.4).
    """
    curves = np.stack([lagged(a, b) for a, b in zip(generated, truth, strict=True)])
    now = curves[:, LAGS.index(0)]
    curve = curves.mean(0)
    distances = np.sqrt(np.maximum(0.0, 2 - 2 * curves))
    peaks = np.array(LAGS)[curves.argmax(1)]
    return {
        "r": float(now.mean()),
        "r_lowest": float(np.percentile(now, 10)),
        "r_highest": float(np.percentile(now, 90)),
        "curve": curve.round(4).tolist(),
        "peak_r": float(curve.max()),
        "lag": int(LAGS[int(curve.argmax())]),
        "near": float((abs(peaks) <= 1).mean()),
        "error": float(np.mean([abs(a - b).mean() for a, b in zip(generated, truth, strict=True)])),
        "distance": float(distances.min(1).mean()),
        "margin": float((np.median(distances, axis=1) - distances.min(1)).mean()),
    }


def with_sound(actions: Sequence[Action], sounds: Sequence[Action]) -> list[Action]:
    """Actions whose sound is that of others; where these have none, it is left out."""
    mixed = []
    for action, other in zip(actions, sounds, strict=True):
        own = {name: value for name, value in action.items() if name != "audio"}
        mixed.append(own | ({"audio": other["audio"]} if "audio" in other else {}))
    return mixed


def moved(actions: Sequence[Action], frames: int) -> list[Action]:
    """Actions whose sound comes some frames later; what falls off the end comes first."""
    later = [actions[(index - frames) % len(actions)] for index in range(len(actions))]
    return with_sound(actions, later)


def silenced(actions: Sequence[Action]) -> list[Action]:
    """Actions whose sound is silence."""
    quiet = [{"audio": np.zeros_like(action["audio"])} if "audio" in action else {} for action in actions]
    return with_sound(actions, quiet)


def _controls(task: Task, told: Sequence[Told]) -> dict[str, Any]:
    """Agreement with the truth under sounds that have nothing to do with it."""
    chosen = [told[index] for index in evenly(range(len(told)), task.options.head_controls)]
    shift = min(task.options.head_shift, len(chosen[0].actions) // 2)
    others = [*chosen[len(chosen) // 2 :], *chosen[: len(chosen) // 2]]
    scripts = {
        "shifted": [moved(each.actions, shift) for each in chosen],
        "silent": [silenced(each.actions) for each in chosen],
    }
    if len(chosen) > 1:
        scripts["shuffled"] = [
            with_sound(each.actions, other.actions) for each, other in zip(chosen, others, strict=True)
        ]
    truth = [each.truth.aperture for each in chosen]
    found: dict[str, Any] = {"num_clips": len(chosen), "shift_frames": shift}
    for name, script in scripts.items():
        read: list[Reading] = perform(task, [each.clip for each in chosen], script, name)
        mouths = [reading.aperture for reading in read]
        found[name] = {"r": _mean_r(mouths, truth), "aperture": float(np.mean([mouth.mean() for mouth in mouths]))}
        if name == "shifted":  # and where the sound now is, it must be heard
            found[name]["r_moved"] = _mean_r([mouth[shift:] for mouth in mouths], [own[:-shift] for own in truth])
            found[name]["r_truth"] = _mean_r([own[:-shift] for own in truth], [own[shift:] for own in truth])
        elif name == "silent":
            found[name]["closed"] = float(np.mean([(mouth < CLOSED).mean() for mouth in mouths]))
        else:
            found[name]["r_other"] = _mean_r(mouths, [other.truth.aperture for other in others])
            found[name]["r_truth"] = _mean_r([other.truth.aperture for other in others], truth)
    return found


def _mean_r(a: Sequence[NDArray[np.floating]], b: Sequence[NDArray[np.floating]]) -> float:
    return float(np.mean([correlation(x, y) for x, y in zip(a, b, strict=True)]))


def _languages(task: Task, told: Sequence[Told]) -> dict[str, Any]:
    groups: dict[str, list[Told]] = {}
    for each in told:
        groups.setdefault(language(task, each.clip)[0] or "not told", []).append(each)
    found = {}
    for name, members in sorted(groups.items()):
        mouths = compare([m.generated.aperture for m in members], [m.truth.aperture for m in members])
        rendered = compare([m.rendered.aperture for m in members], [m.truth.aperture for m in members])
        found[name] = {
            **{key: mouths[key] for key in ("r", "lag", "margin")},
            "r_rendered": rendered["r"],
            "num_clips": len(members),
            "held_out": language(task, members[0].clip)[1],
        }
    return found


def _gap(languages: dict[str, Any]) -> float | None:
    """r over the languages trained on, less that over those held out, by clips; songs are no language."""
    means = []
    for held_out in (False, True):
        members = [x for name, x in languages.items() if x["held_out"] == held_out and name not in ("song", "not told")]
        if not members:
            return None
        means.append(float(np.average([x["r"] for x in members], weights=[x["num_clips"] for x in members])))
    return means[0] - means[1]


def _draw(task: Task, figures: dict[str, Any], told: Sequence[Told]) -> None:
    plots.lipsync(
        task.out / "lipsync.png",
        {name: figures[name]["curve"] for name in ("generated", "rendered")},
        list(LAGS),
        [(each.truth.aperture, each.generated.aperture) for each in told[:3]],
        task.world.config.frame.fps,
    )
    draw_shown(task.out / "lipsync_sheet.png", as_told(task), lambda index: f"+{index * SHOWN_STEP} frames")
