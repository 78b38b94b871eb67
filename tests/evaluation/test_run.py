"""The whole evaluation from the command line: record, pictures, report, and bad input."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from envs.errors import GameError
from tests.evaluation.conftest import TINY
from tests.evaluation.toyworld import Toy
from tests.tiny import tiny_config, tiny_world
from worldmodel.evaluation import __main__ as command
from worldmodel.evaluation import machine
from worldmodel.evaluation.options import ANY, PLAYED, QUICK, sized
from worldmodel.evaluation.targets import judge
from worldmodel.world import WorldModel


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """--quick is still too much for a test."""
    monkeypatch.setattr(command, "QUICK", TINY)


def arguments(checkpoint: Path, clips: Path, out: Path, *more: str) -> list[str]:
    names = ["--checkpoint", str(checkpoint), "--data", str(clips), "--out", str(out)]
    return [*names, "--worlds", "tests.evaluation.toyworld", "--quick", "--device", "cpu", *more]


class Page(HTMLParser):
    """Collects headings and pictures, and checks that what is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.pictures: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.pictures.append(dict(attributes)["src"] or "")
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("h1", "h2"):
            self.headings.append(data)


def test_everything_is_measured_and_reported(
    checkpoint: Path, clips: Path, tmp_path: Path, small: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(arguments(checkpoint, clips, tmp_path)) == 0
    record = json.loads((tmp_path / "figures.json").read_text())
    assert set(record["figures"]) == {*ANY, *PLAYED} and not record["unavailable"]
    assert record["checkpoint"]["sha256"] == machine.hash_folder(checkpoint)
    assert record["machine"]["cores"] >= 1 and record["command"].startswith("python -m worldmodel.evaluation --check")
    assert set(record["seconds"]) == {*ANY, *PLAYED}
    printed = capsys.readouterr().out
    assert "reconstruction PSNR" in printed and "report.html" in printed and "drift: frame 100/120" in printed

    page = Page()
    page.feed((tmp_path / "report.html").read_text())
    assert not page.open
    wanted = ["Verdict", "Reconstruction", "Prediction", "Control", "Drift", "Memory", "How it was measured"]
    assert page.headings[1:] == wanted
    assert len(page.pictures) == 10 == len(list(tmp_path.glob("*.png")))
    assert all(picture.startswith("data:image/webp;base64,") for picture in page.pictures)
    assert "http" not in re.sub(r"data:[^\"]*", "", (tmp_path / "report.html").read_text())  # nothing from outside


def test_only_keeps_the_others_of_the_same_checkpoint(
    checkpoint: Path, clips: Path, tmp_path: Path, small: None
) -> None:
    assert command.main(arguments(checkpoint, clips, tmp_path, "--only", "reconstruction")) == 0
    first = json.loads((tmp_path / "figures.json").read_text())
    assert command.main(arguments(checkpoint, clips, tmp_path, "--only", "memory")) == 0
    second = json.loads((tmp_path / "figures.json").read_text())
    assert set(second["figures"]) == {"reconstruction", "memory"}
    assert second["figures"]["reconstruction"] == first["figures"]["reconstruction"]
    other = tmp_path / "other"
    tiny_world(seed=1).save_pretrained(other)
    assert command.main(arguments(other, clips, tmp_path, "--only", "memory")) == 0
    assert set(json.loads((tmp_path / "figures.json").read_text())["figures"]) == {"memory"}


def test_what_cannot_be_measured_is_said(checkpoint: Path, still_clips: Path, tmp_path: Path, small: None) -> None:
    # In clips where nobody ever moves, a reader of movement has nothing to learn from.
    line = arguments(checkpoint, still_clips, tmp_path, "--only", "control")
    line[line.index("--worlds") + 1] = ""
    assert command.main(line) == 0
    record = json.loads((tmp_path / "figures.json").read_text())
    assert "no window of turning 'left'" in record["unavailable"]["control"]
    assert "Not measured: the clips hold no window" in (tmp_path / "report.html").read_text()


def test_a_game_that_dies_costs_only_what_needs_it(
    checkpoint: Path, clips: Path, tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> None:
        raise GameError("died", "the game ended")

    monkeypatch.setattr(Toy, "step", dies)
    assert command.main(arguments(checkpoint, clips, tmp_path, "--only", "memory,reconstruction")) == 0
    record = json.loads((tmp_path / "figures.json").read_text())
    assert set(record["figures"]) == {"memory", "reconstruction"}
    assert record["figures"]["memory"]["truth"] == {
        "rendered": False,
        "why": "the rendered world ended: the game ended",
    }
    assert "the game ended" in (tmp_path / "report.html").read_text()


def test_what_of_the_clips_the_checkpoint_lacks_is_said(
    clips: Path, tmp_path: Path, small: None, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny_config()
    config.conditions = {"keyboard": {}}
    WorldModel(config).save_pretrained(tmp_path / "keys")
    assert command.main(arguments(tmp_path / "keys", clips, tmp_path / "out", "--only", "prediction")) == 0
    assert "not read of the clips, as the checkpoint lacks it: camera" in capsys.readouterr().out
    record = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert record["data"]["unread"] == ["camera"] and set(record["figures"]) == {"prediction"}
    assert "not read, as the checkpoint lacks it: camera" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("missing", ["checkpoint", "data", "reader"])
def test_missing_input_is_named(
    checkpoint: Path, clips: Path, tmp_path: Path, missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = tmp_path / "nowhere"
    line = arguments(
        nowhere if missing == "checkpoint" else checkpoint, nowhere if missing == "data" else clips, tmp_path
    )
    line += ["--reader", str(nowhere)] if missing == "reader" else []
    assert command.main(line) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: no ") and "nowhere" in error


def test_a_wrong_figure_name_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        command.main(["--checkpoint", "a", "--data", "b", "--out", "c", "--only", "predict"])
    assert stop.value.code == 2
    assert "did you mean 'prediction'?" in capsys.readouterr().err


def test_sizes_may_be_told() -> None:
    told = sized(QUICK, ["head_streams=6", "head_marks=10,60.5", "memory_rate=0.5", "seed=0"])
    assert told.head_streams == 6 and told.head_marks == (10.0, 60.5) and told.memory_rate == 0.5
    assert dataclasses.replace(told, head_streams=2, head_marks=(5.0, 10.0), memory_rate=15.0) == QUICK
    for setting, message in (
        ("head_stream=6", "did you mean 'head_streams'"),
        ("head_streams=0", "a number above 0, got 'head_streams=0'"),
        ("head_streams=6,7", "a number above 0"),
        ("head_marks", "numbers above 0, separated by commas"),
        ("rollouts=10", "no size is called 'rollouts'"),
    ):
        with pytest.raises(ValueError, match=message):
            sized(QUICK, [setting])


def test_a_wrong_size_is_named(
    checkpoint: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(arguments(checkpoint, clips, tmp_path, "--sizes", "drift_frame=9")) == 1
    assert "did you mean 'drift_frames'" in capsys.readouterr().err


def test_a_damaged_record_is_named(
    checkpoint: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "figures.json").write_text("{")
    assert command.main(arguments(checkpoint, clips, tmp_path)) == 1
    assert "figures.json is damaged" in capsys.readouterr().err


def test_targets_are_judged_either_way() -> None:
    assert [target["reached"] for target in judge({"reconstruction": {"psnr_db": 26.0}})] == [True]
    assert [target["reached"] for target in judge({"reconstruction": {"psnr_db": 25.9}})] == [False]
    question = {"accuracy": 0.9}
    sources = {source: {"turn": question, "move": question} for source in ("generated", "rendered")}
    reached = {target["what"]: target["reached"] for target in judge({"control": sources})}
    assert reached["left / none / right read back, generated clips"]
    assert not reached["back / none / forward read back, rendered world, same scripts"]
    unmeasured = judge({"prediction": {"horizons": {}}})
    assert len(unmeasured) == 6 and {target["reached"] for target in unmeasured} == {None}


def test_the_hash_is_of_names_and_contents(tmp_path: Path) -> None:
    for name, content in (("a", "1"), ("b", "1"), ("c", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(content)
    digests = [machine.hash_folder(tmp_path / name) for name in "abc"]
    assert digests[0] == digests[1] != digests[2]
    (tmp_path / "b" / "config.json").rename(tmp_path / "b" / "other.json")
    assert machine.hash_folder(tmp_path / "b") != digests[0]
    assert 10 < machine.rss_mb() < 1e6


def test_quick_is_less_of_everything() -> None:
    full = command.Options()
    assert QUICK.drift_frames < full.drift_frames and QUICK.reader_steps < full.reader_steps
    assert max(length for length, _ in full.rollouts) == max(full.horizons)
