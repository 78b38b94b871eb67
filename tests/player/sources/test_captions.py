"""Captions with times."""

from __future__ import annotations

from pathlib import Path

import pytest

import conditions
from player.sources.base import SourceError
from player.sources.captions import Captions, read_captions


def test_each_caption_holds_from_its_time_on(tmp_path: Path) -> None:
    path = tmp_path / "moods.txt"
    path.write_text("# moods\n0.4 calm\n\n0:01 happy, talking lively  # loud\n1.5\n0:0:2 müde\n", encoding="utf-8")
    assert read_captions(path) == [(0.4, "calm"), (1.0, "happy, talking lively"), (1.5, ""), (2.0, "müde")]
    source = Captions(read_captions(path), 10.0, 100, print)
    said = [source.read() for _ in range(25)]
    assert said == 4 * [None] + 6 * ["calm"] + 5 * ["happy, talking lively"] + 5 * [None] + 5 * ["müde"]
    assert source.frames is None


def test_a_caption_is_made_one_that_the_condition_takes() -> None:
    told: list[str] = []
    longest = conditions.space("text").max_length
    source = Captions([(0.0, "a\tb \x07" + "c" * 5000)], 12.5, longest, told.append)
    value = source.read()
    assert value is not None and value.startswith("a b c") and conditions.space("text").contains(value)
    assert len(told) == 1 and f"cut to {longest}" in told[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("happy", "line 1 must begin with a time"),
        ("1 calm\n0.5 happy", "line 2 goes back in time"),
        ("-1 calm", "must begin with a time"),
        ("nan calm", "must begin with a time"),
        ("# nothing\n", "has no caption"),
        ("", "is empty"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "c.txt").write_text(text)
    with pytest.raises(SourceError, match=told):
        read_captions(tmp_path / "c.txt")


def test_no_text_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_bytes(b"0 \xff\xfe")
    with pytest.raises(SourceError, match="UTF-8"):
        read_captions(tmp_path / "c.txt")
    with pytest.raises(SourceError, match="--captions"):
        read_captions(tmp_path / "none.txt")
