"""What is heard: the speech that drives a face.

Shapes: B batch, T values, S samples per value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from torch import Tensor

from conditions.base import Column, Condition
from conditions.encoders.hearing import CausalEar, WhisperEar
from conditions.encoders.sound import HOP, SAMPLE_RATE, decode_flac, encode_flac, to_16_bit, to_float
from conditions.registry import register
from conditions.values import nearest

ENCODERS = ("causal", "whisper_vq")


@register("audio")
class Audio(Condition):
    """One token a value, from its samples and those before them; nothing later is heard (`lookahead_ms` is 0).

    A raw value is the mono sound of one frame: [S] float32 in [-1, 1] at 16 kHz, kept to 16 bits. Where it is missing
    it is silence to the values after it. Packed: [T, S] int16. In a clip: FLAC.
    """

    extension = "flac"

    @dataclass
    class Config:
        """Options of the sound.

        Attributes:
            samples: S, samples of a frame at 16 kHz: 1280 (80 ms) at 12.5 frames per second, 640 at 25.
            encoder: "causal", a small network trained with the rest, or "whisper_vq", the public frozen tokenizer.
            features: width of the encoder's output; the tokenizer's has 1280.
            context_ms: how far back a token hears beyond its own samples.
            num_mels: mel filters of the causal encoder.
            pretrained: folder of the tokenizer, for "whisper_vq".
        """

        samples: int = 1280
        encoder: str = "causal"
        features: int = 128
        context_ms: float = 320.0
        num_mels: int = 80
        pretrained: str | None = None

        def __post_init__(self) -> None:
            if self.samples < HOP or self.samples % HOP:
                raise ValueError(f"audio.samples must be a multiple of {HOP} (10 ms at 16 kHz), got {self.samples}")
            if self.encoder not in ENCODERS:
                raise ValueError(f"audio.encoder has no choice {self.encoder!r}{nearest(self.encoder, ENCODERS)}")
            if self.features < 1 or self.num_mels < 1 or not 0 <= self.context_ms <= 30_000:
                raise ValueError(
                    f"audio.features and audio.num_mels must be 1 or more and audio.context_ms 0 to 30000, got "
                    f"{self.features}, {self.num_mels} and {self.context_ms}"
                )
            if (self.pretrained is not None) != (self.encoder == "whisper_vq"):
                raise ValueError(
                    f"audio.pretrained is the folder of the tokenizer, for audio.encoder 'whisper_vq' alone, got "
                    f"{self.pretrained!r} with {self.encoder!r}"
                )

    def __init__(self, config: Config, width: int) -> None:
        ear: CausalEar | WhisperEar
        if config.pretrained is not None:
            ear = WhisperEar(config.samples, config.context_ms, config.features, config.pretrained)
        else:
            ear = CausalEar(config.samples, config.context_ms, config.features, config.num_mels)
        super().__init__(config, width, features=config.features, history=ear.history)
        self.ear = ear

    @property
    def lookahead_ms(self) -> float:
        """How much sound after a value its token waits for, in ms."""
        return self.ear.lookahead_ms

    @classmethod
    def make_space(cls, config: Any) -> spaces.Space:
        """Returns a Box of S samples in [-1, 1]."""
        return spaces.Box(-1.0, 1.0, (config.samples,), np.float32)

    def validate(self, value: Any) -> np.ndarray:
        """Checks the sound of one frame and rounds it to 16 bits, as a clip keeps it.

        Raises:
            ValueError: for integers, another number of samples or channels, NaN, or samples outside [-1, 1].
        """
        return to_float(self._pack(np.asarray(value), stacked=False))

    def to_array(self, values: Sequence[Any]) -> np.ndarray:
        """Packs sounds into [T, S] int16."""
        return to_16_bit(np.stack(values)) if len(values) else np.zeros((0, self.config.samples), np.int16)

    def from_array(self, array: np.ndarray) -> list[np.ndarray]:
        """Undoes `to_array`."""
        return list(to_float(self._pack(array, stacked=True)))

    def column(self, values: np.ndarray | Sequence[Any]) -> np.ndarray:
        """Returns sounds as [T, S] int16, checked; an array may be packed or floats.

        Raises:
            ValueError: as `validate`.
        """
        if isinstance(values, np.ndarray):
            return self._pack(values, stacked=True)
        return self.to_array([self.validate(value) for value in values])

    def prepare(self, values: np.ndarray | Sequence[Any]) -> Tensor:
        """Turns T sounds, with silence before them, into the encoder's input [T, ...]."""
        sound = self.column(values)
        return self.prepare_column(Column(sound, np.ones(len(sound), bool)).last(self.history + len(sound)))

    def prepare_column(self, column: Column) -> Tensor:
        """Turns `history` + T sounds into the encoder's input [T, ...]; missing ones are silent."""
        sound = np.zeros((len(column.present), self.config.samples), np.int16)
        there = np.flatnonzero(column.present)
        sound[there] = self.column(column.take(there).values)
        return self.ear.prepare(sound, column.present[self.history :])

    def forward(self, x: Tensor) -> Tensor:
        """Turns [B, T, ...] from `prepare_column` into [B, T, 1, features]."""
        return self.ear(x).unsqueeze(-2)

    def encode(self, values: np.ndarray | Sequence[Any]) -> bytes:
        """Writes sounds as one FLAC file, mono, 16 bits, 16 kHz; none at all as no bytes."""
        packed = self.column(values)
        return encode_flac(packed.reshape(-1)) if len(packed) else b""

    def decode(self, data: bytes) -> np.ndarray:
        """Reads what `encode` wrote: [T, S] int16.

        Raises:
            ValueError: if the bytes are damaged, of another format or rate, or not whole frames.
        """
        size = self.config.samples
        sound = decode_flac(data, f"{self.name}.flac") if data else np.zeros(0, np.int16)
        if len(sound) % size:
            raise ValueError(
                f"{self.name}.flac must be whole frames of {size} samples, got {len(sound)}: is it cut off?"
            )
        return sound.reshape(-1, size)

    def _pack(self, array: np.ndarray, stacked: bool) -> np.ndarray:
        """Checks one sound [S], or T of them, and returns int16."""
        size = self.config.samples
        expected = f"[{'T, ' if stacked else ''}{size}] float32 in [-1, 1], mono at {SAMPLE_RATE} Hz"
        if array.ndim != 1 + stacked or array.shape[-1] != size:
            raise ValueError(
                f"{self.name} must be {expected}, got shape {array.shape}: resample it and cut it into frames of "
                f"{1000 * size / SAMPLE_RATE:g} ms, or set {self.name}.samples"
            )
        if stacked and array.dtype == np.int16:
            return array
        if array.dtype.kind != "f":
            raise ValueError(f"{self.name} must be {expected}, got {array.dtype}: divide 16-bit samples by 32768")
        if not np.isfinite(array).all():
            raise ValueError(f"{self.name} must be finite, got NaN or infinity among {size} samples")
        if np.abs(array).max(initial=0.0) > 1:
            raise ValueError(
                f"{self.name} must be {expected}, got {np.abs(array).max():.4g} at its loudest: clip it first"
            )
        return to_16_bit(array)
