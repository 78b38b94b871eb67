"""Films of a talking head: captions, turned pictures, broken files, a run that is stopped, a command line."""

from __future__ import annotations

import struct
import tarfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import worldmodel.data.convert.run as run
from tests.data.convert.talking import clap, is_flash, picture, write_film
from tests.data.convert.test_run import contents
from tests.player.sources.sounds import write_sound
from tests.talking import talking_world
from worldmodel.data.clips import Clip, ClipSet
from worldmodel.data.convert.__main__ import main, parse_arguments
from worldmodel.data.convert.run import convert
from worldmodel.data.convert.talking import TalkingOptions

SIZE = (48, 64)
SRT = """1
00:00:00,480 --> 00:00:01,000
<i>happy</i>,
talking &amp; lively

2
00:00:01,000 --> 00:00:01,500
{\\an8}tired
"""
VTT = SRT.replace(",480", ".480").replace(",000", ".000").replace(",500", ".500").replace("1\n", "WEBVTT\n\n", 1)


def converted(tmp_path: Path, **options: Any) -> tuple[list[Clip], dict[str, Any]]:
    options = {"size": SIZE, "crop": "none"} | options
    report = convert("video", tmp_path / "in", tmp_path / "out", TalkingOptions(**options), progress=False)
    return (list(ClipSet(tmp_path / "out")) if report["clips"] else []), report


@pytest.mark.parametrize(("suffix", "text"), [(".srt", SRT), (".SRT", SRT.replace("\n", "\r\n")), (".vtt", VTT)])
def test_captions_with_times(tmp_path: Path, suffix: str, text: str) -> None:
    write_film(tmp_path / "in/a.mp4", seconds=2, flash_s=None)
    (tmp_path / f"in/a{suffix}").write_bytes(text.encode())
    (clip,), report = converted(tmp_path)
    for step, caption in enumerate(clip.conditions["text"]):
        middle = (step + 1.5) / 12.5
        expected = "happy, talking & lively" if 0.48 <= middle < 1.0 else "tired" if 1.0 <= middle < 1.5 else None
        assert caption == expected
    assert report["notes"]["films with captions"] == 1


def test_captions_for_the_whole_film_and_by_frames(tmp_path: Path) -> None:
    for name in "abcd":
        write_film(tmp_path / f"in/{name}.mp4", seconds=2, flash_s=None)
    (tmp_path / "in/a.txt").write_text("calm,\nspeaking softly\n")
    (tmp_path / "in/b.txt").write_text('{"frames": 10, "text": "calm"}\n{"frames": 14, "text": "glad"}\n')
    (tmp_path / "in/c.txt").write_text('{"frames": 10, "text": "calm"}\n')
    (tmp_path / "in/d.txt").write_text("")
    (tmp_path / "in/other.txt").write_text("no film of this name")
    clips, report = converted(tmp_path)
    assert report["recordings"] == 4
    whole, by_frames, without = clips
    assert whole.conditions["text"] == ["calm, speaking softly"] * 24
    assert by_frames.conditions["text"] == ["calm"] * 10 + ["glad"] * 14
    assert "text" not in without.conditions
    assert report["skipped"][0]["detail"] == ".txt has 10 values, the film 24"


def test_broken_films_are_named_and_counted(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    whole = write_film(folder / "a/whole.mp4", seconds=2, sound=clap(2, 48000, 1)).read_bytes()
    write_film(folder / "short.mp4", seconds=0.8)
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.mkv").write_bytes(b"")
    (folder / "text.mov").write_text("this is no film" * 100)
    write_sound(folder / "sound.mp4", clap(2, 16000, 1), 16000)
    write_film(folder / "twice.mp4", seconds=2)
    (folder / "twice.mkv").write_bytes(whole)
    write_film(folder / "bad.mp4", seconds=2)
    (folder / "bad.srt").write_text("never --> ever")
    clips, report = converted(tmp_path)
    assert [clip.meta["recording"] for clip in clips] == ["a/whole"]
    found = {entry["recording"]: entry["reason"] for entry in report["skipped"]}
    assert found == {
        "short": "too short",
        "cut": "unreadable",
        "empty": "unreadable",
        "text": "unreadable",
        "sound": "no picture",
        "twice": "two films of one name",
        "bad": "broken captions",
    }


def test_a_film_cut_short_is_right_as_far_as_it_goes(tmp_path: Path) -> None:
    path = write_film(tmp_path / "in/a.mkv", seconds=4, flash_s=0.96, sound=clap(4, 48000, 0.96))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (clip,), _ = converted(tmp_path)
    flash = [is_flash(frame) for frame in clip.frames].index(True)
    assert flash == 12 and 16 <= len(clip.frames) < 48
    value = clip.actions()[flash - 1]["audio"]
    assert np.abs(value).max() > 0.2


def test_a_hole_in_the_film_and_times_that_leap_end_a_clip(tmp_path: Path) -> None:
    times = np.arange(100) / 25
    times[50:] += 36_000.0  # ten hours, of which nothing is made
    write_film(tmp_path / "in/a.mkv", times=times, flash_s=None, frames=[picture(0.04 * i, False) for i in range(100)])
    clips, report = converted(tmp_path)
    assert [len(clip.frames) for clip in clips] == [25, 25] and report["frames"] == 50
    assert [round(clip.meta["begins_s"]) for clip in clips] == [0, 36_002]


def test_pictures_are_turned_upright(tmp_path: Path) -> None:
    corner = np.full((48, 64, 3), 30, np.uint8)
    corner[:16, :16] = 255  # upper left in the file; a quarter turn clockwise puts it to the upper right
    path = write_film(tmp_path / "in/a.mp4", seconds=1.6, frames=[corner] * 40)
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    assert struct.unpack(">2i", data[at : at + 8]) == (0x10000, 0)
    data[at : at + 20] = struct.pack(">5i", 0, 0x10000, 0, -0x10000, 0)
    path.write_bytes(bytes(data))
    (clip,), _ = converted(tmp_path, size=(64, 48))
    frame = clip.frames[0]
    assert frame[:12, -12:].mean() > 200 and frame[:12, :12].mean() < 60 and frame[-12:].mean() < 60


def test_center_is_the_middle_of_the_picture(tmp_path: Path) -> None:
    striped = np.zeros((48, 64, 3), np.uint8)
    striped[:, :8], striped[:, 56:] = 255, 255
    write_film(tmp_path / "in/a.mp4", seconds=1.6, frames=[striped] * 40)
    (clip,), _ = converted(tmp_path, size=(48, 48), crop="center")
    assert clip.frames.shape[1:3] == (48, 48) and clip.frames[..., 2:-2, :].max() < 30


def test_pixels_that_are_not_square_are_made_so(tmp_path: Path) -> None:
    narrow = np.full((48, 32, 3), 30, np.uint8)
    narrow[16:32, 12:20] = 255  # to be seen as a square
    write_film(tmp_path / "in/a.mp4", seconds=1.6, frames=[narrow] * 40, pixel=Fraction(2))
    (clip,), _ = converted(tmp_path, size=(48, 48), crop="center")
    rows, columns = np.nonzero(clip.frames[3].mean(axis=2) > 128)
    assert np.ptp(rows) == pytest.approx(15, abs=1) and np.ptp(columns) == pytest.approx(15, abs=1)
    assert clip.meta["crop"] == [0, 8, 48, 48]


def test_films_inside_a_tar_file(tmp_path: Path) -> None:
    write_film(tmp_path / "a.mp4", seconds=2, flash_s=1.0, sound=clap(2, 48000, 0.5))
    (tmp_path / "a.txt").write_text("calm")
    (tmp_path / "in").mkdir()
    with tarfile.open(tmp_path / "in/films.tar", "w") as tar:
        for name in ("a.mp4", "a.txt"):
            tar.add(tmp_path / name, f"id7/{name}")
    (clip,), _ = converted(tmp_path)
    assert clip.meta["recording"] == "id7/a" and set(clip.conditions) == {"audio", "text"}


def test_a_world_takes_the_clips(tmp_path: Path) -> None:
    write_film(tmp_path / "in/a.mp4", seconds=2, sound=clap(2, 48000, 1.0))
    (tmp_path / "in/a.srt").write_text(SRT.replace(", &", "").replace("talking &amp; lively", ""))
    write_film(tmp_path / "in/b.mp4", seconds=2)
    converted(tmp_path, size=(16, 16))
    world = talking_world(chunk_frames=6)
    clips = ClipSet(tmp_path / "out", conditions=world.conditions)
    for index, heard in ((0, 24), (1, 0)):
        prepared = world.conditions.prepare_columns(clips.columns(index), 24, 6)
        assert int(prepared["audio"].present.sum()) == heard
        assert not prepared["listen"].present.any() and not prepared["pose"].present.any()
    prepared = world.conditions.prepare_columns(clips.columns(0), 24, 6)
    assert prepared["text"].present.tolist() == [[True, True, True, False]]


def test_stopped_and_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        write_film(tmp_path / f"in/{name}.mp4", seconds=3, sound=clap(3, 48000, 2))
    options = TalkingOptions(frames=20, size=(32, 32))
    convert("video", tmp_path / "in", tmp_path / "whole", options, 1, progress=False)
    real, measured = run.best_lag, []

    def stop(clip: Clip) -> int | None:
        measured.append(clip)
        if len(measured) == 3:
            raise KeyboardInterrupt
        return real(clip)

    with monkeypatch.context() as patch:
        patch.setattr(run, "best_lag", stop)
        with pytest.raises(KeyboardInterrupt):
            convert("video", tmp_path / "in", tmp_path / "out", options, 1, progress=False)
    report = convert("video", tmp_path / "in", tmp_path / "out", options, 1, progress=False)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole") and report["clips"] == 4
    clips = ClipSet(tmp_path / "out")
    np.testing.assert_allclose(clips[0].frames[-1].astype(int), clips[1].frames[0], atol=12)  # the frame that is shared
    with pytest.raises(ValueError, match="'fps': 25.0"):
        convert("video", tmp_path / "in", tmp_path / "out", TalkingOptions(fps=25.0), 1, progress=False)


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_film(tmp_path / "in/a.mp4", seconds=2)
    (tmp_path / "in/a.mp4").rename(tmp_path / "in/a.MP4")
    command = ["video", str(tmp_path / "in"), str(tmp_path / "out"), "--workers", "1"]
    assert main([*command, "--fps", "25", "--size", "32"]) == 0
    assert "1 clips, 50 frames, of 1 of 1 recordings" in capsys.readouterr().out
    for wrong, words in (["--fps", "24"], "--fps must be 12.5 or 25, got 24"), ([], "'fps': 25.0"):
        assert main([*command, *wrong]) == 1
        assert words in capsys.readouterr().err
    (tmp_path / "none").mkdir()
    assert main(["video", str(tmp_path / "none"), str(tmp_path / "out")]) == 1
    assert "must hold films (.mp4" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        parse_arguments(["teco", "a", "b", "--crop", "face"])
    assert "--crop is for video" in capsys.readouterr().err
