"""A running game: MineRL's interpreter, asked and answered, with a bound on how long that may take."""

from __future__ import annotations

import json
import mmap
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from conditions.keyboard import KEYS
from conditions.values import nearest
from envs.errors import GameError
from envs.minerl.keeper import KILLED
from envs.minerl.worker import PROTOCOL

HERE = Path(__file__).parent
VARIABLE = "MINERL_PYTHON"
WALK = ("forward", "back", "left", "right", "jump")  # without these, and a camera, there is no walking about
FULL_TURN = (-180.0, 180.0)
CLOSE_S = 30.0
OWN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")  # of our interpreter, and wrong for another


@dataclass(frozen=True)
class Layout:
    """What an environment takes and shows.

    Attributes:
        height: of its picture in pixels.
        width: of its picture in pixels.
        keys: those of our keyboard that it has, in our order.
        others: what else it takes, which is left at its no-op.
        seeds: whether it can be given a seed.
    """

    height: int
    width: int
    keys: tuple[str, ...]
    others: tuple[str, ...]
    seeds: bool


def find_python(python: str | None) -> str:
    """Finds MineRL's interpreter.

    Args:
        python: its path; None takes that of the environment variable MINERL_PYTHON.

    Raises:
        GameError: if there is none.
    """
    if sys.platform != "linux":  # keeper.py and the game's processes are Linux's
        raise GameError("missing", f"worldmodel/MineRL-v0 runs on Linux only, this is {sys.platform}")
    given = python or os.environ.get(VARIABLE)
    if not given:
        raise GameError(
            "missing",
            f"MineRL needs an interpreter of its own: give its path as python=…, or in the environment variable "
            f"{VARIABLE}; docs/minerl.md says how to set one up",
        )
    path = shutil.which(os.path.expanduser(given))
    if path is None:
        origin = "python" if python else VARIABLE
        raise GameError("missing", f"{origin} must be the path of MineRL's interpreter, got {given!r}: nothing to run")
    return os.path.abspath(path)


class Game:
    """MineRL's interpreter with one environment in it.

    Attributes:
        layout: what the environment takes and shows.
        picture: the last picture, [H, W, 3] uint8, a view that changes with the next step.
    """

    def __init__(self, python: str, environment: str, patience_s: float, start_patience_s: float) -> None:
        """Starts the interpreter and makes the environment; its game starts with the first `reset`.

        Args:
            python: path of the interpreter.
            environment: a MineRL id, or "module:id".
            patience_s: how long a step may take.
            start_patience_s: how long it may take to make an environment, and to reset it.

        Raises:
            GameError: if it does not come up, or cannot import MineRL.
            ValueError: for an environment that there is not, or that cannot be walked about in.
        """
        self._python, self._environment = python, environment
        self._patience_s, self._start_patience_s = patience_s, start_patience_s
        self._folder = Path(tempfile.mkdtemp(prefix="worldmodel-minerl-"))
        self._text = b""
        self._requests = self._replies = -1  # our ends of two pipes
        self._keeper = self._start()
        try:
            self._greet()
            self.layout = self._make()
        except BaseException:
            self.close()
            raise

    def reset(self, seed: int | None) -> dict[str, Any]:
        """Begins an episode, starting the game where there is none yet.

        Returns:
            What the game tells.

        Raises:
            GameError: if the game is lost, or does not come up in time.
        """
        told: dict[str, Any] = self._ask(self._start_patience_s, do="reset", seed=seed)["told"]
        return told

    def step(self, keys: list[str], camera: list[float]) -> dict[str, Any]:
        """Plays one step.

        Args:
            keys: those that are down, of `layout.keys`.
            camera: [pitch, yaw] in degrees.

        Returns:
            "told" as from `reset`, "reward", "terminated" and "truncated".

        Raises:
            GameError: if the game is lost, or does not answer in time.
        """
        return self._ask(self._patience_s, do="step", keys=keys, camera=camera)

    def close(self) -> int:
        """Ends every process and removes the shared memory; returns the interpreter's exit status."""
        for fd in (self._requests, self._replies):
            if fd >= 0:
                os.close(fd)
        self._requests = self._replies = -1
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        try:
            return self._keeper.wait(CLOSE_S)
        except subprocess.TimeoutExpired:
            return 0  # of a machine that hangs: the keeper goes on

    def _start(self) -> subprocess.Popen[bytes]:
        """Starts the interpreter, and returns the process that keeps it."""
        theirs_in, self._requests = os.pipe()
        self._replies, theirs_out = os.pipe()
        picture, scratch = self._folder / "picture", self._folder / "scratch"
        scratch.mkdir()
        # MineRL copies its game, hundreds of megabytes, into a temporary folder: into ours, which will be removed.
        environment = {name: value for name, value in os.environ.items() if name not in OWN}
        environment |= {"TMPDIR": str(scratch), "PYTHONUNBUFFERED": "1"}
        command = [self._python, str(HERE / "worker.py"), str(theirs_in), str(theirs_out), str(picture)]
        keeper = [sys.executable, "-I", "-S", str(HERE / "keeper.py"), str(self._folder), f"{theirs_in},{theirs_out}"]
        with open(self._folder / "log", "wb") as log:
            process = subprocess.Popen(
                [*keeper, *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(theirs_in, theirs_out),
                env=environment,
                cwd=self._folder,
                start_new_session=True,
            )
        os.close(theirs_in)
        os.close(theirs_out)
        return process

    def _greet(self) -> None:
        what = f"{self._python} must be a Python of 3.7 or later that runs {HERE / 'worker.py'}"
        try:
            hello = self._reply(self._start_patience_s)
        except GameError as error:
            raise GameError("version", f"{what}: {error}") from error
        if hello.get("protocol") != PROTOCOL:
            raise GameError("version", f"{what} and speaks protocol {PROTOCOL}, it answered {hello}")

    def _make(self) -> Layout:
        name = self._environment
        made = self._ask(self._start_patience_s, do="make", environment=name)
        wanted = "it must take the keys " + " ".join(WALK) + " and a camera of [pitch, yaw] from -180 to 180 degrees"
        if not set(WALK) <= set(made["buttons"]) or made["camera"] != [[2], *FULL_TURN]:
            camera = "" if made["camera"] is None else f" (camera: shape and range {made['camera']})"
            got = f"it takes {', '.join(made['actions'])}{camera}"
            raise ValueError(f"environment {name!r} cannot be walked about in: {wanted}, and {got}")
        if not made["noop"]:
            raise ValueError(
                f"environment {name!r}: its action space must say by no_op() or noop() what doing nothing is"
            )
        height, width, _ = made["shape"]
        with open(self._folder / "picture", "r+b") as file:
            memory = mmap.mmap(file.fileno(), height * width * 3)
        self.picture = np.frombuffer(memory, np.uint8).reshape(height, width, 3)
        keys = tuple(key for key in KEYS if key in made["buttons"])
        others = tuple(action for action in made["actions"] if action not in (*keys, "camera"))
        return Layout(height, width, keys, others, made["seeds"])

    def _ask(self, patience_s: float, **request: Any) -> dict[str, Any]:
        try:
            os.write(self._requests, json.dumps(request).encode() + b"\n")
        except BrokenPipeError as error:
            raise self._lost("died", "MineRL's interpreter ended") from error
        reply = self._reply(patience_s)
        kind = reply.get("kind")
        if kind is None:
            return reply
        if kind == "unknown":
            raise ValueError(f"MineRL has no environment {reply['error']!r}{nearest(reply['error'], reply['known'])}")
        if kind == "unfit":
            raise ValueError(f"environment {self._environment!r} cannot be walked about in: {reply['error']}")
        if kind == "missing":
            what = f"{reply['error']} in {self._python}: install MineRL there, see docs/minerl.md"
            raise self._lost("missing", what)
        raise self._lost(kind, reply["error"])

    def _reply(self, patience_s: float) -> dict[str, Any]:
        """The next line that comes from the interpreter."""
        until = time.monotonic() + patience_s
        while b"\n" not in self._text:
            ready, _, _ = select.select([self._replies], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise self._lost("hung", f"the game did not answer within {patience_s:g} s")
            part = os.read(self._replies, 1 << 16)
            if not part:
                raise self._lost("died", "MineRL's interpreter ended")
            self._text += part
        line, _, self._text = self._text.partition(b"\n")
        try:
            return dict(json.loads(line))
        except (ValueError, TypeError) as error:
            raise self._lost("version", f"it must answer in JSON, got {line[:80]!r}") from error

    def _lost(self, kind: str, what: str) -> GameError:
        """An error that tells what was printed last; nothing of the game is left then."""
        if kind == "died":
            time.sleep(0.05)  # it may be about to end: its status is worth waiting for
        try:
            said = (self._folder / "log").read_text(errors="replace")[-1000:].strip()
        except OSError:
            said = ""
        status = self.close()
        how = f" (killed by signal {status - KILLED})" if status > KILLED else f" (exit status {status})"
        ended = how if kind == "died" and status else ""
        return GameError(kind, f"{what}{ended}" + (f". It said: …{said}" if said else ""))
