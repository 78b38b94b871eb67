"""Figures of a run."""

from __future__ import annotations

import time

import pytest

from player.stats import WARM_UP, Stats


def test_percentiles_and_rate() -> None:
    stats = Stats(launched=time.perf_counter() - 3)
    stats.first_frame()
    for index in range(1, 101):
        stats.add(index / 1000)
    figures = stats.figures()
    assert figures.frames == stats.frames == 100
    assert figures.p50_ms == pytest.approx(50.5)
    assert figures.p95_ms == pytest.approx(95.05)
    assert figures.max_ms == pytest.approx(100)
    assert 3 <= figures.first_frame_s < 4
    assert figures.fps == pytest.approx(100 / figures.seconds)
    assert stats.recent_ms == pytest.approx(90.5)
    assert set(figures.as_dict()) >= {"fps", "p50_ms", "p95_ms", "first_frame_s"}
    assert "p95 95.0 ms" in str(figures) or "p95 95.1 ms" in str(figures)


def test_memory_growth_is_told_after_the_warm_up() -> None:
    stats = Stats()
    stats.first_frame()
    stats.add(0.01)
    assert stats.figures().memory_growth_mb is None
    for _ in range(WARM_UP):
        stats.add(0.01)
    if stats.figures().memory_mb is None:
        pytest.skip("this system does not tell a process's memory")
    kept = bytearray(64 << 20)
    growth = stats.figures().memory_growth_mb
    assert growth is not None and growth > 32
    del kept


def test_a_run_without_a_step_has_no_rate() -> None:
    stats = Stats()
    stats.first_frame()
    assert (stats.figures().fps, stats.figures().frames, stats.recent_ms) == (0, 0, 0)
