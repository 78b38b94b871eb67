"""Films of a talking head: crops, joints, shots; with a detector that takes a white square for a face."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import worldmodel.data.convert.talking as talking
from conditions.pose import JOINTS
from tests.data.convert.talking import write_film
from worldmodel.data.clips import ClipSet
from worldmodel.data.convert.__main__ import main
from worldmodel.data.convert.common import Box
from worldmodel.data.convert.framing import Face, around_faces, centred, find_cuts, find_shots
from worldmodel.data.convert.run import convert
from worldmodel.data.convert.talking import TalkingOptions
from worldmodel.data.faces import MESH

HEIGHT, WIDTH, SIDE = 96, 160, 16


def white_square(picture: np.ndarray) -> np.ndarray | None:
    rows, columns = np.nonzero(picture.min(axis=2) > 180)
    if len(rows) < 20:
        return None
    left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    landmarks = np.tile(np.array(((left + right) / 2, (top + bottom) / 2), np.float32), (478, 1))
    landmarks[list(MESH["chin"])] = ((left + right) / 2, bottom)
    landmarks[list(MESH["head_top"])] = ((left + right) / 2, top)
    landmarks[list(MESH["mouth_left"])] = (left, bottom - 4)
    landmarks[list(MESH["mouth_right"])] = (right, bottom - 4)
    return landmarks / picture.shape[1]


def scene(x: float | None, y: float = 30, ground: int = 60) -> np.ndarray:
    frame = np.full((HEIGHT, WIDTH, 3), ground, np.uint8)
    if x is not None:
        frame[round(y) : round(y) + SIDE, round(x) : round(x) + SIDE] = 255
    return frame


def face(x: float, y: float, side: float = SIDE) -> Face:
    return Face(np.array([x, y, x + side, y + side], float), np.full((10, 2), np.nan))


@pytest.fixture
def detected(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """Puts the square's detector where MediaPipe's is opened, and lists the models asked for."""
    models: list[str | None] = []

    class Square:
        def __init__(self, model: str | None) -> None:
            models.append(model)
            self.is_open = True

        def __call__(self, picture: np.ndarray) -> np.ndarray | None:
            assert self.is_open
            return white_square(picture)

        def close(self) -> None:
            self.is_open = False
            models.append("closed")

    monkeypatch.setattr(talking, "FaceDetector", Square)
    return models


def face_options(**options: Any) -> TalkingOptions:
    return TalkingOptions(**({"size": (32, 32), "crop": "face", "face_model": "m.task", "fps": 25.0} | options))


def test_one_box_holds_the_face_and_the_joints_follow_it(tmp_path: Path, detected: list[str | None]) -> None:
    places = [60 + 10 * np.sin(index / 8) for index in range(60)]
    write_film(tmp_path / "in/a.mp4", seconds=2.4, frames=[scene(x) for x in places])
    report = convert("video", tmp_path / "in", tmp_path / "out", face_options(frames=31), progress=False)
    clips = list(ClipSet(tmp_path / "out"))
    assert detected == ["m.task", "closed"] * 2 and report["clips"] == len(clips) == 2
    for clip, start in zip(clips, (0, 30), strict=True):
        top, left, height, width = clip.meta["crop"]
        assert clip.frames.shape[1:] == (32, 32, 3) and height == width >= 2 * SIDE
        for step, action in enumerate(clip.actions()):
            points = dict(zip(JOINTS, action["pose"], strict=True))
            true = np.array([round(places[start + step + 1]) + SIDE / 2, 30 + SIDE / 2])
            assert points["nose"] == pytest.approx((true - (left, top)) / width, abs=0.03)
            assert points["mouth_left"][0] < points["nose"][0] < points["mouth_right"][0]
            assert np.isnan(points["neck"]).all()
            seen = white_square(clip.frames[step + 1])  # and the picture shows it there
            assert seen is not None and seen[1] == pytest.approx(points["nose"], abs=0.06)


def test_frames_without_a_face_are_a_missing_pose_or_the_end_of_a_clip(
    tmp_path: Path, detected: list[str | None]
) -> None:
    faces = [scene(None if 20 <= i < 26 or 60 <= i < 90 else 70) for i in range(120)]
    write_film(tmp_path / "in/a.mp4", seconds=4.8, frames=faces)
    write_film(tmp_path / "in/b.mp4", seconds=2, frames=[scene(None)] * 50)
    report = convert("video", tmp_path / "in", tmp_path / "out", face_options(), progress=False)
    clips = list(ClipSet(tmp_path / "out"))
    assert [len(clip.frames) for clip in clips] == [60, 30]
    missing = [index for index, value in enumerate(clips[0].conditions["pose"]) if value is None]
    assert missing == list(range(19, 25))  # the values that lead to frames 20 to 25
    assert report["notes"]["frames without a face"] == 36 and report["skipped_by_reason"] == {"no face": 1}


def test_a_cut_ends_a_clip_and_a_crop(tmp_path: Path, detected: list[str | None]) -> None:
    frames = [scene(20)] * 30 + [scene(110, 50, 140)] * 30 + [scene(60, 30, 140)] * 30
    write_film(tmp_path / "in/a.mp4", seconds=3.6, frames=frames)
    report = convert("video", tmp_path / "in", tmp_path / "out", face_options(), progress=False)
    clips = list(ClipSet(tmp_path / "out"))
    assert [len(clip.frames) for clip in clips] == [30, 30, 30]  # by the ground, and by the face alone
    assert len({tuple(clip.meta["crop"]) for clip in clips}) == 3
    assert report["notes"]["cuts from one shot to the next"] == 2
    assert "frames left out" not in report["notes"]


def test_boxes_stay_within_the_picture_and_keep_their_proportions() -> None:
    assert centred(48, 64, 1.0) == Box(0, 8, 48, 48) and centred(64, 48, 2.0) == Box(20, 0, 24, 48)
    box = around_faces([face(0, 0), face(4, 0)], HEIGHT, WIDTH, 1.0)
    assert (box.top, box.left) == (0, 0) and box.height == box.width == 32
    wide = around_faces([face(20, 40), face(120, 40)], HEIGHT, WIDTH, 1.0)
    assert wide.height == wide.width == HEIGHT
    tall = around_faces([face(60, 40)], HEIGHT, WIDTH, 0.5)
    assert tall.height == 2 * tall.width and tall.width == 32
    one_wrong = around_faces([face(60, 40)] * 99 + [face(0, 0)], HEIGHT, WIDTH, 1.0)
    assert one_wrong == around_faces([face(60, 40)], HEIGHT, WIDTH, 1.0)


def test_steady_change_is_no_cut() -> None:
    nobody = [None] * 20
    steps = np.full(20, 40.0)
    assert not find_cuts(steps, nobody)[1:].any()
    steps = np.full(20, 2.0)
    steps[7] = 60
    assert np.flatnonzero(find_cuts(steps, nobody)).tolist() == [7]
    assert find_shots([0, 1, 2, 5, 6], np.zeros(5, bool), None, 1) == [(0, 3), (3, 5)]


def test_without_the_model_nothing_is_converted(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_film(tmp_path / "in/a.mp4", seconds=1)
    command = ["video", str(tmp_path / "in"), str(tmp_path / "out"), "--crop", "face"]
    assert main([*command, "--face-model", str(tmp_path / "none.task")]) == 1
    told = capsys.readouterr().err
    assert "worldmodel[driving]" in told or "none.task is not there" in told
    assert not (tmp_path / "out").exists()
    assert main(["video", str(tmp_path / "in"), str(tmp_path / "out"), "--face-model", "m.task"]) == 1
    assert "--face-model is for --crop face" in capsys.readouterr().err
