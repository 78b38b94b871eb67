"""One line of the verdict."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """One line of the verdict.

    Attributes:
        figure: the measurement it belongs to.
        what: in words.
        measured: the value, worded.
        wanted: the least that is wanted, worded.
        reached: whether it is; None where it could not be measured.
    """

    figure: str
    what: str
    measured: str
    wanted: str
    reached: bool | None
