"""Starts MineRL's interpreter, and ends everything that came of it when the process that wanted it is gone.

    python keeper.py FOLDER FDS COMMAND …     # FDS: its descriptors, such as 5,6; FOLDER is removed at the end

MineRL starts the game in sessions of their own and daemons beside it, so that no process group holds them all. This
process therefore adopts whatever below it loses its parent (PR_SET_CHILD_SUBREAPER), and at the end of its standard
input, which a crash of ours is too, ends all of its descendants. Only Linux.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time

PR_SET_CHILD_SUBREAPER = 36
NOT_RUN = 126  # the exit status for a command that could not be started
KILLED = 128  # an exit status above it: a signal's number, as a shell gives it


def main(folder: str, fds: list[int], command: list[str]) -> int:
    """Runs a command until standard input ends.

    Args:
        folder: removed at the end.
        fds: descriptors that the command inherits, and that must not stay open here.
        command: program and arguments.

    Returns:
        The command's exit status, or 0 where it ran until the end.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # Ctrl+C is sent to all; we end last
        signal.signal(number, lambda *_: None)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    process = None
    try:
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=fds, start_new_session=True)
        except OSError as error:
            print(error, file=sys.stderr, flush=True)
        for fd in fds:
            os.close(fd)
        while os.read(0, 4096):
            pass
        status = process.poll() or 0 if process is not None else NOT_RUN
        while found := descendants(os.getpid()):
            for pid in found:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            reap()
            time.sleep(0.005)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return status if status >= 0 else KILLED - status


def descendants(root: int) -> list[int]:
    """Returns the processes below one, zombies that wait for another's `wait` too."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(name))
    found, waiting = [], [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def reap() -> None:
    """Takes note of every child that has ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], [int(fd) for fd in sys.argv[2].split(",")], sys.argv[3:]))
