"""A driving video, with a detector that sees a white square; and words that are spoken."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import conditions
from conditions.pose import JOINTS
from player.sources.base import SourceError
from player.sources.driving import DrivingVideo, face_detector, fits
from player.sources.speech import spoken
from tests.player.sources.sounds import click, write_sound, write_video
from worldmodel.data.faces import MESH, joints_of

SPACE = conditions.space("pose")
LANDMARKS = 478


def white_square(picture: np.ndarray) -> np.ndarray | None:
    """All landmarks at the middle of what is white, in picture widths."""
    rows, columns = np.nonzero(picture.mean(axis=2) > 128)
    if not len(rows):
        return None
    return np.tile(np.array((columns.mean() + 0.5, rows.mean() + 0.5), np.float32) / picture.shape[1], (LANDMARKS, 1))


def film(path: Path, frames: int = 20) -> Path:
    """25 frames a second, 32 x 64 pixels: a square goes right by 2 a frame, and is away in frames 8 to 11."""
    pictures = np.zeros((frames, 32, 64, 3), np.uint8)
    for index in range(frames):
        if not 8 <= index < 12:
            pictures[index, 8:16, 2 * index : 2 * index + 8] = 255
    return write_video(path, pictures, 25)


def test_the_pose_follows_the_face_at_the_worlds_pace(tmp_path: Path) -> None:
    told: list[str] = []
    source = DrivingVideo(film(tmp_path / "v.mp4"), 12.5, white_square, told.append)
    assert source.frames == 10
    values = [source.read() for _ in range(12)]
    nose = JOINTS.index("nose")
    for index, value in enumerate(values[:10]):
        if index in (4, 5):  # frames 8 and 10 of the film
            assert value is None
        else:
            assert value is not None and SPACE.contains(value)
            assert value[nose] * 64 == pytest.approx((4 * index + 4, 12), abs=1)
            assert np.isnan(value[JOINTS.index("left_shoulder")]).all()
    assert values[10] is None and values[11] is None
    assert [("no face" in line, "0.3 s" in line) for line in told] == [(True, True), (False, False)]
    source.close()


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
    path = film(tmp_path / "v.mkv", frames=100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    source = DrivingVideo(path, 12.5, white_square, print)
    values = [source.read() for _ in range(60)]
    assert values[0] is not None and values[-1] is None


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
