"""MineRL's recordings: aligned by their end, and written so that the package's own reader gives all of it back."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.convert.films import assert_aligned, film, steps, truncated, write
from worldmodel.data.clip_writer import ClipWriter
from worldmodel.data.clips import Clip, ClipSet
from worldmodel.data.convert.__main__ import main
from worldmodel.data.convert.common import Options
from worldmodel.data.convert.run import complaints, convert
from worldmodel.data.video import decode_video, encode_video

LENGTH = 48
BEFORE = 5  # frames of the video before the episode
ENVIRONMENT = "MineRLTreechop-v0"


def arrays_of(moves: np.ndarray) -> dict[str, Any]:
    count = len(moves)
    arrays: dict[str, Any] = {f"action${key}": np.zeros(count, np.int64) for key in ("back", "jump", "attack")}
    arrays["action$forward"] = moves[:, 1].astype(np.int64)
    arrays["action$camera"] = np.stack([np.zeros(count), 3.0 * moves[:, 0]], 1).astype(np.float32)
    arrays["action$craft"] = np.array(["none"] * count)
    return {"reward": np.zeros(count, np.float32), "observation$inventory$log": np.zeros(count + 1), **arrays}


def video_of(moves: np.ndarray) -> bytes:
    frames = film(moves)
    noise = np.random.default_rng(0).integers(0, 255, (BEFORE, *frames.shape[1:]), np.uint8)
    return encode_video(np.concatenate([noise, frames]), 20.0, crf=4)


def save(folder: Path, name: str = "v3_a", moves: np.ndarray | None = None, **change: Any) -> None:
    """Saves a recording; `change` replaces the video, metadata, or arrays (None: without it)."""
    moves = steps(LENGTH - 1) if moves is None else moves
    target = folder / ENVIRONMENT / name
    arrays = {
        **arrays_of(moves),
        **{key: value for key, value in change.items() if key not in ("video", "meta", "npz")},
    }
    stream = io.BytesIO()
    np.savez_compressed(stream, **{key: value for key, value in arrays.items() if value is not None})
    files = {
        "recording.mp4": change.get("video", video_of(moves)),
        "rendered.npz": change.get("npz", stream.getvalue()),
        "metadata.json": change.get("meta", json.dumps({"true_video_frame_count": LENGTH + BEFORE}).encode()),
    }
    for file, data in files.items():
        if data is not None:
            write(target / file, data)
    write(folder / "VERSION", b"3\n")


def test_aligned(tmp_path: Path) -> None:
    save(tmp_path / "in", **{"action$jump": np.arange(LENGTH - 1) % 2})
    report = convert("minerl", tmp_path / "in", tmp_path / "out", Options(), progress=False)
    clip = ClipSet(tmp_path / "out")[0]
    assert len(clip.frames) == LENGTH - 1  # the reader replaces the last frame
    assert_aligned(clip)
    assert [action["keyboard"]["jump"] for action in clip.actions()] == [number % 2 for number in range(LENGTH - 2)]
    assert clip.meta["environment"] == ENVIRONMENT and clip.meta["first_frame"] == BEFORE
    assert report["notes"]["frames before the episode"] == BEFORE
    assert report["lags"] == {"0": 1} and not complaints(report, 0.05)


def test_each_fault_is_named(tmp_path: Path) -> None:
    moves = steps(LENGTH - 1)
    count = LENGTH + BEFORE
    faults: dict[str, tuple[dict[str, Any], str]] = {
        "truncated": ({"video": truncated(video_of(moves))}, "truncated mp4"),
        "reward": ({"reward": None}, "npz without its key"),
        "torn": ({"npz": b"PK\x03\x04" + bytes(50)}, "malformed npz"),
        "keys": ({key: None for key in arrays_of(moves) if key.startswith("action")}, "npz without its key"),
        "vector": ({"action$vector": np.zeros((LENGTH - 1, 64), np.float32)}, "unknown action"),
        "two": ({"action$back": np.full(LENGTH - 1, 2)}, "unknown action"),
        "nan": ({"action$camera": np.full((LENGTH - 1, 2), np.nan)}, "unknown action"),
        "short": ({"action$back": np.zeros(LENGTH - 2, int)}, "lengths disagree"),
        "rewards": ({"reward": np.zeros(LENGTH, np.float32)}, "lengths disagree"),
        "count": ({"meta": json.dumps({"true_video_frame_count": count + 1}).encode()}, "lengths disagree"),
        "few": (
            {"video": encode_video(film(moves[:20]), 20.0), "meta": b'{"true_video_frame_count": 21}'},
            "lengths disagree",
        ),
        "meta": ({"meta": b"{"}, "broken metadata"),
        "none": ({"meta": b"{}"}, "broken metadata"),
        "alone": ({"npz": None}, "no rendered.npz"),
    }
    for name, (change, _) in faults.items():
        save(tmp_path / "in", f"v3_{name}", **change)
    save(tmp_path / "in", "v9_new")
    save(tmp_path / "in", "v3_whole")
    report = convert("minerl", tmp_path / "in", tmp_path / "out", Options(), progress=False)
    named = {Path(entry["recording"]).name: entry["reason"] for entry in report["skipped"]}
    assert named == {f"v3_{name}": reason for name, (_, reason) in faults.items()} | {"v9_new": "damaged or foreign"}
    assert report["converted"] == 1
    assert_aligned(ClipSet(tmp_path / "out")[0])


def test_another_version_is_refused(tmp_path: Path) -> None:
    save(tmp_path)
    (tmp_path / "VERSION").write_text("2")
    with pytest.raises(ValueError, match="VERSION must be one of"):
        convert("minerl", tmp_path, tmp_path / "out", Options())


def as_the_package_reads(folder: Path) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """What minerl.data of 0.4 yields for a recording: the frame before and the frame after each action, and those."""
    arrays = np.load(folder / "rendered.npz")
    total = json.loads((folder / "metadata.json").read_text())["true_video_frame_count"]
    frames = decode_video((folder / "recording.mp4").read_bytes())[:total]
    frames = frames[total - (len(arrays["reward"]) + 1) :].copy()
    frames[-1] = frames[-2]
    actions = {key.removeprefix("action$"): arrays[key] for key in arrays.files if key.startswith("action$")}
    return frames[:-1], frames[1:], actions


def test_what_is_exported_reads_back(tmp_path: Path) -> None:
    clips = []
    for number in range(2):
        moves = steps(LENGTH - 1, number)
        held = [{"forward": int(forward), "hotbar.2": number} for _, forward in moves]
        camera = [[0.5, 3.0 * float(turn)] for turn, _ in moves]
        clips.append(Clip(f"clip{number}", film(moves), {"keyboard": held, "camera": camera}, {"fps": 20.0}))
        with ClipWriter(tmp_path / f"clips/shard-{number:06d}.tar") as writer:
            writer.write(clips[-1])
    arguments = ["minerl-export", str(tmp_path / "clips"), str(tmp_path / "root"), "--workers", "1"]
    assert main(arguments) == 0
    folders = sorted((tmp_path / "root" / ENVIRONMENT).iterdir())
    assert len(folders) == 2 and all(folder.name.startswith("v3_") for folder in folders)
    assert (tmp_path / "root/VERSION").read_text() == "3"
    before, after, actions = as_the_package_reads(folders[0])
    assert np.abs(before.astype(int) - clips[0].frames).mean() < 3  # all the frames there are
    assert np.abs(after[:-1].astype(int) - clips[0].frames[1:]).mean() < 3
    assert actions["camera"].shape == (LENGTH, 2) and actions["forward"].dtype == np.int64
    np.testing.assert_array_equal(actions["forward"][:-1], steps(LENGTH - 1)[:, 1])
    assert not any(values[-1].any() for values in actions.values())

    changed = {path: path.stat().st_mtime_ns for path in (tmp_path / "root").rglob("*.mp4")}
    assert main(arguments) == 0  # nothing is written twice
    assert changed == {path: path.stat().st_mtime_ns for path in (tmp_path / "root").rglob("*.mp4")}

    convert("minerl", tmp_path / "root", tmp_path / "again", Options(), progress=False)
    for clip, original in zip(ClipSet(tmp_path / "again"), clips, strict=True):
        assert_aligned(clip)
        assert len(clip.frames) == LENGTH
        for action, wanted in zip(clip.actions(), original.actions(), strict=True):
            assert action["keyboard"]["forward"] == wanted["keyboard"]["forward"]
            assert action["keyboard"]["hotbar.2"] == wanted["keyboard"]["hotbar.2"]
            np.testing.assert_array_equal(action["camera"], np.float32(wanted["camera"]))


def test_missing_actions_are_counted_and_each_shard_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moves = steps(20)
    held: list[Any] = [{"forward": int(forward)} for _, forward in moves]
    camera: list[Any] = [[0.0, 3.0 * float(turn)] for turn, _ in moves]
    told = {"keyboard": held, "camera": camera}
    gaps = {"keyboard": [None, *held[1:]], "camera": [None, None, *camera[2:]]}
    shards = [[told, gaps], [{"keyboard": held}], [told]]
    for number, clips in enumerate(shards):
        with ClipWriter(tmp_path / f"clips/shard-{number:06d}.tar") as writer:
            for index, conditions in enumerate(clips):
                writer.write(Clip(f"clip{index}", film(moves), conditions, {"fps": 20.0}))
    read: list[str] = []
    whole = ClipSet._read_entry

    def counted(self: ClipSet, key: str, shard: int, members: Any) -> Any:
        read.append(key)
        return whole(self, key, shard, members)

    monkeypatch.setattr(ClipSet, "_read_entry", counted)
    assert main(["minerl-export", str(tmp_path / "clips"), str(tmp_path / "root"), "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    assert "4 recordings" in printed
    assert f"steps whose keys or turn are missing, written as doing nothing: {2 + 20}" in printed
    assert len(read) == 2 * 4  # the set as a whole, then each shard by itself
    gappy = np.load(tmp_path / "root" / ENVIRONMENT / "v3_shard-000000-clip1" / "rendered.npz")
    assert not gappy["action$forward"][0] and not gappy["action$camera"][:2].any()
    assert gappy["action$camera"].shape == (21, 2)


def test_what_cannot_be_exported(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    moves = steps(20)
    held = [{"forward": int(forward)} for _, forward in moves]
    with ClipWriter(tmp_path / "clips/shard-000000.tar") as writer:
        writer.write(Clip("a", film(moves), {"keyboard": held}, {"fps": 16.0}))
    assert main(["minerl-export", str(tmp_path / "clips"), str(tmp_path / "root"), "--workers", "1"]) == 1
    assert "must be of 20 Hz, as MineRL is, got 16" in capsys.readouterr().err
    assert not list((tmp_path / "root" / ENVIRONMENT).iterdir())
    (tmp_path / "root/VERSION").write_text("2")
    assert main(["minerl-export", str(tmp_path / "clips"), str(tmp_path / "root"), "--workers", "1"]) == 1
    assert "VERSION must be 3" in capsys.readouterr().err
