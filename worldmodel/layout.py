"""Where every token stands: chunks, blocks, the mask and the positions. The heart of the model.

A chunk holds the conditions of its F frames, then (with `reference: chunk`) the reference picture, then its F *input*
frames, each the frame just before a target. The hidden state at input frame t guides the head for frame t + 1.

    sinks | c c c f f f f | c c c f f f f | ...          c condition token, f frame token (here F = 1)

One rule makes the mask: the conditions of a chunk are a block, the reference is a block, each frame is a block; a token
sees every token of its own block and of earlier blocks, within the sinks and the last W chunks (its own included).

One rule makes the positions: a token's distance to a token of the window is the distance in the sequence, and its
distance to a sink is what it would be if the sinks stood right before the window. So a stream of any length meets the
distances of training only.

Shapes: B batch, T frames, N tokens per frame, M condition tokens per chunk, D width, F frames per chunk, W window
chunks, R sink tokens, K chunks, L tokens per chunk, S = R + K L tokens in all.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

REFERENCES = ("none", "sink", "chunk")


@dataclass
class LayoutConfig:
    """How frames and conditions are laid out as tokens (MIDAS, section 3.3 and Fig. 3)."""

    chunk_frames: int = 1  # F: frames predicted per chunk
    window_chunks: int = 8  # W: chunks that a token sees, its own included
    reference: str = "none"  # the reference picture: none | sink (held once, never evicted) | chunk (in every chunk)
    places: bool = False  # a learned vector for each place in a chunk, so that a frame finds its own conditions sooner
    direct: bool = False  # conditions are also added to the input frames whose successors they lead to
    direct_ahead: int = 0  # and with them what is told of so many frames after it, where the chunk holds them
    shortcut: bool = False  # the head also gets the input frame itself, so that the backbone need not carry it through

    def __post_init__(self) -> None:
        for name in ("chunk_frames", "window_chunks"):
            if getattr(self, name) < 1:
                raise ValueError(f"layout.{name} must be 1 or more, got {getattr(self, name)}")
        if self.direct_ahead and not (self.direct and 0 < self.direct_ahead < self.chunk_frames):
            raise ValueError(
                f"layout.direct_ahead must be below layout.chunk_frames, and needs layout.direct=true, got "
                f"{self.direct_ahead} with chunks of {self.chunk_frames} and direct={str(self.direct).lower()}"
            )
        if self.reference not in REFERENCES:
            raise ValueError(f"layout.reference must be one of {', '.join(REFERENCES)}, got {self.reference!r}")


@dataclass(frozen=True)
class Step:
    """The tokens that enter together when a chunk is streamed: the conditions ride with the first input frame."""

    start: int  # first token, counted within the chunk
    stop: int  # one past the last token, counted within the chunk


class Layout:
    """The geometry of one model's sequences.

    Args:
        config: chunk length, window and reference.
        condition_tokens: M, condition tokens per chunk.
        frame_tokens: N, tokens per frame.
    """

    def __init__(self, config: LayoutConfig, condition_tokens: int, frame_tokens: int) -> None:
        self.config = config
        self.condition_tokens = condition_tokens
        self.frame_tokens = frame_tokens
        self.sink_tokens = frame_tokens if config.reference == "sink" else 0
        self.reference_tokens = frame_tokens if config.reference == "chunk" else 0
        self.prefix_tokens = condition_tokens + self.reference_tokens  # before the first frame of a chunk
        self.chunk_tokens = self.prefix_tokens + config.chunk_frames * frame_tokens
        # (M, F) vectors that the embedding learns; positions tell distances only, from which a place must be inferred
        self.places = (condition_tokens, config.chunk_frames) if config.places else (0, 0)
        self.window_tokens = self.sink_tokens + config.window_chunks * self.chunk_tokens

    @property
    def steps(self) -> list[Step]:
        """The F steps that stream one chunk."""
        ends = [self.prefix_tokens + (i + 1) * self.frame_tokens for i in range(self.config.chunk_frames)]
        return [Step(start, stop) for start, stop in zip([0, *ends[:-1]], ends, strict=True)]

    # -- one whole sequence -------------------------------------------------------------------------------------------

    def assemble(self, conditions: Tensor, frames: Tensor, reference: Tensor | None = None) -> Tensor:
        """Lays tokens out in order.

        Args:
            conditions: [B, K, M, D] condition tokens of each chunk.
            frames: [B, K F, N, D] tokens of the input frames.
            reference: [B, N, D] tokens of the reference picture, where the layout has one.

        Returns:
            [B, S, D] tokens.

        Raises:
            ValueError: if the frames do not fill whole chunks, or the reference is missing or superfluous.
        """
        num_chunks = self.count_chunks(frames.shape[1])
        if (reference is None) != (self.config.reference == "none"):
            wanted = "no reference" if reference is not None else "a reference picture"
            raise ValueError(f"layout.reference={self.config.reference} takes {wanted}: set layout.reference to match")
        parts = [conditions]
        if self.reference_tokens and reference is not None:
            parts.append(reference[:, None].expand(-1, num_chunks, -1, -1))
        parts.append(rearrange(frames, "b (k f) n d -> b k (f n) d", k=num_chunks))
        tokens = rearrange(torch.cat(parts, dim=2), "b k l d -> b (k l) d")
        if self.sink_tokens and reference is not None:
            tokens = torch.cat([reference, tokens], dim=1)
        return tokens

    def frames_of(self, hidden: Tensor) -> Tensor:
        """Picks the frames' hidden states out of a whole sequence: [B, S, D] to [B, K F, N, D]."""
        chunks = rearrange(hidden[:, self.sink_tokens :], "b (k l) d -> b k l d", l=self.chunk_tokens)
        return rearrange(chunks[:, :, self.prefix_tokens :], "b k (f n) d -> b (k f) n d", n=self.frame_tokens)

    def count_chunks(self, num_frames: int) -> int:
        """Chunks that so many input frames fill.

        Raises:
            ValueError: if they do not fill whole chunks.
        """
        if num_frames < 1 or num_frames % self.config.chunk_frames:
            raise ValueError(
                f"a sequence must hold a multiple of {self.config.chunk_frames} frames (layout.chunk_frames), "
                f"got {num_frames}: cut the clip, or set frames of the training phase to a multiple"
            )
        return num_frames // self.config.chunk_frames

    def chunk_and_block(self, num_chunks: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
        """Chunk and block number of every token, each [S] int64; sinks are chunk -1, block -1."""
        inside = torch.zeros(self.chunk_tokens, dtype=torch.long, device=device)
        inside[self.condition_tokens :] = 1
        frame_index = torch.arange(self.config.chunk_frames, device=device).repeat_interleave(self.frame_tokens)
        inside[self.prefix_tokens :] = 2 + frame_index
        chunk = torch.arange(num_chunks, device=device).repeat_interleave(self.chunk_tokens)
        block = chunk * (2 + self.config.chunk_frames) + inside.repeat(num_chunks)
        sinks = torch.full((self.sink_tokens,), -1, device=device)
        return torch.cat([sinks, chunk]), torch.cat([sinks, block])

    def mask(self, num_chunks: int, device: torch.device | None = None) -> Tensor:
        """Who sees whom in a whole sequence: [S, S] bool, rows are queries, True where seen."""
        chunk, block = self.chunk_and_block(num_chunks, device)
        near = (chunk[:, None] - chunk[None, :]) < self.config.window_chunks
        return (block[None, :] <= block[:, None]) & (near | (chunk[None, :] < 0))

    def positions(self, num_chunks: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
        """Positions in a whole sequence.

        Returns:
            position: [S] int64, place in the sequence: rotates keys, and queries that meet keys of the window.
            sink_position: [S] int64, place as if the sinks stood right before the query's window: rotates queries that
                meet sinks. The two are equal in a sequence that fits the window.
        """
        chunk, _ = self.chunk_and_block(num_chunks, device)
        position = torch.arange(chunk.shape[0], device=device)
        evicted = (chunk - (self.config.window_chunks - 1)).clamp(min=0)
        return position, position - evicted * self.chunk_tokens

    # -- one step of a stream -----------------------------------------------------------------------------------------

    def stream_geometry(self, step: Step, num_chunks: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Where a step stands among the slots of a ring of W chunks, sinks in front.

        Chunk n lives in slot n mod W. Nothing here reads a value back from the device.

        Args:
            step: the tokens that enter.
            num_chunks: [B] int64, chunks that each stream has completed.

        Returns:
            slots: [B, Q] int64, where the step's keys and values are written, Q = stop - start.
            query_position: [B, Q] int64.
            key_position: [B, R + W L] int64.
            mask: [B, Q, R + W L] bool, True where seen.
        """
        device = num_chunks.device
        window, length = self.config.window_chunks, self.chunk_tokens
        inside = torch.arange(step.start, step.stop, device=device)
        slots = self.sink_tokens + (num_chunks % window)[:, None] * length + inside  # [B, Q]

        age = (num_chunks[:, None] - torch.arange(window, device=device)) % window  # [B, W], 0 is the chunk in progress
        newest = (window - 1) * length  # positions count from the oldest chunk that the window can hold
        key_position = newest - age[:, :, None] * length + torch.arange(length, device=device)  # [B, W, L]
        query_position = (newest + inside).expand(num_chunks.shape[0], -1)

        _, block = self.chunk_and_block(1, device)
        block = block[self.sink_tokens :]
        own = (block[None, :] <= block[inside][:, None]) & (torch.arange(length, device=device) < step.stop)  # [Q, L]
        past = (age > 0) & (age <= num_chunks[:, None])  # [B, W]
        seen = torch.where((age == 0)[:, None, :, None], own[None, :, None, :], past[:, None, :, None])
        seen = rearrange(seen, "b q w l -> b q (w l)")
        key_position = rearrange(key_position, "b w l -> b (w l)")
        if self.sink_tokens:
            first = newest - num_chunks.clamp(max=window - 1)[:, None] * length - self.sink_tokens
            key_position = torch.cat([first + torch.arange(self.sink_tokens, device=device), key_position], dim=1)
            seen = torch.cat([seen.new_ones(*seen.shape[:2], self.sink_tokens), seen], dim=2)
        return slots, query_position, key_position, seen
