"""One run of play, with or without a window: the game, its figures, its film, and the commands of keys and script."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
from tqdm import tqdm

from player.drive import Drive
from player.game import Game
from player.recorder import Recorder, name_by_time, write_picture
from player.scripts import Action, Entry
from player.stats import Stats

Sound = np.ndarray | None  # of one frame


class Play:
    """A game being played.

    Attributes:
        game: the worlds.
        stats: frame times.
        recorder: the film being written, if any.
        written: pictures and films finished so far.
        drive: what drives the world besides the keys.
        played: what a loudspeaker plays with the latest frame, [S, channels] float32, or None.
    """

    def __init__(self, game: Game, stats: Stats, film: Path | None = None, drive: Drive | None = None) -> None:
        """Begins, and if a film is named, begins to record.

        Args:
            game: the worlds.
            stats: where frame times are counted.
            film: where to film from the first frame on.
            drive: sources of conditions; what they yield goes before what keys and scripts say.

        Raises:
            ValueError: if the film's name does not end in .mp4.
            FileNotFoundError: if its folder does not exist.
        """
        self.game = game
        self.stats = stats
        self.recorder: Recorder | None = None
        self.written: list[Path] = []
        self.drive = Drive({}) if drive is None else drive
        self.played: Sound = None
        self._unheard: deque[tuple[Sound, Sound]] = deque()  # of actions whose frames are not there yet
        if film is not None:
            self._record(film)

    @property
    def delay(self) -> int:
        """Steps between that of an action and the one whose frame shows it, beyond the usual one."""
        return self.game.delay

    def step(self, action: Action) -> None:
        """The game takes an action, with what the sources add to it; the frame is filmed and timed."""
        action = {**action, **self.drive.read()}
        began = time.perf_counter()
        self.game.step(action)
        self._unheard.append((self.drive.sound(action), self.drive.sound(action, played=True)))
        filmed: Sound = None
        self.played = None
        while len(self._unheard) > self.delay:  # fewer after a swap for a world that makes its frames one by one
            filmed, self.played = self._unheard.popleft()
        if self.recorder is not None:
            self.recorder.write(self.game.picture, action, filmed)
        self.stats.add(time.perf_counter() - began)

    def command(self, name: str) -> str:
        """Does what a script's command, or the key for it, says.

        Args:
            name: one of player.scripts.COMMANDS.

        Returns:
            What was done, in a few words for the player.

        Raises:
            WorldError: if it needs a world that there is none of.
        """
        if name == "swap":
            self.game.swap()
            return f"{self.game.shown} world"
        if name == "side-by-side":
            self.game.toggle_both()
            return "both worlds" if self.game.both else f"{self.game.shown} world"
        if name == "new":
            self.game.new_world()
            return "new world"
        if name == "picture":
            path = name_by_time(".png")
            write_picture(path, self.game.picture)
            self.written.append(path)
            return str(path)
        raise ValueError(f"no command {name!r}")

    def toggle_recording(self) -> str:
        """Begins a film in `recordings/`, or finishes the one being written.

        Returns:
            What was done, in a few words for the player.
        """
        if self.recorder is None:
            self._record(name_by_time(".mp4"))
            return "recording"
        return "saved " + ", ".join(str(film) for film in self._finish())

    def close(self) -> None:
        """Finishes the film and closes the sources and the worlds."""
        self._finish()
        self.drive.close()
        self.game.close()

    def _record(self, film: Path) -> None:
        self.game.catch_up()  # so that two worlds side by side begin at the same place
        self.recorder = Recorder(film, self.game.fps, self.drive.channels)
        self.recorder.write(self.game.picture, None)

    def _finish(self) -> list[Path]:
        films = self.recorder.close() if self.recorder is not None else []
        self.recorder = None
        self.written += films
        return films


def play_headless(play: Play, script: Sequence[Entry], frames: int, progress: bool = True) -> None:
    """Plays a script without a display, as fast as it goes, from its beginning again when it is over.

    Args:
        play: the run.
        script: actions and commands, at least one action among them.
        frames: frames to show, the first one included, so one more than there are steps.
        progress: whether to draw a progress bar where there is a terminal.

    Raises:
        ValueError: if the world does not take an action.
    """
    play.stats.first_frame()
    left = frames - 1
    with tqdm(total=frames, initial=1, unit="frame", disable=None if progress else True, leave=False) as bar:
        for entry in cycle(script):
            if not left:
                break
            if isinstance(entry, str):
                play.command(entry)
                play.game.catch_up()
            else:
                play.step(entry)
                left -= 1
                bar.update()
