"""Raw values: what is completed, what is refused and in which words, what survives packing."""

import numpy as np
import pytest
from gymnasium import spaces

from conditions import get, names, space
from conditions.values import check, noop, pack, unpack
from worldmodel.data.clips import codec

SPACES = {
    "box": spaces.Box(-1, 1, (3, 2), np.float32),
    "samples": spaces.Box(-1.0, 1.0, (320,), np.float32),
    "bytes": spaces.Box(0, 255, (4,), np.uint8),
    "choice": spaces.Discrete(5, start=2),
    "bits": spaces.MultiBinary(6),
    "text": spaces.Text(20, min_length=0),
    "keys": spaces.Dict({"z": spaces.Discrete(2), "a": spaces.Discrete(3)}),
}


@pytest.mark.parametrize("kind", SPACES)
def test_packing_round_trip(kind: str) -> None:
    where = SPACES[kind]
    where.seed(0)
    values = [check(where, where.sample(), kind) for _ in range(7)]
    packed = pack(where, values, kind)
    assert len(packed) == 7
    back = unpack(where, packed, kind)
    for value, same in zip(values, back, strict=True):
        assert where.contains(same)
        np.testing.assert_equal(same, value)


@pytest.mark.parametrize("kind", SPACES)
def test_noop_is_in_the_space_and_is_still(kind: str) -> None:
    value = noop(SPACES[kind])
    assert SPACES[kind].contains(value)
    if isinstance(value, np.ndarray):
        assert not value.any()


def test_noop_of_a_space_without_zero_is_the_nearest_value() -> None:
    np.testing.assert_equal(noop(spaces.Box(2, 5, (2,), np.float32)), np.array([2, 2], np.float32))
    assert len(noop(spaces.Text(5, min_length=3))) == 3


def test_every_registered_name_resolves_and_round_trips_through_bytes() -> None:
    assert {"keyboard", "camera"} <= set(names())
    for name in names():
        condition = codec(name)
        assert get(name).name == name
        condition.space.seed(1)
        values = [condition.space.sample() for _ in range(5)]
        decoded = condition.raw(condition.decode(condition.encode(values)))
        np.testing.assert_equal(decoded, [condition.validate(value) for value in values])
        assert condition.space.contains(condition.noop())


def test_missing_keys_are_up() -> None:
    value = codec("keyboard").validate({"forward": True, "hotbar.9": 1})
    assert list(value) == list(space("keyboard").spaces)
    assert {key for key, down in value.items() if down} == {"forward", "hotbar.9"}
    assert space("keyboard").contains(value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("keyboard", {"foward": 1}, "'foward', did you mean 'forward'"),
        ("keyboard", {"forward": 2}, "keyboard.forward must be a whole number from 0 to 1, got int 2"),
        ("keyboard", {"forward": 0.5}, "whole number"),
        ("keyboard", {"forward": float("nan")}, "whole number"),
        ("keyboard", {"forward": "yes"}, "whole number"),
        ("keyboard", ["forward"], "keyboard must be a dict of forward, back"),
        ("camera", [0.0, float("nan")], "camera must be finite, got NaN"),
        ("camera", [0.0, float("inf")], "finite"),
        ("camera", [0.0, 1.0, 2.0, 3.0], r"camera must be \[2\] float32, got \(4,\)"),
        ("camera", 5.0, r"camera must be \[2\]"),
        ("camera", ["a", "b"], r"camera must be \[2\] float32"),
        ("camera", [0.0, 181.0], "camera must lie within -180.0 to 180.0"),
        ("camera", None, r"camera must be \[2\]"),
    ],
)
def test_bad_values_are_named(name: str, value: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        codec(name).validate(value)


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("keyboard", np.zeros((4, 3), np.uint8), r"keyboard must be \[T, 18\] uint8, got \(4, 3\)"),
        ("keyboard", np.full((4, 18), 2, np.uint8), "keyboard must lie within 0 to 1"),
        ("keyboard", np.full((4, 18), 0.5), "whole numbers"),
        ("camera", np.full((4, 2), np.nan, np.float32), "NaN"),
        ("camera", np.zeros((4, 4), np.float32), r"camera must be \[T, 2\]"),
        ("camera", np.full((4, 2), 500.0), "within"),
    ],
)
def test_bad_arrays_are_named(name: str, array: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        codec(name).column(array)


def test_damaged_bytes_are_named() -> None:
    camera = codec("camera")
    data = camera.encode([[0.0, 1.0]] * 4)
    for bad in (data[:-3], data[:20], b"", b"not a file"):
        with pytest.raises(ValueError, match="camera must be a .npy file"):
            camera.decode(bad)


def test_text_out_of_its_space() -> None:
    with pytest.raises(ValueError, match="caption must be 0 to 20 characters"):
        check(SPACES["text"], "x" * 21, "caption")
    with pytest.raises(ValueError, match="caption must be a string"):
        check(SPACES["text"], 3, "caption")


def test_unsupported_space_is_named() -> None:
    with pytest.raises(ValueError, match="Graph is not supported"):
        check(spaces.Graph(spaces.Discrete(2), None), 1, "net")
    with pytest.raises(ValueError, match="override to_array"):
        pack(spaces.Dict({"x": SPACES["box"]}), [], "pose")
