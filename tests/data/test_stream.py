"""Clips and latents from a web server and an object store: those of the folder, whatever the network does."""

from __future__ import annotations

import importlib.util
import json
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from conditions import ConditionSet
from tests.data.web import Web, into_memory
from tests.tiny import tiny_frames, tiny_world
from worldmodel.data import index as index_module
from worldmodel.data.cache import ShardCache
from worldmodel.data.clip_writer import ClipWriter
from worldmodel.data.clips import Clip, ClipSet
from worldmodel.data.index import Index, load_index, make_index, write_index
from worldmodel.data.latent_windows import LatentSet, LatentWindows
from worldmodel.data.latents import encode_clips
from worldmodel.data.order import make_order
from worldmodel.data.remote import Remote, expand
from worldmodel.data.stream import StreamConfig, StreamedClips
from worldmodel.data.windows import FrameWindows, read

SHARDS, PER_SHARD = 6, 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six shards of two clips, and their index."""
    path = tmp_path_factory.mktemp("clips")
    for shard in range(SHARDS):
        with ClipWriter(path / f"shard-{shard:06d}.tar") as writer:
            for number in range(shard * PER_SHARD, (shard + 1) * PER_SHARD):
                length = 6 + number % 3
                camera = [[0.0, 10.0 * number + step] for step in range(length - 1)]
                writer.write(Clip(f"{number:06d}", tiny_frames(length, number), {"camera": camera}, {"fps": 20.0}))
    assert index_module.main([str(path), "--workers", "1"]) == 0
    return path


@pytest.fixture
def web(folder: Path, tmp_path: Path) -> Iterator[Web]:
    """The folder, served; a copy, that a test may damage."""
    with Web(shutil.copytree(folder, tmp_path / "served")) as web:
        yield web


def open_clips(url: str, cache: Path, limit: int = 10**9, budget: int | None = None) -> StreamedClips:
    remote = Remote(url, attempts=3, backoff_s=0.01)
    return StreamedClips(load_index(remote, "clips"), remote, ShardCache(cache, limit), budget_bytes=budget)


def assert_same(streamed: ClipSet, local: ClipSet) -> None:
    assert len(streamed) == len(local) and streamed.keys == local.keys
    for number in range(len(local)):
        assert streamed.num_frames(number) == local.num_frames(number) and streamed.size(number) == local.size(number)
        assert streamed.meta(number) == local.meta(number)
        np.testing.assert_array_equal(streamed.frames(number, 1, 4), local.frames(number, 1, 4))
        np.testing.assert_array_equal(streamed.columns(number)["camera"].values, local.columns(number)["camera"].values)
    assert len(list(streamed)) == len(local)


# -- the same clips ----------------------------------------------------------------------------------------------------


def test_a_folder_behind_http(folder: Path, web: Web, tmp_path: Path) -> None:
    streamed = open_clips(web.url, tmp_path / "cache")
    assert web.asked == {"index.json": 1}  # known before any shard is read
    assert_same(streamed, ClipSet(folder))
    assert all(web.asked[f"shard-{shard:06d}.tar"] == 1 for shard in range(SHARDS))
    assert_same(open_clips(web.url, tmp_path / "cache"), ClipSet(folder))
    assert all(web.asked[f"shard-{shard:06d}.tar"] == 1 for shard in range(SHARDS))  # by another process, later


def test_some_shards_by_braces(folder: Path, web: Web, tmp_path: Path) -> None:
    streamed = open_clips(f"{web.url}/shard-{{000002..000004}}.tar?token=x", tmp_path / "cache")
    assert streamed.keys == [f"{number:06d}" for number in range(4, 10)]
    np.testing.assert_array_equal(streamed.frames(0), ClipSet(folder).frames(4))
    with pytest.raises(ValueError, match="lacks 1 of the 2 shards .* the first is shard-000006.tar"):
        open_clips(f"{web.url}/shard-{{000005..000006}}.tar", tmp_path / "cache")


@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_an_object_store(scheme: str, folder: Path, tmp_path: Path) -> None:
    url = into_memory(folder, "clips") if scheme == "memory" else f"file://{folder}"
    assert_same(open_clips(url, tmp_path / "cache"), ClipSet(folder))


def test_it_reaches_another_process(folder: Path, web: Web, tmp_path: Path) -> None:
    streamed = open_clips(web.url, tmp_path / "cache")
    streamed.frames(0)
    again = pickle.loads(pickle.dumps(streamed))
    np.testing.assert_array_equal(again.frames(3), ClipSet(folder).frames(3))


def without_source(path: Path) -> tuple[dict[str, bytes], Any]:
    """What a file of latents holds, but for the words that tell the clips that it was made of."""
    with safe_open(path, "np") as file:
        about = json.loads(file.metadata()["latents"])
        del about["source"]
        return {name: file.get_tensor(name).tobytes() for name in file.keys()}, about


def test_latents(folder: Path, tmp_path: Path) -> None:
    world, conditions = tiny_world(), ConditionSet({"camera": {}}, 8)
    with Web(folder) as web:
        streamed = open_clips(web.url, tmp_path / "cache")
        encode_clips(world.autoencoder, streamed, tmp_path / "streamed", progress=False)
    encode_clips(world.autoencoder, ClipSet(folder), tmp_path / "local", progress=False)
    for path in (tmp_path / "local").glob("*.safetensors"):
        assert without_source(path) == without_source(tmp_path / "streamed" / path.name)

    write_index(tmp_path / "local" / "index.json", make_index(tmp_path / "local", progress=False))
    with Web(tmp_path / "local") as web:
        remote = Remote(web.url)
        source = LatentSet.streamed(
            load_index(remote, "latents"), remote, ShardCache(tmp_path / "cache", 10**9), conditions
        )
        far, near = LatentWindows(source, conditions, frames=3), LatentWindows(tmp_path / "local", conditions, frames=3)
        assert len(far) == len(near)
        order = make_order(far, 0, 4, StreamConfig(buffer_shards=2))
        for step in range(6):
            samples = range(4 * step, 4 * step + 4)
            got, want = read(far, order, samples), near.batch(order.indices(samples))
            assert torch.equal(got.latents, want.latents)
            assert torch.equal(got.prepared["camera"].x, want.prepared["camera"].x)
        with pytest.raises(ValueError, match="no clip in http.* has the condition 'keyboard'"):
            LatentWindows(source, ConditionSet({"keyboard": {}}, 8), frames=3)
        with pytest.raises(ValueError, match="must be the index of clips, it is one of latents"):
            open_clips(web.url, tmp_path / "cache")


# -- ahead of use, within bounds ---------------------------------------------------------------------------------------


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_shards_are_fetched_ahead(web: Web, tmp_path: Path) -> None:
    streamed = open_clips(web.url, tmp_path / "cache")
    streamed.expect([4, 1])
    wait_for(lambda: {path.name[17:] for path in (tmp_path / "cache").glob("*.tar")} == {
        "shard-000004.tar", "shard-000001.tar"
    })  # fmt: skip
    web.failures = {f"shard-{shard:06d}.tar": [500] * 99 for shard in range(SHARDS)}
    streamed.frames(8)
    streamed.frames(2)


def test_what_is_needed_now_takes_the_room_of_what_is_needed_later(folder: Path, web: Web, tmp_path: Path) -> None:
    sizes = [path.stat().st_size for path in sorted(folder.glob("*.tar"))]
    streamed = open_clips(web.url, tmp_path / "cache", limit=int(2.5 * max(sizes)))
    streamed.expect([0, 1])
    wait_for(lambda: len(list((tmp_path / "cache").glob("*.tar"))) == 2)
    streamed.frames(2), streamed.frames(0)
    streamed.frames(10)
    assert {path.name[17:] for path in (tmp_path / "cache").glob("*.tar")} == {"shard-000000.tar", "shard-000005.tar"}
    streamed.frames(2)  # it comes back when its turn has come
    assert web.asked == {"index.json": 1, **{f"shard-00000{n}.tar": 1 for n in (0, 5)}, "shard-000001.tar": 2}


@pytest.mark.parametrize("processes", [1, 2])
def test_training_goes_through_a_small_cache(processes: int, folder: Path, web: Web, tmp_path: Path) -> None:
    """Three epochs through a cache that holds half the set: the windows of the folder, and never over the limit."""
    cache, largest = tmp_path / "cache", max(path.stat().st_size for path in folder.glob("*.tar"))
    limit = 4 * largest
    near = FrameWindows(ClipSet(folder), 3)
    sets = [open_clips(web.url, cache, limit, limit // processes) for _ in range(processes)]
    fars = [FrameWindows(far, 3, cache_bytes=0) for far in sets]
    orders = [make_order(far, 0, 2, StreamConfig(buffer_shards=1, prefetch_steps=64)) for far in fars]
    share = 2 // processes
    for step in range(36):
        for process in range(processes):
            samples = range(2 * step + process * share, 2 * step + (process + 1) * share)
            got = read(fars[process], orders[process], samples)
            np.testing.assert_array_equal(got, near.batch(orders[0].indices(samples)))
            assert sum(path.stat().st_size for path in cache.iterdir() if path.exists()) <= limit
    assert max(web.asked[f"shard-{shard:06d}.tar"] for shard in range(SHARDS)) >= 2  # some were evicted and came back


def test_a_cache_too_small_for_a_shard_is_named(web: Web, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no room for .*shard-000000.tar.*Raise data.stream.cache_gb"):
        open_clips(web.url, tmp_path / "cache", limit=1000).frames(0)


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [500, 503, 429, "cut", "short", "garbage"])
def test_what_passes_is_tried_again(failure: int | str, folder: Path, web: Web, tmp_path: Path) -> None:
    web.failures = {"shard-000001.tar": [failure, failure], "index.json": [503]}
    np.testing.assert_array_equal(open_clips(web.url, tmp_path / "cache").frames(2), ClipSet(folder).frames(2))
    assert web.asked["shard-000001.tar"] == 3


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (404, "shard-000001.tar cannot be read: HTTP 404 .*make the set's index anew .*worldmodel.data.index"),
        (403, "shard-000001.tar cannot be read: HTTP 403"),
        (500, "shard-000001.tar could not be had in 3 attempts: HTTP 500"),
        ("cut", "shard-000001.tar could not be had in 3 attempts: .*(IncompleteRead|must have)"),
        ("short", r"must have \d+ bytes by its index, got \d+: it was cut short or changed.*worldmodel.data.index"),
        ("garbage", "its bytes are others than those that were indexed"),
    ],
)
def test_what_stays_wrong_is_named(failure: int | str, message: str, web: Web, tmp_path: Path) -> None:
    web.failures = {"shard-000001.tar": [failure] * 99}
    streamed = open_clips(web.url, tmp_path / "cache")
    streamed.expect([1])  # a failure ahead of use is told to whoever uses it
    with pytest.raises(ValueError, match=message):
        streamed.frames(2)
    assert not list((tmp_path / "cache").glob("*shard-000001*"))
    if failure in (403, 404):
        assert web.asked["shard-000001.tar"] <= 2  # once ahead, once when used
    streamed.frames(0)  # the others are still to be had
    web.failures.clear()
    streamed.frames(2)  # and so is this one, when the server is well again


def test_a_vanished_object_is_named(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    streamed = open_clips(f"file://{copy}", tmp_path / "cache")
    (copy / "shard-000002.tar").unlink()
    with pytest.raises(ValueError, match="shard-000002.tar cannot be read: FileNotFoundError"):
        streamed.frames(4)


def test_a_process_killed_while_it_downloads(folder: Path, web: Web, tmp_path: Path) -> None:
    web.failures = {"shard-000003.tar": ["wait"]}
    shard = make_index(web.folder, progress=False).shards[3]
    code = (
        "import sys; from worldmodel.data.cache import ShardCache; from worldmodel.data.remote import Remote; "
        "url, cache, name, kept, size = sys.argv[1:]; "
        "ShardCache(cache, 10**9).hold(kept, int(size), lambda file: Remote(url).download(name, file))"
    )
    kept = f"{shard.sha256[:16]}-{shard.name}"
    arguments = [web.url, str(tmp_path / "cache"), shard.name, kept, str(shard.bytes)]
    with subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=Path(__file__).parents[2]) as process:
        assert web.waiting.wait(120)
        assert list((tmp_path / "cache").glob("*.part")) and not list((tmp_path / "cache").glob("*.tar"))
        process.kill()
    web.go.set()
    streamed = open_clips(web.url, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*shard-000003*"))
    np.testing.assert_array_equal(streamed.frames(6), ClipSet(folder).frames(6))


def test_bad_places_are_named(web: Web, tmp_path: Path) -> None:
    (web.folder / "index.json").unlink()
    with pytest.raises(ValueError, match="must have an index.*HTTP 404.*python -m worldmodel.data.index FOLDER"):
        open_clips(web.url, tmp_path)
    (web.folder / "index.json").write_text('{"format": 1, "shards": 3}')
    with pytest.raises(ValueError, match="index.json must be an index of shards"):
        open_clips(web.url, tmp_path)
    if importlib.util.find_spec("s3fs") is None:
        with pytest.raises(ValueError, match="s3://bucket/set needs a package for s3://: Install s3fs"):
            Remote("s3://bucket/set")
    with pytest.raises(ValueError, match="a store that fsspec knows"):
        Remote("nowhere://bucket/set")
    with pytest.raises(ValueError, match="must lie in one folder"):
        Remote("https://host/{a,b}/shard-0.tar")
    with pytest.raises(ValueError, match="a range or a list"):
        expand("shard-{1}.tar")
    assert expand("{a,b}-{08..11}") == [f"{letter}-{number:02d}" for letter in "ab" for number in range(8, 12)]


# -- the index ---------------------------------------------------------------------------------------------------------


def test_an_index_says_what_the_clips_are(folder: Path) -> None:
    index, clips = make_index(folder, progress=False), ClipSet(folder)
    assert index.lengths.tolist() == [clips.num_frames(number) for number in range(len(clips))]
    assert [key for shard in index.shards for key in shard.keys] == clips.keys
    assert {tuple(shard.size) for shard in index.shards} == {(16, 16)} and index.kind == "clips"
    assert [shard.bytes for shard in index.shards] == [path.stat().st_size for path in clips.shards]
    assert all(shard.conditions == ["camera"] for shard in index.shards)


def test_an_index_made_from_far_away_is_that_of_the_folder(folder: Path, web: Web, tmp_path: Path) -> None:
    out = tmp_path / "index.json"
    url = f"{web.url}/shard-{{000000..{SHARDS - 1:06d}}}.tar"
    assert index_module.main([url, "--out", str(out), "--workers", "1"]) == 0
    assert json.loads(out.read_text()) == json.loads((folder / "index.json").read_text())
    (web.folder / "index.json").unlink()
    remote = Remote(url)
    index = load_index(remote, "clips", str(out))
    assert StreamedClips(index, remote, ShardCache(tmp_path / "cache", 10**9)).num_frames(1) == 7
    assert make_index(into_memory(folder, "far"), progress=False) == index  # a store lists its shards


def test_only_new_shards_are_read_again(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "index.json").touch()
    with ClipWriter(copy / "shard-000009.tar") as writer:
        writer.write(Clip("new", tiny_frames(7), {"camera": [[0.0, 0.0]] * 6}, {"fps": 20.0}))
    looked: list[str] = []
    plain = index_module._index_file
    monkeypatch.setattr(index_module, "_index_file", lambda path, name: looked.append(name) or plain(path, name))
    index: Index = make_index(copy, progress=False)
    assert looked == ["shard-000009.tar"] and index.shards[-1].keys == ["new"] and len(index.shards) == SHARDS + 1


def test_a_set_written_anew_is_not_read_by_its_old_index(web: Web, tmp_path: Path) -> None:
    streamed = open_clips(web.url, tmp_path / "cache")
    with ClipWriter(web.folder / "shard-000000.tar") as writer:
        writer.write(Clip("other", tiny_frames(7), {}, {"fps": 20.0}))
    with pytest.raises(ValueError, match="shard-000000.tar could not be had.*cut short or changed"):
        streamed.frames(0)
    assert index_module.main([str(web.folder), "--workers", "1"]) == 0
    assert open_clips(web.url, tmp_path / "cache").keys[0] == "other"


def test_a_folder_without_shards_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert index_module.main([str(tmp_path)]) == 1
    assert "there must be *.tar or *.safetensors shards" in capsys.readouterr().err
    assert index_module.main(["https://host/set"]) == 1
    assert "add --out index.json" in capsys.readouterr().err
