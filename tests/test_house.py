"""The house rules that a machine can check."""

from __future__ import annotations

import ast
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ["conditions", "worldmodel", "envs", "player", "benchmarks"]
FILES = sorted([*(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")), *ROOT.glob("*.py")])
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))  # below it lie other programs' own, as accelerate's
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_no_file_is_over_500_lines() -> None:
    assert FILES
    long = {str(path.relative_to(ROOT)): lines for path in FILES if (lines := len(path.read_text().splitlines())) > 500}
    assert not long


def test_one_function_words_what_is_nearest() -> None:
    users = [str(path.relative_to(ROOT)) for path in FILES if "get_close_matches" in path.read_text()]
    assert users == ["conditions/values.py"]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_loads(path: Path) -> None:
    from worldmodel.config import load_config

    assert load_config([f"config={path}"]) is not None


def test_every_package_imported_is_required() -> None:
    extras = PROJECT["optional-dependencies"]  # what they bring is imported only where it is used, with a clear error
    optional = [line for extra in ("avatar", "speech", "luanti", "mic", "driving") for line in extras[extra]]
    lines = [*PROJECT["dependencies"], *optional]
    required = {canonicalize_name(Requirement(line).name) for line in lines}
    distributions = packages_distributions()
    missing: set[str] = set()
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            for name in (name.split(".")[0] for name in names):
                owners = {canonicalize_name(owner) for owner in distributions.get(name, [])} - {"worldmodel"}
                if owners and not owners & required:
                    missing.add(f"{path.relative_to(ROOT)} imports {name}")
    assert not missing


def test_everything_required_is_pinned_within_its_bounds() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    pinned = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}
    wanted = [Requirement(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]]
    for requirement in wanted:
        version = pinned.get(canonicalize_name(requirement.name))
        assert version and requirement.specifier.contains(version), f"{requirement}: pinned at {version}"
