"""Published measures of held-out clips that the model performs anew.

The model is given a clip's first picture (a head), or its first frames (a world that is walked in), and its conditions.
What it makes is compared with the recorded frames of the same clips. What the recorded clips score themselves stands
beside it wherever a measure looks at one clip alone: it is the most that can be asked for.

Shapes: T frames, H W pixels, D features.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from conditions.encoders.sound import SAMPLE_RATE, to_16_bit
from worldmodel.evaluation.figure import Task
from worldmodel.evaluation.heldout import Place
from worldmodel.evaluation.options import Unavailable
from worldmodel.evaluation.published.faces import cut_face, to_input
from worldmodel.evaluation.published.frechet import frechet_distance, moments
from worldmodel.evaluation.published.networks import VIDEO_FRAMES, Extractor, Networks
from worldmodel.evaluation.published.syncnet import FPS, SyncNet, measure_sync
from worldmodel.evaluation.rollout import stream
from worldmodel.evaluation.scripts import Action
from worldmodel.evenly import evenly

SOURCES = ("generated", "recorded")
BATCH = 32  # images at a time
AUDIBLE = 1e-3  # of full scale, from which on a frame's sound is one
SPOKEN = 0.25  # of the frames that must have one, for lips to have something to follow


@dataclass(frozen=True)
class Pair:
    """A clip and what the model made of it.

    Attributes:
        clip: its number.
        first: [H, W, 3] uint8, the last true picture that the model was given.
        actions: T, each leads to the frame at its place.
        frames: "generated" and "recorded", each [T, H, W, 3] uint8.
    """

    clip: int
    first: NDArray[np.uint8]
    actions: Sequence[Action]
    frames: dict[str, NDArray[np.uint8]]


def measure(task: Task) -> dict[str, Any]:
    """Measures by every network that was loaded.

    Returns:
        num_clips, frames (of each); weights: of each network, its file, SHA-256 and width; unavailable: {name: why};
        fid: {"value", "images"}; fvd: {"value", "videos", "frames"}; syncnet: {"generated" | "recorded": {"lse_c",
        "lse_d", "late"}, "num_clips", "repeated"}; identity: {"generated" | "recorded": {"mean", "lowest"}, "others",
        "in_place"}.

    Raises:
        Unavailable: if no weights were given, or the clips are too short for anything.
    """
    networks: Networks = task.shared.get("published", Networks())
    if not networks.about:
        raise Unavailable("no weights were given: add --fid-weights, --fvd-weights, --syncnet-weights or the like")
    features: dict[str, dict[str, list[NDArray[np.float32]]]] = defaultdict(lambda: defaultdict(list))
    syncs: dict[str, list[Any]] = defaultdict(list)
    faces = _Faces(networks.identity)
    count = length = 0
    for pair in performed(task):
        count, length = count + 1, len(pair.actions)
        for source in SOURCES:
            frames = pair.frames[source]
            if networks.fid is not None:
                features["fid"][source].append(_of_images(networks.fid, frames))
            if networks.fvd is not None and len(frames) >= VIDEO_FRAMES:
                features["fvd"][source].append(_of_videos(networks.fvd, frames))
            if networks.syncnet is not None:
                syncs[source].append(_sync(networks.syncnet, pair, source, task.world.config.frame.fps))
        faces.look(pair)
        task.report(f"clip {count} is measured")
    figures: dict[str, Any] = {"num_clips": count, "frames": length, "weights": networks.about, "unavailable": {}}
    if networks.fid is not None:
        figures["fid"] = {**_distance(features["fid"]), "images": count * length}
    if networks.fvd is not None:
        videos = sum(len(part) for part in features["fvd"]["generated"])
        if videos >= 2:
            figures["fvd"] = {**_distance(features["fvd"]), "videos": videos, "frames": VIDEO_FRAMES}
        else:
            figures["unavailable"]["fvd"] = f"it needs stretches of {VIDEO_FRAMES} frames, two or more: record longer"
    if networks.syncnet is not None:
        _add_sync(figures, syncs, task.world.config.frame.fps)
    if networks.identity is not None:
        figures["identity"] = faces.figures()
    return figures


def performed(task: Task) -> Iterator[Pair]:
    """Performs clips anew, a batch of streams at a time; of the length that lets most frames be compared.

    Raises:
        Unavailable: if no clip is longer than what the model is given of it.
    """
    options, held_out = task.options, task.held_out
    context = 1 if task.world.config.layout.reference != "none" else options.context_frames
    spare = np.array([held_out.clips.num_frames(clip) - context for clip in range(len(held_out))])
    lengths = sorted({min(int(n), options.head_frames) for n in spare if n > 0})
    if not lengths:
        raise Unavailable(f"the clips must be longer than {context} frames: record longer ones with --frames")
    length = max(lengths, key=lambda n: n * min(int((spare >= n).sum()), options.head_clips))
    clips = evenly(np.flatnonzero(spare >= length).tolist(), options.head_clips)
    for begin in range(0, len(clips), options.num_streams):
        batch = clips[begin : begin + options.num_streams]
        starts = [held_out.start(Place(clip, 0, context), context) for clip in batch]
        scripts = [held_out.actions(Place(clip, context - 1, length + 1)) for clip in batch]
        made = np.stack([frames for frames, _ in stream(task.world, starts, scripts, options.seed + begin)], axis=1)
        task.report(f"clips {begin + 1}-{begin + len(batch)} of {len(clips)}: {length} frames are made")
        for row, clip in enumerate(batch):
            frames = {"generated": made[row], "recorded": held_out.frames(Place(clip, context, length))}
            yield Pair(clip, starts[row].frames[-1], scripts[row], frames)


def sound_of(actions: Sequence[Action], fps: float) -> NDArray[np.int16] | None:
    """Returns what is heard while the frames that T actions lead to are shown, [n]; None if nearly all is silence."""
    size = round(SAMPLE_RATE / fps)
    values = [np.asarray(action.get("audio", np.zeros(size)), np.float32) for action in actions]
    heard = [len(value) == size and np.abs(value).max(initial=0.0) > AUDIBLE for value in values]
    return (
        to_16_bit(np.concatenate(values))
        if sum(heard) >= SPOKEN * len(values) and len({*map(len, values)}) == 1
        else None
    )


class _Faces:
    """How like the person in the first picture the others are: cosines of a network's features."""

    def __init__(self, network: Extractor | None) -> None:
        self._network = network
        self._firsts: list[NDArray[np.float32]] = []
        self._likeness: dict[str, list[float]] = {source: [] for source in SOURCES}
        self._in_place = 0

    def look(self, pair: Pair) -> None:
        if self._network is None:
            return
        joints = [action.get("pose") for action in pair.actions]
        # A frame's joints are those of the action that leads to it; the first picture's are nearly those of the next.
        first = self._features([pair.first], joints[:1])[0]
        self._firsts.append(first)
        for source in SOURCES:
            self._likeness[source] += (self._features(pair.frames[source], joints) @ first).tolist()

    def figures(self) -> dict[str, Any]:
        firsts = np.stack(self._firsts)
        others = (firsts @ firsts.T)[~np.eye(len(firsts), dtype=bool)]
        total = sum(len(values) for values in self._likeness.values()) + len(firsts)
        return {
            **{
                source: {"mean": float(np.mean(values)), "lowest": float(np.percentile(values, 10))}
                for source, values in self._likeness.items()
            },
            "others": float(others.mean()) if others.size else None,
            "in_place": self._in_place / total,
        }

    def _features(self, frames: Any, joints: Sequence[Any]) -> NDArray[np.float32]:
        assert self._network is not None
        cuts = [cut_face(frame, points) for frame, points in zip(frames, joints, strict=True)]
        self._in_place += sum(placed for _, placed in cuts)
        faces = np.stack([face for face, _ in cuts])
        found = np.concatenate([self._network(to_input(faces[at : at + BATCH])) for at in range(0, len(faces), BATCH)])
        return found / np.linalg.norm(found, axis=1, keepdims=True).clip(min=1e-12)


def _of_images(network: Extractor, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    images = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
    return np.concatenate([network(images[at : at + BATCH]) for at in range(0, len(images), BATCH)])


def _of_videos(network: Extractor, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    count = len(frames) // VIDEO_FRAMES
    videos = torch.from_numpy(np.ascontiguousarray(frames[: count * VIDEO_FRAMES])).unflatten(0, (count, VIDEO_FRAMES))
    return np.concatenate([network(video[None]) for video in videos.permute(0, 4, 1, 2, 3).contiguous()])


def _distance(features: dict[str, list[NDArray[np.float32]]]) -> dict[str, float]:
    generated, recorded = (moments(np.concatenate(features[source])) for source in SOURCES)
    return {"value": frechet_distance(recorded, generated)}


def _sync(network: SyncNet, pair: Pair, source: str, fps: float) -> Any:
    sound = sound_of(pair.actions, fps)
    return None if sound is None else measure_sync(network, pair.frames[source], sound, fps)


def _add_sync(figures: dict[str, Any], syncs: dict[str, list[Any]], fps: float) -> None:
    if not any(sync is not None for sync in syncs["generated"]):
        figures["unavailable"]["syncnet"] = (
            "it needs clips of 1.4 s or more in which somebody speaks a quarter of the time or more"
        )
        return
    found: dict[str, Any] = {"repeated": FPS / fps}
    for source in SOURCES:
        there = [sync for sync in syncs[source] if sync is not None]
        found["num_clips"] = len(there)
        found[source] = {
            "lse_c": float(np.mean([sync.confidence for sync in there])),
            "lse_d": float(np.mean([sync.distance for sync in there])),
            "late": float(np.median([sync.late for sync in there])),
        }
    figures["syncnet"] = found
