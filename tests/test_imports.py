"""Imports point one way: conditions <- worldmodel <- envs <- player <- play.py, and importing opens nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ["conditions", "worldmodel", "envs", "player", "play"]  # each may import itself and what stands before it
HEAVY = ["pygame", "numba", "envs", "player", "diffusers", "matplotlib", "tensorboard"]


def sources(layer: str) -> list[Path]:
    """The layer's Python files: a package's, or the one file of a script."""
    return sorted((ROOT / layer).rglob("*.py")) or [path for path in [ROOT / f"{layer}.py"] if path.exists()]


def imported(source: str, path: Path) -> set[str]:
    """Top-level names of every package that a file imports, wherever in the file it does."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source, filename=str(path))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_point_one_way(layer: str) -> None:
    files = sources(layer)
    assert files, f"nothing found under {layer}: has it moved? Say so in LAYERS"
    later = set(LAYERS[LAYERS.index(layer) + 1 :])
    wrong = {
        str(path.relative_to(ROOT)): names for path in files if (names := imported(path.read_text(), path) & later)
    }
    assert not wrong


@pytest.mark.parametrize("layer", ["conditions", "worldmodel"])
def test_the_core_knows_no_window_toolkit_and_no_renderer(layer: str) -> None:
    wrong = {str(path) for path in sources(layer) if imported(path.read_text(), path) & {"pygame", "numba"}}
    assert not wrong


def test_a_wrong_import_would_be_seen() -> None:
    inside = "def f():\n    from envs.generated import Generated\n"
    assert imported(inside, Path("x.py")) == {"envs"}


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("conditions", HEAVY),
        ("worldmodel", HEAVY),
        ("envs", ["pygame", "numba", "player", "transformers"]),
        ("player", ["pygame", "numba", "torch", "transformers"]),
    ],
)
def test_importing_loads_nothing_heavy(module: str, heavy: list[str]) -> None:
    code = f"import sys, {module}; print(*sorted(set({heavy!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
