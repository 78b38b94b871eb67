"""RESULTS.md: rows are dated, added at the end of their table, and never changed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.results import append, show

ROW = {"load": "0.1", "FPS": "24.0"}


def rows_of(text: str, heading: str) -> list[str]:
    section = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("| 2")]


def test_rows_are_dated_and_name_the_machine(tmp_path: Path) -> None:
    append("step_latency", [ROW], tmp_path / "RESULTS.md")
    text = (tmp_path / "RESULTS.md").read_text()
    assert text.startswith("# Results\n")
    assert "\n## step_latency\n\n| date | machine | load | FPS |\n| --- | --- | --- | --- |\n| 2" in text
    (row,) = rows_of(text, "step_latency")
    assert re.match(r"\| \d{4}-\d\d-\d\d \d\d:\d\d \| .*cores.*torch .* \| 0\.1 \| 24\.0 \|$", row)


def test_rows_are_added_and_the_rest_stays(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    append("step_latency", [ROW], path)
    append("record", [{"drawn": "180"}], path)
    before = path.read_text()
    append("step_latency", [ROW | {"FPS": "25.0"}, ROW | {"FPS": "26.0"}], path)
    text = path.read_text()
    assert [row.split(" | ")[-1] for row in rows_of(text, "step_latency")] == ["24.0 |", "25.0 |", "26.0 |"]
    assert set(before.splitlines()) < set(text.splitlines())
    assert text.count("| date |") == 2 and rows_of(text, "record")


def test_other_columns_begin_a_new_table(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    append("record", [{"drawn": "180"}], path)
    append("record", [{"drawn": "180", "processes": "2"}], path)
    append("record", [{"drawn": "190", "processes": "2"}], path)
    assert path.read_text().count("| date |") == 2 and len(rows_of(path.read_text(), "record")) == 3


def test_the_printed_table_is_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    show("title", [{"part": "head", "p50": "1.00"}, {"part": "conditions", "p50": "10.00"}])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "title" and len({line.index("1") for line in lines[4:]}) == 1
