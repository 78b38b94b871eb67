"""What drives a world besides the keys: sources of its conditions, read together, one action a frame.

Shapes: S samples a frame.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from player.scripts import Action
from player.sources.base import Source

VOICES = ("audio", "listen")  # the conditions that can be heard


class Drive:
    """Sources by the name of their condition.

    Args:
        sources: name -> source.
        live: names of those that a microphone is behind: filmed, but not played back to who speaks into it.
        apart: whether the voices keep to a channel each, `audio` left and `listen` right; else they are mixed into one.
    """

    def __init__(self, sources: Mapping[str, Source], live: Collection[str] = (), apart: bool = False) -> None:
        self._sources = dict(sources)
        self._voices = tuple(name for name in VOICES if name in self._sources)
        self._live = frozenset(live)
        self._apart = apart and len(self._voices) == 2

    @property
    def names(self) -> tuple[str, ...]:
        """The conditions that are driven."""
        return tuple(self._sources)

    @property
    def frames(self) -> int | None:
        """Frames until the last source that ends has ended; None where none of them does."""
        lengths = [source.frames for source in self._sources.values()]
        return max((length for length in lengths if length is not None), default=None)

    @property
    def channels(self) -> int:
        """Channels of the sound of a film: 0 where there is none, else 1 or 2."""
        return 0 if not self._voices else 2 if self._apart else 1

    @property
    def is_live(self) -> bool:
        """Whether a microphone is among the sources, so that they set the pace."""
        return bool(self._live)

    @property
    def is_played(self) -> bool:
        """Whether there is anything for a loudspeaker."""
        return bool(set(self._voices) - self._live)

    def read(self) -> Action:
        """Returns the next frame's values; what a source has no value for is left out."""
        values = {name: source.read() for name, source in self._sources.items()}
        return {name: value for name, value in values.items() if value is not None}

    def sound(self, action: Mapping[str, Any], played: bool = False) -> NDArray[np.float32] | None:
        """What there is to hear during the frame of an action.

        Args:
            action: as read.
            played: whether it is for a loudspeaker, which leaves out what comes from a microphone.

        Returns:
            [S, channels] float32 in [-1, 1], or None where nothing is.
        """
        names = [name for name in self._voices if name in action and not (played and name in self._live)]
        voices = [np.asarray(action[name], np.float32) for name in names]
        if not voices:
            return None
        if self._apart:
            return np.stack(voices, axis=1)
        return np.clip(sum(voices[1:], voices[0]), -1.0, 1.0)[:, None]

    def close(self) -> None:
        """Closes every source."""
        for source in self._sources.values():
            source.close()
