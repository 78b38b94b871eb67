"""Pictures made ahead and shown in time: while one is shown the next are made, in a thread of their own.

A world that makes its frames by chunks needs a chunk's time for the first of them and none for the rest; shown as soon
as they are made, they would jump.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from math import ceil

import numpy as np
from numpy.typing import NDArray

from player.scripts import Action
from player.sound import Outlet

SLACK_S = 0.25  # of sound kept waiting, for the blocks of the device and for steps that take longer than others
BARELY_S = 1e-6  # less than any sample lasts

Picture = NDArray[np.uint8]
Step = Callable[[Action], tuple[Picture, NDArray[np.float32] | None]]  # an action's picture, and its sound


def lead_of(delay: int, fps: float) -> int:
    """Returns how many pictures are to wait, of a world whose frames come `delay` steps late, in chunks."""
    return delay + 1 + ceil(SLACK_S * fps)


class Ahead:
    """Steps a world ahead of what is shown.

    Attributes:
        picture: the newest picture whose time has come, None before the first.
        index: its number, from 0.
    """

    def __init__(self, step: Step, outlet: Outlet, fps: float, lead: int, executor: Executor | None = None) -> None:
        """Prepares; nothing is made yet.

        Args:
            step: makes the next picture; runs in another thread, one at a time.
            outlet: where the sound goes, and the clock that pictures are shown by.
            fps: frames a second.
            lead: pictures that may wait to be shown.
            executor: runs the steps; a thread of its own by default.
        """
        self._step, self._outlet, self._frame_s, self._lead = step, outlet, 1 / fps, lead
        self._executor = ThreadPoolExecutor(1, "frames") if executor is None else executor
        self._future: Future[None] | None = None
        self._made: deque[tuple[int, Picture]] = deque()
        self._count = 0
        self.picture: Picture | None = None
        self.index = -1

    def go_on(self, next_action: Callable[[], Action]) -> None:
        """Begins to make the next picture, unless one is being made or enough of them wait.

        Args:
            next_action: what to do in it; called only then.

        Raises:
            ValueError: if the world did not take the action before.
        """
        if self._future is not None and not self._future.done():
            return
        self.settle()
        if len(self._made) < self._lead:
            self._future = self._executor.submit(self._make, next_action())

    def settle(self) -> None:
        """Waits until the picture being made is there, so that worlds and films can be changed."""
        if self._future is not None:
            future, self._future = self._future, None
            future.result()

    def look(self) -> None:
        """Takes up every picture whose time has come; the newest stays in `picture`."""
        # Not before its own sound is heard: a clock that waits for a late frame stands right where that begins.
        now = self._outlet.seconds - BARELY_S
        while self._made and self._made[0][0] * self._frame_s < now:
            self.index, self.picture = self._made.popleft()

    def close(self) -> None:
        """Waits for the picture being made, and lets go of the thread and the loudspeaker."""
        self._executor.shutdown()
        self._outlet.close()

    def _make(self, action: Action) -> None:
        picture, sound = self._step(action)
        self._made.append((self._count, picture))
        self._outlet.write(sound, self._frame_s)
        self._count += 1
