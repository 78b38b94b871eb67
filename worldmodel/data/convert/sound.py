"""The sound of a film at any second of it.

Shapes: n samples, S samples of a frame.
"""

from __future__ import annotations

import numpy as np
from av.error import FFmpegError

from conditions.encoders.sound import SAMPLE_RATE, to_16_bit, to_float
from worldmodel.data.convert.common import Skip
from worldmodel.data.convert.files import Stored
from worldmodel.data.convert.pictures import opened
from worldmodel.data.sound import stretches


class Sound:
    """All sound of a film, mono or a voice for each of two channels.

    Attributes:
        damage: what was met while decoding, or "".
    """

    def __init__(self, stored: Stored, apart: bool = False) -> None:
        """Decodes it.

        Args:
            stored: the file.
            apart: whether its two channels are kept apart, instead of mixed.

        Raises:
            Skip: if they are to be kept apart, and there are not two.
        """
        self.damage = ""
        self._stretches: list[tuple[int, np.ndarray]] = []  # (first sample by the file's clock, [channels, n] int16)
        try:
            with opened(stored) as container:
                if not container.streams.audio:
                    if apart:
                        raise Skip("not two channels", "it holds no sound, and --listen wants one voice a channel")
                    return
                stream = container.streams.audio[0]
                if apart and stream.channels != 2:
                    raise Skip("not two channels", f"it has {stream.channels}, and --listen wants one voice a channel")
                damage: list[str] = []
                for begins, samples in stretches(container, stream, damage):
                    if apart and len(samples) != 2:
                        damage.append(f"it has not two channels from {begins:.2f} s on")
                        continue
                    kept = to_16_bit(samples if apart else samples.mean(axis=0, keepdims=True))
                    self._stretches.append((round(begins * SAMPLE_RATE), kept))
                self.damage = damage[-1] if damage else ""
        except FFmpegError as error:
            self.damage = str(error)

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._stretches)

    def at(self, second: float, samples: int, channel: int = 0) -> np.ndarray | None:
        """Returns [S] float32 from a second of the file's clock on; None where most of it is not known."""
        first = round(second * SAMPLE_RATE)
        value, known = np.zeros(samples, np.int16), np.zeros(samples, bool)
        for begins, sound in self._stretches:
            start, stop = max(first, begins), min(first + samples, begins + sound.shape[1])
            if start < stop:
                value[start - first : stop - first] = sound[channel, start - begins : stop - begins]
                known[start - first : stop - first] = True
        return to_float(value) if known.mean() > 0.5 else None
