"""The pose: motion and not place, joints that are missing, streams that equal the whole pass, bad input."""

from typing import Any

import numpy as np
import pytest
import torch

from conditions import ConditionSet, space
from conditions.pose import JOINTS
from worldmodel.data.clips import codec


def walk(count: int, seed: int = 0) -> list[np.ndarray]:
    """Ten joints that wander about."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, 0.02, (count, 10, 2)).cumsum(axis=0)
    return list((rng.uniform(0.3, 0.7, (10, 2)) + steps).clip(0, 1).astype(np.float32))


def tokens(conditions: ConditionSet, values: list[Any], past: list[Any] | None = None) -> torch.Tensor:
    return conditions(conditions.prepare([{"pose": value} for value in values], past=past or ()), 1)[0]  # [T, M, D]


@pytest.fixture
def conditions() -> ConditionSet:
    torch.manual_seed(0)
    return ConditionSet({"pose": {"features": 6}}, 8)


def test_ten_tokens_from_ten_joints(conditions: ConditionSet) -> None:
    assert conditions.tokens_per_chunk(6) == 60  # the paper's
    assert len(JOINTS) == 10 and space("pose").shape == (10, 2)
    assert tokens(conditions, walk(3)).shape == (3, 10, 8)
    assert ConditionSet({"pose": {"joints": ["a", "b"], "num_tokens": 3}}, 8).tokens_per_chunk(6) == 18


def test_only_motion_counts(conditions: ConditionSet) -> None:
    values = walk(5)
    shifted = [value + np.float32(0.1) for value in values]
    torch.testing.assert_close(tokens(conditions, values)[1:], tokens(conditions, shifted)[1:], atol=1e-4, rtol=0)
    assert not torch.allclose(tokens(conditions, values)[1:], tokens(conditions, values[::-1])[1:], atol=1e-3)
    placed = ConditionSet({"pose": {"features": 6, "positions": True}}, 8)
    assert not torch.allclose(tokens(placed, values)[1:], tokens(placed, shifted)[1:], atol=1e-3)


def test_the_velocity_goes_through_a_linear_layer(conditions: ConditionSet) -> None:
    """By hand: each joint's step over the scale, and that it is known, times one matrix."""
    pose, (before, now) = conditions["pose"], walk(2)
    inputs = torch.cat([torch.from_numpy((now - before) / np.float32(0.02)), torch.ones(10, 1)], dim=1).flatten()
    expected = pose.linear(inputs).view(10, 6)
    x = conditions.prepare([{"pose": before}, {"pose": now}])["pose"].x
    torch.testing.assert_close(pose(x)[0, 1], expected, atol=1e-5, rtol=1e-5)


def test_the_first_pose_does_not_move(conditions: ConditionSet) -> None:
    first = tokens(conditions, walk(1))
    torch.testing.assert_close(first, tokens(conditions, walk(1, seed=3)))
    still = tokens(conditions, walk(1) * 2)
    assert not torch.equal(still[0], still[1])  # no motion that is known differs from none known


def test_a_stream_equals_the_whole_pass(conditions: ConditionSet) -> None:
    values: list[Any] = walk(12)
    values[4] = values[5] = None
    values[8][3] = np.nan
    whole, past = tokens(conditions, values), []
    for at, value in enumerate(values):
        frame = [{"pose": value}]
        torch.testing.assert_close(conditions(conditions.prepare(frame, past=past), 1)[0], whole[at : at + 1])
        past = conditions.recall(past, frame)
    assert torch.equal(whole[4], conditions["pose"].placeholder)
    torch.testing.assert_close(whole[6], tokens(conditions, values[6:7])[0])  # after a gap as at the start


def test_the_past_is_copied(conditions: ConditionSet) -> None:
    """A source may fill the same array again and again."""
    before, now = walk(2)
    array = before.copy()
    past = conditions.recall([], [{"pose": array}])
    array[:] = now
    moved = conditions(conditions.prepare([{"pose": array}], past=past), 1)[0]
    torch.testing.assert_close(moved[0], tokens(conditions, [before, now])[1])


def test_a_missing_joint_moves_nothing_else(conditions: ConditionSet) -> None:
    pose, values = conditions["pose"], walk(3)
    values[1][2] = np.nan
    values[1][5, 0] = np.nan  # half known is not known
    conditions(conditions.prepare([{"pose": value} for value in values]), 1).sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in pose.parameters() if parameter.grad is not None)
    x = conditions.prepare([{"pose": value} for value in values])["pose"].x
    assert x.shape == (1, 3, 2, 10, 3) and torch.isfinite(x).all()
    known = x[0, :, 1, :, 2]
    assert known.sum() == 28 and not known[1, 2] and not known[1, 5]


def test_missing_joints_survive_a_clip() -> None:
    pose, values = codec("pose"), walk(6)
    values[2][4] = np.nan
    back = pose.raw(pose.decode(pose.encode(values)))
    np.testing.assert_array_equal(np.stack(back), np.stack(values))
    assert pose.space.contains(values[2]) and pose.space.contains(pose.noop())
    assert np.isnan(pose.noop()).all()
    assert not pose.space.contains(np.full((10, 2), 5, np.float32))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.zeros((9, 2), np.float32), r"pose must be \[10, 2\], x and y of head_top, .* got \(9, 2\): give NaN"),
        (np.zeros((10, 3), np.float32), r"got \(10, 3\)"),
        (np.full((10, 2), np.inf, np.float32), "finite"),
        (np.full((10, 2), 320.0), "pose must lie within -1.0 to 2.0"),
        (None, r"pose must be \[10, 2\]"),
    ],
)
def test_bad_poses_are_named(value: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        codec("pose").validate(value)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"joints": ["a", "a"]}, "pose.joints must be different"),
        ({"num_tokens": 0}, "pose.num_tokens and pose.features must be 1 or more"),
        ({"scale": 0.0}, "pose.scale above 0"),
    ],
)
def test_bad_configs_are_named(config: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ConditionSet({"pose": config}, 8)
