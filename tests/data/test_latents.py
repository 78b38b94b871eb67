"""The latent cache: equal to encoding on the spot, aligned with its actions, continued after a kill."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from conditions import ConditionSet
from tests.tiny import tiny_frames, tiny_world
from worldmodel.autoencoder import Autoencoder
from worldmodel.data import latents as latents_module
from worldmodel.data.clip_writer import ClipWriter
from worldmodel.data.clips import Clip, ClipSet
from worldmodel.data.latent_windows import LatentWindows
from worldmodel.data.latents import encode_clips
from worldmodel.data.windows import Starts
from worldmodel.frames import to_model

LENGTHS = [[7, 9, 7], [9, 3]]


@pytest.fixture(scope="module")
def autoencoder() -> Autoencoder:
    return tiny_world().autoencoder


@pytest.fixture(scope="module")
def conditions() -> ConditionSet:
    return ConditionSet({"keyboard": {}, "camera": {}}, 8)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> ClipSet:
    folder = tmp_path_factory.mktemp("clips")
    number = 0
    for shard, lengths in enumerate(LENGTHS):
        with ClipWriter(folder / f"shard-{shard:06d}.tar") as writer:
            for length in lengths:
                camera = [[0.0, 10.0 * number + step] for step in range(length - 1)]  # says which clip and step it is
                keyboard = [{"jump": step % 2} if step != 1 else None for step in range(length - 1)]
                columns = {"camera": camera, "keyboard": keyboard}
                writer.write(Clip(f"{number:06d}", tiny_frames(length, number), columns, {"fps": 20.0}))
                number += 1
    return ClipSet(folder)


@pytest.fixture(scope="module")
def folder(autoencoder: Autoencoder, clips: ClipSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("latents")
    encode_clips(autoencoder, clips, path, batch_size=2, progress=False)
    return path


def test_every_window_is_that_of_its_clip(
    autoencoder: Autoencoder, clips: ClipSet, conditions: ConditionSet, folder: Path
) -> None:
    windows = LatentWindows(folder, conditions, frames=4)
    lengths = [length for shard in LENGTHS for length in shard]
    starts = Starts(lengths, 5)
    assert len(windows) == len(starts) == 3 + 5 + 3 + 5
    for index in range(len(windows)):
        clip, start = starts.find(index)
        with torch.no_grad():
            whole = autoencoder.encode(to_model(clips.frames(clip)).unsqueeze(0))  # [1, T, C, h, w]
        latents, prepared, _ = windows[index]
        torch.testing.assert_close(latents, whole[:, start : start + 5], atol=5e-3, rtol=2e-3)  # kept in half precision
        # The action at t leads from latent t to latent t+1.
        assert prepared["camera"].x[0, :, 1].tolist() == [10.0 * clip + start + step for step in range(4)]
        assert prepared["keyboard"].present[0].tolist() == [start + step != 1 for step in range(4)]


def test_a_batch_is_its_windows(conditions: ConditionSet, folder: Path) -> None:
    windows = pickle.loads(pickle.dumps(LatentWindows(folder, conditions, frames=4)))
    batch = windows.batch([9, 2])
    assert batch.latents.shape == (2, 5, 8, 2, 2) and batch.latents.dtype == torch.float32
    for row, index in enumerate((9, 2)):
        assert torch.equal(batch.latents[row], windows[index].latents[0])
        assert torch.equal(batch.prepared["camera"].x[row], windows[index].prepared["camera"].x[0])


def test_a_window_may_bring_its_clips_first_frame(conditions: ConditionSet, folder: Path) -> None:
    windows = LatentWindows(folder, conditions, frames=4, with_reference=True)
    indices = [2, len(windows) - 1]  # of the first clip and of the last
    batch = windows.batch(indices)
    assert batch.reference is not None and batch.reference.shape == (2, 8, 2, 2)
    for row, index in enumerate(indices):
        clip, _ = windows._starts.find(index)
        assert torch.equal(batch.reference[row], windows.source.read(clip, 0, 1)[0][0])
    assert not torch.equal(batch.reference[0], batch.latents[0, 0])
    assert LatentWindows(folder, conditions, frames=4)[0].reference is None


def test_chunks(conditions: ConditionSet, folder: Path) -> None:
    windows = LatentWindows(folder, conditions, frames=6, chunk_frames=3)
    assert windows[0].prepared["camera"].x.shape == (1, 6, 2)  # frame rate
    with pytest.raises(ValueError, match="whole chunks of 3, got 4"):
        LatentWindows(folder, conditions, frames=4, chunk_frames=3)


def test_what_is_said_once_a_chunk_was_said_at_its_beginning(autoencoder: Autoencoder, tmp_path: Path) -> None:
    said = [str(frame // 3) for frame in range(11)]
    (tmp_path / "clips").mkdir()
    with ClipWriter(tmp_path / "clips" / "shard-000000.tar") as writer:
        writer.write(Clip("000000", tiny_frames(12, 0), {"text": said}, {"fps": 20.0}))
    conditions = ConditionSet({"text": {}}, 8)
    encode_clips(autoencoder, ClipSet(tmp_path / "clips"), tmp_path / "latents", progress=False)
    windows = LatentWindows(tmp_path / "latents", conditions, frames=6, chunk_frames=3)
    for index in range(len(windows)):
        chunk = index // 3  # the last that begins at this frame or before
        expected = conditions["text"].prepare([str(chunk), str(chunk + 1)])
        assert torch.equal(windows[index].prepared["text"].x[0], expected)
        assert torch.equal(windows[index].latents, windows[chunk * 3].latents)


def test_it_trains_a_model(folder: Path) -> None:
    world = tiny_world()
    batch = LatentWindows(folder, world.conditions, frames=4).batch([0, 5])
    assert torch.isfinite(world.loss(batch.latents, batch.prepared)["loss"])


def test_a_killed_run_is_continued(
    autoencoder: Autoencoder, clips: ClipSet, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = []
    encode = latents_module._encode_shard

    def dying(autoencoder: Autoencoder, clips: ClipSet, indices: list[int], path: Path, *rest: object) -> None:
        encoded.append(path.name)
        if len(encoded) == 2:
            raise KeyboardInterrupt
        encode(autoencoder, clips, indices, path, *rest)

    monkeypatch.setattr(latents_module, "_encode_shard", dying)
    with pytest.raises(KeyboardInterrupt):
        encode_clips(autoencoder, clips, tmp_path, batch_size=2, progress=False)
    assert [path.name for path in tmp_path.glob("*.safetensors")] == ["shard-000000.safetensors"]
    encode_clips(autoencoder, clips, tmp_path, batch_size=2, progress=False)
    assert encoded == ["shard-000000.safetensors", "shard-000001.safetensors", "shard-000001.safetensors"]
    for path in folder.glob("*.safetensors"):
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()


def test_processes_share_the_shards(autoencoder: Autoencoder, clips: ClipSet, folder: Path, tmp_path: Path) -> None:
    encode_clips(autoencoder, clips, tmp_path, 2, process_index=1, num_processes=2, progress=False)
    assert [path.name for path in tmp_path.glob("*.safetensors")] == ["shard-000001.safetensors"]
    encode_clips(autoencoder, clips, tmp_path, 2, process_index=0, num_processes=2, progress=False)
    for path in folder.glob("*.safetensors"):
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()


def test_a_shard_recorded_anew_is_encoded_anew(autoencoder: Autoencoder, tmp_path: Path) -> None:
    for length in (4, 6):
        with ClipWriter(tmp_path / "clips" / "shard-000000.tar") as writer:
            camera = np.zeros((40 * length - 1, 2), np.float32)
            writer.write(Clip("a", tiny_frames(40 * length), {"camera": camera}, {"fps": 20.0}))
        encode_clips(autoencoder, ClipSet(tmp_path / "clips"), tmp_path / "latents", progress=False)
        windows = LatentWindows(tmp_path / "latents", ConditionSet({"camera": {}}, 8), frames=1)
        assert len(windows) == 40 * length - 1


def test_another_autoencoder_is_refused(clips: ClipSet, folder: Path) -> None:
    with pytest.raises(ValueError, match="must be of this autoencoder .* delete the folder"):
        encode_clips(tiny_world(seed=1).autoencoder, clips, folder, progress=False)


def test_bad_folders_are_named(conditions: ConditionSet, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got none: run stage=latents first"):
        LatentWindows(tmp_path, conditions, frames=4)
    with pytest.raises(ValueError, match="windows of 21 frames must fit into a clip, the longest has 9"):
        LatentWindows(folder, conditions, frames=20)
    data = (folder / "shard-000000.safetensors").read_bytes()
    (tmp_path / "shard-000000.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="shard-000000.safetensors must be a whole safetensors file"):
        LatentWindows(tmp_path, conditions, frames=4)


def test_a_condition_that_no_clip_has_is_named(autoencoder: Autoencoder, tmp_path: Path) -> None:
    with ClipWriter(tmp_path / "shard-000000.tar") as writer:
        writer.write(Clip("a", tiny_frames(5), {"camera": [[0.0, 0.0]] * 4}, {"fps": 20.0}))
    encode_clips(autoencoder, ClipSet(tmp_path), tmp_path, progress=False)
    with pytest.raises(ValueError, match="no clip in .* has the condition 'keyboard'"):
        LatentWindows(tmp_path, ConditionSet({"keyboard": {}, "camera": {}}, 8), frames=2)
    assert json.loads((tmp_path / "latents.json").read_text())["autoencoder"]
