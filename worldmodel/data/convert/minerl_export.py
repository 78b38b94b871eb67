"""Clips as a data folder that MineRL 0.4's own reader, `minerl.data`, reads.

Its reader puts a copy of the last frame but one in the place of the last. So every recording gets one step more, that
does nothing, and the reader returns all frames and actions of the clip.

Shapes: T frames.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from conditions.keyboard import KEYS
from worldmodel.data.clips import Clip, ClipSet
from worldmodel.data.convert.common import resize
from worldmodel.data.convert.minerl import FILES, SEPARATOR
from worldmodel.data.resume import in_processes
from worldmodel.data.video import encode_video

VERSION = 3
MINERL_FPS = 20.0


class Exported(NamedTuple):
    """What an export wrote or found.

    Attributes:
        recordings: how many are there now.
        missing: steps of them whose keys or turn the clips lack, written as if nothing were asked for.
    """

    recordings: int
    missing: int


def export(
    source: Path, out: Path, environment: str, size: tuple[int, int] | None = None, workers: int = 1
) -> Exported:
    """Writes each clip as `OUT/ENVIRONMENT/v3_KEY/`, those that are not there yet.

    Args:
        source: a folder of clips.
        out: what `MINERL_DATA_ROOT` shall be.
        environment: the name of the MineRL environment to load them by; its spaces must have these actions.
        size: H, W of the frames, 64 and 64 for most environments; the clips' own when None.
        workers: how many processes.

    Returns:
        How many recordings are there now, and how many of their steps the clips do not tell in full.

    Raises:
        ValueError: if the source holds no clips, one of them has a rate other than 20 Hz, or OUT is of another version.
        OSError: if OUT cannot be written.
    """
    clips = ClipSet(source)
    version = out / "VERSION"
    if version.exists() and version.read_text().strip() != str(VERSION):
        raise ValueError(f"{version} must be {VERSION}, got {version.read_text()[:20]!r}: choose another OUT")
    folder = out / environment
    folder.mkdir(parents=True, exist_ok=True)
    version.write_text(str(VERSION))
    shards = sorted({clips.shard_of(index) for index in range(len(clips))})
    missing = sum(_missing(clips, index) for index in range(len(clips)))
    with tqdm(total=len(clips), unit="clip", desc=str(folder), disable=None) as bar:
        for done in in_processes(export_shard, [(shard, folder, size) for shard in shards], workers):
            bar.update(done)
    return Exported(len(clips), missing)


def export_shard(shard: Path, folder: Path, size: tuple[int, int] | None) -> int:
    """Writes the clips of one shard and returns how many it holds."""
    clips = ClipSet([shard], max_damaged=1.0)  # of the whole set, `export` has judged the share
    for index, key in enumerate(clips.keys):
        target = folder / f"v{VERSION}_{shard.stem}-{key}"  # keys may repeat from shard to shard
        if not target.exists():
            write_recording(clips[index], target, folder.parent / f".{target.name}.tmp", size)
    return len(clips)


def _missing(clips: ClipSet, index: int) -> int:
    """Steps of a clip in which its keyboard or its camera has no value, or is not there at all."""
    there = np.ones(clips.num_frames(index) - 1, bool)
    for name in ("keyboard", "camera"):
        column = clips.columns(index).get(name)
        there &= False if column is None else column.present
    return int((~there).sum())


def write_recording(clip: Clip, target: Path, temporary: Path, size: tuple[int, int] | None = None) -> None:
    """Writes one recording; the folder appears under its name when all is in it. A value that is missing is a no-op.

    Args:
        clip: T frames, at 20 Hz.
        target: the recording's folder.
        temporary: a folder to write it in first, outside the environment's.
        size: H, W of the frames; the clip's when None.

    Raises:
        ValueError: if the clip's rate is another one.
    """
    if clip.meta["fps"] != MINERL_FPS:
        raise ValueError(f"clip {clip.key} must be of {MINERL_FPS:g} Hz, as MineRL is, got {clip.meta['fps']:g}")
    frames = np.stack([resize(frame, size) for frame in [*clip.frames, clip.frames[-1]]])  # [T+1, H, W, 3]
    actions = [*clip.actions(), {}]
    steps = len(actions)
    columns = {
        f"action{SEPARATOR}{key}": np.array([action.get("keyboard", {}).get(key, 0) for action in actions], np.int64)
        for key in KEYS
    }
    camera = np.array([action.get("camera", (0.0, 0.0))[:2] for action in actions], np.float32)  # [T, 2]
    arrays: dict[str, Any] = {"reward": np.zeros(steps, np.float32), **columns, f"action{SEPARATOR}camera": camera}
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    metadata = {
        "success": False,
        "duration_ms": int(steps * 1000 / MINERL_FPS),
        "duration_steps": steps,
        "total_reward": 0.0,
        "stream_name": target.name,
        "true_video_frame_count": len(frames),
    }
    contents = [encode_video(frames, MINERL_FPS), stream.getvalue(), json.dumps(metadata).encode()]
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for name, data in zip(FILES, contents, strict=True):
        (temporary / name).write_bytes(data)
    os.replace(temporary, target)
