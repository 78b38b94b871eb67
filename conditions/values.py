"""Raw values of Gymnasium spaces: check and complete them, say 'nothing', pack a stretch of them and unpack it.

Shapes: T values, K entries of a Dict space.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces


def nearest(word: str, known: Iterable[str]) -> str:
    """Words the end of an error about an unknown name: `, did you mean 'x'?`, and what is known, if anything is."""
    choices = [str(choice) for choice in known]
    match = difflib.get_close_matches(str(word), choices, n=1, cutoff=0.5)
    if not match:
        return f", known: {', '.join(choices)}" if choices else ""
    return f", did you mean {match[0]!r}?" + (f" (known: {', '.join(choices)})" if len(choices) > 1 else "")


def check(space: spaces.Space, value: Any, where: str) -> Any:
    """Checks one raw value against its space and completes what it leaves out.

    Args:
        space: a Box, Discrete, MultiBinary, Text or Dict of these.
        value: the raw value; missing entries of a Dict become their no-op.
        where: what to call the value in errors, e.g. "keyboard".

    Returns:
        The value in the space's own types: ndarray for Box and MultiBinary, int for Discrete, str, dict.

    Raises:
        ValueError: for an unknown entry, a wrong type, shape or dtype, NaN, or a value outside the space.
    """
    if isinstance(space, spaces.Dict):
        if not isinstance(value, Mapping):
            raise ValueError(f"{where} must be a dict of {', '.join(space.spaces)}, got {_short(value)}")
        for key in value:
            if key not in space.spaces:
                raise ValueError(f"{where} has no entry {key!r}{nearest(key, space.spaces)}")
        return {
            key: check(sub, value[key], f"{where}.{key}") if key in value else noop(sub)
            for key, sub in space.spaces.items()
        }
    if isinstance(space, spaces.Discrete):
        return _check_discrete(space, value, where)
    if isinstance(space, spaces.Text):
        if not isinstance(value, str):
            raise ValueError(f"{where} must be a string, got {_short(value)}")
        if not space.contains(value):
            raise ValueError(
                f"{where} must be {space.min_length} to {space.max_length} characters of its character set, "
                f"got {len(value)}: {_short(value)}"
            )
        return value
    if isinstance(space, (spaces.Box, spaces.MultiBinary)):
        return check_array(space, np.asarray(value), where)
    raise ValueError(f"{where}: {type(space).__name__} is not supported, use Box, Discrete, Text or a Dict of them")


def _check_discrete(space: spaces.Discrete, value: Any, where: str) -> int:
    array = np.asarray(value)
    first, last = int(space.start), int(space.start + space.n - 1)
    if array.size != 1 or array.dtype.kind not in "biuf":
        raise ValueError(f"{where} must be a whole number from {first} to {last}, got {_short(value)}")
    number = array.item()
    if number != number or int(number) != number or not first <= number <= last:
        raise ValueError(f"{where} must be a whole number from {first} to {last}, got {_short(value)}")
    return int(number)


def check_array(
    space: spaces.Box | spaces.MultiBinary, array: np.ndarray, where: str, stacked: bool = False
) -> np.ndarray:
    """Checks an array against a Box or MultiBinary space.

    Args:
        space: the space of one value.
        array: one value [...], or several [T, ...] when `stacked`.
        where: what to call it in errors.
        stacked: whether a leading axis of values comes first.

    Returns:
        The array in the space's dtype.

    Raises:
        ValueError: for a wrong shape or dtype, NaN, or numbers outside the space.
    """
    shape = array.shape[1:] if stacked else array.shape
    if array.dtype.kind not in "biuf" or shape != space.shape or (stacked and array.ndim == 0):
        size = ", ".join([*(["T"] if stacked else []), *(str(n) for n in space.shape or ())])
        raise ValueError(f"{where} must be [{size}] {space.dtype}, got {array.shape} {array.dtype}: {_short(array)}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{where} must be finite, got NaN or infinity: {_short(array)}")
    kind = np.dtype(space.dtype).kind if space.dtype is not None else "f"
    if kind in "iu" and array.dtype.kind == "f" and (array != np.round(array)).any():
        raise ValueError(f"{where} must be whole numbers ({space.dtype}), got {_short(array)}")
    low, high = (space.low, space.high) if isinstance(space, spaces.Box) else (0, 1)
    if (array < low).any() or (array > high).any():
        raise ValueError(f"{where} must lie within {np.min(low)} to {np.max(high)}, got {_short(array)}")
    return array.astype(space.dtype)


def noop(space: spaces.Space) -> Any:
    """Returns the raw value that asks for nothing: zeros, the first choice, the empty string, or a dict of these."""
    if isinstance(space, spaces.Dict):
        return {key: noop(sub) for key, sub in space.spaces.items()}
    if isinstance(space, spaces.Discrete):
        return int(space.start)
    if isinstance(space, spaces.Text):
        return min(space.character_set) * space.min_length
    if isinstance(space, spaces.Box):
        return np.clip(np.zeros(space.shape, space.dtype), space.low, space.high)
    if isinstance(space, spaces.MultiBinary):
        return np.zeros(space.shape, space.dtype)
    raise ValueError(f"{type(space).__name__} spaces have no known no-op, use Box, Discrete, Text or a Dict of them")


def pack(space: spaces.Space, values: Sequence[Any], where: str) -> np.ndarray:
    """Stacks checked raw values: Box [T, ...], Dict of Discrete [T, K] uint8, Discrete [T] int64, Text [T] str.

    Raises:
        ValueError: for a space that has no plain array form.
    """
    if isinstance(space, (spaces.Box, spaces.MultiBinary)):
        return np.stack(values) if len(values) else np.zeros((0, *(space.shape or ())), space.dtype)
    if isinstance(space, spaces.Dict) and _all_small(space):
        rows = [[value[key] for key in space.spaces] for value in values]
        return np.array(rows, np.uint8).reshape(len(values), len(space.spaces))
    if isinstance(space, spaces.Discrete):
        return np.array(values, np.int64)
    if isinstance(space, spaces.Text):
        return np.array(values, np.str_)
    raise ValueError(f"{where}: {space} has no plain array form, override to_array and from_array")


def unpack(space: spaces.Space, array: np.ndarray, where: str) -> list[Any]:
    """Undoes `pack`.

    Raises:
        ValueError: if the array is not one that `pack` makes for this space.
    """
    array = check_packed(space, array, where)
    if isinstance(space, spaces.Dict):
        return [dict(zip(space.spaces, row, strict=True)) for row in array.tolist()]
    if isinstance(space, (spaces.Discrete, spaces.Text)):
        return array.tolist()
    return list(array)


def check_packed(space: spaces.Space, array: np.ndarray, where: str) -> np.ndarray:
    """Checks an array [T, ...] of packed values, all at once, and returns it in the packed dtype.

    Raises:
        ValueError: for a wrong shape or dtype, NaN, or values outside the space.
    """
    if isinstance(space, (spaces.Box, spaces.MultiBinary)):
        return check_array(space, array, where, stacked=True)
    if isinstance(space, spaces.Dict) and _all_small(space):
        subs = [sub for sub in space.spaces.values() if isinstance(sub, spaces.Discrete)]
        low = np.array([sub.start for sub in subs], np.uint8)
        high = np.array([sub.start + sub.n - 1 for sub in subs], np.uint8)
        return check_array(spaces.Box(low, high, dtype=np.uint8), array, where, stacked=True)
    if isinstance(space, spaces.Discrete):
        box = spaces.Box(int(space.start), int(space.start + space.n - 1), (), np.int64)
        return check_array(box, array, where, stacked=True)
    if isinstance(space, spaces.Text):
        if array.ndim != 1 or array.dtype.kind != "U":
            raise ValueError(f"{where} must be [T] strings, got {array.shape} {array.dtype}")
        for value in array.tolist():
            check(space, value, where)
        return array
    raise ValueError(f"{where}: {space} has no plain array form, override to_array and from_array")


def _all_small(space: spaces.Dict) -> bool:
    subs = space.spaces.values()
    return all(isinstance(sub, spaces.Discrete) and sub.start >= 0 and sub.start + sub.n <= 256 for sub in subs)


def _short(value: Any) -> str:
    text = f"{type(value).__name__} {value!r}".replace("\n", " ")
    return text if len(text) <= 80 else text[:77] + "..."
