"""Recording: aligned, resumable to the byte, and clear about what it cannot do."""

import errno
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import envs.record
from envs.errors import GameError
from envs.record import Recording, main, parse_arguments, record
from worldmodel.data.clips import ClipSet, codec

ROOT = Path(__file__).parents[2]
FAKE = "tests.envs.fake_world:Fake-v0"


def recording(**changes: object) -> Recording:
    fields = {"world": FAKE, "world_kwargs": {}, "clips": 5, "frames": 12, "seed": 3, "clips_per_shard": 2}
    return Recording(**{**fields, "explorer": "mix", **changes})  # type: ignore[arg-type]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".tar"}


def test_the_action_at_t_leads_to_frame_t_plus_1(tmp_path: Path) -> None:
    assert record(recording(frames=200, clips=2), tmp_path, progress=False) == 2
    for clip in ClipSet(tmp_path):
        assert clip.frames.shape == (200, 16, 16, 3)
        forward = np.array([action["keyboard"]["forward"] for action in clip.actions()])
        yaw = np.array([action["camera"][1] for action in clip.actions()])
        red, green = clip.frames[:, 8, 8, 0].astype(int), clip.frames[:, 8, 8, 1].astype(int)
        assert len(forward) == 199 and 0 < forward.sum() < 199
        np.testing.assert_array_equal(red[1:] > 125, forward == 1)
        assert np.abs(green[1:] - (128 + 5 * yaw)).max() < 8
        assert (red[:-1] > 125).tolist() != (forward == 1).tolist()  # a step earlier it is not so
        assert np.array(clip.meta["info"]["position"]).shape == (200, 3) and "note" not in clip.meta["info"]


def test_a_world_that_tells_its_pitch_has_the_level_in_its_clips(tmp_path: Path) -> None:
    made = recording(
        world="worldmodel/BlockWorld-v0", world_kwargs={"size": 16, "biome": "meadow"}, frames=120, clips=1
    )
    record(made, tmp_path, progress=False)
    clip = ClipSet(tmp_path)[0]
    camera = np.stack([action["camera"] for action in clip.actions()])  # [T - 1, 3]
    np.testing.assert_allclose(camera[:, 2], clip.meta["info"]["pitch"][1:], atol=1e-4)
    counted, level = [], 0.0
    for pitch in camera[:, 0]:
        level = float(np.clip(level + pitch, -90, 90))
        counted.append(level)
    assert np.ptp(counted) > 5
    np.testing.assert_allclose(camera[:, 2], counted, atol=1e-3)
    turns = ClipSet(tmp_path, [codec("camera")]).columns(0)["camera"].values
    np.testing.assert_array_equal(turns, camera[:, :2])


def test_what_is_written_beside_the_frames(tmp_path: Path) -> None:
    record(recording(world_kwargs={"size": 32}), tmp_path, progress=False)
    clips = ClipSet(tmp_path)
    assert [clips.meta(index)["seed"] for index in range(5)] == [3, 4, 5, 6, 7]
    assert len({int(clips.frames(index)[0, 0, 0, 2]) for index in range(5)}) > 2  # the seeds made other worlds
    meta = clips.meta(0)
    assert (meta["fps"], meta["size"], meta["frames"]) == (20, [32, 32], 12)
    assert (meta["world"], meta["world_kwargs"], meta["explorer"]) == (FAKE, {"size": 32}, "mix")
    assert sorted(path.name for path in clips.shards) == [f"shard-{shard:06d}.tar" for shard in range(3)]


def test_a_shard_depends_on_its_seeds_alone(tmp_path: Path) -> None:
    record(recording(), tmp_path / "one", progress=False)
    for shard in (2, 0):  # in any order, in a process that has done other things
        envs.record.record_shard(recording(), tmp_path / "other", shard)
    one, other = contents(tmp_path / "one"), contents(tmp_path / "other")
    assert len(other) == 2 and all(one[name] == data for name, data in other.items())


def test_a_killed_run_is_continued_to_the_same_bytes(tmp_path: Path) -> None:
    slow = recording(clips=12, clips_per_shard=1, world_kwargs={"delay": 0.03})
    arguments = ["--world", FAKE, "--clips", "12", "--frames", "12", "--seed", "3", "--clips-per-shard", "1"]
    arguments += ["--world-kwargs", "delay=0.03", "--workers", "2", "--out", str(tmp_path / "killed")]
    process = subprocess.Popen(
        [sys.executable, "-m", "envs.record", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 240
        while not list((tmp_path / "killed").glob("*.tar")):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.02)
    finally:
        process.kill()  # the parent alone: its workers must notice
        process.wait()
    while _group_lives(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    done = contents(tmp_path / "killed")
    assert 0 < len(done) < 12
    assert len(ClipSet(tmp_path / "killed")) == len(done)  # none is half written

    assert record(slow, tmp_path / "killed", progress=False) == 12 - len(done)
    record(slow, tmp_path / "whole", progress=False)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert len(contents(tmp_path / "whole")) == 12
    assert not list((tmp_path / "killed").glob("*.tmp"))


def test_a_shard_goes_on_after_its_last_whole_clip(tmp_path: Path) -> None:
    one = recording(clips=4, clips_per_shard=4)
    record(one, tmp_path / "whole", progress=False)
    (bytes_of_all,) = contents(tmp_path / "whole").values()
    for size in (0, 100, len(bytes_of_all) // 3, len(bytes_of_all) // 2, len(bytes_of_all) - 11_000):
        out = tmp_path / str(size)
        out.mkdir()
        shutil.copy(tmp_path / "whole" / "recording.json", out)
        (out / "shard-000000.tar.tmp").write_bytes(bytes_of_all[:size])  # what a killed run leaves
        recorded = record(one, out, progress=False)
        assert contents(out) == contents(tmp_path / "whole")
        assert recorded == 4 - len({name for name in whole_names(bytes_of_all[:size]) if name.endswith(".json")})


def test_another_run_begins_its_shards_anew(tmp_path: Path) -> None:
    record(recording(clips=2), tmp_path / "whole", progress=False)
    (data,) = contents(tmp_path / "whole").values()
    (tmp_path / "other").mkdir()
    shutil.copy(tmp_path / "whole" / "recording.json", tmp_path / "other")
    (tmp_path / "other" / "shard-000000.tar.tmp").write_bytes(data)
    assert record(recording(clips=2, seed=50), tmp_path / "other", progress=False) == 2
    assert [clip.meta["seed"] for clip in ClipSet(tmp_path / "other")] == [50, 51]


def whole_names(data: bytes) -> list[str]:
    """Names of the tar members that lie whole in some bytes, found block by block."""
    names, at = [], 0
    while at + 512 <= len(data) and data[at]:
        name, size = data[at : at + 100].rstrip(b"\0").decode(), int(data[at + 124 : at + 135], 8)
        at += 512 + -(-size // 512) * 512
        names += [name] if at <= len(data) else []
    return names


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_interrupted_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    recorded = []
    whole = envs.record.record_clip

    def interrupted(*arguments: object) -> object:
        recorded.append(1)
        if len(recorded) == 4:
            raise KeyboardInterrupt
        return whole(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(envs.record, "record_clip", interrupted)
    arguments = ["--world", FAKE, "--clips", "5", "--frames", "12", "--clips-per-shard", "2", "--workers", "1"]
    assert main([*arguments, "--out", str(tmp_path)]) == 130
    assert "run the same command again" in capsys.readouterr().err
    assert list(contents(tmp_path)) == ["shard-000000.tar"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    assert len(ClipSet(tmp_path)) == 5 and "2 of them recorded now" in capsys.readouterr().out
    assert not list(tmp_path.glob("*.tmp"))
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    assert "0 of them recorded now" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"clips": 6}, "clips is 5 there, 6 asked for"),
        ({"seed": 0}, "seed is 3 there, 0 asked for"),
        ({"world_kwargs": {"size": 32}}, "world_kwargs is {} there, {'size': 32} asked for"),
        ({"explorer": "walk"}, "explorer is mix there, walk asked for"),
    ],
)
def test_another_recording_is_refused(tmp_path: Path, changes: dict, words: str) -> None:
    record(recording(), tmp_path, progress=False)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=words):
        record(recording(**changes), tmp_path, progress=False)
    assert contents(tmp_path) == before


def test_foreign_shards_and_a_second_run_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shard-000000.tar").write_bytes(b"")
    with pytest.raises(ValueError, match="shards but no recording.json"):
        record(recording(), tmp_path, progress=False)

    def again(*_: object) -> None:
        record(recording(), tmp_path / "new", progress=False)

    monkeypatch.setattr(envs.record, "record_clip", again)
    with pytest.raises(ValueError, match="another run is recording into"):
        record(recording(), tmp_path / "new", progress=False)


def test_more_clips_are_added_to_whole_shards(tmp_path: Path) -> None:
    record(recording(clips=7), tmp_path / "at once", progress=False)
    assert record(recording(clips=4), tmp_path / "added", progress=False) == 4
    assert record(recording(clips=7), tmp_path / "added", progress=False) == 3
    assert contents(tmp_path / "added") == contents(tmp_path / "at once")
    with pytest.raises(ValueError, match="clips is 7 there, 9 asked for"):  # the last shard is not full
        record(recording(clips=9), tmp_path / "added", progress=False)


def test_a_world_that_ends_gives_shorter_clips(tmp_path: Path) -> None:
    record(recording(world_kwargs={"ends_after": 4}), tmp_path, progress=False)
    clips = ClipSet(tmp_path)
    assert [clips.num_frames(index) for index in range(5)] == [5] * 5
    assert len(clips[0].actions()) == 4


def test_a_world_with_other_keys(tmp_path: Path) -> None:
    record(recording(world_kwargs={"keys": ["up", "forward"]}), tmp_path / "told", progress=False)
    assert list(ClipSet(tmp_path / "told")[0].actions()[0]["keyboard"]) == ["up", "forward"]
    with pytest.raises(ValueError, match="space of 'keyboard' must be .*condition_configs"):
        record(recording(world_kwargs={"keys": ["up"], "told": False}), tmp_path / "untold", progress=False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--world", "CartPole-v1"], "observation must be a frame"),
        (["--world", "worldmodel/BlokWorld-v0"], "did you mean 'worldmodel/BlockWorld-v0'"),
        (["--world", "nowhere:Fake-v0"], "No module named 'nowhere'"),
        (["--world", FAKE, "--world-kwargs", "sise=3"], "takes no argument 'sise', did you mean 'size'"),
        (["--world", FAKE, "--world-kwargs", "size=wide"], "cannot be made with {'size': 'wide'}"),
    ],
)
def test_what_cannot_be_recorded_is_said(
    tmp_path: Path, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*options, "--clips", "1", "--frames", "4", "--out", str(tmp_path), "--workers", "1"]) == 1
    assert words in _one_error(capsys)
    assert record(recording(), tmp_path, progress=False) == 5  # a failed start does not claim the folder


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ModuleNotFoundError("No module named 'voice'", name="voice"), f"world {FAKE} .* package 'voice' is not inst"),
        (ImportError("speech needs a voice: pip install voice"), f"world {FAKE} .*: speech needs a voice: pip install"),
        (GameError("died", "the game ended"), "error: the game ended"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "--out .* must be a folder that can be written: .*No space"),
    ],
)
def test_what_fails_while_a_world_is_played_is_said(
    tmp_path: Path,
    error: Exception,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(envs.record, "record_clip", fails)
    assert main(["--world", FAKE, "--clips", "1", "--frames", "4", "--out", str(tmp_path), "--workers", "1"]) == 1
    assert re.search(words, _one_error(capsys))


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    assert main(["--world", FAKE, "--clips", "1", "--frames", "4", "--out", str(tmp_path / "file" / "clips")]) == 1
    said = _one_error(capsys)
    assert f"--out {tmp_path / 'file' / 'clips'} must be a folder that can be written" in said and "ot a dir" in said


def _one_error(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of error; the progress bar ends by carriage returns, in lines of its own."""
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    return errors[0]


def test_world_kwargs_have_types() -> None:
    arguments = parse_arguments(
        ["--clips", "1", "--out", "x", "--world-kwargs", "size=128 biome=meadow fov=70.5 depth=true", "box=[1,2]"]
    )
    wanted = {"size": 128, "biome": "meadow", "fov": 70.5, "depth": True, "box": [1, 2]}
    assert arguments.world_kwargs == wanted


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--frames", "1"], "--frames must be at least 2"),
        (["--clips", "0"], "must be at least 1"),
        (["--world-kwargs", "size"], "KEY=VALUE, got 'size'"),
        (["--explorer", "wander"], "invalid choice"),
    ],
)
def test_bad_options_are_named(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(["--clips", "1", "--out", "x", *arguments])
    assert words in capsys.readouterr().err


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(["--help"])
    text = capsys.readouterr().out
    for option in ("world", "clips", "frames", "out", "seed", "workers", "clips-per-shard", "world-kwargs", "explorer"):
        assert f"--{option}" in text
    assert "run the same command again" in " ".join(text.split())


def test_blockworld(tmp_path: Path) -> None:
    world = {"world": "worldmodel/BlockWorld-v0", "world_kwargs": {"size": 32, "biome": "meadow"}}
    record(recording(**world, clips=1, frames=30), tmp_path / "one", progress=False)
    record(recording(**world, clips=1, frames=30), tmp_path / "other", progress=False)
    assert contents(tmp_path / "one") == contents(tmp_path / "other")
    (clip,) = ClipSet(tmp_path / "one")
    assert clip.frames.shape == (30, 32, 32, 3) and clip.frames.std() > 10
    assert len(clip.meta["info"]["yaw"]) == 30
    turned = np.diff(clip.meta["info"]["yaw"])
    yaw = [float(action["camera"][1]) for action in clip.actions()]
    np.testing.assert_allclose((turned - yaw + 180) % 360, 180, atol=1e-3)
