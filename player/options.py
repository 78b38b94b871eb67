"""The command line's options for talking heads. Nothing here opens anything, so that `--help` is there at once."""

from __future__ import annotations

import argparse

MICROPHONE = "mic"  # instead of a file
CONDITIONS = {  # that options of talking heads give
    **{"audio": "audio", "say": "audio", "listen": "listen", "duplex": "audio"},
    **{"pose": "pose", "drive": "pose", "text": "text", "captions": "text"},
}
EXCLUSIVE = (
    *(("audio", "say"), ("pose", "drive"), ("text", "captions")),
    *(("duplex", other) for other in ("audio", "say", "listen", "pose", "drive", "start")),
    ("start", "portrait"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of talking heads, and of any other world that hears, moves or reads."""
    head = parser.add_argument_group("talking head (any world with the conditions audio, listen, pose, text)")
    head.add_argument("--audio", metavar="FILE|mic", help="what it says: a sound file, or the microphone")
    head.add_argument("--say", metavar="WORDS", help="what it says, spoken by espeak-ng (the extra speech)")
    head.add_argument("--voice", metavar="VOICE", help="of --say: en-us, de, en-us+f3, … (default: en-us)")
    head.add_argument("--listen", metavar="FILE|mic", help="what the other one says")
    head.add_argument("--duplex", metavar="FILE", help="two heads in conversation, one channel of the file each")
    head.add_argument("--pose", metavar="FILE.npz", help="key points [T, K, 2] in picture widths, NaN = missing")
    head.add_argument("--drive", metavar="VIDEO", help="the head moves as the face in it (the extra driving)")
    head.add_argument("--face-model", metavar="FILE", help="MediaPipe's face_landmarker.task, for --drive, --portrait")
    head.add_argument("--text", metavar="CAPTION", help="mood and manner")
    head.add_argument("--captions", metavar="FILE", help="captions with times, lines such as '4.5 happy'")
    head.add_argument("--portrait", metavar="FILE", nargs="+", help="whose face it is; two files for --duplex")


def drives_head(args: argparse.Namespace) -> bool:
    """Whether an option of a talking head is given."""
    return any(getattr(args, name) is not None for name in (*CONDITIONS, "portrait"))


def check_options(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuses options that exclude each other or could not take effect."""
    for one, other in EXCLUSIVE:
        if getattr(args, one) is not None and getattr(args, other) is not None:
            parser.error(f"--{one} and --{other} are for the same thing: give one of them")
    if args.audio == MICROPHONE and args.listen == MICROPHONE:
        parser.error("--audio mic and --listen mic: there is one microphone, give it to one of them")
    if args.voice is not None and args.say is None:
        parser.error("--voice is of --say WORDS: give it too")
    if args.face_model is not None and args.drive is None and args.portrait is None:
        parser.error("--face-model is for --drive or --portrait: give one of them too")
    if args.duplex is not None and (args.side_by_side or (args.world is not None and args.checkpoint is not None)):
        parser.error(
            "--duplex shows two heads of one world: leave --side-by-side out, and give --world or --checkpoint"
        )
    if args.portrait is not None:
        if args.world is not None:
            parser.error("--portrait is for a checkpoint, and with --world it starts in that: give one of them")
        if len(args.portrait) > (2 if args.duplex is not None else 1):
            parser.error(f"--portrait wants one file, or two with --duplex, got {len(args.portrait)}")
