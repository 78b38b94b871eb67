"""A driving video, with a detector that sees a white square; and words that are spoken."""

from __future__ import annotations

import builtins
import struct
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import conditions
import worldmodel.data.convert.talking as talking
from conditions.pose import JOINTS
from player.sources import driving
from player.sources.base import SourceError, Tell
from player.sources.driving import DrivingVideo, face_detector, fits
from player.sources.speech import spoken
from tests.data.convert.talking import write_film
from tests.data.convert.test_talking_faces import HEIGHT, SIDE, scene, white_square
from tests.player.sources.sounds import click, write_sound
from worldmodel.data.clips import Clip, ClipSet
from worldmodel.data.convert.pictures import Film, Moment
from worldmodel.data.convert.run import convert
from worldmodel.data.convert.talking import TalkingOptions
from worldmodel.data.faces import MESH, Detect, joints_of

SPACE = conditions.space("pose")
LANDMARKS = 478


def film(path: Path, places: Iterable[float | None], **options: Any) -> Path:
    """25 frames a second: a white square, 16 pixels a side, `places` from the left; or none."""
    frames = [scene(x) for x in places]
    return write_film(path, frames=frames, times=np.arange(len(frames)) / 25, **options)


def poses(path: Path, fps: float = 12.5, tell: Tell = print, detect: Detect = white_square) -> list[np.ndarray | None]:
    """All that a video drives a head by."""
    source = DrivingVideo(path, fps, detect, tell)
    assert source.frames is not None
    values = [source.read() for _ in range(source.frames)]
    assert source.read() is None
    source.close()
    assert all(value is None or SPACE.contains(value) for value in values)
    return values


class Square:
    """The detector of white squares, opened as MediaPipe's is."""

    def __init__(self, model: str) -> None:
        assert model == "m.task"

    def __call__(self, picture: np.ndarray) -> np.ndarray | None:
        return white_square(picture)

    def close(self) -> None:
        pass


def clips_of(folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> list[Clip]:
    """What becomes of the films of a folder when clips are made of them."""
    monkeypatch.setattr(talking, "FaceDetector", Square)
    options = TalkingOptions(size=(32, 32), crop="face", face_model="m.task", fps=25.0)
    convert("video", folder, out, options, progress=False)
    return list(ClipSet(out))


def is_same(values: Sequence[np.ndarray | None], others: Sequence[np.ndarray | None]) -> bool:
    return len(values) == len(others) and all(
        (one is None) == (other is None)
        and (one is None or other is None or np.allclose(one, other, atol=1e-5, equal_nan=True))
        for one, other in zip(values, others, strict=True)
    )


def turn(path: Path) -> None:
    """Has a film say that it is to be turned by a quarter, clockwise."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    data[at : at + 20] = struct.pack(">5i", 0, 0x10000, 0, -0x10000, 0)
    path.write_bytes(bytes(data))


def test_the_pose_follows_the_face_at_the_worlds_pace(tmp_path: Path) -> None:
    told: list[str] = []
    places = [None if 12 <= index < 16 else 20 + 2 * index for index in range(40)]
    values = poses(film(tmp_path / "v.mp4", places), tell=told.append)
    assert len(values) == 20 and [index for index, value in enumerate(values) if value is None] == [6, 7]
    # The box is as high as the picture, for the face goes nearly so far, and about the middle of where it was.
    nose, box_left = JOINTS.index("nose"), round((20 + 98 + 16) / 2 - HEIGHT / 2)
    for index, value in enumerate(values):
        if value is not None:  # every other picture
            true = np.array((20 + 2 * (2 * index) + SIDE / 2 - box_left, 30 + SIDE / 2))
            assert value[nose] * HEIGHT == pytest.approx(true, abs=1)
            assert np.isnan(value[JOINTS.index("left_shoulder")]).all()
    assert [("no face" in line, "0.5 s" in line) for line in told] == [(True, True), (False, False)]


@pytest.mark.parametrize("kind", ["wide", "turned", "narrow pixels"])
def test_joints_are_placed_as_in_the_clips_that_are_made_of_such_a_film(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    pixel = Fraction(3, 2) if kind == "narrow pixels" else Fraction(1)
    places = [70 + 6 * np.sin(index / 9) for index in range(60)]
    places[20:24] = [None] * 4
    path = film(tmp_path / "in/v.mp4", places, pixel=pixel)
    if kind == "turned":
        turn(path)
    (clip,) = clips_of(tmp_path / "in", tmp_path / "out", monkeypatch)
    values = poses(path, 25.0)
    assert is_same(values[1:], clip.conditions["pose"])  # value t of a clip leads to frame t + 1
    first = values[0]
    assert first is not None
    points = dict(zip(JOINTS, first, strict=True))
    # The face is about in the middle and a third of the picture or more, however wide the film is.
    assert 0.2 < points["nose"][0] < 0.8 and points["chin"][1] - points["head_top"][1] > 0.3
    assert points["chin"][1] > points["head_top"][1] + 5 * abs(points["chin"][0] - points["head_top"][0])


def test_another_shot_has_another_part_of_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone: list[float | None] = [None] * 30
    places = [20.0] * 40 + [120.0] * 40 + gone + [60.0 + index / 4 for index in range(40)] + gone
    path = film(tmp_path / "in/v.mp4", places)
    clips = clips_of(tmp_path / "in", tmp_path / "out", monkeypatch)
    assert [len(clip.frames) for clip in clips] == [40, 40, 40]
    values = poses(path, 25.0)
    for start, clip in zip((0, 40, 110), clips, strict=True):
        assert is_same(values[start + 1 : start + 40], clip.conditions["pose"])
    assert all(value is None for value in values[80:110] + values[150:])


@pytest.mark.parametrize("ahead", [1, 7, 20])
def test_a_shot_longer_than_what_is_looked_at_ahead_keeps_its_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    monkeypatch.setattr(driving, "AHEAD_S", ahead / 25)
    places: list[float | None] = [40.0] * 100 + [110.0] * 20
    places[50:54] = [None] * 4
    values = poses(film(tmp_path / "v.mp4", places), 25.0)
    there = [value for value in values[:100] if value is not None]
    assert len(there) == 96 and np.nanmax(np.ptp(there, axis=0)) < 0.05
    nose = JOINTS.index("nose")
    assert values[110] is not None and values[110][nose] == pytest.approx(there[0][nose], abs=0.3)


def test_a_world_that_is_not_square(tmp_path: Path) -> None:
    path = film(tmp_path / "v.mp4", [60.0] * 20)
    square = DrivingVideo(path, 25.0, white_square, print).read()
    tall = DrivingVideo(path, 25.0, white_square, print, aspect=0.5).read()
    assert square is not None and tall is not None
    chin, top = JOINTS.index("chin"), JOINTS.index("head_top")
    assert square[chin, 1] - square[top, 1] == pytest.approx(0.5, abs=0.1)  # of the width
    assert tall[chin, 1] - tall[top, 1] == pytest.approx(0.5, abs=0.1)
    assert tall[chin, 1] == pytest.approx(square[chin, 1] + 0.5, abs=0.1)  # in a picture twice as high


def test_a_frame_that_cannot_be_looked_at_is_one_without_a_face(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    calls = 0

    def sometimes(picture: np.ndarray) -> np.ndarray | None:
        nonlocal calls
        calls += 1
        if calls in (5, 8):
            raise RuntimeError("the graph has an error")
        return white_square(picture)

    path = film(tmp_path / "v.mp4", [60.0] * 40)
    values = poses(path, tell=told.append, detect=sometimes)
    assert [index for index, value in enumerate(values) if value is None] == [4, 7]
    assert [line for line in told if "cannot be looked at" in line] == [
        f"{path} at 0.3 s: a frame cannot be looked at (the graph has an error): such frames count as without a face"
    ]
    told.clear()
    upright = Film.upright

    def broken(self: Film, picture: av.VideoFrame) -> np.ndarray:
        if 0.5 < picture.time < 0.6:
            raise ValueError("Conversion to numpy array is not supported")
        return upright(self, picture)

    monkeypatch.setattr(Film, "upright", broken)
    values = poses(path, tell=told.append)
    assert values[7] is None and sum(value is None for value in values) == 1
    assert sum("cannot be looked at" in line for line in told) == 1


def test_joints_are_the_picture_s_left_and_right_and_only_those_near_it() -> None:
    landmarks = np.zeros((LANDMARKS, 2), np.float32)
    for x, joint in ((0.4, "left_eye"), (0.6, "right_eye"), (0.5, "nose"), (7.0, "chin")):
        landmarks[list(MESH[joint])] = (x, 0.5)
    points = dict(zip(JOINTS, joints_of(landmarks), strict=True))
    assert points["left_eye"][0] < points["nose"][0] < points["right_eye"][0]
    assert np.isnan(points["chin"]).all() and np.isnan(points["neck"]).all()
    assert fits(SPACE) and not fits(conditions.space("pose", {"joints": ["hand"]}))


def test_videos_that_cannot_drive(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no film")
    write_sound(tmp_path / "voice.wav", click(0.2, 16000, 0.1), 16000)
    for name, told in (("none.mp4", "no video"), ("text.mp4", "cannot be read"), ("voice.wav", "holds no picture")):
        with pytest.raises(SourceError, match=told):
            DrivingVideo(tmp_path / name, 12.5, white_square, print)


def test_a_video_cut_short_drives_as_far_as_it_goes(tmp_path: Path) -> None:
    path = film(tmp_path / "v.mkv", [60.0] * 100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    source = DrivingVideo(path, 12.5, white_square, print)
    values = [source.read() for _ in range(60)]
    assert values[0] is not None and values[-1] is None


def test_damage_is_told_where_the_pose_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    path = film(tmp_path / "v.mp4", [60.0] * 40)
    moments = Film.moments

    def damaged(self: Film) -> Iterator[Moment]:
        yield from islice(moments(self), 10)
        self.damage = "it breaks off after 0.8 s"

    monkeypatch.setattr(Film, "moments", damaged)
    source = DrivingVideo(path, 12.5, white_square, told.append)
    assert all(source.read() is not None for _ in range(10)) and not told
    assert [source.read() for _ in range(3)] == [None] * 3
    assert told == [f"{path} is damaged (it breaks off after 0.8 s): the pose ends there"]


def test_a_picture_that_begins_after_the_sound_keeps_its_time(tmp_path: Path) -> None:
    times = 0.8 + np.arange(25) / 25
    path = write_film(tmp_path / "v.mkv", times=times, frames=[scene(60)] * 25, sound=np.zeros((32000, 1)), rate=16000)
    values = poses(path)
    assert [value is None for value in values[:22]] == [True] * 10 + [False] * 12


@pytest.mark.parametrize(
    ("package", "use", "told"),
    [
        ("mediapipe", lambda: face_detector(None), r"worldmodel\[driving\]"),
        ("espeakng_loader", lambda: spoken("hello"), r"worldmodel\[speech\]"),
    ],
)
def test_without_the_extra_the_error_names_it(
    monkeypatch: pytest.MonkeyPatch, package: str, use: Any, told: str
) -> None:
    import importlib

    from envs.speech import espeak

    real, real_module = builtins.__import__, importlib.import_module

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == package:
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    def no_module(name: str, *args: Any) -> Any:
        if name == package:
            raise ModuleNotFoundError(name)
        return real_module(name, *args)

    espeak.voices.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr(importlib, "import_module", no_module)
    with pytest.raises(SourceError, match=told):
        use()


def test_words_are_spoken_with_their_phones() -> None:
    pytest.importorskip("espeakng_loader", reason="the extra `speech` is not installed")
    track = spoken("Hello there", "en-us+f3")
    assert track.duration_s > 0.4 and len(track.phones) > 4
    with pytest.raises(SourceError, match="no voice is called 'en-uss', did you mean"):
        spoken("Hello", "en-uss")
    with pytest.raises(SourceError, match="must hold words"):
        spoken("", "en-us")
