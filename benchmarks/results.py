"""The table that a benchmark prints, and RESULTS.md, where its dated rows are kept."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from worldmodel.evaluation import machine

RESULTS = Path(__file__).with_name("RESULTS.md")
INTRODUCTION = """# Results

One row a run: when, on which machine, and what came out. `python -m benchmarks.NAME --append` adds a row; none is ever
changed. A machine that does other work at the same time gives lower figures, so each row says how busy it was before.
"""


def show(title: str, rows: Sequence[Mapping[str, str]]) -> None:
    """Prints rows of the same columns as a table."""
    heads = list(rows[0])
    widths = [max(len(head), *(len(row[head]) for row in rows)) for head in heads]
    print(f"\n{title}")
    for cells in (heads, ["-" * width for width in widths], *([row[head] for head in heads] for row in rows)):
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def load() -> str:
    """How busy the machine is, in words: processes that wanted a core, on average over the last minute."""
    return f"{os.getloadavg()[0]:.1f}"


def append(name: str, rows: Sequence[Mapping[str, str]], path: Path | None = None) -> None:
    """Adds rows to a benchmark's table; the date and the machine are put in front.

    Rows whose columns are not those of the last table begin a new one, so that older rows stay as they are.

    Args:
        name: of the benchmark, its heading in the file.
        rows: column to cell, all of the same columns.
        path: the file, RESULTS.md by default; made if it is missing.
    """
    path = path or RESULTS
    text = path.read_text(encoding="utf-8") if path.exists() else INTRODUCTION
    introduction, *parts = text.rstrip("\n").split("\n## ")
    sections = {part.partition("\n")[0]: part.partition("\n")[2].strip("\n").split("\n") for part in parts}
    lines = sections.setdefault(name, [])
    front = {"date": machine.now()[:16].replace("T", " "), "machine": machine.line()}
    table = [{**front, **row} for row in rows]
    head, rule = _line(table[0]), _line(["---"] * len(table[0]))
    heads = [first for first, second in zip(lines, lines[1:], strict=False) if set(second) <= set("| -") and second]
    if not heads or heads[-1] != head:
        lines += [*([""] if lines else []), head, rule]
    lines += [_line(row.values()) for row in table]
    body = "".join(f"\n\n## {heading}\n\n" + "\n".join(kept) for heading, kept in sections.items())
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(introduction.rstrip("\n") + body + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"
