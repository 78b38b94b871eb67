"""TECO's Minecraft: an agent that walks on, jumping, or turns by 20 degrees, in steps of 1/20 s.

`train|test/WORKER/NNNNNN.mp4` with an npz of the same name, on disk or in the tar archive that the set is published as.
Source of the layout and of the alignment: wilson1yan/teco (teco/data.py) and wilson1yan/collect-minecraft (collect.py):
actions[0] belongs to the reset, actions[t] was done before frame t was seen.

Shapes: V frames.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from worldmodel.data.convert.common import Format, Options, Skip, Track, Video, load_npz, require, same_length
from worldmodel.data.convert.files import Recording, find_recordings

TURN = 20.0  # degrees
ACTIONS: list[tuple[dict[str, int], list[float]]] = [
    ({}, [0.0, 0.0]),
    ({"forward": 1, "jump": 1}, [0.0, 0.0]),
    ({"jump": 1}, [0.0, -TURN]),
    ({"jump": 1}, [0.0, TURN]),
]


class Teco(Format):
    """Reads TECO's Minecraft."""

    def find(self, source: Path) -> list[Recording]:
        """Lists the recordings, those with only one of their two files too."""
        return find_recordings(source, (".mp4", ".npz"))

    def read(self, recording: Recording, options: Options) -> Track:
        """Reads one; values[t] = actions[t + 1], which produced frame t + 1."""
        require(recording, ".mp4", ".npz")
        video = recording.files[".mp4"].read()
        actions = load_npz(recording.files[".npz"].read(), ["actions"])["actions"]
        if actions.ndim != 1 or actions.dtype.kind not in "iu":
            raise Skip("malformed npz", f"actions must be [V] integers, got {actions.shape} {actions.dtype}")
        frames = Video(video).num_frames
        same_length(frames, len(actions), frames, "actions")
        unknown = sorted(set(actions.tolist()) - set(range(len(ACTIONS))))
        if unknown:
            raise Skip("unknown action", f"actions must be 0 to {len(ACTIONS) - 1}, got {unknown[:5]}")
        steps = [ACTIONS[action] for action in actions[1:]]
        conditions = {"keyboard": [keys for keys, _ in steps], "camera": np.array([turn for _, turn in steps], "f4")}
        split = "test" if "test" in Path(recording.name).parts else "train"
        return Track(video, 0, conditions, [(0, frames)], meta={"world": "minecraft", "set": "teco", "split": split})
