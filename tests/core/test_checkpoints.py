"""The checkpoints that ship: small, they load, go on from their own starts, and these are where they say they are."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
import pytest

import envs  # noqa: F401  registers the worlds
import play
from worldmodel import WorldModel
from worldmodel.checkpoint import INDEX, read_starts
from worldmodel.metrics import psnr

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "checkpoints"
SHIPPED = sorted(index.parent for index in FOLDER.glob(f"*/{INDEX}"))
KINDS = {".json", ".safetensors", ".tar", ".md", ".png"}  # nothing that is unpickled
MAX_MB = 30

every_checkpoint = pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)


def test_what_is_played_by_default_ships() -> None:
    assert {ROOT / play.CHECKPOINT, FOLDER / "avatar"} <= set(SHIPPED)


@every_checkpoint
def test_it_is_small_and_of_plain_files(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MAX_MB * 1_000_000
    assert {path.suffix for path in files} <= KINDS and folder / "README.md" in files


@every_checkpoint
def test_it_goes_on_from_its_own_starts(folder: Path) -> None:
    """A chunk of each start is frames of the world's size, and follows that start rather than another one."""
    world = WorldModel.from_pretrained(folder)
    starts, count = world.starts(), world.config.layout.chunk_frames
    lasts = np.stack([clip.frames[-1] for clip in starts])
    assert len(starts) > 1 and lasts.shape[1:] == (world.config.frame.height, world.config.frame.width, 3)
    for number, clip in enumerate(starts[:2]):
        assert clip.meta["fps"] == world.config.frame.fps
        reference = None if world.config.layout.reference == "none" else clip.frames[0]
        session = world.session(number, reference=reference)  # its seed chooses the start
        chunk = session.step_chunk([clip.actions()[-1]] * count)
        assert chunk.shape == (count, *lasts.shape[1:]) and chunk.dtype == np.uint8
        assert int(psnr(np.stack([chunk[0]] * len(lasts)), lasts).argmax()) == number


def test_the_rendered_world_retraces_the_starts_of_blockworld() -> None:
    """By a start's world, arguments, seed and actions: what play does when it goes over to the rendered world."""
    for clip in read_starts(FOLDER / "blockworld"):
        env = gymnasium.make(clip.meta["world"], disable_env_checker=True, **clip.meta["world_kwargs"])
        frames = [env.reset(seed=clip.meta["seed"])[0], *(env.step(action)[0] for action in clip.actions())]
        assert psnr(np.stack(frames), clip.frames).min() > 27.0


def test_the_rendered_world_shows_the_people_in_the_starts_of_avatar() -> None:
    """What a head said and how it looked at first are not in its clip: at the seed's own, it is the same person."""
    pytest.importorskip("skia", reason="skia-python is not installed (the extra `avatar`)", exc_type=ImportError)
    starts = read_starts(FOLDER / "avatar")
    lasts = np.stack([clip.frames[-1] for clip in starts])
    for number, clip in enumerate(starts):
        env = gymnasium.make(clip.meta["world"], disable_env_checker=True, **clip.meta["world_kwargs"])
        frames = [env.reset(seed=clip.meta["seed"])[0], *(env.step(action)[0] for action in clip.actions())]
        likeness = psnr(np.stack([frames[-1]] * len(lasts)), lasts)
        assert int(likeness.argmax()) == number and likeness[number] > 20.0
