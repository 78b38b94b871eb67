"""Clip sets: what is written is read, by us and by the webdataset library; damage is skipped, listed, or refused."""

import io
import json
import pickle
import tarfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conditions import ConditionSet
from worldmodel.data.clip_writer import ClipWriter
from worldmodel.data.clips import Clip, ClipSet

FRAMES = 6


def make_clip(key: str, seed: int = 0, frames: int = FRAMES) -> Clip:
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 256, (1, 4, 4, 3)).repeat(8, 1).repeat(8, 2)
    pictures = np.clip(base + np.arange(frames)[:, None, None, None] * 4, 0, 255).astype(np.uint8)
    keyboard = [{"forward": int(rng.integers(2)), "hotbar.3": int(rng.integers(2))} for _ in range(frames - 1)]
    camera = rng.uniform(-20, 20, (frames - 1, 2)).astype(np.float32)
    return Clip(key, pictures, {"keyboard": keyboard, "camera": camera}, {"fps": 20.0, "seed": seed})


def write(folder: Path, clips: int, per_shard: int = 50) -> None:
    for first in range(0, clips, per_shard):
        with ClipWriter(folder / f"shard-{first // per_shard:06d}.tar") as writer:
            for number in range(first, min(first + per_shard, clips)):
                writer.write(make_clip(f"{number:06d}", number))


def rewrite(path: Path, change: Callable[[str, bytes], bytes | None]) -> None:
    """Rewrites a tar file, member by member; None leaves one out."""
    with tarfile.open(path) as tar:
        members = [(info.name, tar.extractfile(info)) for info in tar]
        contents = [(name, file.read()) for name, file in members if file is not None]
    with tarfile.open(path, "w") as tar:
        for name, data in contents:
            changed = change(name, data)
            if changed is not None:
                info = tarfile.TarInfo(name)
                info.size = len(changed)
                tar.addfile(info, io.BytesIO(changed))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips")
    write(path, 5, per_shard=2)
    return path


def test_round_trip(folder: Path) -> None:
    clips = ClipSet(folder)
    assert clips.keys == [f"{number:06d}" for number in range(5)] and len(clips) == 5
    for number, clip in enumerate(clips):
        wrote = make_clip(clip.key, number)
        assert np.abs(clip.frames.astype(int) - wrote.frames).mean() < 3
        assert [action["keyboard"]["forward"] for action in clip.actions()] == [
            keys["forward"] for keys in wrote.conditions["keyboard"]
        ]
        np.testing.assert_array_equal([action["camera"] for action in clip.actions()], wrote.conditions["camera"])
        assert clip.meta["seed"] == number and clip.meta["size"] == [32, 32] and clip.meta["frames"] == FRAMES
        assert "Discrete(2)" in clip.meta["spaces"]["keyboard"]


def test_raw_actions_prepare_like_columns(folder: Path) -> None:
    conditions = ConditionSet({"keyboard": {}, "camera": {}}, 8)
    clips = ClipSet(folder, conditions)
    raw = conditions.prepare(clips[1].actions())
    packed = conditions.prepare_columns(clips.columns(1), FRAMES - 1)
    for name in conditions.names:
        assert (raw[name].x == packed[name].x).all() and packed[name].present.all()


def test_frames_by_range(folder: Path) -> None:
    clips = pickle.loads(pickle.dumps(ClipSet(folder)))  # as it reaches a loader's process
    whole = clips.frames(3)
    np.testing.assert_array_equal(clips.frames(3, 2, 5), whole[2:5])
    with pytest.raises(ValueError, match="clip 000003 has frames 0 to 5, asked for 4 to 6"):
        clips.frames(3, 4, 7)


def test_only_wanted_conditions_are_read(folder: Path) -> None:
    assert list(ClipSet(folder, ConditionSet({"camera": {}}, 8)).columns(0)) == ["camera"]
    assert list(ClipSet(folder, []).columns(0)) == []


def test_another_key_list_finds_its_keys(tmp_path: Path) -> None:
    stored = ConditionSet({"keyboard": {"keys": ["right", "left"]}}, 8)
    with ClipWriter(tmp_path / "shard-000000.tar", stored) as writer:
        clip = Clip("a", make_clip("a").frames, {"keyboard": [{"left": 1}] * (FRAMES - 1)}, {"fps": 20})
        writer.write(clip)
    wanted = ConditionSet({"keyboard": {"keys": ["left", "up", "right"]}}, 8)
    assert ClipSet(tmp_path, wanted).columns(0)["keyboard"].values.tolist() == [[1, 0, 0]] * (FRAMES - 1)
    assert ClipSet(tmp_path)[0].actions()[0] == {"keyboard": {"right": 0, "left": 1}}


def test_values_missing_in_some_steps(tmp_path: Path) -> None:
    camera = [[0.0, 1.0], None, [0.0, 3.0], None, None]
    with ClipWriter(tmp_path / "shard-000000.tar") as writer:
        writer.write(Clip("a", make_clip("a").frames, {"camera": camera}, {"fps": 20}))
    clips = ClipSet(tmp_path)
    assert clips.columns(0)["camera"].present.tolist() == [True, False, True, False, False]
    assert ["camera" in action for action in clips[0].actions()] == [True, False, True, False, False]
    again = tmp_path / "again" / "shard-000000.tar"
    with ClipWriter(again) as writer:
        writer.write(clips[0])
    assert ClipSet(again.parent).columns(0)["camera"].present.tolist() == [True, False, True, False, False]


def test_the_webdataset_library_reads_the_shards(folder: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    paths = [str(path) for path in sorted(folder.glob("*.tar"))]
    samples = list(webdataset.WebDataset(paths, shardshuffle=False).decode())
    assert [sample["__key__"].split("/")[-1] for sample in samples] == ClipSet(folder).keys
    for number, sample in enumerate(samples):
        columns = ClipSet(folder).columns(number)
        np.testing.assert_array_equal(sample["camera.npy"], columns["camera"].values)
        np.testing.assert_array_equal(sample["keyboard.npy"], columns["keyboard"].values)
        assert sample["json"]["frames"] == FRAMES and sample["mp4"][4:8] == b"ftyp"


def test_we_read_what_the_webdataset_library_writes(folder: Path, tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    clips = ClipSet(folder)
    with warnings.catch_warnings(), webdataset.TarWriter(str(tmp_path / "theirs.tar")) as writer:
        mp4 = clips._reader.read(0, clips._entries[0].members["mp4"])
        meta = {"fps": 20, "frames": FRAMES, "size": [32, 32]}
        camera = np.ones((FRAMES - 1, 2), np.float32)
        writer.write({"__key__": "one", "mp4": mp4, "json": meta, "camera.npy": camera, "note.txt": "unknown to us"})
    theirs = ClipSet(tmp_path)
    np.testing.assert_array_equal(theirs[0].frames, clips[0].frames)
    assert list(theirs.columns(0)) == ["camera"]


def test_the_same_clips_give_the_same_file(folder: Path, tmp_path: Path) -> None:
    write(tmp_path, 5, per_shard=2)
    for path in sorted(folder.glob("*.tar")):
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()


def test_a_shard_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "shard-000000.tar"
    with pytest.raises(RuntimeError), ClipWriter(path) as writer:
        writer.write(make_clip("a"))
        assert not path.exists()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"frames": np.zeros((6, 32, 32, 3), np.float32)}, r"frames must be \[T, H, W, 3\] uint8"),
        ({"frames": np.zeros((6, 3, 32, 32), np.uint8)}, r"frames must be \[T, H, W, 3\] uint8"),
        ({"conditions": {"camera": np.zeros((6, 2))}}, "5 values, one from each frame to the next, got 6"),
        ({"conditions": {"camera": np.full((5, 2), np.nan)}}, "camera must be finite"),
        ({"conditions": {"keyboard": [{"forwrd": 1}] * 5}}, "did you mean 'forward'"),
        ({"conditions": {"joystick": [0] * 5}}, "no condition is called 'joystick'"),
        ({"key": "a.b"}, "without dots"),
        ({"meta": {}}, "meta must have fps"),
    ],
)
def test_bad_clips_are_not_written(tmp_path: Path, changes: dict, words: str) -> None:
    clip = make_clip("a")
    for name, value in changes.items():
        setattr(clip, name, value)
    with pytest.raises(ValueError, match=words), ClipWriter(tmp_path / "shard-000000.tar") as writer:
        writer.write(clip)


def _nan(data: bytes) -> bytes:
    array = np.load(io.BytesIO(data))
    array[2] = np.nan
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _short(data: bytes) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.load(io.BytesIO(data))[:-1])
    return stream.getvalue()


DAMAGE: dict[str, tuple[str, Callable[[bytes], bytes | None], str]] = {
    "truncated mp4": ("mp4", lambda data: data[: len(data) // 2], "not a whole mp4"),
    "empty mp4": ("mp4", lambda data: b"", "not a whole mp4"),
    "no mp4": ("mp4", lambda data: None, "000001.mp4 is missing"),
    "no json": ("json", lambda data: None, "000001.json is missing"),
    "broken json": ("json", lambda data: data[:-10], "not JSON"),
    "other frame count": (
        "json",
        lambda data: json.dumps({**json.loads(data), "frames": 7}).encode(),
        "as many as the mp4's 6",
    ),
    "no camera": ("camera.npy", lambda data: None, "000001.camera.npy is missing"),
    "short camera": ("camera.npy", _short, "camera must have 5 values, got 4"),
    "NaN in camera": ("camera.npy", _nan, "camera must be finite"),
    "cut keyboard": ("keyboard.npy", lambda data: data[:-4], "keyboard must be a .npy file"),
}


@pytest.fixture(scope="module")
def hundred(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hundred")
    write(path, 100)
    return path


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_clip_is_skipped_and_listed(hundred: Path, tmp_path: Path, kind: str) -> None:
    member, damage, words = DAMAGE[kind]
    for path in hundred.glob("*.tar"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    rewrite(tmp_path / "shard-000000.tar", lambda name, data: damage(data) if name == f"000001.{member}" else data)
    with pytest.warns(UserWarning, match="1 of 100 clips .* are damaged"):
        clips = ClipSet(tmp_path)
    assert len(clips) == 99 and "000001" not in clips.keys and "000002" in clips.keys
    (damaged,) = clips.damaged
    assert (damaged.key, damaged.shard) == ("000001", "shard-000000.tar")
    assert words in damaged.reason


def test_more_than_one_percent_is_refused(hundred: Path, tmp_path: Path) -> None:
    for path in hundred.glob("*.tar"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    bad = {"000001.mp4", "000007.mp4"}
    rewrite(tmp_path / "shard-000000.tar", lambda name, data: data[:100] if name in bad else data)
    with pytest.raises(ValueError, match="2 of 100 clips .*.tar/000001: .*000007: .*More than 1 % is refused"):
        ClipSet(tmp_path)


@pytest.mark.parametrize("cut", [-1024, -10240, 2000, 512 * 9 + 100, 0])
def test_a_truncated_shard_is_named(folder: Path, tmp_path: Path, cut: int) -> None:
    data = (folder / "shard-000000.tar").read_bytes()
    with open(folder / "shard-000000.tar", "rb") as file, tarfile.open(fileobj=file) as tar:
        end = max(info.offset_data + info.size for info in tar)
    cut = end + cut if cut < 0 else cut
    (tmp_path / "shard-000000.tar").write_bytes(data[:cut])
    with pytest.raises(ValueError, match="shard-000000.tar must be a whole uncompressed tar.*Delete it"):
        ClipSet(tmp_path)


def test_garbage_in_a_shard_is_named(folder: Path, tmp_path: Path) -> None:
    data = bytearray((folder / "shard-000000.tar").read_bytes())
    with tarfile.open(folder / "shard-000000.tar") as tar:
        header = tar.getmembers()[3].offset
    data[header : header + 512] = b"\x55" * 512
    (tmp_path / "shard-000000.tar").write_bytes(data)
    with pytest.raises(ValueError, match=f"garbage at byte {header}"):
        ClipSet(tmp_path)


def test_no_shards(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got none"):
        ClipSet(tmp_path)


def test_a_clip_that_proves_damaged_later_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "shard-000000.tar").write_bytes((folder / "shard-000000.tar").read_bytes())
    clips = ClipSet(tmp_path)
    member = clips._entries[1].members["mp4"]
    with open(tmp_path / "shard-000000.tar", "r+b") as file:
        file.truncate(member.offset + 10)
    with pytest.raises(ValueError, match="clip 000001 in .*shard-000000.tar"):
        clips.frames(1)
