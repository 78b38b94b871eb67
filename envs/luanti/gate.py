"""Our side of gate.c: the game goes on by one picture when it is told to."""

from __future__ import annotations

import mmap
import os
import select
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np

from envs.errors import GameError

SOURCE = Path(__file__).with_name("gate.c")
NAME = "WORLDMODEL_GATE"


def compile_gate(folder: Path) -> Path:
    """Compiles gate.c into a folder and returns the library.

    Raises:
        GameError: if there is no C compiler, or it fails.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise GameError("missing", "no C compiler (cc or gcc), which the game's gate needs: run `make luanti`")
    library = folder / "gate.so"
    command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise GameError("missing", f"{SOURCE.name} does not compile: {done.stderr.strip()[-500:]}. Run `make luanti`")
    return library


class Gate:
    """The gate of one game.

    Attributes:
        passed: pictures so far.
    """

    def __init__(self, folder: Path, height: int, width: int) -> None:
        """Makes pipes and the shared picture.

        Args:
            folder: for the picture and the library.
            height: of the window in pixels.
            width: of the window in pixels.
        """
        self.passed = 0
        self._height, self._width = height, width
        size = height * width * 3
        self._library = compile_gate(folder)
        self._path = folder / "picture"
        with open(self._path, "wb+") as file:
            file.truncate(size)
            self._memory = mmap.mmap(file.fileno(), size)
        self._pixels = np.frombuffer(self._memory, np.uint8).reshape(height, width, 3)[::-1]
        self._theirs_in, self._out = os.pipe()
        self._in, self._theirs_out = os.pipe()
        self._waiting = False

    @property
    def fds(self) -> list[int]:
        """File descriptors that the game inherits."""
        return [self._theirs_in, self._theirs_out]

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that load the gate into the game."""
        size = len(self._memory)
        return {
            "LD_PRELOAD": str(self._library),
            NAME: f"{self._theirs_in} {self._theirs_out} {self._path} {size}",
        }

    def started(self) -> None:
        """Lets go of the game's ends, so that its end is noticed."""
        for fd in self.fds:
            os.close(fd)

    @property
    def picture(self) -> np.ndarray:
        """The last picture, [H, W, 3] uint8, a view that changes when the game goes on."""
        return self._pixels

    def wait(self, seconds: float) -> bool:
        """Waits until the game has drawn and stands at the gate.

        Returns:
            Whether it does; False after so many seconds.

        Raises:
            GameError: if the game is gone, or draws at another size.
        """
        if self._waiting:
            return True
        ready, _, _ = select.select([self._in], [], [], seconds)
        if not ready:
            return False
        message = os.read(self._in, 8)
        if len(message) < 8:
            raise GameError("died", "the game ended")
        width, height = struct.unpack("ii", message)
        if (height, width) != (self._height, self._width):
            raise GameError(
                "display",
                f"the game's window must be {self._width}x{self._height} pixels, it is {width}x{height}: "
                "is the display smaller, or does its window manager resize windows?",
            )
        self._waiting = True
        self.passed += 1
        return True

    def open(self, seconds: float) -> None:
        """Lets the game go on to its next picture.

        Args:
            seconds: by how much its clock goes on.

        Raises:
            GameError: if the game is gone.
        """
        assert self._waiting, "the game has not drawn yet"
        self._waiting = False
        try:
            os.write(self._out, struct.pack("q", round(seconds * 1e9)))
        except BrokenPipeError as error:
            raise GameError("died", "the game ended") from error

    def close(self) -> None:
        """Ends the game, if it is still there."""
        os.close(self._out)
        os.close(self._in)
