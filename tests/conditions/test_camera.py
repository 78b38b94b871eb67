"""The camera: turns, and the level of the view after them.

Shapes: B batch, T frames.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from conditions import Column, ConditionSet
from conditions.camera import Camera
from worldmodel.data.clips import codec

WIDTH = 16


def level_camera() -> Camera:
    """A camera that tells the level."""
    torch.manual_seed(0)
    return Camera(Camera.Config(level=True), WIDTH)


def level_set() -> ConditionSet:
    """A set of that camera alone."""
    torch.manual_seed(0)
    return ConditionSet({"camera": {"level": True}}, WIDTH)


def test_value_without_a_level_has_an_unknown_one():
    value = level_camera().validate([1.0, 2.0])
    assert value[:2].tolist() == [1.0, 2.0] and np.isnan(value[2])


def test_camera_without_level_takes_such_values_and_drops_it():
    assert codec("camera").validate([1.0, 2.0, 30.0]).tolist() == [1.0, 2.0]
    assert codec("camera").column(np.float32([[1, 2, 30], [3, 4, np.nan]])).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([1.0], "must be"),
        ([1, 2, 3, 4], "must be"),
        ([np.nan, 0, 0], "finite"),
        ([0, 0, 91], "-90 to 90"),
        ([0, 200], "within"),
    ],
)
def test_wrong_values_are_refused(value, said):
    with pytest.raises(ValueError, match=said):
        level_camera().validate(value)


def test_world_tells_the_level():
    told = level_camera().observe([1.0, 2.0], {"pitch": 33.5})
    assert told.tolist() == [1.0, 2.0, 33.5]
    assert level_camera().observe([1.0, 2.0], {}) == [1.0, 2.0]
    assert codec("camera").observe([1.0, 2.0], {"pitch": 33.5}) == [1.0, 2.0]


def test_asks_for_nothing_unless_it_turns():
    camera = level_camera()
    assert not camera.asks([0.0, 0.0]) and not camera.asks([0.0, 0.0, 20.0])
    assert camera.asks([0.0, 0.1]) and camera.asks([0.1, 0.0, 20.0])


def test_stream_counts_the_level_on_and_stops_upright():
    camera = level_camera()
    value = camera.follow(camera.validate([5.0, 0.0]), np.float32([0, 0, 80]))
    assert value[2] == 85
    value = camera.follow(camera.validate([10.0, 0.0]), value)
    assert value[2] == 90
    assert camera.follow(camera.validate([-4.0, 0.0, 12.0]), value)[2] == 12, "what is told is taken"
    assert np.isnan(camera.follow(camera.validate([1.0, 0.0]), None)[2])


def test_stream_told_once_equals_a_clip_that_tells_all():
    """The fast way, a frame at a time from turns alone, and the slow one, whole, with every level recorded."""
    conditions = level_set()
    rng = np.random.default_rng(0)
    turns = rng.uniform(-20, 20, (40, 2)).astype(np.float32)
    level, levels = 10.0, []
    for pitch in turns[:, 0]:
        level = float(np.clip(level + pitch, -90, 90))
        levels.append(level)
    column = Column(np.concatenate([turns, np.float32(levels)[:, None]], axis=1), np.ones(40, bool))
    whole = conditions(conditions.prepare_columns({"camera": column}, 40), 1)
    past, tokens = [{"camera": [0.0, 0.0, 10.0]}], []
    for turn in turns:
        values = [{"camera": turn}]
        tokens.append(conditions(conditions.prepare(values, past=past), 1))
        past = conditions.recall(past, values)
        assert len(past) == 1
    torch.testing.assert_close(torch.cat(tokens, dim=1), whole)


def test_level_stays_unknown_after_a_step_without_a_camera():
    conditions = level_set()
    past = conditions.recall([{"camera": [0.0, 0.0, 10.0]}], [{}])
    assert past == [{}]
    prepared = conditions.prepare([{"camera": [1.0, 0.0]}], past=past)["camera"]
    assert prepared.x[0, 0, -1, 2].isnan()


def test_levels_differ_in_tokens_and_unknown_is_none_of_them():
    camera = level_camera()
    rows = [camera.prepare_column(Column([[0, 0, level]] * 2, np.ones(2, bool))) for level in (-30, 0, 30, np.nan)]
    tokens = camera.embed(torch.stack(rows), torch.ones(4, 1, dtype=torch.bool)).flatten(1)
    assert (torch.pdist(tokens) > 0.05).all() and tokens.isfinite().all()


def test_obscured_clips_alone_lose_the_level():
    camera = level_camera()
    x = torch.zeros(3, 5, 2, 3)
    hidden = camera.obscure(x, torch.tensor([True, False, True]))
    assert hidden[[0, 2], ..., 2].isnan().all() and not hidden[1].isnan().any() and not hidden[..., :2].isnan().any()
