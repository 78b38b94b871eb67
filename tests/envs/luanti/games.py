"""What the tests of the real game share."""

from __future__ import annotations

from pathlib import Path

from tests.envs import processes

WORLD = "worldmodel/Luanti-v0"


def folders() -> set[Path]:
    """Temporary folders of games, of any process."""
    return processes.folders("worldmodel-luanti-*")
