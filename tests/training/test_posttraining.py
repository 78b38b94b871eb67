"""A trained world goes on at another picture size, rate and chunk; and what cannot go on is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.small import losses
from worldmodel import WorldModel
from worldmodel.data.clip_writer import ClipWriter
from worldmodel.data.clips import Clip, ClipSet
from worldmodel.training.__main__ import main


def enlarge(clips: Path, folder: Path) -> Path:
    """The same clips, twice as wide and high, at twice the rate."""
    with ClipWriter(folder / "shard-000000.tar") as writer:
        for clip in ClipSet(clips):
            frames = clip.frames.repeat(2, axis=1).repeat(2, axis=2)
            writer.write(Clip(clip.key, frames, clip.conditions, {**clip.meta, "fps": 40.0}))
    return folder


@pytest.fixture
def settings(trained: Path, clips: Path, tmp_path: Path) -> list[str]:
    """A run of its own, of 32x32 pixels at 40 fps in chunks of 2, that begins from the trained world of 16x16 at 20."""
    frame = ["model.frame.height=32", "model.frame.width=32", "model.frame.fps=40", "model.layout.chunk_frames=2"]
    phase = ["steps=20", "batch_size=4", "frames=4", "lr=0.01", "warmup_steps=2"]
    return [
        f"config={trained / 'small.yaml'}",
        f"run={tmp_path / 'run'}",
        f"initial={trained / 'dynamics' / 'export'}",
        f"data.clips={enlarge(clips, tmp_path / 'large')}",
        *frame,
        *(f"training.posttraining.{setting}" for setting in phase),
    ]


def test_a_world_goes_on_at_another_size_and_rate(
    settings: list[str], trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["stage=latents", *settings])
    main(["stage=posttraining", *settings])
    begins = next(line for line in capsys.readouterr().out.splitlines() if "begins from" in line)
    assert "frame.fps 20.0 -> 40.0, frame.height 16 -> 32" in begins and "layout.chunk_frames 1 -> 2" in begins

    curve = losses(tmp_path / "run" / "posttraining")
    assert len(curve) == 20 and np.mean(curve[-5:]) < np.mean(curve[:3])
    world, before = (
        WorldModel.from_pretrained(folder / "export")
        for folder in (tmp_path / "run" / "posttraining", trained / "dynamics")
    )
    assert (world.config.frame.fps, world.latent_size, before.latent_size) == (40.0, (4, 4), (2, 2))
    assert world.head.position.shape == (16, 32) and before.head.position.shape == (4, 32)
    assert not torch.equal(world.head.blocks[0].mlp[0].weight, before.head.blocks[0].mlp[0].weight)
    own, public = world.autoencoder.state_dict(), before.autoencoder.state_dict()
    assert all(torch.equal(value, public[key]) for key, value in own.items())  # it is used as it is
    start = world.starts()[0]
    session = world.session(first_frames=start.frames)
    assert session.step_chunk([{"keyboard": {"left": 1}}] * 2).shape == (2, 32, 32, 3)


def test_it_begins_where_the_world_ended(settings: list[str], trained: Path, tmp_path: Path) -> None:
    """A step too small to matter leaves the world's weights, its places in the frame spread over the larger one."""
    still = ["training.posttraining.steps=1", "training.posttraining.lr=1e-12", "training.export_dtype=float32"]
    main(["stage=latents", *settings])
    main(["stage=posttraining", *settings, *still])
    after = WorldModel.from_pretrained(tmp_path / "run" / "posttraining" / "export").state_dict()
    before = WorldModel.from_pretrained(trained / "dynamics" / "export").state_dict()
    places = {"embedding.position", "head.position"}
    for key in before.keys() - places:
        torch.testing.assert_close(after[key], before[key], atol=1e-6, rtol=0)
    for key in places:
        old, new = before[key].unflatten(0, (2, 2)), after[key].unflatten(0, (4, 4))
        for row, column in ((0, 0), (0, -1), (-1, 0), (-1, -1)):  # corners stay corners
            torch.testing.assert_close(new[row, column], old[row, column], atol=1e-6, rtol=0)


def test_what_cannot_go_on_is_refused(settings: list[str]) -> None:
    without = [setting for setting in settings if not setting.startswith("initial=")]
    with pytest.raises(SystemExit, match="begins from a trained world, got none: add initial=RUN/dynamics/export"):
        main(["stage=posttraining", *without])
    with pytest.raises(SystemExit, match=r"must be of 25 frames a second \(model.frame.fps\), got 40"):
        main(["stage=posttraining", *settings, "model.frame.fps=25"])
    with pytest.raises(SystemExit, match="must be 16x32 pixels .* got 32x32"):
        main(["stage=posttraining", *settings, "model.frame.height=16"])
    with pytest.raises(SystemExit, match="stage=posttraining needs the latents .* stage=latents"):
        main(["stage=posttraining", *settings])
