"""Any world, live: in a window, or with no display at all. `python play.py --help` tells how."""

from __future__ import annotations

import time

LAUNCHED = time.perf_counter()

import argparse  # noqa: E402  (the time to the first frame counts from the line above)
import json  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
import warnings  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from contextlib import suppress  # noqa: E402
from pathlib import Path  # noqa: E402
from types import FrameType  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

if TYPE_CHECKING:
    from player.drive import Drive
    from player.play import Play
    from player.scripts import Entry
    from player.sound import Outlet
    from player.window import Window
    from player.worlds import World

CHECKPOINT = "checkpoints/blockworld"
HEAD = "checkpoints/avatar"  # where the command line drives a talking head
WALK_FRAMES = 200  # of a headless run that is not told how many

EPILOG = """\
keys:
  W A S D walk   Space jump   Shift sneak   Ctrl sprint   mouse or arrows look   mouse buttons break, place
  1 … 9 choose a block   Esc free the mouse, click to take it again
  Tab generated world / rendered world   V side by side   R new world   P pause
  F1 hide the display   F2 picture   F3 record to mp4 (pictures and films go to recordings/)

scripts (--script FILE) have one line for each thing to do:
  20 forward sprint camera=0,3    so many steps, these keys held, this turn in each (pitch, yaw, degrees)
  5                               so many steps of nothing
  swap | side-by-side | new | picture
  {"keyboard": {"forward": 1}}    one step as JSON; the .jsonl beside a film is a script too
  # a comment

talking heads:
  --audio speech.wav --portrait face.png --out talk.mp4
  --say "Hello there" --text happy
  --audio mic --listen other.wav
  --duplex call.wav --portrait left.png right.png

captions (--captions FILE) have a time and a caption on each line, from then on:
  0 calm and friendly
  1:02.5 happy, talking lively
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    from player.options import add_options

    parser = argparse.ArgumentParser(
        prog="play.py",
        description="Walk about in a world: one that a model imagines, or one that is rendered.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    world = parser.add_argument_group("world")
    world.add_argument(
        "--checkpoint", metavar="DIR", help=f"generated world (default: {CHECKPOINT}, or {HEAD} for talking heads)"
    )
    world.add_argument("--world", metavar="ID", help="rendered world, such as worldmodel/BlockWorld-v0")
    world.add_argument("--world-kwargs", metavar="K=V", nargs="+", default=[], help="its arguments: size=128 fov=70")
    world.add_argument("--seed", type=int, default=0, help="where to start (default: %(default)s)")
    world.add_argument("--start", type=int, metavar="I", help="index of the checkpoint's starting clip")
    world.add_argument("--side-by-side", action="store_true", help="both worlds, with the same input")
    model = parser.add_argument_group("generated world")
    model.add_argument(
        "--guidance", type=float, metavar="G", help="strength of the actions (default: the checkpoint's)"
    )
    model.add_argument("--steps", type=int, metavar="K", help="solver steps a frame (default: the checkpoint's)")
    model.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: as many as there are cores)")
    add_options(parser)
    run = parser.add_argument_group("run")
    run.add_argument("--headless", action="store_true", help="no window: play the script, as fast as it goes")
    run.add_argument("--frames", type=int, metavar="N", help=f"stop after N frames (headless: {WALK_FRAMES})")
    run.add_argument("--script", metavar="FILE", help="what to do; headless without one: a walk")
    run.add_argument("--out", metavar="FILE.mp4", help="film of the whole run, and its actions beside it as .jsonl")
    run.add_argument("--json", action="store_true", help="print the figures as JSON")
    run.add_argument("--scale", type=int, metavar="S", help="window pixels for a frame's pixel (default: as fits)")
    return parser


def check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuses numbers out of range, and options that could not take effect."""
    from player.options import check_options, drives_head

    check_options(parser, args)
    if args.checkpoint is None and args.world is None:
        args.checkpoint = HEAD if drives_head(args) else CHECKPOINT
    if args.checkpoint is None:
        for name in ("start", "guidance", "steps", "threads"):
            if getattr(args, name) is not None:
                parser.error(f"--{name} is for a generated world: give --checkpoint DIR too, or leave it out")
        if args.side_by_side:
            parser.error("--side-by-side needs a generated world: give --checkpoint DIR too")
    if args.start is not None and args.world is not None:
        parser.error("--start chooses where a checkpoint starts, but with --world it starts in that: give one of them")
    if args.world_kwargs and args.world is None:
        parser.error("--world-kwargs are for --world ID: give it too")
    if args.headless and args.scale is not None:
        parser.error("--scale is for the window, and --headless opens none: give one of them")
    for name, least in (("frames", 1), ("steps", 1), ("threads", 1), ("scale", 1), ("start", 0), ("seed", 0)):
        value = getattr(args, name)
        if value is not None and value < least:
            parser.error(f"--{name} must be {least} or more, got {value}")


def tell(line: str) -> None:
    """Says in a line what is odd, and goes on."""
    print(f"play.py: {line}", file=sys.stderr)


def open_one(args: argparse.Namespace) -> tuple[World | None, World | None]:
    """Opens the worlds that the command line names: the generated and the rendered one."""
    from player.worlds import open_world, parse_kwargs

    generated = rendered = None
    if args.world is not None:
        rendered = open_world(args.world, parse_kwargs(args.world_kwargs))
    if args.checkpoint is not None:
        model = {"guidance": args.guidance, "num_steps": args.steps}
        given = {name: value for name, value in model.items() if value is not None}
        generated = open_world("worldmodel/Generated-v0", {"checkpoint": args.checkpoint, **given})
    return generated, rendered


def open_worlds(args: argparse.Namespace) -> tuple[World | None, World | None]:
    """The worlds to play; for a conversation each is a pair."""
    from player.duplex import Duplex

    one = open_one(args)
    if args.duplex is None:
        return one
    pairs = zip(one, open_one(args), strict=True)
    generated, rendered = (Duplex(left, right) if left and right else None for left, right in pairs)
    return generated, rendered


def make_play(args: argparse.Namespace) -> tuple[Play, list[Entry]]:
    """Opens the worlds that the command line names, what drives them, and the film; and reads what is to be done."""
    from player.game import Game
    from player.heads import open_sources, reset_options
    from player.play import Play
    from player.stats import Stats

    if args.threads is not None:
        import torch

        torch.set_num_threads(args.threads)
    generated, rendered = open_worlds(args)
    world = generated if rendered is None else rendered
    assert world is not None
    drive, track = open_sources(args, world, tell)
    try:
        script = make_script(args, world, drive)  # before the film, whose actions may take its file's place
        options = reset_options(args, world, track, tell)
        game = Game(generated, rendered, seed=args.seed, start=args.start, options=options)
        if args.side_by_side:
            game.toggle_both()
        return Play(game, Stats(LAUNCHED), Path(args.out) if args.out else None, drive), script
    except BaseException:
        drive.close()
        raise


def make_script(args: argparse.Namespace, world: World, drive: Drive) -> list[Entry]:
    """What the command line says to do; nothing, for a window without a script."""
    from player.scripts import idle, read_script, scripted_walk
    from player.worlds import action_space_of

    space = action_space_of(world)
    if args.script:
        return read_script(args.script, space)
    if not args.headless:
        return []
    return [idle(space)] if drive.names else scripted_walk(space)


def make_outlet(play: Play) -> Outlet | None:
    """Where sound goes, where frames have to keep to it or come by chunks; None for a world that just runs."""
    from player.sound import LIVE_PACE, Loudspeaker, Silent
    from player.sources.base import SourceError

    if play.drive.is_played:
        try:
            return Loudspeaker(play.drive.channels, tell)
        except SourceError as error:
            tell(f"{error}: playing without sound")
    if play.drive.names or play.delay:
        return Silent(LIVE_PACE if play.drive.is_live else 1.0)
    return None


def run(args: argparse.Namespace, play: Play, script: list[Entry], window: Window | None) -> None:
    """Plays until the window is closed, the frames are shown, or someone interrupts."""
    from player.interrupts import unbroken
    from player.play import play_headless

    driven = play.drive.frames
    ends = None if driven is None else 1 + driven + play.delay  # the last frame that what drives it leads to
    try:
        if window is not None:
            window.open(play, script, make_outlet(play))
            window.run(args.frames or (ends if args.out else None))
        else:
            steps = sum(isinstance(entry, dict) for entry in script)
            frames = args.frames or ends or (steps + 1 if args.script else WALK_FRAMES)
            play.game.catch_up()
            play_headless(play, script, frames, progress=not args.json)
    except KeyboardInterrupt:
        print("interrupted: what was played is kept", file=sys.stderr)
    finally:
        with suppress(KeyboardInterrupt), unbroken():  # told twice to stop: the film is finished, and its figures told
            play.close()


def open_window(args: argparse.Namespace) -> Window | None:
    """The window, or None, with a line that says so, where there is no display."""
    from player.window import NoDisplayError, Window

    try:
        return Window(args.scale, worlds=2 if args.side_by_side else 1)
    except NoDisplayError as reason:
        print(f"No display ({reason}): playing without one.", file=sys.stderr)
        return None


def main(argv: Sequence[str] | None = None) -> int:
    """Runs play.py.

    Returns:
        0, or 2 where the world cannot be played as asked.
    """
    arguments = parser()
    args = arguments.parse_args(argv)
    check(arguments, args)
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)  # of a caption longer than what is read of it, say
        warnings.showwarning = lambda message, *where: tell(str(message))
        return play_as_told(args)


def play_as_told(args: argparse.Namespace) -> int:
    """Plays; returns as `main`."""
    signal.signal(signal.SIGTERM, _interrupt)
    window = None if args.headless else open_window(args)
    if window is None and not args.headless:
        args.headless, args.out = True, args.out or "play.mp4"
    import gymnasium

    try:
        play, script = make_play(args)
    except (ValueError, OSError, gymnasium.error.Error) as error:
        print(f"play.py: {error}", file=sys.stderr)
        return 2
    try:
        run(args, play, script, window)
    except gymnasium.error.Error as error:  # a game that died or hangs
        print(f"play.py: {error}; what was played until then is kept", file=sys.stderr)
        return 2
    figures = play.stats.figures()
    if args.json:
        print(json.dumps({**figures.as_dict(), "files": [str(path) for path in play.written]}))
    else:
        print(figures)
        for path in play.written:
            print(f"wrote {path}")
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Ends a run that is told to stop as Ctrl+C does: with its film finished."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # while the world was still being made
        sys.exit(130)
