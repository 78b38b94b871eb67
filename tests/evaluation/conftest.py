"""A tiny checkpoint and tiny clips, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.evaluation.toyworld import write_clips
from tests.tiny import tiny_world
from worldmodel.evaluation.figure import Task
from worldmodel.evaluation.heldout import HeldOut
from worldmodel.evaluation.options import Options

TINY = Options(
    num_streams=3,
    context_frames=4,
    rollouts=((10, 4), (50, 3)),
    reconstruction_frames=64,
    reconstruction_run=16,
    drift_frames=120,
    drift_window=30,
    drift_reference=8,
    drift_streams=2,
    control_starts=2,
    control_hold=17,
    lesson_worlds=3,
    reader_frames=600,
    reader_steps=8,
    memory_starts=2,
    memory_angles=(60, 360),
    memory_rate=30.0,
    head_clips=6,
    head_frames=48,
    head_controls=4,
    head_shift=20,
    head_moods=2,
    head_mood_frames=18,
    head_streams=2,
    head_marks=(2.0, 4.0),
    head_chunks=3,
    head_lessons=4,
    head_lesson_frames=12,
    head_reader_steps=6,
    head_examined=3,
)


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight clips of 80 frames of the toy world."""
    return write_clips(tmp_path_factory.mktemp("clips"), 8, 80)


@pytest.fixture(scope="session")
def still_clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clips of 60 frames in which nothing happens."""
    return write_clips(tmp_path_factory.mktemp("still"), 4, 60, still=True)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random world model on disk."""
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    tiny_world().save_pretrained(folder)
    return folder


@pytest.fixture
def task(clips: Path, tmp_path: Path) -> Task:
    """An evaluation of a tiny random model on the toy clips, with the toy world at hand."""
    world = tiny_world()
    return Task(world, HeldOut(clips, world), TINY, tmp_path, lambda text: None, "tests.evaluation.toyworld")
