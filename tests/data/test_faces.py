"""The detector of faces, by a mediapipe that the test puts in place of the real one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from worldmodel.data.faces import FaceDetector


class Landmarker:
    """Finds the red pixels of a picture, as MediaPipe tells where a landmark is: x in widths and y in heights."""

    def __init__(self, model: str) -> None:
        if Path(model).read_bytes() != b"model":
            raise RuntimeError("Unable to open zip archive")
        self.is_open = True

    def detect(self, image: SimpleNamespace) -> SimpleNamespace:
        assert self.is_open and image.image_format == "srgb" and image.data.flags.c_contiguous
        height, width = image.data.shape[:2]
        rows, columns = np.nonzero(image.data[..., 0] == 255)
        points = [SimpleNamespace(x=x / width, y=y / height) for y, x in zip(rows, columns, strict=True)]
        return SimpleNamespace(face_landmarks=[points, points[::-1]] if points else [])

    def close(self) -> None:
        self.is_open = False


@pytest.fixture
def mediapipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """mediapipe, as far as `FaceDetector` can see."""
    names = ("mediapipe", "mediapipe.tasks", "mediapipe.tasks.python", "mediapipe.tasks.python.vision")
    modules: dict[str, Any] = {name: ModuleType(name) for name in names}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
        parent, _, own = name.rpartition(".")
        if parent:
            setattr(modules[parent], own, module)
    modules["mediapipe"].Image = SimpleNamespace
    modules["mediapipe"].ImageFormat = SimpleNamespace(SRGB="srgb")
    modules["mediapipe.tasks.python"].BaseOptions = SimpleNamespace
    vision = modules["mediapipe.tasks.python.vision"]
    vision.FaceLandmarkerOptions = SimpleNamespace
    vision.FaceLandmarker = SimpleNamespace(
        create_from_options=lambda options: Landmarker(options.base_options.model_asset_path)
    )
    yield


@pytest.mark.usefixtures("mediapipe")
def test_landmarks_are_in_widths_of_any_picture(tmp_path: Path) -> None:
    (tmp_path / "m.task").write_bytes(b"model")
    detector = FaceDetector(tmp_path / "m.task")
    picture = np.zeros((20, 80, 3), np.uint8)
    assert detector(picture) is None
    picture[10, 60, 0] = picture[15, 20, 0] = 255
    landmarks = detector(picture)
    assert landmarks is not None and landmarks.dtype == np.float32
    assert landmarks == pytest.approx(np.array([(60 / 80, 10 / 80), (20 / 80, 15 / 80)]))  # of the first face
    turned = detector(np.rot90(picture))  # [80, 20], not in order in memory
    assert turned is not None and turned == pytest.approx(np.array([(10 / 20, 19 / 20), (15 / 20, 59 / 20)]))
    detector.close()
    with pytest.raises(AssertionError):
        detector(picture)


@pytest.mark.usefixtures("mediapipe")
def test_a_model_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "empty.task").write_bytes(b"")
    (tmp_path / "text.task").write_bytes(b"text")
    for name, told in (
        ("none.task", "none.task is not there: check --face-model"),
        ("empty.task", r"empty.task is empty \(0 bytes\)"),
        ("text.task", "text.task is no face_landmarker.task: Unable to open zip"),
    ):
        with pytest.raises(ValueError, match=told):
            FaceDetector(tmp_path / name)
    with pytest.raises(ValueError, match="give --face-model FILE"):
        FaceDetector(None)
