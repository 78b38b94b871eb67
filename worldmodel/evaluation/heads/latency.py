"""Latency: how long after a sound the face moves, and whether the stream ever falls behind.

One stream alone, as someone would talk to it, as fast as it goes. A chunk's conditions are complete when its last
frame's sound has come; from then on the time is taken, to its first frame and to its last. A chunk that takes longer
than it lasts misses its deadline.

Shapes: F frames per chunk.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from worldmodel.evaluation.figure import Task
from worldmodel.evaluation.heads import plots
from worldmodel.evaluation.heads.identity import looped
from worldmodel.evaluation.heads.truth import talks, truth_of
from worldmodel.evaluation.heldout import Place
from worldmodel.evaluation.options import Unavailable
from worldmodel.evaluation.rollout import known_actions, open_session

WARM_UP = 3  # chunks before the clock starts: memory is allocated, kernels are chosen


def measure(task: Task) -> dict[str, Any]:
    """Takes the time of a long stream.

    Returns:
        chunk_ms: how long a chunk lasts and may take; first_ms, all_ms: {"p50", "p95", "max"} from a chunk's conditions
        to its first and its last frame; sound_to_first_ms: the same from a chunk's first sound to its first frame, on
        average half a chunk less for the sounds in it; misses: chunks that took longer than they last; parts: ms of
        each part of a chunk; warm_up_ms: of the chunks before; load: the machine's load average before and after, 1
        being one busy core; num_chunks.

    Raises:
        Unavailable: if there is no such head.
    """
    task.needs_head("audio")
    truth_of(task, 0)
    clip = next((clip for clip in range(len(task.held_out)) if talks(task, clip)), None)
    if clip is None:
        raise Unavailable(
            "nobody speaks in the clips, or their sound is missing: record more with python -m envs.record"
        )
    size, fps = task.world.config.layout.chunk_frames, task.world.config.frame.fps
    count = task.options.head_chunks
    names = set(task.world.conditions.names)
    script = known_actions(looped(task.held_out.actions_of(clip), size * (WARM_UP + count)), names)
    session = open_session(task.world, [task.held_out.start(Place(clip, 0, 1), 1)], task.options.seed)
    load = [os.getloadavg()[0]]
    first_ms, all_ms = [], []
    for chunk in range(WARM_UP + count):
        begun = time.perf_counter()
        coming = session.stream_chunk(script[chunk * size : (chunk + 1) * size])
        next(coming)
        first_ms.append(1000 * (time.perf_counter() - begun))
        for _ in coming:
            pass
        all_ms.append(1000 * (time.perf_counter() - begun))
        if (chunk + 1) % 100 == 0:
            task.report(f"chunk {chunk + 1 - WARM_UP}/{count}, the last took {all_ms[-1]:.0f} ms")
    load.append(os.getloadavg()[0])
    lasts = 1000 * size / fps
    figures = {
        "chunk_ms": lasts,
        "chunk_frames": size,
        "first_ms": spans(first_ms[WARM_UP:]),
        "all_ms": spans(all_ms[WARM_UP:]),
        "sound_to_first_ms": spans([lasts + ms for ms in first_ms[WARM_UP:]]),
        "misses": int(np.sum(np.array(all_ms[WARM_UP:]) > lasts)),
        "warm_up_ms": [round(ms, 1) for ms in all_ms[:WARM_UP]],
        "parts": session.latency.summary(),
        "load": [round(value, 2) for value in load],
        "num_chunks": count,
        "seconds": round(count * lasts / 1000, 1),
    }
    plots.latency(task.out / "latency.png", first_ms[WARM_UP:], all_ms[WARM_UP:], lasts)
    return figures


def spans(times_ms: Sequence[float]) -> dict[str, float]:
    """Median, 95th percentile and longest of some times."""
    low, high = np.percentile(times_ms, [50, 95])
    return {"p50": float(low), "p95": float(high), "max": float(max(times_ms))}
