"""The conditions of one world, together: raw values in, the condition tokens of each chunk out.

Shapes: B batch, T frames, F frames per chunk, M condition tokens per chunk, D width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from conditions.base import Column, Condition, Prepared
from conditions.registry import get
from conditions.values import nearest

CANONICAL_ORDER = ("audio", "listen", "pose", "text", "keyboard", "camera")


class ConditionSet(nn.Module):
    """Builds and runs several conditions.

    Args:
        configs: name -> config of each condition (a mapping of its fields, its dataclass, or None for the defaults).
            Tokens come in canonical order (audio, listen, pose, text, keyboard, camera, then others as given).
        width: D, the backbone's width.

    Raises:
        ValueError: if there is none, or a name or field is unknown.
    """

    def __init__(self, configs: Mapping[str, Any], width: int) -> None:
        super().__init__()
        if not configs:
            raise ValueError('a world must have a condition, got none: name one, e.g. {"keyboard": {}}')
        ordered = [name for name in CANONICAL_ORDER if name in configs]
        ordered += [name for name in configs if name not in CANONICAL_ORDER]
        self.conditions = nn.ModuleDict()
        for name in ordered:
            cls: Any = get(name)
            self.conditions[name] = cls(cls.make_config(configs[name]), width)
        self.history = max(condition.history for condition in self)  # values before a frame that its tokens need

    @property
    def names(self) -> list[str]:
        """The conditions' names, in the order of their tokens."""
        return list(self.conditions)

    @property
    def device(self) -> torch.device:
        """Where the parameters live."""
        return next(self.parameters()).device

    @property
    def spaces(self) -> spaces.Dict:
        """The space of one frame's raw values: what an env takes as its action."""
        return spaces.Dict([(condition.name, condition.space) for condition in self])

    def __iter__(self) -> Iterator[Condition]:
        for condition in self.conditions.values():
            assert isinstance(condition, Condition)
            yield condition

    def __getitem__(self, name: str) -> Condition:
        """Returns one condition; raises ValueError if the name is not in the set."""
        self._check_names([name])
        condition = self.conditions[name]
        assert isinstance(condition, Condition)
        return condition

    def tokens_per_chunk(self, chunk_frames: int) -> int:
        """Returns M, the tokens that a chunk of `chunk_frames` frames has."""
        return sum(condition.num_tokens * condition.values_per_chunk(chunk_frames) for condition in self)

    def validate(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Checks one frame's raw values and completes partial ones; absent conditions stay absent.

        Raises:
            ValueError: for an unknown condition (naming the nearest) or a value that does not fit.
        """
        if not isinstance(values, Mapping):
            raise ValueError(f"conditions must be a dict of {', '.join(self.names)}, got {type(values).__name__}")
        self._check_names(values)
        return {name: self[name].validate(value) for name, value in values.items() if value is not None}

    def frame_places(self, chunk_frames: int, ahead: int = 0) -> list[list[int]]:
        """Which of a chunk's M tokens tell of each of its F frames: F lists of one length.

        Of a condition of frame rate these are a frame's own tokens, of one of chunk rate all of them. After them come
        those of frame rate of each of the `ahead` frames that follow; M, which is no token, where the chunk has ended.
        """
        places: list[list[int]] = [[] for _ in range(chunk_frames)]
        end = self.tokens_per_chunk(chunk_frames)
        for step in range(ahead + 1):
            first = 0
            for condition in self:
                count = condition.num_tokens
                stop = first + count * condition.values_per_chunk(chunk_frames)
                values = [list(range(start, start + count)) for start in range(first, stop, count)]
                if condition.rate == "frame":
                    values = values[step:] + [[end] * count] * step
                else:
                    values = values * chunk_frames if step == 0 else [[]] * chunk_frames
                for told, tokens in zip(places, values, strict=True):
                    told += tokens
                first = stop
        return places

    def token_slots(self, chunk_frames: int) -> list[tuple[str, int]]:
        """What each of a chunk's M tokens is: a condition's name, and which of that one's tokens."""
        counts = {each.name: each.num_tokens * each.values_per_chunk(chunk_frames) for each in self}
        return [(name, number) for name, count in counts.items() for number in range(count)]

    def frame_slots(self, ahead: int = 0) -> list[tuple[str, int, int]]:
        """What each entry of a list of `frame_places` is: a condition's name, how far ahead, and which token of it."""
        return [
            (condition.name, step, number)
            for step in range(ahead + 1)
            for condition in self
            if condition.rate == "frame" or step == 0
            for number in range(condition.num_tokens)
        ]

    def asks(self, values: Mapping[str, Any]) -> bool:
        """Whether one frame's raw values ask for anything: one that is present and not its condition's no-op.

        Raises:
            ValueError: as `validate`.
        """
        self._check_names(values)
        return any(self[name].asks(value) for name, value in values.items() if value is not None)

    def prepare(
        self,
        values: Sequence[Mapping[str, Any]],
        chunk_frames: int = 1,
        device: torch.device | str | None = None,
        past: Sequence[Mapping[str, Any]] = (),
    ) -> dict[str, Prepared]:
        """Turns raw values into tensors, for a batch of one.

        Args:
            values: one mapping per frame, name -> raw value; a name left out, or None, is not present.
            chunk_frames: F; a condition of chunk rate takes the first value present in each chunk.
            device: where to put the result; the set's own device by default.
            past: the frames just before these; the last `history` of them are looked back at.

        Returns:
            name -> x [1, T, ...] and present [1, T], T / F values for chunk rate.

        Raises:
            ValueError: for unknown names, values that do not fit, or T that is not whole chunks.
        """
        frames = [*past, *values]
        for frame in frames:
            if not isinstance(frame, Mapping):
                raise ValueError(f"conditions must be a dict of {', '.join(self.names)}, got {type(frame).__name__}")
            self._check_names(frame)
        followed = self._followed(frames)
        columns = {}
        for name in self.names:
            column = [frame.get(name) for frame in followed]
            columns[name] = Column(column, np.array([value is not None for value in column], bool))
        return self.prepare_columns(columns, len(values), chunk_frames, device, len(past))

    def recall(self, past: Sequence[Mapping[str, Any]], values: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Returns the last `history` frames of `past` and `values`, completed: what `prepare` takes as next past."""
        if not self.history:
            return []
        kept = {condition.name for condition in self if condition.history}
        frames = self._followed([*past, *values])[-self.history :]
        return [{n: value for n, value in frame.items() if n in kept and value is not None} for frame in frames]

    def _followed(self, frames: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Copies of frames' raw values; those that look back are checked, and completed from the ones before."""
        copies = [dict(frame) for frame in frames]
        for condition in self:
            before = None
            for frame in copies if condition.history else ():
                value = frame.get(condition.name)
                before = None if value is None else condition.follow(condition.validate(value), before)
                frame[condition.name] = before
        return copies

    def prepare_columns(
        self,
        columns: Mapping[str, Column],
        frames: int,
        chunk_frames: int = 1,
        device: torch.device | str | None = None,
        past: int = 0,
    ) -> dict[str, Prepared]:
        """As `prepare`, from a stretch of values per condition, which may be packed arrays; names left out are absent.

        Each column has `past` + `frames` values, of which the first `past` are the frames before.

        Raises:
            ValueError: as `prepare`, or if a column does not have that many values.
        """
        if frames % chunk_frames:
            raise ValueError(f"frames must be whole chunks of {chunk_frames}, got {frames}")
        self._check_names(columns)
        device = self.device if device is None else device
        result = {}
        for condition in self:
            column = columns.get(condition.name, Column([None] * (past + frames), np.zeros(past + frames, bool)))
            if len(column.values) != past + frames or len(column.present) != past + frames:
                raise ValueError(f"{condition.name} must have {past + frames} values, got {len(column.values)}")
            column = column.last(condition.history + frames)
            if condition.rate == "chunk":
                column = _first_of_chunk(column, chunk_frames)
            present = torch.from_numpy(column.present[condition.history :])
            x = condition.prepare_column(column)
            result[condition.name] = Prepared(x.unsqueeze(0), present.unsqueeze(0)).to(device)
        return result

    def blank(
        self, batch: int, frames: int, chunk_frames: int = 1, device: torch.device | str | None = None
    ) -> dict[str, Prepared]:
        """Returns what `prepare` gives when nothing is present: x [B, T, ...], present [B, T] all false."""
        one = self.prepare_columns({}, frames, chunk_frames, device)
        return {
            name: Prepared(x.repeat(batch, *[1] * (x.ndim - 1)), present.repeat(batch, 1))
            for name, (x, present) in one.items()
        }

    def forward(self, prepared: Mapping[str, Prepared], chunk_frames: int) -> Tensor:
        """Turns prepared values into each chunk's condition tokens.

        Args:
            prepared: one entry per condition of the set: T values for frame rate, T / F for chunk rate.
            chunk_frames: F.

        Returns:
            [B, T / F, M, D]: within a chunk condition after condition, each in order of time.

        Raises:
            ValueError: if an entry is missing or unknown, or the lengths disagree.
        """
        self._check_names(prepared)
        chunks = []
        for condition in self:
            if condition.name not in prepared:
                raise ValueError(f"prepared lacks {condition.name!r}: absent conditions have entries too, see blank()")
            x, present = prepared[condition.name]
            tokens = condition.embed(x, present)  # [B, T, m, D]
            per_chunk = condition.values_per_chunk(chunk_frames)
            if tokens.shape[1] % per_chunk:
                raise ValueError(f"{condition.name} must be whole chunks of {per_chunk}, got {tokens.shape[1]} values")
            chunks.append(tokens.unflatten(1, (-1, per_chunk)).flatten(2, 3))  # [B, T / F, per_chunk * m, D]
        lengths = {name: chunk.shape[:2] for name, chunk in zip(self.names, chunks, strict=True)}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"all conditions must have the same [B, chunks], got {lengths}")
        return torch.cat(chunks, dim=2)

    def _check_names(self, given: Any) -> None:
        for name in given:
            if name not in self.conditions:
                raise ValueError(f"this world has no condition {name!r}{nearest(name, self.names)}")


def _first_of_chunk(column: Column, chunk_frames: int) -> Column:
    by_chunk = column.present.reshape(-1, chunk_frames)
    picks = by_chunk.argmax(axis=1) + np.arange(len(by_chunk)) * chunk_frames
    return Column(column.take(picks).values, np.asarray(by_chunk.any(axis=1)))


def collate(items: Sequence[Mapping[str, Prepared]]) -> dict[str, Prepared]:
    """Joins prepared values of several streams into one batch: [B1, T, ...], [B2, T, ...] -> [B1 + B2, T, ...]."""
    return {
        name: Prepared(torch.cat([item[name].x for item in items]), torch.cat([item[name].present for item in items]))
        for name in items[0]
    }
