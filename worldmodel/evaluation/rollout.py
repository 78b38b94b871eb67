"""Generating with many streams at once.

Shapes: B streams, T frames, F frames per chunk, C latent channels, h w latent, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from worldmodel.evaluation.scripts import Action

if TYPE_CHECKING:
    from worldmodel.session import Session
    from worldmodel.world import WorldModel

Report = Callable[[str], None]


@dataclass(frozen=True)
class Start:
    """Where a stream begins: true frames and what led from each to the next.

    Attributes:
        frames: [T, H, W, 3] uint8.
        actions: T - 1 raw actions.
        reference: [H, W, 3] uint8, for worlds that keep to a picture; the first frame by default.
    """

    frames: NDArray[np.uint8]
    actions: list[Action]
    reference: NDArray[np.uint8] | None = None

    @property
    def picture(self) -> NDArray[np.uint8]:
        """The reference, or what stands for it."""
        return self.frames[0] if self.reference is None else self.reference


def stream(
    world: WorldModel, starts: Sequence[Start], actions: Sequence[Sequence[Action]], seed: int
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """Steps one batch of streams, keeping nothing.

    A world of several frames a chunk is told them all before the first is made. Scripts that end within a chunk are
    filled up with their last action, and the frames beyond their end are not shown.

    Args:
        world: the model.
        starts: B beginnings.
        actions: B scripts of one length; names that the world does not know are left out.
        seed: of the noise.

    Yields:
        After each step the frames [B, H, W, 3] uint8 and their latents [B, C, h, w] float32.

    Raises:
        ValueError: if the scripts differ in length or number.
    """
    if len({len(script) for script in actions}) != 1 or len(actions) != len(starts):
        raise ValueError(
            f"every stream needs a script, all of one length, got {len(starts)} streams and scripts of "
            f"{sorted(len(script) for script in actions)} steps"
        )
    session = open_session(world, starts, seed)
    known, chunk = set(world.conditions.names), world.config.layout.chunk_frames
    scripts = [known_actions(script, known) for script in actions]
    length = len(scripts[0])
    for first in range(0, length, chunk):
        rows = [script[first : first + chunk] for script in scripts]
        rows = [row + [row[-1]] * (chunk - len(row)) for row in rows]
        coming = session.stream_chunk(rows[0] if len(rows) == 1 else rows)
        for frames in islice(coming, length - first):
            yield (frames[None] if len(rows) == 1 else frames), session.latents.float().cpu().numpy()


def open_session(world: WorldModel, starts: Sequence[Start], seed: int) -> Session:
    """Opens a session of B streams, each with its own beginning and, where the world takes one, its own picture."""
    known, takes_picture = set(world.conditions.names), world.config.layout.reference != "none"
    conditions = [known_actions(start.actions, known) for start in starts]
    one = len(starts) == 1
    session = world.session(
        seed=seed,
        first_frames=starts[0].frames if one else [start.frames for start in starts],
        first_conditions=conditions[0] if one else conditions,
        reference=starts[0].picture if takes_picture else None,
        num_streams=len(starts),
    )
    for row in range(1, len(starts) if takes_picture else 0):  # a session opens with one picture for all
        start = starts[row]
        session.reset(row, start.frames, conditions[row], reference=start.picture, seed=seed + row)
    return session


def rollout(
    world: WorldModel,
    starts: Sequence[Start],
    actions: Sequence[Sequence[Action]],
    num_streams: int,
    seed: int,
    report: Report,
    what: str = "",
) -> NDArray[np.uint8]:
    """Generates a clip for every start, a batch of streams at a time.

    Args:
        world: the model.
        starts: S beginnings.
        actions: S scripts of one length T.
        num_streams: streams in a batch.
        seed: of the noise; batch b uses seed + b * num_streams.
        report: called with a line of progress every 50 steps and at the end of each batch.
        what: what to call it in that line.

    Returns:
        [S, T, H, W, 3] uint8.
    """
    clips = []
    for first in range(0, len(starts), num_streams):
        batch, scripts = starts[first : first + num_streams], actions[first : first + num_streams]
        frames = []
        for pictures, _ in stream(world, batch, scripts, seed + first):
            frames.append(pictures)
            if len(frames) % 50 == 0 or len(frames) == len(actions[0]):
                report(f"{what} streams {first + 1}-{first + len(batch)} of {len(starts)}, frame {len(frames)}")
        clips.append(np.stack(frames, axis=1))
    return np.concatenate(clips)


def known_actions(actions: Sequence[Action], names: set[str]) -> list[Action]:
    """Leaves out of some actions what a world of these conditions does not know."""
    return [{name: value for name, value in action.items() if name in names} for action in actions]
