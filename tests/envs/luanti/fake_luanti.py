"""A program in Luanti's place, for what can be tried without the game: it has a window, draws, moves and answers.

It draws the same picture always, and does what the game's two mods do: it says at each step how long it was and where
the player looks, and answers what is asked. `build` makes it; as a program it is run by what that wrote.
"""

from __future__ import annotations

import ctypes
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

GL = """\
static int width, height;
void set_size(int w, int h) { width = w; height = h; }
void glXSwapBuffers(void *display, unsigned long drawable) { (void)display; (void)drawable; }
void glGetIntegerv(unsigned what, int *view) { (void)what; view[2] = width; view[3] = height; }
void glPixelStorei(unsigned name, int value) { (void)name; (void)value; }
void glReadPixels(int x, int y, int w, int h, unsigned format, unsigned type, void *to)
{ unsigned char *p = to; (void)x; (void)y; (void)format; (void)type; for (int i = 0; i < w * h * 3; i++) p[i] = i; }
"""


def build(folder: Path) -> str:
    """Makes the program in a folder and returns its path; needs a C compiler and python-xlib."""
    source, library, program = folder / "gl.c", folder / "libgl.so", folder / "minetest"
    source.write_text(GL)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    program.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo "Minetest 5.6.1 (Linux)" && exit\n'
        f'LD_PRELOAD="$LD_PRELOAD:{library}" exec {sys.executable} {Path(__file__).resolve()} "$@"\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


def main(arguments: list[str]) -> None:
    """Runs until the gate lets nobody through any more."""
    from Xlib import X, display

    options = dict(zip(arguments[::2], arguments[1::2], strict=False))
    lines = Path(options["--config"]).read_text().splitlines()
    settings = dict(line.split(" = ", 1) for line in lines if " = " in line)
    world, size = Path(options["--world"]), (int(settings["screen_w"]), int(settings["screen_h"]))
    gl = ctypes.CDLL(None)  # the gate's functions before those of GL
    gl.set_size(*size)
    screen = display.Display()
    window = screen.screen().root.create_window(0, 0, *size, 0, X.CopyFromParent)
    window.set_wm_class("minetest", "Minetest")
    window.map()
    screen.sync()
    answers = os.open(world / "answers", os.O_WRONLY)

    def answer(line: str) -> None:
        os.write(answers, f"{line}\n".encode())

    answer("joined")
    position, yaw, up, total = (0.5, 10.0, 0.5), 0.0, 0.0, 0.0
    while True:
        before = time.clock_gettime(time.CLOCK_MONOTONIC_RAW)
        gl.glXSwapBuffers(None, 0)
        seconds = time.clock_gettime(time.CLOCK_MONOTONIC_RAW) - before
        if (world / "command").exists():
            number, verb, *words = (world / "command").read_text().split()
            (world / "command").unlink()
            if verb == "find":
                answer(f"{number} found 0 10 0")
            else:
                _, x, y, z, yaw, pitch = map(float, words)
                position, up = (x, y, z), -pitch
                answer(f"{number} placed")
        numbers = (seconds, *position, yaw + 90.0, up)
        print("1970: ACTION[Main]: @ " + " ".join(f"{number:.6f}" for number in numbers), file=sys.stderr, flush=True)
        total += seconds
        answer(f"time {total:.6f}")


if __name__ == "__main__":
    main(sys.argv[1:])
