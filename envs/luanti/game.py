"""One running game: its program, started, kept in step, asked and ended."""

from __future__ import annotations

import math
import os
import re
import select
import shutil
import socket
import subprocess
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from envs.errors import GameError
from envs.luanti.gate import Gate
from envs.luanti.household import Household
from envs.luanti.keys import Keys
from envs.luanti.settings import WORLD, configuration

HERE = Path(__file__).parent
PROGRAM = "minetest"
VERSION = (5, 6)  # what the mods and the settings are written for, and Debian 12 has
POLL_S = 0.003
LISTEN_S = 1.0
EVENT = re.compile(r"(dig|place),(-?\d+),(-?\d+),(-?\d+),(\S+)")


@dataclass(frozen=True)
class Settings:
    """What a game is started with.

    Attributes:
        height: of the window in pixels.
        width: of the window in pixels.
        fov: vertical field of view in degrees.
        world_seed: seed of the terrain.
        hour: time of day, 0 to 24.
        viewing_range: how far one sees, in blocks.
        display: X display such as ":0"; None starts one of its own.
        program: the game's program.
        patience_s: how long the game may take for one step before it counts as hung.
    """

    height: int
    width: int
    fov: float
    world_seed: int
    hour: float
    viewing_range: int
    display: str | None
    program: str
    patience_s: float


@dataclass(frozen=True)
class Report:
    """What the game's client says of one step, in the game's own terms.

    Attributes:
        seconds: length of the step.
        position: x, y, z of the feet; y counts from the middle of a block.
        look: yaw (counter-clockwise) and pitch (up) in degrees, as they were one step before.
        events: what was dug and placed: (what, x, y, z, name of the block).
    """

    seconds: float
    position: tuple[float, float, float]
    look: tuple[float, float]
    events: tuple[tuple[str, int, int, int, str], ...]


def find_program(program: str) -> str:
    """Finds the game and checks its version.

    Args:
        program: a path, or a name on the PATH or in /usr/games.

    Raises:
        GameError: if it is missing, does not answer or is of another version.
    """
    path = shutil.which(program) or shutil.which(program, path="/usr/games:/usr/local/games")
    if path is None:
        raise GameError(
            "missing", f"the game {program!r} is not installed: run `make luanti` (Debian), or see docs/luanti.md"
        )
    try:
        text = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=60).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GameError("version", f"{path} --version does not answer: {error}") from error
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", text)
    if found is None or (int(found[1]), int(found[2])) != VERSION:
        wanted = ".".join(map(str, VERSION))
        got = found[0] if found else repr(text.strip()[:80])
        raise GameError("version", f"{path} must be Minetest {wanted}, got {got}: run `make luanti` on Debian 12")
    return path


class Game:
    """A game that stands still between steps.

    Attributes:
        report: what its client said of the last step, once there is a player.
    """

    def __init__(self, settings: Settings) -> None:
        """Starts a game and waits until there is a player in it.

        Raises:
            GameError: if it is missing, dies, hangs, never draws or never lets the player in.
        """
        self.settings = settings
        self.report: Report | None = None
        self._answers: list[str] = []
        self._said: deque[str] = deque(maxlen=8)  # by the game, of errors
        self._text = {"client": "", "server": ""}
        self._asked, self._server_time, self._expected = 0, 0.0, 0.0
        self._keys: Keys | None = None
        self._gate: Gate | None = None
        self._num_reports = 0
        self._server = self._client = -1  # pipes from the two mods
        program = find_program(settings.program)
        self._household = Household(settings.patience_s)
        try:
            self._start(program)
            self._join()
        except BaseException:
            self.close()
            raise

    @property
    def picture(self) -> np.ndarray:
        """The last picture, [H, W, 3] uint8, a view that changes with the next step."""
        assert self._gate is not None
        return self._gate.picture

    def step(self, seconds: float, down: set[str], across: int = 0, along: int = 0) -> None:
        """Goes on by one picture.

        Args:
            seconds: by how much the game's clock goes on; 0 turns the view and draws it, and nothing else moves.
            down: keys that are held, names of keys.KEYS.
            across: pixels that the mouse moves to the right.
            along: pixels that the mouse moves down.

        Raises:
            GameError: if the game or the display is gone, or nothing is drawn for `patience_s`.
        """
        assert self._keys is not None
        self._await_server()
        self._keys.apply(down, across, along)
        self._num_reports = 0
        self._pass(seconds)
        self._expected += seconds
        if self._num_reports != 1 or self.report is None or abs(self.report.seconds - seconds) > 1e-4:
            raise self._error(
                "refused",
                f"a step of {seconds} s must be one step of the game, it reports {self._num_reports}, the last "
                f"{self.report}: has another program taken its place?",
            )

    def ask(self, verb: str, *numbers: float, steps: float = 0.05) -> list[str]:
        """Has the server's mod do something, going on until it is done.

        Args:
            verb: "find" or "place", see server_mod.
            numbers: its arguments.
            steps: seconds of each step meanwhile.

        Returns:
            The words of its answer.

        Raises:
            GameError: if there is no answer within `patience_s`.
        """
        self._asked += 1
        command = self._household.folder / "world" / "command"
        text = f"{self._asked} {verb} " + " ".join(f"{number:.6f}" for number in numbers)
        command.with_suffix(".new").write_text(text)
        os.replace(command.with_suffix(".new"), command)
        until = time.monotonic() + self.settings.patience_s
        while time.monotonic() < until:
            self.step(steps, set())
            for line in self._answers:
                number, _, rest = line.partition(" ")
                if number == str(self._asked):
                    self._answers.clear()
                    return rest.split()
            time.sleep(POLL_S)
        raise self._error("hung", f"the game did not {verb} within {self.settings.patience_s:g} s")

    def close(self) -> None:
        """Ends the game and its display and removes its folder."""
        if self._gate is not None:
            self._gate.close()
            self._gate = None
        if self._keys is not None:
            self._keys.close()
            self._keys = None
        self._household.close()
        for fd in (self._server, self._client):
            if fd >= 0:
                os.close(fd)
        self._server = self._client = -1

    # starting

    def _start(self, program: str) -> None:
        settings, folder = self.settings, self._household.folder
        mods, world = folder / ".minetest" / "clientmods", folder / "world"
        shutil.copytree(HERE / "client_mod", mods / "worldmodel_client")
        (mods / "mods.conf").write_text("load_mod_worldmodel_client = true\n")
        shutil.copytree(HERE / "server_mod", world / "worldmods" / "worldmodel")
        (world / "world.mt").write_text(WORLD)
        (folder / "minetest.conf").write_text(
            configuration(
                settings.height,
                settings.width,
                settings.fov,
                settings.world_seed,
                settings.hour,
                settings.viewing_range,
            )
        )
        os.mkfifo(world / "answers")
        self._server = os.open(world / "answers", os.O_RDONLY | os.O_NONBLOCK)
        display = settings.display or self._household.start_display(settings.height, settings.width)
        self._keys = Keys(display)
        self._gate = Gate(folder, settings.height, settings.width)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [program, "--config", str(folder / "minetest.conf"), "--world", str(world), "--gameid", "minetest"]
        environment = {**os.environ, **self._gate.environment, "DISPLAY": display, "HOME": str(folder)}
        if settings.display is None:
            environment["LIBGL_ALWAYS_SOFTWARE"] = "1"
        for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "WAYLAND_DISPLAY"):
            environment.pop(name, None)
        read, write = os.pipe()
        os.set_blocking(read, False)
        self._client = read
        self._process = self._household.start(
            [*command, "--go", "--name", "player", "--port", str(port)],
            fds=self._gate.fds,
            environment=environment,
            stderr=write,
        )
        os.close(write)
        self._gate.started()

    def _join(self) -> None:
        """Lets the game load, in step with the time that it takes, until its player reports."""
        assert self._gate is not None and self._keys is not None
        began = last = time.monotonic()
        until = began + 3 * self.settings.patience_s
        while not (self.report is not None and "joined" in self._answers):
            now = time.monotonic()
            if now > until:
                drawn = self._gate.passed
                what = "never drew" if not drawn else f"drew {drawn} pictures, but did not let the player in"
                raise self._error("hung", f"the game {what} within {now - began:.0f} s")
            self._pass(min(max(now - last, 0.001), 0.5), self.settings.patience_s * 3)
            last = now
            time.sleep(POLL_S)
        self._answers.clear()
        while not self._keys.find_window():
            if time.monotonic() > until:
                raise self._error("display", "the game has no window on its display")
            self._pass(0.0)
        for _ in range(5):  # until the server has done all steps so far
            time.sleep(0.1)
            self._pass(0.0)
        self._expected = self._server_time
        for _ in range(10):
            self.step(0.05, set())
        if self.picture.min() == self.picture.max():
            raise self._error("blank", "the game draws nothing: every picture is of one colour")

    # in step

    def _pass(self, seconds: float, patience_s: float | None = None) -> None:
        """Opens the gate, if the game stands at it, and waits for the next picture."""
        assert self._gate is not None
        patience_s = self.settings.patience_s if patience_s is None else patience_s
        try:
            if self._gate.passed:
                self._gate.open(seconds)
            until = time.monotonic() + patience_s
            while not self._gate.wait(LISTEN_S):
                self._read()  # what it says fills a pipe, and it would wait for room
                if time.monotonic() > until:
                    raise self._error("hung", f"the game drew nothing for {patience_s:g} s")
        except GameError as error:
            if error.kind == "died":
                raise self._error("died", str(error)) from error
            raise
        self._read()

    def _await_server(self) -> None:
        """Waits until the server has lived through the steps so far; it does so beside the drawing."""
        until = time.monotonic() + self.settings.patience_s
        while self._server_time < self._expected - 1e-3:
            left = until - time.monotonic()
            if left < 0:
                raise self._error("hung", f"the game's server did nothing for {self.settings.patience_s:g} s")
            select.select([self._server], [], [], left)
            self._read()
            if self._process.poll() is not None:
                raise self._error("died", "the game ended")

    def _read(self) -> None:
        """Takes in what both mods have said."""
        for name, fd in (("client", self._client), ("server", self._server)):
            try:
                while part := os.read(fd, 1 << 16):
                    self._text[name] += part.decode(errors="replace")
            except BlockingIOError:
                pass
            *lines, self._text[name] = self._text[name].split("\n")
            for line in lines:
                if name == "client" and "]: @ " in line:
                    self.report = _parse(line.partition("]: @ ")[2])
                    self._num_reports += 1
                elif name == "server" and line.startswith("time "):
                    self._server_time = float(line[5:])
                elif name == "server":
                    self._answers.append(line)
                elif "ERROR" in line or "terminat" in line:
                    self._said.append(line)

    def _error(self, kind: str, what: str) -> GameError:
        """An error that tells what the game itself said last."""
        self._read()
        said = " | ".join(self._said)[-600:]
        status = self._process.poll()
        ended = "" if status is None else f" (exit status {status})"
        return GameError(kind, f"{what}{ended}" + (f". It said: {said}" if said else ""))


def _parse(line: str) -> Report:
    seconds, x, y, z, yaw, up, *rest = line.split()
    events = tuple(
        (found[1], int(found[2]), int(found[3]), int(found[4]), found[5]) for found in EVENT.finditer(" ".join(rest))
    )
    yaw_degrees = math.remainder(float(yaw) - 90.0, 360.0)
    return Report(float(seconds), (float(x), float(y), float(z)), (yaw_degrees, float(up)), events)
