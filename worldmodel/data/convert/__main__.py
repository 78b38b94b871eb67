"""The command line: `python -m worldmodel.data.convert FORMAT SRC OUT`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from worldmodel.data.convert.common import MIN_FRAMES, Options
from worldmodel.data.convert.minerl_export import export
from worldmodel.data.convert.run import FORMATS, complaints, convert
from worldmodel.data.convert.talking import CHANNELS, CROPS, TalkingOptions

FILM_OPTIONS = ("crop", "face_model", "listen")  # of the format video alone


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m worldmodel.data.convert",
        description="Converts public recordings of Minecraft, or films of talking heads, into clips: WebDataset tar "
        "shards as envs.record writes them, and report.json, which says what was skipped and why. See docs/data. "
        "minerl-export goes the other way: SRC is a folder of clips, OUT a data folder as minerl.data reads it.",
        epilog="Kill it at any moment and run the same command again: it continues. The exit status is 1 if too much "
        "was skipped or the pictures do not move when the actions say so.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("format", choices=[*FORMATS, "minerl-export"], metavar="FORMAT", help=", ".join(FORMATS))
    parser.add_argument("source", type=Path, metavar="SRC", help="folder of the recordings")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the shards")
    parser.add_argument(
        "--frames", type=int, default=None, help="frames a clip, 256, of video 300; longer recordings are cut"
    )
    parser.add_argument(
        "--size", type=_size, default=None, help="H or HxW in pixels; the source's by default, of video 128"
    )
    parser.add_argument("--gui", choices=["draw", "cut"], default="draw", help="vpt: frames with an open menu")
    parser.add_argument(
        "--fps",
        type=float,
        default=None,
        help="rate to give the clips, frame for frame, the source's by default; video: 12.5 (default) or 25, resampled",
    )
    parser.add_argument("--crop", choices=CROPS, default=None, help="video: what is kept, by default the center")
    parser.add_argument(
        "--face-model", metavar="FILE", default=None, help="video: face_landmarker.task, for --crop face"
    )
    parser.add_argument("--listen", choices=CHANNELS, default=None, help="video: the channel of the other one's voice")
    parser.add_argument("--recordings-per-shard", type=int, default=8, help="recordings in a tar file")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--max-skipped", type=float, default=0.05, help="share of recordings that may be skipped")
    parser.add_argument("--environment", default="MineRLTreechop-v0", help="minerl-export: folder to export to")
    arguments = parser.parse_args(argv)
    if arguments.frames is not None and arguments.frames < MIN_FRAMES:
        parser.error(f"--frames must be at least {MIN_FRAMES}, got {arguments.frames}")
    if arguments.recordings_per_shard < 1 or arguments.workers < 1:
        parser.error("--recordings-per-shard and --workers must be at least 1")
    if arguments.fps is not None and not 1 <= arguments.fps <= 240:
        parser.error(f"--fps must be 1 to 240 frames a second, got {arguments.fps:g}")
    if arguments.fps is not None and arguments.format == "minerl-export":
        parser.error("--fps is for converting, minerl-export writes clips of 20 Hz as they are")
    if arguments.gui != "draw" and arguments.format != "vpt":
        parser.error(f"--gui is for vpt, {arguments.format} does not say where menus are open")
    for name in FILM_OPTIONS:
        if getattr(arguments, name) is not None and arguments.format != "video":
            parser.error(f"--{name.replace('_', '-')} is for video, got it with {arguments.format}")
    return arguments


def options_of(arguments: argparse.Namespace) -> Options:
    """Returns what the clips' content depends on; what was not given is left to the format's defaults.

    Raises:
        ValueError: for options that do not go together.
    """
    names = ("frames", "size", "fps", *(FILM_OPTIONS if arguments.format == "video" else ("gui",)))
    given = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    return TalkingOptions(**given) if arguments.format == "video" else Options(**given)


def main(argv: list[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    arguments = parse_arguments(argv)
    try:
        if arguments.format == "minerl-export":
            done = export(arguments.source, arguments.out, arguments.environment, arguments.size, arguments.workers)
            print(f"{arguments.out / arguments.environment}: {done.recordings} recordings")
            if done.missing:
                print(f"  steps whose keys or turn are missing, written as doing nothing: {done.missing}")
            return 0
        options, shards = options_of(arguments), arguments.recordings_per_shard
        report = convert(arguments.format, arguments.source, arguments.out, options, shards, arguments.workers)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        what = f"SRC {arguments.source} must be there to read, OUT {arguments.out} a folder that can be written"
        print(f"error: {what}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: run the same command again to continue", file=sys.stderr)
        return 130
    print(describe(report, arguments.out))
    found = complaints(report, arguments.max_skipped)
    for complaint in found:
        print(f"warning: {complaint}", file=sys.stderr)
    return 1 if found else 0


def describe(report: dict[str, Any], out: Path) -> str:
    """Returns a report as a few lines, whatever the number of recordings."""
    lines = [
        f"{out}: {report['clips']} clips, {report['frames']} frames, of {report['converted']} of "
        f"{report['recordings']} recordings"
    ]
    for kind in ("skipped", "cut"):
        for reason, count in report[f"{kind}_by_reason"].items():
            first = next((entry for entry in report[kind] if entry["reason"] == reason), None)
            example = f", such as {first['recording']}: {first['detail']}" if first else ""
            lines.append(f"  {kind}: {count} x {reason}{example}")
    lines += [f"  {note}: {count}" for note, count in report["notes"].items()]
    if report["lags"]:
        lines.append(f"  steps that the pictures are late: {report['lags']} (recordings)")
    return "\n".join(lines)


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    try:
        size = int(height), int(width or height)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be H or HxW, got {text!r}") from error
    if min(size) < 16:
        raise argparse.ArgumentTypeError(f"must be at least 16 pixels, got {text!r}")
    return size


if __name__ == "__main__":
    sys.exit(main())
