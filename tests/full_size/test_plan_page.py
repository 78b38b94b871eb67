"""docs/plan.md shows what the plan prints today."""

from __future__ import annotations

import re

import pytest

from tests.full_size.twin import ROOT
from worldmodel.training.plan import read, report

COMMAND = "$ python -m worldmodel.training.plan "
TEXT = (ROOT / "docs" / "plan.md").read_text()
# A command, and the indented or empty lines under it.
SHOWN = re.findall(rf"^    {re.escape(COMMAND)}(.*)\n((?:    .*\n|\n)*)", TEXT, re.MULTILINE)


def test_the_page_has_every_kind_of_model() -> None:
    files = " ".join(arguments for arguments, _ in SHOWN)
    for name in ("midas-3b", "midas-0.5b", "midas-posttraining", "minecraft-"):
        assert f"configs/{name}" in files


@pytest.mark.parametrize(("arguments", "shown"), SHOWN, ids=[arguments.split()[0] for arguments, _ in SHOWN])
def test_the_page_is_what_the_command_prints(arguments: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    printed = [line.rstrip() for line in report(*read(arguments.split())).splitlines()]
    found = [line.removeprefix("    ").rstrip() for line in shown.rstrip("\n").splitlines()]
    assert found == printed, f"docs/plan.md is of before: put in what `{COMMAND}{arguments}` prints"
