"""Key points from npz files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import conditions
from conditions.pose import JOINTS
from player.sources.base import SourceError
from player.sources.pose_file import read_poses

SPACE = conditions.space("pose")


def moving(frames: int) -> np.ndarray:
    """[T, 10, 2]: every joint goes right by 0.01 a frame."""
    points = np.random.default_rng(0).uniform(0.2, 0.6, (1, len(JOINTS), 2))
    return (points + np.arange(frames)[:, None, None] * (0.01, 0.0)).astype(np.float32)


def save(path: Path, **arrays: np.ndarray | float) -> Path:
    np.savez(path, **arrays)
    return path


def test_points_come_frame_by_frame_with_missing_joints(tmp_path: Path) -> None:
    told: list[str] = []
    points = moving(5)
    points[2, 3] = np.nan
    poses = read_poses(save(tmp_path / "p.npz", pose=points), SPACE, 12.5, told.append)
    assert poses.frames == 5
    for wanted in points:
        value = poses.read()
        assert value is not None and np.array_equal(value, wanted, equal_nan=True) and SPACE.contains(value)
    assert poses.read() is None and poses.read() is None
    assert told == [f"{tmp_path / 'p.npz'}: 1 of 50 joints are missing (NaN)"]


def test_another_rate_is_followed_along_straight_lines(tmp_path: Path) -> None:
    points = moving(21)
    poses = read_poses(save(tmp_path / "p.npz", key_points=points, fps=25.0), SPACE, 10.0, print)
    values = [poses.read() for _ in range(9)]
    assert poses.frames == 9 and all(value is not None for value in values)
    assert np.stack(values)[:, 0, 0] == pytest.approx(points[0, 0, 0] + 0.025 * np.arange(9), abs=1e-5)  # type: ignore[arg-type]
    assert poses.read() is None


def test_joints_in_another_order_are_put_in_order(tmp_path: Path) -> None:
    points, order = moving(2), np.random.default_rng(1).permutation(len(JOINTS))
    path = save(tmp_path / "p.npz", pose=points[:, order], joints=np.array(JOINTS)[order])
    assert np.array_equal(read_poses(path, SPACE, 12.5, print).read(), points[0])


def test_joints_far_outside_count_as_missing(tmp_path: Path) -> None:
    told: list[str] = []
    points = moving(2)
    points[0, 4], points[1, 5, 0] = (300.0, 200.0), np.inf
    value = read_poses(save(tmp_path / "p.npz", pose=points), SPACE, 12.5, told.append).read()
    assert value is not None and SPACE.contains(value) and np.isnan(value[4]).all()
    assert "2 of 20 joints lie outside" in told[0] and "pixels" in told[0]


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"pose": moving(3)[:, :7]}, r"has 7 joints, and this world's pose has 10 \(head_top, chin"),
        ({"pose": moving(3)[0]}, r"numbers \[T, 10, 2\]"),
        ({"pose": moving(0)}, r"numbers \[T, 10, 2\]"),
        ({"a": moving(1), "b": moving(1)}, "must hold an array 'pose'"),
        ({"pose": moving(3), "fps": np.float64(0)}, "fps must be above 0"),
        ({"pose": moving(3), "fps": np.array("abc")}, "fps must be one number, .* got 'abc'"),
        ({"pose": moving(3), "fps": np.array([25.0, 25.0])}, r"fps must be one number, .* got float64 \(2,\)"),
        ({"pose": moving(3), "fps": np.array([])}, "fps must be one number"),
        ({"pose": moving(3), "fps": np.array(True)}, "fps must be one number"),
        ({"pose": moving(3), "fps": np.float64("nan")}, "fps must be above 0"),
        ({"pose": moving(3), "joints": np.array(["x"] * 10)}, "joints must be head_top"),
        ({"pose": np.array([{}], object)}, "damaged"),
    ],
)
def test_files_that_hold_something_else(tmp_path: Path, arrays: dict[str, np.ndarray], told: str) -> None:
    with pytest.raises(SourceError, match=told):
        read_poses(save(tmp_path / "p.npz", **arrays), SPACE, 12.5, print)


def test_files_that_are_no_npz(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 broken")
    (tmp_path / "b.npz").write_bytes(b"words")
    for name in ("a.npz", "b.npz"):
        with pytest.raises(SourceError, match="must be an npz file") as caught:
            read_poses(tmp_path / name, SPACE, 12.5, print)
        assert "pickle" not in str(caught.value)


def test_the_pose_of_a_recorded_clip_is_one(tmp_path: Path) -> None:
    np.save(tmp_path / "000000.pose.npy", moving(2))
    poses = read_poses(tmp_path / "000000.pose.npy", SPACE, 12.5, print)
    assert np.allclose(poses.read(), moving(2)[0])


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_whatever_is_damaged_in_a_file_is_a_broken_start(tmp_path: Path, write: Callable[..., None]) -> None:
    path, damaged = tmp_path / "whole.npz", tmp_path / "p.npz"
    write(path, pose=moving(5), fps=25.0, joints=np.array(JOINTS))
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    causes = set()
    for _ in range(400):
        data = bytearray(whole)
        at = int(random.integers(len(data)))
        data[at : at + 4] = random.bytes(4)
        damaged.write_bytes(data)
        try:
            read_poses(damaged, SPACE, 12.5, lambda line: None)  # where the four bytes did not matter
        except SourceError as error:
            assert "p.npz" in str(error)
            causes.add(type(error.__cause__))
    assert len(causes) >= 3  # not only what zipfile raises


def test_a_header_that_numpy_cannot_parse_is_a_broken_start(tmp_path: Path) -> None:
    array = io.BytesIO()
    np.save(array, moving(5))
    header = array.getvalue().replace(b"{'descr'", b"{{(descr'")
    with zipfile.ZipFile(tmp_path / "p.npz", "w") as file:
        file.writestr("pose.npy", header)
    with pytest.raises(SourceError, match="is damaged"):
        read_poses(tmp_path / "p.npz", SPACE, 12.5, print)
