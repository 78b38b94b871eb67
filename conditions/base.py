"""What every condition is: a space of raw values, and a small module that turns them into tokens.

Shapes: B batch, T values, M = num_tokens tokens per value, D width.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.utils.env_checker import data_equivalence
from torch import Tensor, nn

from conditions.values import check, check_packed, nearest, noop, pack, unpack


class Prepared(NamedTuple):
    """A condition's values as tensors. What is missing, dropped or null is not `present`; its x is never looked at."""

    x: Tensor  # [B, T, ...]
    present: Tensor  # [B, T] bool

    def to(self, device: torch.device | str, non_blocking: bool = True) -> Prepared:
        """Returns it on another device."""
        x, present = (part.to(device, non_blocking=non_blocking) for part in self)
        return Prepared(x, present)


class Column(NamedTuple):
    """A stretch of one condition's values over time, and which of them are there."""

    values: np.ndarray | Sequence[Any]  # T packed or raw values; anything stands where `present` is false
    present: np.ndarray  # [T] bool

    def take(self, indices: np.ndarray) -> Column:
        """Returns the values at `indices`."""
        values = self.values
        picked = values[indices] if isinstance(values, np.ndarray) else [values[index] for index in indices.tolist()]
        return Column(picked, self.present[indices])

    def last(self, length: int) -> Column:
        """Returns the last `length` values; where there are fewer, missing ones come first."""
        first = len(self.values) - length
        column = Column(self.values[max(first, 0) :], self.present[max(first, 0) :])
        if first >= 0:
            return column
        present = np.concatenate([np.zeros(-first, bool), column.present])
        if isinstance(column.values, np.ndarray):
            blank = np.zeros((-first, *column.values.shape[1:]), column.values.dtype)
            return Column(np.concatenate([blank, column.values]), present)
        return Column([*[None] * -first, *column.values], present)


class Condition(nn.Module):
    """Base of all conditions.

    A subclass has a dataclass `Config`, `make_space`, and a `forward`; it overrides `prepare` when raw values are not
    numbers yet (strings, waveforms), `to_array`/`from_array` when its space has no plain array form, and
    `extension`/`encode`/`decode` when its clip member is not a `.npy` file. It asks for a `history` when a value's
    tokens depend on the values before it.

    Args:
        config: an instance of the class's `Config`.
        width: D, the backbone's width.
        features: width of what `forward` returns.
        num_tokens: tokens per value.
        history: how many values before it a value's tokens look back at; for conditions of frame rate.
        optional: whether a value has parts that may be missing by themselves: training hides them now and then.
    """

    name: ClassVar[str]
    rate: ClassVar[Literal["frame", "chunk"]] = "frame"
    extension: ClassVar[str] = "npy"

    @dataclasses.dataclass
    class Config:
        """Options of the condition."""

    def __init__(
        self, config: Any, width: int, features: int, num_tokens: int = 1, history: int = 0, optional: bool = False
    ) -> None:
        super().__init__()
        if history < 0 or (history and self.rate != "frame"):
            raise ValueError(f"{type(self).__name__}: history must be 0, or above for rate 'frame', got {history}")
        self.config = config
        self.width = width
        self.features = features
        self.num_tokens = num_tokens
        self.history = history
        self.optional = optional
        self.space = self.make_space(config)
        self.projection = nn.Linear(features, width)
        self.placeholder = nn.Parameter(torch.randn(num_tokens, width) * 0.02)
        self._absent: Tensor | None = None  # what a missing value is as a tensor, [1, ...]

    @classmethod
    def make_config(cls, config: Mapping[str, Any] | Any | None = None) -> Any:
        """Returns the `Config` that a mapping, an instance, or None (the defaults) stands for.

        Raises:
            ValueError: for a field that does not exist, naming the nearest one.
        """
        if isinstance(config, cls.Config):
            return config
        fields = [field.name for field in dataclasses.fields(cls.Config)]
        if config is not None and not isinstance(config, Mapping):
            raise ValueError(f"config of condition {cls.name!r} must be a mapping, got {type(config).__name__}")
        given = {str(key): value for key, value in (config or {}).items()}
        for key in given:
            if key not in fields:
                raise ValueError(f"config of condition {cls.name!r} has no field {key!r}{nearest(key, fields)}")
        return cls.Config(**given)

    @classmethod
    def make_space(cls, config: Any) -> spaces.Space:
        """Returns the Gymnasium space of one raw value."""
        raise NotImplementedError(f"{cls.__name__} must define make_space(cls, config)")

    def values_per_chunk(self, chunk_frames: int) -> int:
        """How many raw values a chunk of F frames has: F, or one where the rate is one a chunk."""
        return chunk_frames if self.rate == "frame" else 1

    def noop(self) -> Any:
        """Returns the raw value that asks for nothing."""
        return noop(self.space)

    def validate(self, value: Any) -> Any:
        """Checks one raw value and completes what it leaves out (keys not named are not pressed).

        Raises:
            ValueError: for an unknown key (naming the nearest), a wrong type, shape or dtype, NaN, or out of range.
        """
        return check(self.space, value, self.name)

    @classmethod
    def asked(cls, value: Any) -> Any:
        """Returns what of a raw value a world is asked for: here all of it, and not what clips know besides."""
        return value

    def observe(self, value: Any, info: Mapping[str, Any]) -> Any:
        """Returns a raw value with what the world's `info` after the step tells of it; here as it is."""
        return value

    def follow(self, value: Any, before: Any | None) -> Any:
        """Returns a checked value with what follows from the one before it (None if missing); here as it is.

        Asked of conditions with a history only.
        """
        return value

    def asks(self, value: Any) -> bool:
        """Whether a raw value asks for anything: here, whether it is other than the no-op.

        Raises:
            ValueError: as `validate`.
        """
        return not _same(self.validate(value), self.validate(self.noop()))

    def obscure(self, x: Tensor, rows: Tensor) -> Tensor:
        """Returns prepared x [B, T, ...] with what is `optional` of a value missing where rows [B] bool is true."""
        raise NotImplementedError(f"{type(self).__name__} has optional parts and must define obscure(self, x, rows)")

    def to_array(self, values: Sequence[Any]) -> np.ndarray:
        """Packs validated raw values into one array [T, ...]."""
        return pack(self.space, values, self.name)

    def from_array(self, array: np.ndarray) -> list[Any]:
        """Undoes `to_array`, checking the array."""
        return unpack(self.space, array, self.name)

    def column(self, values: np.ndarray | Sequence[Any]) -> np.ndarray:
        """Returns values as one packed array [T, ...], checked; an array is taken as packed already.

        Raises:
            ValueError: as `validate`.
        """
        if isinstance(values, np.ndarray):
            return check_packed(self.space, values, self.name)
        return self.to_array([self.validate(value) for value in values])

    def prepare(self, values: np.ndarray | Sequence[Any]) -> Tensor:
        """Turns values into the tensor that `forward` takes; may be slow, runs off the hot path.

        Args:
            values: T raw values, or their packed array [T, ...].

        Returns:
            [T, ...], on the CPU; here the packed array itself.

        Raises:
            ValueError: as `validate`.
        """
        return torch.from_numpy(self.column(values))

    def prepare_column(self, column: Column) -> Tensor:
        """Prepares a stretch of values, some of which may be missing: these are the no-op there.

        A value's tensor holds all that its tokens depend on, its past too. So nothing is kept between calls, and a
        stream, a window and a whole clip give the same.

        Args:
            column: `history` + T values; the first `history` are only looked back at.

        Returns:
            [T, ...] as `prepare` makes it; with a history [T, history + 1, ...], every value after those before it.
        """
        x = self._fill(column)
        if not self.history:
            return x
        last = torch.arange(self.history, len(x))
        return x[last[:, None] + torch.arange(-self.history, 1)]

    def absent(self) -> Tensor:
        """Returns the tensor [1, ...] that stands for a missing value; by default that of the no-op."""
        return self.prepare([self.noop()])

    def _fill(self, column: Column) -> Tensor:
        values, present = column
        if present.all():
            return self.prepare(values)
        if self._absent is None:
            self._absent = self.absent()
        x = self._absent.repeat(len(present), *[1] * (self._absent.ndim - 1))
        if present.any():
            x[torch.from_numpy(present)] = self.prepare(column.take(np.flatnonzero(present)).values)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Turns [B, T, ...] from `prepare` into [B, T, num_tokens, features]; must never sync with the device."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(self, x)")

    def embed(self, x: Tensor, present: Tensor) -> Tensor:
        """Turns prepared values into tokens.

        Args:
            x: [B, T, ...] from `prepare`.
            present: [B, T] bool; where false the learned placeholder stands.

        Returns:
            [B, T, num_tokens, D] in the projection's dtype.

        Raises:
            ValueError: if the shapes disagree.
        """
        if present.dtype != torch.bool or present.ndim != 2 or x.shape[:2] != present.shape:
            raise ValueError(
                f"{self.name}: present must be bool [B, T] like x, got {present.dtype} {tuple(present.shape)} "
                f"with x {tuple(x.shape)}"
            )
        features = self(x)  # [B, T, M, features]
        expected = (*present.shape, self.num_tokens, self.features)
        if features.shape != expected:
            raise ValueError(
                f"{type(self).__name__}.forward must return [B, T, num_tokens, features] = {expected}, "
                f"got {tuple(features.shape)}"
            )
        tokens = self.projection(features.to(self.projection.weight.dtype))  # [B, T, M, D]
        return torch.where(present[..., None, None], tokens, self.placeholder.to(tokens.dtype))

    def encode(self, values: np.ndarray | Sequence[Any]) -> bytes:
        """Writes values as the bytes of a clip member: a `.npy` file of the packed array."""
        stream = io.BytesIO()
        np.save(stream, self.column(values), allow_pickle=False)
        return stream.getvalue()

    def decode(self, data: bytes) -> np.ndarray | Sequence[Any]:
        """Reads what `encode` wrote: the packed array [T, ...].

        Raises:
            ValueError: if the bytes are not such a file or hold values outside the space.
        """
        try:
            array = np.load(io.BytesIO(data), allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise ValueError(f"{self.name} must be a .npy file of {len(data)} bytes: {error}") from error
        return self.column(array)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of what a clip stores that `adopt` looks at."""
        return (self.name,)

    def adopt(self, stored: Mapping[str, tuple[Condition, Column]]) -> Column | None:
        """Returns the values of this condition in a clip that was written with other conditions, or other configs.

        Args:
            stored: what the clip stores, by name: the condition that it was packed with, and its values.

        Returns:
            T values, packed; None where the clip has nothing to make them of.

        Raises:
            ValueError: for values that this condition does not take.
        """
        if self.name not in stored:
            return None
        condition, (values, present) = stored[self.name]
        if condition.config != self.config:
            values = self.column(condition.raw(values))
        return Column(values, present)

    def raw(self, values: np.ndarray | Sequence[Any]) -> list[Any]:
        """Returns packed or raw values as a list of raw values, as an env takes them."""
        return self.from_array(values) if isinstance(values, np.ndarray) else list(values)


class ArrayCondition(Condition):
    """Base of conditions whose raw and packed values are arrays with parts that may be unknown, NaN there.

    A subclass defines `check_values`, by which one value and a stretch of them are checked alike.
    """

    def check_values(self, array: np.ndarray, stacked: bool) -> np.ndarray:
        """Returns one value as it is packed, or where `stacked` T of them, checked.

        Raises:
            ValueError: for values that do not fit.
        """
        raise NotImplementedError(f"{type(self).__name__} must define check_values(self, array, stacked)")

    def validate(self, value: Any) -> np.ndarray:
        """Checks one raw value; what is unknown stays so.

        Raises:
            ValueError: as `check_values`.
        """
        return self.check_values(np.asarray(value), stacked=False)

    def column(self, values: np.ndarray | Sequence[Any]) -> np.ndarray:
        """Returns values as one packed array [T, ...], checked.

        Raises:
            ValueError: as `check_values`.
        """
        if isinstance(values, np.ndarray):
            return self.check_values(values, stacked=True)
        return self.to_array([self.validate(value) for value in values])

    def to_array(self, values: Sequence[Any]) -> np.ndarray:
        """Packs validated raw values into one array [T, ...]."""
        return np.stack(values) if len(values) else self.check_values(pack(self.space, [], self.name), stacked=True)

    def from_array(self, array: np.ndarray) -> list[np.ndarray]:
        """Undoes `to_array`, checking the array."""
        return list(self.check_values(array, stacked=True))


def _same(value: Any, other: Any) -> bool:
    """Whether two raw values of one space are equal; of numbers, NaN is what is not known, and equals itself."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return np.array_equal(value, other, equal_nan=True)
    return bool(data_equivalence(value, other, exact=True))


def adopted(conditions: Iterable[Condition], stored: Mapping[str, tuple[Condition, Column]]) -> dict[str, Column]:
    """Returns what each condition makes of a clip's stored values, by name; those that can make nothing are left out.

    Args:
        conditions: as whose values they are wanted.
        stored: as for `Condition.adopt`.

    Raises:
        ValueError: as `Condition.adopt`.
    """
    made = {condition.name: condition.adopt(stored) for condition in conditions}
    return {name: column for name, column in made.items() if column is not None}
