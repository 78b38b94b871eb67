"""Films of people talking: in step to the frame, at any rate and in any container; what is odd is counted or named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from conditions.pose import JOINTS
from tests.data.convert.films import truncated
from worldmodel.data.clips import Clip, ClipSet
from worldmodel.data.convert import __main__ as command
from worldmodel.data.convert import video as module
from worldmodel.data.convert.common import Options
from worldmodel.data.convert.run import convert

SIDE = 48
CODECS = {".mp4": ("libx264", "aac"), ".mkv": ("libx264", "flac"), ".avi": ("mpeg4", "pcm_s16le")}


def write_film(
    path: Path, times: Sequence[float], pictures: Sequence[np.ndarray], sound: np.ndarray | None, rate: int = 16000
) -> None:
    """Writes pictures [H, W, 3] uint8, each shown from its time in seconds on, and sound [channels, n] in [-1, 1]."""
    video_codec, audio_codec = CODECS[path.suffix]
    tick = Fraction(1, 1000)
    with av.open(str(path), "w") as container:
        video = container.add_stream(video_codec, rate=25)
        video.height, video.width, video.pix_fmt = *pictures[0].shape[:2], "yuv420p"
        if path.suffix != ".avi":  # which has one rate only
            video.codec_context.time_base = tick
        if sound is not None:
            layout = "mono" if len(sound) == 1 else "stereo"
            audio = container.add_stream(audio_codec, rate=rate, layout=layout)
        for time, picture in zip(times, pictures, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = (round(time * 25), Fraction(1, 25))
            if path.suffix != ".avi":
                frame.pts, frame.time_base = round(time * 1000), tick
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if sound is not None:
            for start in range(0, sound.shape[1], 1024):
                block = np.ascontiguousarray(sound[:, start : start + 1024].astype(np.float32))
                frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
                frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
                for part in av.AudioResampler(format=audio.format.name, layout=layout, rate=rate).resample(frame):
                    container.mux(audio.encode(part))
            container.mux(audio.encode())


def flashing(path: Path, times: Sequence[float], at_s: Sequence[float], rate: int = 16000, channels: int = 1) -> None:
    """Films black pictures; from each of `at_s` on, for 0.3 s, they are white and the last channel hums."""
    lit = np.array([any(at <= time + 1e-6 < at + 0.3 for at in at_s) for time in times])
    pictures = [np.full((SIDE, 2 * SIDE, 3), 255 if white else 0, np.uint8) for white in lit]
    clock = np.arange(round((times[-1] + 0.04) * rate)) / rate
    sound = np.zeros((channels, len(clock)))
    for at in at_s:
        sound[-1] += 0.5 * np.sin(2 * np.pi * 440 * clock) * ((clock >= at) & (clock < at + 0.3))
    write_film(path, times, pictures, sound, rate)


def lit_and_loud(clip: Clip) -> tuple[np.ndarray, np.ndarray]:
    """Which frames after the first are white, and during which of them it hums: [T - 1] of the share of each."""
    audio = np.stack([action["audio"] for action in clip.actions()])
    return clip.frames[1:].mean(axis=(1, 2, 3)) / 255, np.sqrt(np.square(audio).mean(1)) / (0.5 / 2**0.5)


STEADY = [index / 25 for index in range(150)]
UNSTEADY = np.cumsum(np.random.default_rng(0).choice([0.02, 0.033, 0.05], 190)).round(3).tolist()


@pytest.mark.parametrize(
    ("name", "times", "rate", "channels", "fps"),
    [
        ("film.mp4", STEADY, 44100, 2, None),
        ("film.mkv", UNSTEADY, 48000, 1, None),
        ("film.avi", STEADY, 16000, 1, 25.0),
    ],
)
def test_what_is_seen_and_heard_together_stays_together(
    tmp_path: Path, name: str, times: list[float], rate: int, channels: int, fps: float | None
) -> None:
    """Flashes and hums of 0.3 s begin at borders of frames, so a value a frame early or late would be seen at once."""
    (tmp_path / "films").mkdir()
    flashing(tmp_path / "films" / name, times, [0.8, 2.0, 2.96, 4.8], rate, channels)
    report = convert("video", tmp_path / "films", tmp_path / "clips", Options(fps=fps), progress=False)
    assert report["converted"] == 1 and not report["skipped"]
    (clip,) = ClipSet(tmp_path / "clips")
    rate_wanted = fps or 12.5
    assert clip.meta["fps"] == rate_wanted and clip.frames.shape[1:] == (SIDE, SIDE, 3)
    assert len(clip.frames) == pytest.approx((times[-1] + 0.04) * rate_wanted, abs=1.01)
    assert clip.actions()[0]["audio"].shape == (round(16000 / rate_wanted),)
    lit, loud = lit_and_loud(clip)
    loud *= channels  # two are mixed, and one of them is silent
    apart = np.abs(lit - loud).mean()
    assert apart < 0.05
    for late in (-1, 1):
        assert np.abs(np.roll(lit, late) - loud).mean() > max(0.03, 1.5 * apart)


def test_two_speakers_have_a_channel_each(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    flashing(tmp_path / "films" / "film.mkv", STEADY, [1.0], channels=2)
    convert("video", tmp_path / "films", tmp_path / "clips", Options(listen="right"), progress=False)
    (clip,) = ClipSet(tmp_path / "clips")
    assert max(np.abs(action["audio"]).max() for action in clip.actions()) < 1e-3
    assert max(np.abs(action["listen"]).max() for action in clip.actions()) > 0.4


def test_captions_with_times_and_without(tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    for name in "abc":
        flashing(films / f"{name}.mkv", STEADY[:75], [1.0])
    (films / "a.txt").write_text("happy, talking\nlively\n")
    (films / "b.srt").write_text(
        "1\n00:00:00,800 --> 00:00:01,600\n<i>calm</i>\n\n2\n00:00:01,600 --> 00:00:02,400\nsad\nand slow\n"
    )
    (films / "c.vtt").write_text("WEBVTT\n\nnothing with a time\n")
    report = convert("video", films, tmp_path / "clips", Options(), progress=False)
    assert report["skipped_by_reason"] == {"malformed captions": 1}
    first, second = ClipSet(tmp_path / "clips")
    assert {action["text"] for action in first.actions()} == {"happy, talking lively"}
    said = [action.get("text") for action in second.actions()]
    # Value t is frame t + 1's: frames 10 to 19 are the second caption's first 0.8 s, and the third's.
    assert said == [None] * 9 + ["calm"] * 10 + ["sad and slow"] * 10 + [None] * (len(said) - 29)


def test_what_cannot_be_used_is_named_and_the_rest_is_kept(tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    flashing(films / "good.mkv", STEADY, [0.8])
    write_film(films / "mute.mkv", STEADY, [np.zeros((SIDE, SIDE, 3), np.uint8)] * len(STEADY), None)
    flashing(films / "short.mkv", STEADY[:20], [0.2])
    whole = (films / "good.mkv").read_bytes()
    (films / "cut.mkv").write_bytes(whole[: len(whole) * 3 // 4])
    flashing(films / "whole.mp4", STEADY, [1.0])
    (films / "half.mp4").write_bytes(truncated((films / "whole.mp4").read_bytes()))
    (films / "empty.mov").write_bytes(b"")
    (films / "words.avi").write_text("not a film")
    report = convert("video", films, tmp_path / "clips", Options(), progress=False)
    assert {entry["recording"]: entry["reason"] for entry in report["skipped"]} == {
        "short": "too short",
        "half": "broken video",
        "empty": "broken video",
        "words": "broken video",
    }
    assert report["converted"] == 4 and report["notes"]["films without sound"] == 1
    clips = {clip.meta["recording"]: clip for clip in ClipSet(tmp_path / "clips")}
    assert "audio" not in clips["mute"].actions()[0] and "audio" in clips["good"].actions()[0]
    lit, loud = lit_and_loud(clips["cut"])  # what is there of it is in step
    assert 20 < len(lit) < 70 and np.abs(lit - loud).mean() < 0.05


# -- faces -------------------------------------------------------------------------------------------------------------


def face_film(path: Path) -> list[tuple[int, int] | None]:
    """Films a red square, 16 pixels wide, as the face: it wanders, is gone for a while, and leaps to another place."""
    places: list[tuple[int, int] | None] = []
    for index in range(150):
        here = (30 + index // 10, 24) if index < 100 else (90, 60)
        places.append(None if 50 <= index < 60 else here)
    pictures = []
    for place in places:
        picture = np.zeros((96, 128, 3), np.uint8)
        if place is not None:
            x, y = place
            picture[y : y + 16, x : x + 16, 0] = 255
        pictures.append(picture)
    write_film(path, STEADY, pictures, None)
    return places


def detect(picture: np.ndarray) -> np.ndarray | None:
    """Landmarks [478, 2] at the corners of what is red, in picture widths."""
    rows, columns = np.nonzero(picture[..., 0] > 128)
    if not len(rows):
        return None
    corners = np.array([[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]], np.float32)
    return corners[np.arange(478) % 2] / picture.shape[1]


def test_a_face_is_cut_out_steadily_shot_by_shot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "films").mkdir()
    face_film(tmp_path / "films" / "film.mkv")
    monkeypatch.setattr(module, "_detector", lambda model: detect)
    options = Options(crop="face", face_model="model", size=(64, 64))
    report = convert("video", tmp_path / "films", tmp_path / "clips", options, progress=False)
    clips = list(ClipSet(tmp_path / "clips"))
    assert [len(clip.frames) for clip in clips] == [25, 20, 25]  # before it is gone, after that, and the other shot
    assert report["notes"]["frames without a face"] == 5 and report["notes"]["cuts between shots"] == 1
    for clip in clips:
        red = clip.frames[..., 0] > 128
        assert clip.frames.shape[1:] == (64, 64, 3) and red.any(axis=(1, 2)).all()
        share = red.any(axis=1).sum(axis=1) / 64
        assert share.mean() == pytest.approx(1 / module.AROUND, abs=0.04)  # as large in each shot
        for frame, action in zip(clip.frames[1:], clip.actions(), strict=True):
            pose = action["pose"]
            assert np.isnan(pose[JOINTS.index("neck")]).all()
            columns = np.nonzero((frame[..., 0] > 128).any(axis=0))[0]
            # The joint of landmark 10 is at the upper left corner here, the chin's, 152, too.
            assert pose[JOINTS.index("head_top"), 0] == pytest.approx(columns.min() / 64, abs=0.03)


def test_a_film_without_a_face_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "films").mkdir()
    flashing(tmp_path / "films" / "film.mkv", STEADY[:50], [])
    monkeypatch.setattr(module, "_detector", lambda model: lambda picture: None)
    options = Options(crop="face", face_model="model")
    report = convert("video", tmp_path / "films", tmp_path / "clips", options, progress=False)
    assert report["skipped_by_reason"] == {"no face": 1}


# -- the command line --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--crop", "face"], "--crop face and --face-model FILE go together"),
        (["--crop", "face", "--face-model", "nowhere.task"], "no face model at nowhere.task"),
        (["--fps", "24"], "--fps must give frames of a multiple of 10 ms"),
    ],
)
def test_what_is_asked_for_in_vain_is_refused(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        assert command.main(["video", str(tmp_path), str(tmp_path / "out"), *arguments]) == 1
    except SystemExit as left:
        assert left.code == 2
    assert said in capsys.readouterr().err


def test_a_conversion_goes_on_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    films, out = tmp_path / "films", tmp_path / "clips"
    films.mkdir()
    for index in range(3):
        flashing(films / f"{index}.mkv", STEADY[:50], [0.8])
    arguments = ["video", str(films), str(out), "--recordings-per-shard", "1", "--workers", "1"]
    assert command.main(arguments) == 0
    before = {path.name: path.read_bytes() for path in out.glob("*.tar")}
    (out / "shard-000001.tar").unlink()
    (out / "shard-000001.json").unlink()
    assert command.main(arguments) == 0
    assert {path.name: path.read_bytes() for path in out.glob("*.tar")} == before
    assert json.loads((out / "report.json").read_text())["clips"] == 3
