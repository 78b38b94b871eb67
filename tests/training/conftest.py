"""One small clip set, and a run of it with every stage done, shared by the tests that only read them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.training.small import write_clips, write_config
from worldmodel.training.__main__ import main


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Training sets the number of threads; other tests keep theirs."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("square"))


@pytest.fixture(scope="session")
def trained(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all three stages done, four steps a phase, no interruption; its config lies in it."""
    run = tmp_path_factory.mktemp("runs") / "trained"
    run.mkdir()
    config = write_config(run / "small.yaml", clips)
    for stage in ("autoencoder", "latents", "dynamics"):
        main([f"config={config}", f"stage={stage}", f"run={run}"])
    return run


@pytest.fixture
def encoded(trained: Path, tmp_path: Path) -> Path:
    """A run of its own with the stages before `dynamics` done."""
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(trained / "small.yaml", run)
    for stage in ("autoencoder", "latents"):
        shutil.copytree(trained / stage, run / stage)
    return run
