"""Sound and picture side by side for an hour, on a loudspeaker whose crystal is off, in simulated time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np
import pytest

from player.live import Ahead, lead_of
from player.sound import GONE_S, Fill, Loudspeaker, Silent

FPS = 12.5
FRAME_S = 1 / FPS
BLOCK = 1024
LATENCY_S = 0.04


class Desk:
    """A computer with a loudspeaker, in simulated time.

    Args:
        drift: how much faster the loudspeaker's crystal runs than the computer's.
    """

    def __init__(self, drift: float) -> None:
        self.now, self.rate = 0.0, 16000 * (1 + drift)
        self.rng = np.random.default_rng(0)
        self.blocks = 0  # asked for
        self.heard: list[tuple[float, float]] = []  # when a block begins to be heard, and the film's time that is in it
        self.plugged = True
        self.jitter = 0.0
        self.work: tuple[float, Callable[[], None]] | None = None  # of the other thread: when it is done, and what

    def open(self, channels: int, fill: Fill) -> tuple[Desk, float]:
        self.fill, self.channels = fill, channels
        return self, LATENCY_S

    @property
    def active(self) -> bool:
        return self.plugged

    def close(self) -> None:
        self.plugged = False

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Time passes: blocks are asked for, a little late as devices do, and work in the other thread gets done."""
        until = self.now + seconds
        while True:
            block = self.blocks * BLOCK / self.rate + self.jitter if self.plugged else np.inf
            done = self.work[0] if self.work else np.inf
            if min(block, done) > until:
                break
            self.now = max(self.now, min(block, done))
            if done <= block:
                assert self.work is not None
                work, self.work = self.work[1], None
                work()
            else:
                self._ask()
        self.now = until

    def _ask(self) -> None:
        out = np.zeros((BLOCK, self.channels), np.float32)
        self.fill(out)
        filled = np.flatnonzero(out[:, 0])
        if len(filled):  # the film's time is written into its samples
            when = (self.blocks * BLOCK + filled[0]) / self.rate + LATENCY_S
            self.heard.append((when, float(out[filled[0], 0]) * SCALE_S))
        self.blocks += 1
        self.jitter = float(self.rng.uniform(0, 0.004))


SCALE_S = 8192.0  # a sample of value v is heard at v times this, in the film's seconds


class Thread(Executor):
    """A thread of simulated time: what is submitted is done when its time is over, and others go on meanwhile."""

    def __init__(self, desk: Desk, duration: Callable[[], float]) -> None:
        self.desk, self.duration = desk, duration

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.desk.work = (self.desk.now + self.duration(), lambda: future.set_result(fn(*args, **kwargs)))
        return future


def film(frame: int) -> np.ndarray:
    """The sound of a frame [1280, 1]: every sample says at which second of the film it stands."""
    return ((frame * 1280 + np.arange(1, 1281)) / 16000 / SCALE_S).astype(np.float32)[:, None]


def play(desk: Desk, outlet: Any, seconds: float, chunk: int = 1, stall: int = 0) -> list[tuple[float, int]]:
    """Plays a film: (when a frame is shown, its number). Chunks take 10 to 80 % of their time, some frames far more."""
    count = 0

    def step(action: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        nonlocal count
        count += 1
        return np.zeros((1, 1, 3), np.uint8), film(count - 1)

    def duration() -> float:
        if stall and count % stall == stall - 1:
            return 1.3  # something else had the processor
        return 0.0 if count % chunk else float(desk.rng.uniform(0.1, 0.8)) * FRAME_S * chunk

    shown: list[tuple[float, int]] = []
    ahead = Ahead(step, outlet, FPS, lead=lead_of(chunk - 1, FPS), executor=Thread(desk, duration))
    while desk.now < seconds:
        ahead.go_on(dict)
        ahead.look()
        if ahead.index >= 0 and (not shown or shown[-1][1] != ahead.index):
            shown.append((desk.now, ahead.index))
        desk.sleep(1 / 60)
    return shown


def skews(desk: Desk, shown: list[tuple[float, int]]) -> np.ndarray:
    """By how many seconds each frame was shown after its own sound was heard."""
    whens = np.array([when for when, _ in desk.heard])
    films = np.array([at for _, at in desk.heard])
    result = []
    for when, index in shown:
        last = np.searchsorted(whens, when, side="right") - 1
        if last < 0:
            continue
        limit = films[last + 1] if last + 1 < len(films) else np.inf
        now = min(films[last] + (when - whens[last]), limit)  # sound stands still where it waits for a frame
        result.append(now - index * FRAME_S)
    return np.array(result)


@pytest.mark.parametrize("drift", [200e-6, -200e-6])
def test_after_an_hour_picture_and_sound_are_less_than_a_frame_apart(drift: float) -> None:
    desk = Desk(drift)
    shown = play(desk, Loudspeaker(1, print, desk.open, desk.clock), 3600, stall=5000)
    skew = skews(desk, shown)
    assert len(skew) > 44_800  # of 45,000, with seconds lost in stalls
    assert np.abs(skew).max() < FRAME_S
    late, early = skew[-2000:], skew[:2000]
    assert abs(late.mean() - early.mean()) < 0.005 and np.abs(late).max() < FRAME_S / 2


def test_by_the_computers_clock_they_would_be_frames_apart() -> None:
    """That the loudspeaker has to be the clock: with another one, the test above would fail."""
    desk = Desk(-200e-6)
    speaker, silent = Loudspeaker(1, print, desk.open, desk.clock), Silent(clock=desk.clock)

    class Unsynchronised:
        seconds = property(lambda self: silent.seconds)

        def write(self, sound: np.ndarray | None, seconds: float) -> None:
            speaker.write(sound, seconds)
            silent.write(sound, seconds)

    skew = skews(desk, play(desk, Unsynchronised(), 3600))
    assert abs(skew[0]) < FRAME_S and abs(skew[-1]) > 4 * FRAME_S


def test_frames_that_come_by_chunks_are_shown_one_by_one() -> None:
    desk = Desk(0.0)
    shown = play(desk, Loudspeaker(1, print, desk.open, desk.clock), 60, chunk=6)
    assert [index for _, index in shown] == list(range(len(shown))) and len(shown) > 735
    assert np.abs(skews(desk, shown)).max() < FRAME_S


def test_a_loudspeaker_that_vanishes_does_not_stop_the_picture() -> None:
    told: list[str] = []
    desk = Desk(0.0)
    speaker = Loudspeaker(1, told.append, desk.open, desk.clock)
    count = len(play(desk, speaker, 10))
    desk.plugged = False
    more = play(desk, speaker, 30)
    assert len(told) == 1 and "the loudspeaker is gone" in told[0]
    assert count == pytest.approx(10 * FPS, abs=4) and len(more) > (20 - GONE_S - 1) * FPS


def test_without_a_loudspeaker_time_passes_only_for_what_is_there() -> None:
    now = [0.0]
    silent = Silent(clock=lambda: now[0])
    silent.write(None, 0.08)
    now[0] = 0.05
    assert silent.seconds == pytest.approx(0.05)
    now[0] = 1.0
    assert silent.seconds == pytest.approx(0.08)
    silent.write(None, 0.08)
    now[0] = 1.04
    assert silent.seconds == pytest.approx(0.12)


def test_frames_are_made_in_a_thread_while_others_are_shown() -> None:
    threads: set[str] = set()

    def step(action: dict[str, Any]) -> tuple[np.ndarray, None]:
        threads.add(threading.current_thread().name)
        if action.get("bad"):
            raise ValueError("the world does not take it")
        return np.full((1, 1, 3), action["n"], np.uint8), None

    numbers = iter(range(100))
    ahead = Ahead(step, Silent(), 100.0, lead=3)
    until = time.monotonic() + 20
    while ahead.index < 9 and time.monotonic() < until:
        ahead.go_on(lambda: {"n": next(numbers)})
        ahead.look()
        time.sleep(0.001)
    assert ahead.picture is not None and ahead.picture[0, 0, 0] == ahead.index
    assert threads and threading.current_thread().name not in threads
    ahead.settle()
    while not ahead._made or len(ahead._made) < 3:
        ahead.go_on(lambda: {"n": next(numbers)})
        ahead.settle()
    ahead.look()
    ahead.go_on(lambda: {"bad": 1, "n": 0})
    while True:
        time.sleep(0.05)
        ahead.look()
        try:
            ahead.go_on(lambda: {"bad": 1, "n": 0})
        except ValueError as error:
            assert "does not take it" in str(error)
            break
        assert time.monotonic() < until
    ahead.close()
