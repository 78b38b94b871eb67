"""Opens what the command line says about talking heads: who speaks, who listens, how it moves, whose face it is."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import numpy as np
from gymnasium import spaces

from conditions.encoders.sound import SAMPLE_RATE
from envs.speech.track import Track
from player.drive import Drive
from player.duplex import Duplex
from player.options import CONDITIONS, MICROPHONE
from player.portraits import check_portrait, read_portrait
from player.sources.base import Source, SourceError, Tell
from player.sources.captions import Captions, read_captions
from player.sources.driving import DrivingVideo, face_detector, fits
from player.sources.microphone import Microphone
from player.sources.pose_file import read_poses
from player.sources.sound_file import Sounds, read_sound, read_two_channels
from player.sources.speech import spoken
from player.worlds import World, WorldError, action_space_of, frame_rate, height_and_width
from worldmodel.data.faces import Detect


def open_sources(args: argparse.Namespace, world: World, tell: Tell) -> tuple[Drive, Track | None]:
    """Opens what drives a world.

    Args:
        args: the command line.
        world: what is driven.
        tell: is told what is odd about a source, now and later.

    Returns:
        The sources, and the phones of what is said, where they are known.

    Raises:
        SourceError: for a source that cannot begin, or a condition that the world does not have.
    """
    space, fps = action_space_of(world), frame_rate(world)
    for option, condition in CONDITIONS.items():
        if getattr(args, option) is not None and condition not in space.spaces:
            raise SourceError(
                f"--{option} gives the condition {condition!r}, which this world has not: it has "
                f"{', '.join(space.spaces)}"
            )
    sources: dict[str, Source] = {}
    live = [name for name in ("audio", "listen") if getattr(args, name) == MICROPHONE]
    track: Track | None = None
    try:
        if args.duplex is not None:
            left, right = read_two_channels(args.duplex, tell)
            size = _samples(space, "audio", fps)
            sources |= {"audio": Sounds(left, size), "listen": Sounds(right, size)}
        for name in ("audio", "listen"):
            path = getattr(args, name)
            if path is not None:
                size = _samples(space, name, fps)
                opened = Microphone(size, tell) if path == MICROPHONE else None
                sources[name] = opened or Sounds(read_sound(path, tell, f"--{name}"), size)
        if args.say is not None:
            track = spoken(args.say, args.voice or "en-us")
            sources["audio"] = Sounds(track.samples, _samples(space, "audio", fps))
        if args.pose is not None:
            sources["pose"] = read_poses(args.pose, _box(space, "pose"), fps, tell)
        if args.drive is not None:
            if not fits(space["pose"]):
                raise SourceError("--drive finds the joints of a face, and this world's pose has others: give --pose")
            height, width = height_and_width(world)
            with ExitStack() as undo:  # the video closes it, once there is one
                detect = undo.enter_context(closing(face_detector(args.face_model)))
                sources["pose"] = DrivingVideo(args.drive, fps, detect, tell, aspect=width / height)
                undo.pop_all()
        if args.text is not None or args.captions is not None:
            lines = [(0.0, args.text)] if args.captions is None else read_captions(args.captions)
            longest = space["text"].max_length if isinstance(space["text"], spaces.Text) else len(max(lines)[1])
            sources["text"] = Captions(lines, fps, longest, tell)
    except SourceError:
        for source in sources.values():
            source.close()
        raise
    return Drive(sources, live, apart=args.duplex is not None), track


def reset_options(args: argparse.Namespace, world: World, track: Track | None, tell: Tell) -> dict[str, Any]:
    """Returns what a world is to be reset with: the portrait, and the phones of what it says.

    Raises:
        SourceError: for a portrait that cannot be read.
        WorldError: for a world that takes none, or needs one.
    """
    left = world.left.unwrapped if isinstance(world, Duplex) else world.unwrapped
    options: dict[str, Any] = {}
    if track is not None and hasattr(left, "speak"):  # a rendered mouth follows phones better than sound
        options["speech"] = track
    takes = bool(getattr(left, "takes_reference", False))
    if args.portrait is None:
        if takes and not left.get_wrapper_attr("starts"):
            raise WorldError("this checkpoint starts from a portrait and brings none: give --portrait FILE")
        return options
    if not takes:
        raise WorldError("--portrait is for a checkpoint with a reference picture, and this one has none: leave it out")
    height, width = height_and_width(left)
    with _detector(args) as detect:
        portraits = [read_portrait(path, height, width, tell, detect) for path in args.portrait]
    if isinstance(world, Duplex) and len(portraits) == 1:
        tell(f"both heads are given one portrait, {args.portrait[0]}: name a second one for the right head")
    known = [start.frames[0] for start in left.get_wrapper_attr("starts")]
    for path, portrait in zip(args.portrait, portraits, strict=True):
        check_portrait(portrait, path, tell, left.get_wrapper_attr("likeness"), known)
    if not isinstance(world, Duplex):
        return options | {"reference": portraits[0]}
    return {"left": {"reference": portraits[0]}, "right": {"reference": portraits[-1]}}


@contextmanager
def _detector(args: argparse.Namespace) -> Iterator[Detect | None]:
    """What looks for a face in a portrait, where a model for it was given."""
    if args.face_model is None:
        yield None
        return
    with closing(face_detector(args.face_model)) as detect:
        yield detect


def _box(space: spaces.Dict, name: str) -> spaces.Box:
    box = space[name]
    if not isinstance(box, spaces.Box):
        raise SourceError(f"this world's {name} is {box}, which no source here yields")
    return box


def _samples(space: spaces.Dict, name: str, fps: float) -> int:
    """Returns S, the samples of a frame of sound."""
    samples = int(np.prod(_box(space, name).shape))
    if round(SAMPLE_RATE / fps) != samples:
        raise SourceError(
            f"this world's {name} has {samples} samples a frame, and at {fps:g} frames a second a frame has "
            f"{SAMPLE_RATE / fps:g}: sound and picture would drift apart"
        )
    return samples
