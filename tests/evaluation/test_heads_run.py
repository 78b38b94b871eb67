"""Talking heads measured from the command line: the drawn head, a tiny random model, a reader that really learns."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.evaluation import toyhead
from tests.evaluation.conftest import TINY
from tests.evaluation.test_run import Page
from tests.tiny import tiny_frames, tiny_world
from worldmodel.evaluation import __main__ as command
from worldmodel.evaluation.figure import Task
from worldmodel.evaluation.heads.learning import UNSURE, Lessons, train_reader
from worldmodel.evaluation.heads.network import FACE, HeadReader, cut_out, face_frame
from worldmodel.evaluation.heads.reader import get_reader, settled
from worldmodel.evaluation.heldout import HeldOut
from worldmodel.evaluation.options import ANY, HEADS, Unavailable
from worldmodel.evaluation.rollout import Start, rollout, stream
from worldmodel.evaluation.scripts import random_play
from worldmodel.evaluation.worlds import RenderedWorlds
from worldmodel.world import WorldModel

SIZE = 32
WORLD = "worldmodel/Avatar-v0"
KWARGS = {"size": SIZE, "voices": "sung"}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn heads, at least one of whom sings and one of whom is told a mood."""
    pytest.importorskip("skia", exc_type=ImportError)  # the extra `avatar`
    from envs.record import Recording, record

    folder = tmp_path_factory.mktemp("drawn")
    record(Recording(WORLD, KWARGS, 8, 40, 1_000_000, 8, "mix"), folder, progress=False)
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints") / "head"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        WorldModel(toyhead.head_config(SIZE)).save_pretrained(folder)
    return folder


def test_the_command_measures_a_head(
    clips: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "QUICK", dataclasses.replace(TINY, head_clips=8, head_frames=36))
    line = ["--checkpoint", str(checkpoint), "--data", str(clips), "--out", str(tmp_path), "--quick", "--device", "cpu"]
    assert command.main(line) == 0
    record = json.loads((tmp_path / "figures.json").read_text())
    assert set(record["figures"]) | set(record["unavailable"]) == {*ANY, *HEADS}
    assert set(record["figures"]) >= {"reconstruction", "prediction", "lipsync", "pose", "mood", "identity", "latency"}
    reader = record["figures"]["lipsync"]["reader"]
    assert reader["source"] == "trained on 4 rendered heads of other seeds" and reader["decoded"]["num_clips"] >= 3
    assert "song" in record["figures"]["lipsync"]["languages"]
    printed = capsys.readouterr().out
    assert "mouth against the truth, Pearson's r" in printed and "reader: learns from" in printed
    page = Page()
    page.feed((tmp_path / "report.html").read_text())
    assert not page.open and {"Lip sync", "Pose", "Text control", "Identity", "Latency"} <= set(page.headings)
    assert len(page.pictures) == len(list(tmp_path.glob("*.png")))

    # What was measured is kept, and a saved reader is taken as it is.
    again = [*line, "--only", "lipsync", "--reader", str(tmp_path / "head_reader.safetensors")]
    assert command.main(again) == 0
    second = json.loads((tmp_path / "figures.json").read_text())["figures"]
    assert second["lipsync"]["generated"] == record["figures"]["lipsync"]["generated"]
    assert second["lipsync"]["reader"]["source"].startswith("loaded from")
    assert second["latency"] == record["figures"]["latency"]
    assert command.main([*line, "--only", "drift"]) == 0
    assert "no keyboard and no camera" in json.loads((tmp_path / "figures.json").read_text())["unavailable"]["drift"]


def test_a_world_is_played_by_its_own_player(clips: Path, checkpoint: Path, tmp_path: Path) -> None:
    world = WorldModel.from_pretrained(checkpoint)
    task = Task(world, HeldOut(clips, world), TINY, tmp_path, str, "envs")
    meta = task.held_out.meta(0)
    with RenderedWorlds(task) as worlds:
        frames, info = worlds.perform(meta, int(meta["seed"]), 40)
        told = [{"text": "angry"}] * 39
        _, moods = worlds.perform(meta, int(meta["seed"]), 40, told)
    recorded = task.held_out.clips.frames(0)
    assert np.abs(frames.astype(int) - recorded).mean() < 3  # the clip itself, but for the video's compression
    assert info["aperture"].tolist() == meta["info"]["aperture"] and info["key_points"].shape == (40, 10, 2)
    assert len(set(moods["mood_index"][1:])) == 1
    with RenderedWorlds(dataclasses.replace(task, worlds="tests.evaluation.toyworld")) as worlds:
        with pytest.raises(Unavailable, match="brings no player of its own"):
            worlds.perform({"world": "tests/Toy-v0"}, 0, 4)


def test_without_the_rendered_world_the_reader_learns_from_a_part_of_the_clips(tmp_path: Path) -> None:
    world = WorldModel(toyhead.head_config()).eval()
    task = Task(world, HeldOut(toyhead.write_heads(tmp_path, 4, 13), world), TINY, tmp_path, str)
    reader = get_reader(task)
    assert reader.source == "trained on 3 of the recorded clips" and reader.clips == [3]
    assert get_reader(task) is reader  # made once


def test_the_reader_learns() -> None:
    rng = np.random.default_rng(0)
    aperture = rng.random(36).astype(np.float32)
    mood, who = rng.integers(0, 2, 36), np.arange(36) % 3
    points = np.tile(toyhead.BASE.astype(np.float32), (36, 1, 1))
    frames = np.stack([toyhead.draw(a, 0.5, 2 * m, w / 2) for a, m, w in zip(aperture, mood, who, strict=True)])
    lessons = Lessons(frames, aperture, points, np.where(np.arange(36) % 6, mood, UNSURE), who)
    reader = train_reader(lessons, 2, 60, 0, str, batch_size=12)
    reading = reader.read(frames)
    assert np.corrcoef(reading.aperture, aperture)[0, 1] > 0.8
    assert (reading.mood.argmax(1) == mood).mean() > 0.9  # those it was not told of, too
    assert np.linalg.norm(reading.key_points - points, axis=-1).mean() < 0.05
    same = reading.who @ reading.who.T
    assert same[who[:, None] == who].mean() > same[who[:, None] != who].mean() + 0.3


def test_a_reader_is_saved_and_refused(tmp_path: Path) -> None:
    frames = tiny_frames(3)
    reader = HeadReader(10, 4).eval()
    reader.save(tmp_path / "head.safetensors")
    again = HeadReader.load(tmp_path / "head.safetensors")
    assert (again.read(frames).mood == reader.read(frames).mood).all() and again.num_moods == 4
    with pytest.raises(FileNotFoundError, match="no reader of heads at"):
        HeadReader.load(tmp_path / "other")


def test_faces_are_cut_out_upright() -> None:
    points = torch.from_numpy(toyhead.BASE.astype(np.float32))[None].clone()
    points[0, :7] = torch.tensor(
        [[0.5, 0.2], [0.5, 0.7], [0.42, 0.4], [0.58, 0.4], [0.5, 0.5], [0.45, 0.56], [0.55, 0.56]]
    )
    angle = torch.tensor(0.6)
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
    turned = (points - 0.5) @ turn.T * 1.3 + 0.5
    inner = []
    for each in (points, turned):
        frame = face_frame(each)
        inner.append(torch.linalg.solve(frame[0, :, :2], (each[0, :7] - frame[0, :, 2]).T).T)
    torch.testing.assert_close(inner[0], inner[1], atol=1e-5, rtol=0)
    assert (inner[0][2:4, 1] < 0).all() and (inner[0][5:7, 1] > 0).all()  # the eyes above, the mouth below
    x = torch.linspace(-1, 1, 128).expand(1, 3, 128, 128)
    cut = cut_out(x, face_frame(points))
    assert cut.shape == (1, 3, FACE, FACE) and (cut[..., 1:] > cut[..., :-1]).all()
    assert cut[0, 0, 0].mean() == pytest.approx(0, abs=1e-4)  # the middle of the face is that of the picture


def test_moods_settle() -> None:
    mood = np.array([0, 0, 1, 1, 1, 2, 1, 1, 1])
    assert settled(mood, 2).astype(int).tolist() == [1, 1, 0, 0, 1, 0, 0, 0, 1]


@pytest.mark.parametrize("reference", ["none", "chunk", "sink"])
def test_streams_of_chunks_are_what_sessions_give(reference: str) -> None:
    world = tiny_world(3, reference)
    starts = [Start(tiny_frames(4, seed), random_play(np.random.default_rng(seed), 3)) for seed in range(2)]
    starts[1] = dataclasses.replace(starts[1], reference=tiny_frames(1, 9)[0])
    scripts = [random_play(np.random.default_rng(seed), 7) for seed in (5, 6)]
    batch = rollout(world, starts, scripts, 2, 3, str)
    assert batch.shape == (2, 7, 16, 16, 3)
    for row, (start, script) in enumerate(zip(starts, scripts, strict=True)):
        picture = {} if reference == "none" else {"reference": start.picture}
        alone = world.session(3 + row, start.frames, start.actions, **picture)
        padded = [*script, script[-1], script[-1]]
        frames = np.concatenate([alone.step_chunk(padded[first : first + 3]) for first in range(0, 9, 3)])
        assert np.abs(batch[row].astype(int) - frames[:7]).max() <= 1
    latents = [latents for _, latents in stream(world, starts, scripts, 3)]
    assert len(latents) == 7 and len({each.tobytes() for each in latents}) == 7  # of each frame, within a chunk too
