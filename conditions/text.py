"""What is written: a caption of the mood and the manner.

Shapes: B batch, T values, N tokens per value.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from conditions.base import Condition
from conditions.encoders.words import ByteReader, T5Reader
from conditions.registry import register
from conditions.values import nearest

ENCODERS = ("bytes", "t5")
DTYPES = ("float32", "bfloat16")
MAX_CHARACTERS = 4096


class Caption(spaces.Text):
    """Any text without control characters, of any script; samples are letters and digits."""

    def contains(self, x: Any) -> bool:
        """Returns whether x is such a text."""
        if not isinstance(x, str) or len(x) > self.max_length:
            return False
        return not any(ord(character) < 32 or 0xD800 <= ord(character) <= 0xDFFF for character in x)


@register("text")
class Text(Condition):
    """Tokens of a caption, one caption a chunk; the same one again costs nothing to prepare.

    A text longer than its tokens is cut, with a warning. Packed: [T] str. In a clip: a line of JSON for every stretch
    of frames that share a caption, `{"frames": 12, "text": "calm"}`.
    """

    rate = "chunk"
    extension = "txt"

    @dataclass
    class Config:
        """Options of the text.

        Attributes:
            encoder: "bytes", a small network over bytes trained with the rest, or "t5", a frozen T5.
            num_tokens: N, tokens per chunk.
            features: width of the encoder's output; a T5's own width.
            max_length: bytes that are read, for "bytes".
            num_layers: layers of the small network, for "bytes".
            kernel: bytes that it sees together before these, an odd number, or 0 for one by one.
            pretrained: folder or hub id of the T5.
            dtype: of the T5's weights, float32 or bfloat16.
            frozen: whether what reads the text keeps its weights, random ones too: they tell one caption from another,
                and a model that has not learned yet what captions are for unlearns that first.
        """

        encoder: str = "bytes"
        num_tokens: int = 8
        features: int = 64
        max_length: int = 128
        num_layers: int = 2
        kernel: int = 0
        pretrained: str | None = None
        dtype: str = "float32"
        frozen: bool = False

        def __post_init__(self) -> None:
            if self.encoder not in ENCODERS:
                raise ValueError(f"text.encoder has no choice {self.encoder!r}{nearest(self.encoder, ENCODERS)}")
            if self.dtype not in DTYPES:
                raise ValueError(f"text.dtype has no choice {self.dtype!r}{nearest(self.dtype, DTYPES)}")
            if min(self.num_tokens, self.features, self.num_layers) < 1 or self.max_length < 2:
                raise ValueError(
                    f"text.num_tokens, text.features and text.num_layers must be 1 or more and text.max_length 2 or "
                    f"more, got {self.num_tokens}, {self.features}, {self.num_layers} and {self.max_length}"
                )
            if self.kernel < 0 or (self.kernel and self.kernel % 2 == 0):
                raise ValueError(f"text.kernel must be an odd number, or 0, got {self.kernel}")
            if self.encoder == "bytes" and self.features > 32 and self.features % 32:
                raise ValueError(f"text.features must be a multiple of 32, or at most 32, got {self.features}")
            if (self.pretrained is not None) != (self.encoder == "t5"):
                raise ValueError(
                    f"text.pretrained is the folder or hub id of a T5, for text.encoder 't5' alone, got "
                    f"{self.pretrained!r} with {self.encoder!r}"
                )

    def __init__(self, config: Config, width: int) -> None:
        super().__init__(config, width, features=config.features, num_tokens=config.num_tokens)
        self.reader: ByteReader | T5Reader
        if config.pretrained is not None:
            dtype = getattr(torch, config.dtype)
            self.reader = T5Reader(config.pretrained, config.num_tokens, config.features, dtype)
        else:
            self.reader = ByteReader(
                config.max_length, config.num_tokens, config.features, config.num_layers, config.kernel
            )
        if config.frozen:
            self.reader.requires_grad_(False)
            self.projection.requires_grad_(False)

    @classmethod
    def make_space(cls, config: Any) -> spaces.Space:
        """Returns the space of captions."""
        return Caption(MAX_CHARACTERS, min_length=0)

    def validate(self, value: Any) -> str:
        """Checks a caption.

        Raises:
            ValueError: if it is not a string, has control characters, or is longer than anything could read.
        """
        if not isinstance(value, str):
            raise ValueError(f"{self.name} must be a string, got {type(value).__name__} {str(value)[:60]!r}")
        if not self.space.contains(value):
            raise ValueError(
                f"{self.name} must be up to {MAX_CHARACTERS} characters in one line, got {len(value)}: {value[:60]!r}: "
                "shorten it, and join its lines"
            )
        return value

    def prepare(self, values: np.ndarray | Sequence[Any]) -> Tensor:
        """Turns T captions into the encoder's input [T, ...]; each different one is read once."""
        return self.reader.prepare(self.column(values).tolist())

    def absent(self) -> Tensor:
        """Returns the tensor of a missing caption [1, ...]; no T5 is read for it."""
        return self.reader.blank()

    def forward(self, x: Tensor) -> Tensor:
        """Turns [B, T, ...] from `prepare` into [B, T, N, features]."""
        return self.reader(x)

    def encode(self, values: np.ndarray | Sequence[Any]) -> bytes:
        """Writes captions as lines of JSON, one for each stretch of frames that share a caption."""
        runs = [(text, len(list(run))) for text, run in groupby(self.column(values).tolist())]
        lines = [json.dumps({"frames": frames, "text": text}, ensure_ascii=False) for text, frames in runs]
        return "".join(f"{line}\n" for line in lines).encode()

    def decode(self, data: bytes) -> np.ndarray:
        """Reads what `encode` wrote: [T] str.

        Raises:
            ValueError: if a line is not of that form, naming it.
        """
        captions: list[str] = []
        try:
            lines = data.decode().split("\n")[:-1]
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.name}.txt must be UTF-8: {error}") from error
        for number, line in enumerate(lines, start=1):
            try:
                run = json.loads(line)
                frames, text = int(run["frames"]), run["text"]
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f'{self.name}.txt line {number} must be like {{"frames": 12, "text": "calm"}}, got {line[:60]!r}'
                ) from error
            captions += [self.validate(text)] * frames
        return np.array(captions, np.str_)
