"""The held-out clips: stretches, splits, and clips that do not fit the checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.toyworld import FPS, play, write_clips
from tests.tiny import tiny_config, tiny_world
from worldmodel.data.clip_writer import ClipWriter
from worldmodel.data.clips import Clip
from worldmodel.evaluation.heldout import HeldOut, Place
from worldmodel.evaluation.scripts import random_play
from worldmodel.world import WorldModel


def test_actions_lead_from_frame_to_frame(clips: Path) -> None:
    held_out = HeldOut(clips, tiny_world())
    place = Place(clip=2, first=7, frames=5)
    script = random_play(np.random.default_rng(2), 79)
    actions = held_out.actions(place)
    assert len(held_out.frames(place)) == 5 and len(actions) == 4
    for got, told in zip(actions, script[7:11], strict=True):
        assert {key for key, value in got["keyboard"].items() if value} == set(told["keyboard"])
        assert got["camera"] == pytest.approx(told["camera"])
    track = held_out.track(place)
    assert track.positions is not None and track.positions.shape == (5, 3) and track.pitch is None


def test_places_do_not_overlap_and_spread_over_the_clips(clips: Path) -> None:
    held_out = HeldOut(clips, tiny_world())
    places = held_out.places(20, 30, np.random.default_rng(0))
    assert len(places) == 16  # two in each of the eight clips
    for a in places:
        assert 0 <= a.first and a.first + 30 <= 80
        assert all(a is b or a.clip != b.clip or abs(a.first - b.first) >= 30 for b in places)
    few = held_out.places(4, 30, np.random.default_rng(0))
    assert len({place.clip for place in few}) == 4
    assert {place.clip for place in held_out.places(9, 30, np.random.default_rng(0))} == set(range(8))
    assert held_out.places(4, 81, np.random.default_rng(0)) == []


def test_beginnings_are_first_frames_spread_over_the_clips(clips: Path) -> None:
    held_out = HeldOut(clips, tiny_world())
    places = held_out.beginnings(4, 20)
    assert len({place.clip for place in places}) == 4 and {place.first for place in places} == {0}
    assert places[0].clip == 0 and places[-1].clip == 7
    assert len(held_out.beginnings(99, 20)) == 8 and held_out.beginnings(4, 81) == []
    assert [place.clip for place in held_out.beginnings(5, 20, [3, 6])] == [3, 6]


def test_the_two_parts_share_no_world(tmp_path: Path) -> None:
    with ClipWriter(tmp_path / "shard-000000.tar") as writer:
        for number in range(12):
            clip = play(number // 2, random_play(np.random.default_rng(number), 9))
            writer.write(Clip(f"{number:06d}", clip.frames, clip.conditions, clip.meta))
    learned, tested = HeldOut(tmp_path, tiny_world()).split()
    assert sorted(learned + tested) == list(range(12))
    assert not {clip // 2 for clip in learned} & {clip // 2 for clip in tested}
    assert len(tested) == 2


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no clip set at .*nowhere: record one"):
        HeldOut(tmp_path / "nowhere", tiny_world())
    with pytest.raises(ValueError, match=r"\*\.tar shards"):
        HeldOut(tmp_path, tiny_world())


def knowing(**configs: dict) -> WorldModel:
    """A tiny model with these conditions."""
    config = tiny_config()
    config.conditions = dict(configs)
    return WorldModel(config)


def test_clips_are_read_as_in_training(clips: Path) -> None:
    assert HeldOut(clips, knowing(keyboard={}, camera={})).unread == []
    held_out = HeldOut(clips, knowing(keyboard={}))
    assert held_out.unread == ["camera"] == held_out.describe()["unread"]
    assert {name for told in held_out.actions_of(2) for name in told} == {"keyboard"}

    directional = HeldOut(clips, knowing(keyboard={"keys": ["forward", "left", "right"], "turn": 2.0}))
    assert directional.unread == [] and "unread" not in directional.describe()
    script = random_play(np.random.default_rng(2), 79)
    turns = [int(np.sign(told["camera"][1]) * (abs(told["camera"][1]) >= 2.0)) for told in script]
    read = [told["keyboard"] for told in directional.actions_of(2)]
    assert [keys["right"] - keys["left"] for keys in read] == turns and len(set(turns)) == 3
    recorded = directional.recorded_actions(Place(2, 7, 5))
    assert len(recorded) == 4
    for got, told in zip(recorded, script[7:11], strict=True):
        assert {key for key, value in got["keyboard"].items() if value} == set(told["keyboard"])
        assert got["camera"] == pytest.approx(told["camera"])


def test_clips_of_which_the_checkpoint_knows_nothing_are_refused(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="clips, they have camera, keyboard and the checkpoint text: evaluate on"):
        HeldOut(clips, knowing(text={}))
    with pytest.raises(ValueError, match="they have camera, keyboard and the checkpoint listen"):
        HeldOut(clips, knowing(listen={}))
    clip = play(0, random_play(np.random.default_rng(0), 9))
    with ClipWriter(tmp_path / "shard-000000.tar") as writer:
        writer.write(Clip(clip.key, clip.frames, {}, clip.meta))  # frames alone can be decoded and gone on from
    assert len(HeldOut(tmp_path, tiny_world())) == 1


def test_another_size_or_rate_is_refused(tmp_path: Path) -> None:
    clip = play(0, random_play(np.random.default_rng(0), 9))
    for name, frames, fps, message in (
        ("size", clip.frames.repeat(2, 1).repeat(2, 2), FPS, "must be 16x16 pixels .* clip 000000 is 32x32"),
        ("rate", clip.frames, 30.0, "must have 20 frames per second .* clip 000000 has 30"),
    ):
        with ClipWriter(tmp_path / name / "shard-000000.tar") as writer:
            writer.write(Clip(clip.key, frames, clip.conditions, {**clip.meta, "fps": fps}))
        with pytest.raises(ValueError, match=message):
            HeldOut(tmp_path / name, tiny_world())


def test_the_description_counts(tmp_path: Path) -> None:
    described = HeldOut(write_clips(tmp_path / "clips", 3, 12), tiny_world()).describe()
    assert (described["clips"], described["frames"], described["seeds"]) == (3, 36, [0, 1, 2])
    assert described["worlds"] == ["tests/Toy-v0"]
