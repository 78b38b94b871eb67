"""What every source is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

Tell = Callable[[str], None]  # takes a line for the player to read


class SourceError(ValueError):
    """A source that cannot begin."""


class Source(Protocol):
    """Values of one condition, in order of time."""

    @property
    def frames(self) -> int | None:
        """How many frames it lasts; None where it does not end or nobody knows."""

    def read(self) -> Any | None:
        """Returns the value of the next frame, or None where it is missing. Never raises; goes on after its end."""

    def close(self) -> None:
        """Lets go of files and devices."""


def existing(path: str | Path, what: str, option: str) -> Path:
    """Returns the path of a file that is there and not empty.

    Args:
        path: the file.
        what: what it should be, for errors: "sound file".
        option: where it was named, for errors: "--audio".

    Raises:
        SourceError: if it is missing, a folder, or of no length.
    """
    path = Path(path)
    if not path.is_file():
        raise SourceError(f"no {what} at {path}: check {option}")
    if not path.stat().st_size:
        raise SourceError(f"the {what} {path} is empty (0 bytes): was it written to its end? Check {option}")
    return path
