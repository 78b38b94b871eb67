"""What all converters share: clips cut and resized, continued after a kill, a report, a command line."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import worldmodel.data.convert.run as run
from tests.data.convert.films import asked, assert_aligned, film, mp4, seen, steps, write
from tests.data.convert.test_teco import NUMBERS, npz
from worldmodel.data.clips import ClipSet
from worldmodel.data.convert.__main__ import main, parse_arguments
from worldmodel.data.convert.common import MIN_FRAMES, Options, Skip, Video, resize, segments, split
from worldmodel.data.convert.run import convert
from worldmodel.data.video import encode_video

ROOT = Path(__file__).parents[3]


def source(folder: Path, count: int = 4, length: int = 60, broken: int = 0) -> Path:
    for seed in range(count):
        moves = steps(length - 1, seed)
        numbers = [0, *(NUMBERS.get((turn, forward), 0) for turn, forward in moves.tolist())]
        write(folder / f"train/0/{seed:06d}.mp4", mp4(moves) if seed >= broken else b"")
        write(folder / f"train/0/{seed:06d}.npz", npz(actions=np.array(numbers, np.int32)))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".tar", ".json")}


def test_long_recordings_are_cut_and_no_action_is_lost(tmp_path: Path) -> None:
    convert("teco", source(tmp_path / "in", 1), tmp_path / "out", Options(frames=25), progress=False)
    clips = list(ClipSet(tmp_path / "out"))
    assert [(clip.meta["first_frame"], len(clip.frames)) for clip in clips] == [(0, 25), (24, 25)]
    for clip in clips:
        assert_aligned(clip)
    together = np.concatenate([asked(clip) for clip in clips])
    np.testing.assert_array_equal(together, steps(59)[:48])
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["notes"]["frames left out"] == 11  # a rest of 12 frames, the first of which is in the clip before


@pytest.mark.parametrize("frames", [MIN_FRAMES, 25, 60, 256])
@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 60, 61])
def test_splitting(frames: int, length: int) -> None:
    spans = split(3, 3 + length, frames)
    assert all(MIN_FRAMES <= stop - start <= frames for start, stop in spans)
    assert all(before[1] - 1 == after[0] for before, after in zip(spans, spans[1:], strict=False))
    covered = spans[-1][1] - 3 if spans else 1
    assert length - covered < MIN_FRAMES - 1 + (not spans) and (not spans or spans[0][0] == 3)


def test_segments() -> None:
    assert segments(np.array([1, 1, 0, 0, 1, 0, 1], bool)) == [(0, 2), (4, 5), (6, 7)]
    assert segments(np.zeros(3, bool)) == [] and segments(np.ones(3, bool)) == [(0, 3)]


def test_resized_by_area() -> None:
    frame = np.random.default_rng(0).integers(0, 255, (32, 48, 3), np.uint8)
    small = resize(frame, (16, 12))
    exact = frame.reshape(16, 2, 12, 4, 3).mean(axis=(1, 3))
    assert small.shape == (16, 12, 3) and np.abs(small - exact).max() <= 1
    assert resize(frame, None) is frame


def test_resized_clips_stay_aligned(tmp_path: Path) -> None:
    convert("teco", source(tmp_path / "in", 1), tmp_path / "out", Options(size=(64, 96)), progress=False)
    clip = ClipSet(tmp_path / "out")[0]
    assert clip.frames.shape[1:3] == (64, 96) and clip.meta["size"] == [64, 96]
    np.testing.assert_array_equal(asked(clip), seen(clip.frames))


@pytest.mark.parametrize("fps", [16.0, 29.97])
def test_a_video_counts_its_frames_and_keeps_its_rate(fps: float) -> None:
    pictures = film(steps(40))
    video = Video(encode_video(pictures, fps))
    assert video.num_frames == len(list(video.frames())) == 41 and video.fps == pytest.approx(fps, abs=0.01)
    with pytest.raises(Skip, match="truncated mp4"):
        Video(b"not a video")


def test_stopped_and_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source(tmp_path / "in", 6, broken=1)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    convert("teco", tmp_path / "in", whole, Options(), 2, progress=False)
    measured = []

    def stop(clip: object) -> int:
        measured.append(1)
        if len(measured) == 3:  # in the middle of the second shard
            raise KeyboardInterrupt
        return 0

    with monkeypatch.context() as patch:
        patch.setattr(run, "best_lag", stop)
        with pytest.raises(KeyboardInterrupt):
            convert("teco", tmp_path / "in", stopped, Options(), 2, progress=False)
    assert len(list(stopped.glob("*.tar"))) == 1 and not list(stopped.glob("*.tmp"))
    (stopped / "shard-000000.json").unlink()  # as if killed after the shard, before its report
    report = convert("teco", tmp_path / "in", stopped, Options(), 2, progress=False)
    assert contents(stopped) == contents(whole) and len(contents(whole)) == 3 + 3 + 2
    assert report["skipped_by_reason"] == {"truncated mp4": 1} and report["converted"] == 5
    monkeypatch.setattr(run, "convert_shard", None)  # nothing is left to do
    assert convert("teco", tmp_path / "in", stopped, Options(), 2, progress=False) == report


def test_killed_and_continued(tmp_path: Path) -> None:
    source(tmp_path / "in", 12)
    arguments = ["teco", str(tmp_path / "in"), str(tmp_path / "out"), "--recordings-per-shard", "1", "--workers", "1"]
    command = [sys.executable, "-m", "worldmodel.data.convert", *arguments]
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 240
    while not list((tmp_path / "out").glob("*.tar")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert 0 < len(ClipSet(tmp_path / "out")) < 12  # none is half written
    assert main(arguments) == 0
    convert("teco", tmp_path / "in", tmp_path / "whole", Options(), 1, progress=False)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert not list((tmp_path / "out").glob("*.tmp"))


def test_another_conversion_is_refused(tmp_path: Path) -> None:
    source(tmp_path / "in", 2)
    convert("teco", tmp_path / "in", tmp_path / "out", Options(), progress=False)
    with pytest.raises(ValueError, match="'frames': 30"):
        convert("teco", tmp_path / "in", tmp_path / "out", Options(frames=30), progress=False)
    source(tmp_path / "in", 3)
    with pytest.raises(ValueError, match="recordings is 2 there, 3 asked for; source is"):
        convert("teco", tmp_path / "in", tmp_path / "out", Options(), progress=False)


def test_the_command_line_reports(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    source(tmp_path / "in", 4, broken=1)
    arguments = ["teco", str(tmp_path / "in"), str(tmp_path / "out"), "--workers", "1", "--size", "32x48"]
    assert main([*arguments, "--max-skipped", "0.3"]) == 0
    printed = capsys.readouterr().out
    assert "3 clips, 180 frames, of 3 of 4 recordings" in printed
    assert "skipped: 1 x truncated mp4, such as train/0/000000: 0 bytes" in printed
    assert "steps that the pictures are late: {'0': 3}" in printed
    assert main(arguments) == 1
    assert "1 of 4 recordings were skipped, more than --max-skipped 0.05" in capsys.readouterr().err
    assert main(["teco", str(tmp_path / "nowhere"), str(tmp_path / "out")]) == 1
    assert "error: the source must be a folder" in capsys.readouterr().err


@pytest.mark.parametrize("format", ["teco", "minerl-export"])
def test_a_folder_that_cannot_be_written_is_said(
    tmp_path: Path, format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recordings = source(tmp_path / "in", 1)
    convert("teco", recordings, tmp_path / "clips", Options(), progress=False)
    (tmp_path / "file").write_text("in the way")
    place = tmp_path / "file" / "out"
    assert main([format, str(recordings if format == "teco" else tmp_path / "clips"), str(place)]) == 1
    said = capsys.readouterr().err
    assert f"OUT {place} a folder that can be written: " in said and "ot a directory" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["teko", "a", "b"], "invalid choice: 'teko'"),
        (["teco", "a", "b", "--size", "big"], "must be H or HxW, got 'big'"),
        (["teco", "a", "b", "--size", "8"], "at least 16 pixels"),
        (["teco", "a", "b", "--frames", "8"], "--frames must be at least 16, got 8"),
        (["teco", "a", "b", "--gui", "cut"], "--gui is for vpt"),
        (["teco", "a", "b", "--workers", "0"], "must be at least 1"),
    ],
)
def test_arguments_that_cannot_be(arguments: list[str], words: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(arguments)
    assert words in capsys.readouterr().err


def test_sizes() -> None:
    assert parse_arguments(["teco", "a", "b", "--size", "128"]).size == (128, 128)
    assert parse_arguments(["vpt", "a", "b", "--size", "90x160", "--gui", "cut"]).size == (90, 160)
