"""TECO's Minecraft: aligned, on disk and in archives; what is broken is named."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tests.data.convert.films import assert_aligned, mp4, steps, truncated, write
from worldmodel.data.clips import ClipSet
from worldmodel.data.convert.common import Options
from worldmodel.data.convert.run import complaints, convert

LENGTH = 40
NUMBERS = {(0, 1): 1, (-1, 0): 2, (1, 0): 3}


def npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def recording(seed: int = 0) -> tuple[bytes, np.ndarray]:
    asked = steps(LENGTH - 1, seed)
    asked[~asked.any(axis=1)] = [0, 1]  # this agent always does something
    numbers = [0, *(NUMBERS[turn, forward] for turn, forward in asked.tolist())]
    return mp4(asked), np.array(numbers, np.int32)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teco")
    for seed in range(6):
        video, actions = recording(seed)
        stem = folder / "minecraft" / ("test" if seed == 5 else "train") / str(seed % 2) / f"{seed:06d}"
        write(stem.with_suffix(".mp4"), video)
        write(stem.with_suffix(".npz"), npz(actions=actions))
    return folder


def test_aligned(source: Path, tmp_path: Path) -> None:
    report = convert("teco", source, tmp_path, Options(), progress=False)
    clips = ClipSet(tmp_path)
    assert len(clips) == report["converted"] == 6 and report["frames"] == 6 * LENGTH
    for clip in clips:
        assert clip.frames.shape == (LENGTH, 32, 48, 3)
        assert_aligned(clip)
    meta = [clips.meta(index) for index in range(6)]
    assert meta[0]["split"] == "test" and meta[0]["recording"] == "minecraft/test/1/000005" and meta[0]["fps"] == 20
    assert [entry["split"] for entry in meta[1:]] == ["train"] * 5
    action = next(action for action in clips[0].actions() if action["camera"][1] < 0)
    assert action["camera"].tolist() == [0, -20] and action["keyboard"]["jump"] == 1
    assert report["lags"] == {"0": 6} and complaints(report, 0.05) == []


@pytest.mark.parametrize("shift", [-1, 1])
def test_a_source_that_is_out_of_step_is_complained_about(tmp_path: Path, shift: int) -> None:
    for seed in range(5):
        video, actions = recording(seed)
        write(tmp_path / f"in/train/0/{seed}.mp4", video)
        write(tmp_path / f"in/train/0/{seed}.npz", npz(actions=np.roll(actions, shift)))
    report = convert("teco", tmp_path / "in", tmp_path / "out", Options(), progress=False)
    assert report["lags"] == {str(-shift): 5}
    assert "5 of 5 recordings do not move when" in complaints(report, 0.05)[0]
    with pytest.raises(AssertionError):
        assert_aligned(ClipSet(tmp_path / "out")[0])


@pytest.mark.parametrize("parts", [1, 3])
def test_archives(source: Path, tmp_path: Path, parts: int) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        tar.add(source / "minecraft", "./minecraft")
    data = stream.getvalue()
    size = -(-len(data) // parts)
    for part in range(parts):
        # As the Internet Archive has them: each part in a folder of its own.
        name = "minecraft.tar" if parts == 1 else f"part_a{'abc'[part]}/minecraft.tar.parta{'abc'[part]}"
        write(tmp_path / "in" / name, data[part * size : (part + 1) * size])
    report = convert("teco", tmp_path / "in", tmp_path / "out", Options(), progress=False)
    assert report["converted"] == 6 and not report["skipped"]
    convert("teco", source, tmp_path / "disk", Options(), progress=False)
    assert (tmp_path / "out/shard-000000.tar").read_bytes() == (tmp_path / "disk/shard-000000.tar").read_bytes()

    if parts == 1:
        write(tmp_path / "in/minecraft.tar", truncated(data))
    else:
        (tmp_path / "in/part_ac/minecraft.tar.partac").unlink()
    report = convert("teco", tmp_path / "in", tmp_path / "cut", Options(), progress=False)
    assert report["skipped_by_reason"]["damaged or foreign"] == 1 and 0 < report["converted"] < 6
    assert all(entry["detail"] for entry in report["skipped"])
    for clip in ClipSet(tmp_path / "cut"):
        assert_aligned(clip)


VIDEO, ACTIONS = recording(9)
BROKEN = {
    "truncated": (truncated(VIDEO), npz(actions=ACTIONS), "truncated mp4"),
    "no video": (b"", npz(actions=ACTIONS), "truncated mp4"),
    "key": (VIDEO, npz(moves=ACTIONS), "npz without its key"),
    "short": (VIDEO, npz(actions=ACTIONS[:-1]), "lengths disagree"),
    "long": (VIDEO, npz(actions=np.append(ACTIONS, 1)), "lengths disagree"),
    "unknown": (VIDEO, npz(actions=np.where(np.arange(LENGTH) == 7, 4, ACTIONS)), "unknown action"),
    "negative": (VIDEO, npz(actions=np.where(np.arange(LENGTH) == 7, -1, ACTIONS)), "unknown action"),
    "floats": (VIDEO, npz(actions=ACTIONS.astype(float)), "malformed npz"),
    "cut npz": (VIDEO, truncated(npz(actions=ACTIONS)), "malformed npz"),
    "garbage": (VIDEO, b"\0" * 100, "malformed npz"),
    "empty": (VIDEO, b"", "malformed npz"),
    "objects": (VIDEO, npz(actions=np.array([{}, None])), "malformed npz"),
    "alone": (VIDEO, None, "no .npz"),
    "unseen": (None, npz(actions=ACTIONS), "no .mp4"),
}


def test_each_fault_is_named_and_the_rest_converted(tmp_path: Path) -> None:
    for name, (video, actions, _) in {**BROKEN, "whole": (VIDEO, npz(actions=ACTIONS), "")}.items():
        for suffix, data in ((".mp4", video), (".npz", actions)):
            if data is not None:
                write(tmp_path / f"in/train/0/{name}{suffix}", data)
    report = convert("teco", tmp_path / "in", tmp_path / "out", Options(), recordings_per_shard=4, progress=False)
    named = {entry["recording"].removeprefix("train/0/"): entry["reason"] for entry in report["skipped"]}
    assert named == {name: reason for name, (_, _, reason) in BROKEN.items()}
    assert sum(report["skipped_by_reason"].values()) == len(BROKEN) == report["recordings"] - report["converted"]
    assert "got [4]" in next(entry["detail"] for entry in report["skipped"] if entry["recording"].endswith("unknown"))
    clips = ClipSet(tmp_path / "out")
    assert len(clips) == 1 and not clips.damaged
    assert_aligned(clips[0])
    assert "14 of 15 recordings were skipped" in complaints(report, 0.05)[0] and not complaints(report, 0.95)


def test_nothing_to_convert(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must hold .mp4 and .npz files or tar archives"):
        convert("teco", tmp_path, tmp_path / "out", Options())
    with pytest.raises(ValueError, match="must be a folder"):
        convert("teco", tmp_path / "none", tmp_path / "out", Options())
