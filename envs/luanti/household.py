"""A temporary folder, a display and processes, all of which end with us, however we end."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from envs.errors import GameError

# Reads the process groups to end, one a line; when the other end of the pipe is gone, also by a crash, ends them and
# removes the folder. Signals to us, as Ctrl+C sends them to all, do not end it early.
KEEPER = """
trap '' INT TERM HUP
groups=
while read -r group; do groups="$groups -$group"; done
[ -n "$groups" ] && kill -s KILL -- $groups 2>/dev/null
rm -rf -- "$0"
"""
CLOSE_S = 30.0


class Household:
    """Everything outside of this process that a game needs.

    Attributes:
        folder: a temporary folder.
    """

    def __init__(self, patience_s: float) -> None:
        """Makes the folder, and starts the keeper that will remove it.

        Args:
            patience_s: how long to wait for a display.
        """
        self.folder = Path(tempfile.mkdtemp(prefix="worldmodel-luanti-"))
        self._patience_s = patience_s
        self._processes: list[subprocess.Popen[Any]] = []
        self._keeper = subprocess.Popen(
            ["/bin/sh", "-c", KEEPER, str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )

    def start(
        self,
        command: Sequence[str],
        fds: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
        stdout: int = subprocess.DEVNULL,
        stderr: int | IO[Any] = subprocess.DEVNULL,
    ) -> subprocess.Popen[Any]:
        """Starts a process in a group of its own that ends with this household.

        Args:
            command: program and arguments.
            fds: file descriptors that it inherits.
            environment: its environment; ours by default.
            stdout: as for Popen.
            stderr: as for Popen.
        """
        process = subprocess.Popen(
            command,
            pass_fds=fds,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            cwd=self.folder,
        )
        self._processes.append(process)
        assert self._keeper.stdin is not None
        self._keeper.stdin.write(b"%d\n" % process.pid)
        self._keeper.stdin.flush()
        return process

    def start_display(self, height: int, width: int) -> str:
        """Starts an X server without a screen and returns its name, such as ":7".

        Raises:
            GameError: if there is no Xvfb, or it does not come up.
        """
        program = shutil.which("Xvfb")
        if program is None:
            raise GameError("missing", "Xvfb is not installed: run `make luanti`, or give display=':0' for a real one")
        read, write = os.pipe()
        screen = f"{width}x{height}x24"
        command = [program, "-displayfd", str(write), "-screen", "0", screen, "-nolisten", "tcp", "-terminate", "-r"]
        server = self.start(command, fds=[write])
        os.close(write)
        until, number = time.monotonic() + self._patience_s, b""
        try:
            while not number.endswith(b"\n"):
                ready, _, _ = select.select([read], [], [], max(0.0, until - time.monotonic()))
                part = os.read(read, 16) if ready else b""
                if not part:
                    what = "died" if ready else f"did not come up in {self._patience_s:g} s"
                    raise GameError("display", f"Xvfb {what} (exit status {server.poll()}): try `{' '.join(command)}`")
                number += part
        finally:
            os.close(read)
        return f":{number.decode().strip()}"

    def close(self) -> None:
        """Ends every process and removes the folder; returns when it is so."""
        assert self._keeper.stdin is not None
        if not self._keeper.stdin.closed:
            self._keeper.stdin.close()
        try:
            self._keeper.wait(CLOSE_S)
        except subprocess.TimeoutExpired:
            pass  # of a machine that hangs: the keeper goes on
        for process in self._processes:
            try:
                process.wait(CLOSE_S)
            except subprocess.TimeoutExpired:
                pass
