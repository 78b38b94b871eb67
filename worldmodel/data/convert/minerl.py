"""MineRL's recordings of people playing: 64x64 at 20 Hz, with the actions of MineRL 0.3 and 0.4.

`ROOT/VERSION` and `ROOT/ENVIRONMENT/v3_NAME/{recording.mp4, rendered.npz, metadata.json}`. The video is aligned by its
end, as the package's own reader does it (minerllabs/minerl, minerl/data/data_pipeline.py): an episode has one frame
more than rewards, and what the video has more comes first and is left out. That reader puts a copy of the last frame
but one in the place of the last, so the last frame is left out here.

Shapes: V frames, N actions.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np

from conditions.keyboard import KEYS
from worldmodel.data.convert.common import Format, Options, Skip, Track, Video, load_npz, require, same_length
from worldmodel.data.convert.files import Recording, Stored

VERSIONS = (3, 4)
FILES = ("recording.mp4", "rendered.npz", "metadata.json")
SEPARATOR = "$"


class MineRL(Format):
    """Reads MineRL's data folder, or one environment's folder in it."""

    def find(self, source: Path) -> list[Recording]:
        """Lists the recordings of all environments; raises ValueError for another version of the data."""
        if not source.is_dir():
            raise ValueError(f"the source must be a folder, got {source}")
        version = source / "VERSION"
        if version.exists() and version.read_text().strip() not in map(str, VERSIONS):
            raise ValueError(
                f"{version} must be one of {VERSIONS}, got {version.read_text()[:20]!r}: fetch MineRL 0.4's"
            )
        folders = {path.parent for name in FILES for path in source.rglob(name)}
        recordings = []
        for folder in sorted(folders):
            prefix = re.match(r"v(\d+)_", folder.name)
            known = prefix is not None and int(prefix[1]) in VERSIONS
            problem = "" if known else f"the folder's name must begin with v3_, got {folder.name}"
            files = {name: Stored((folder / name,)) for name in FILES if (folder / name).is_file()}
            recordings.append(Recording(str(folder.relative_to(source)), files, problem))
        if not recordings:
            raise ValueError(f"{source} must hold ENVIRONMENT/v3_NAME/recording.mp4, got none")
        return recordings

    def read(self, recording: Recording, options: Options) -> Track:
        """Reads one; action t leads from the t-th frame of the episode to the next."""
        require(recording, *FILES)
        skipped = Counter[str]()
        names = [f"action{SEPARATOR}{name}" for name in (*KEYS, "camera", "vector")]
        arrays = load_npz(recording.files["rendered.npz"].read(), ["reward"], names)
        count = len(arrays["reward"]) if arrays["reward"].ndim == 1 else 0
        if f"action{SEPARATOR}vector" in arrays:
            raise Skip("unknown action", "the actions are those of an obfuscated environment (action$vector)")
        if not any(name in arrays for name in names) or not count:
            raise Skip("npz without its key", f"there must be rewards and actions such as {names[0]!r}")
        actions = {name.partition(SEPARATOR)[2]: array for name, array in arrays.items() if name in names}
        for name, array in actions.items():
            same_length(count + 1, len(array) if array.ndim else 0, count, f"values of {name}")
        video = recording.files["recording.mp4"].read()
        frames = Video(video).num_frames
        announced = _video_frames(recording.files["metadata.json"].read())
        same_length(frames, announced, frames, "frames in metadata.json (true_video_frame_count)")
        first = frames - (count + 1)
        if first < 0:
            raise Skip("lengths disagree", f"{frames} frames and {count} rewards, expected at least {count + 1} frames")
        skipped["frames before the episode"] += first
        camera = actions.pop("camera", np.zeros((count, 2)))
        if camera.shape != (count, 2) or camera.dtype.kind not in "iuf" or not np.isfinite(camera).all():
            raise Skip("unknown action", f"camera must be [{count}, 2] degrees, got {camera.shape} {camera.dtype}")
        keyboard = np.zeros((count, len(KEYS)), np.uint8)
        for name, array in actions.items():
            if array.shape != (count,) or not np.isin(array, (0, 1)).all():
                raise Skip("unknown action", f"{name} must be [{count}] of 0 and 1, got {array.shape} {array.dtype}")
            keyboard[:, KEYS.index(name)] = array
        conditions = {"keyboard": keyboard[: count - 1], "camera": camera[: count - 1].astype(np.float32)}
        meta = {"world": "minecraft", "set": "minerl", "environment": Path(recording.name).parent.name}
        return Track(video, first, conditions, [(0, count)], meta=meta, notes=skipped)


def _video_frames(data: bytes) -> int:
    try:
        count = json.loads(data)["true_video_frame_count"]
    except (ValueError, KeyError, TypeError) as error:
        raise Skip("broken metadata", f"metadata.json must have true_video_frame_count: {error!r}") from error
    if not isinstance(count, int):
        raise Skip("broken metadata", f"true_video_frame_count must be a number, got {count!r}")
    return count
