"""What holds for every test."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """The models of tests are tiny: on a busy machine their threads would only wait for each other, for minutes."""
    torch.set_num_threads(1)
