"""Latents as tokens: patches, the noise buckets that make the model robust to its own output, and the embedding.

Shapes: B batch, T frames, C latent channels, h w latent size, p patch, N = h w / p^2 tokens per frame, P = C p^2 values
per token, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from worldmodel.flow import Generators, draw_normal, draw_uniform


@dataclass
class NoiseConfig:
    """Corruption of context frames (MIDAS, section 3.5; after GameNGen, section 3.2.1)."""

    num_buckets: int = 20
    max_sigma: float = 0.5
    stream_bucket: int = 1  # the bucket that a stream's own frames are given
    # The bucket, and no guidance, that a stream comes to while nothing is asked of it, `rest_frames` frames after the
    # last input: nothing new comes into view then, and what is wrong is seen again and made more of. None: the same.
    rest_bucket: int | None = None
    rest_frames: int = 40
    # From then on one chunk in so many becomes the stream's past; those between are imagined from the same past again,
    # so what is wrong with them is not made more of.
    rest_every: int = 1
    redraw: float = 0.0  # share of clips that learn from context frames that the model redrew: WorldModel.redraw
    redraw_steps: int = 2  # solver steps of it

    @property
    def rests(self) -> bool:
        """Whether a stream that nothing is asked of goes on in another way."""
        return self.rest_bucket is not None or self.rest_every > 1

    def __post_init__(self) -> None:
        if self.num_buckets < 2 or not 0 <= self.stream_bucket < self.num_buckets:
            raise ValueError(
                f"noise.num_buckets must be 2 or more and noise.stream_bucket one of them, "
                f"got {self.num_buckets} and {self.stream_bucket}"
            )
        if self.rest_bucket is not None and not 0 <= self.rest_bucket < self.num_buckets:
            raise ValueError(f"noise.rest_bucket must be one of {self.num_buckets} buckets, got {self.rest_bucket}")
        if self.rest_frames < 1 or self.rest_every < 1:
            raise ValueError(
                f"noise.rest_frames and noise.rest_every must be 1 or more, "
                f"got {self.rest_frames} and {self.rest_every}"
            )
        if not 0 <= self.max_sigma < 1:
            raise ValueError(f"noise.max_sigma must lie in [0, 1), got {self.max_sigma}")
        if not 0 <= self.redraw <= 1 or self.redraw_steps < 1:
            raise ValueError(
                f"noise.redraw must lie in [0, 1] and noise.redraw_steps be 1 or more, "
                f"got {self.redraw} and {self.redraw_steps}"
            )


PLACE_SCALE = 0.1  # of the learned places at the start: large enough to be seen beside what they are added to


def draw_buckets(batch: int, frames: int, config: NoiseConfig, generator: Generators, like: Tensor) -> Tensor:
    """One bucket per context frame, uniform: [B, T] int64."""
    uniform = draw_uniform((batch, frames), generator, like.new_empty((), dtype=torch.float32))
    return (uniform * config.num_buckets).long().clamp_(max=config.num_buckets - 1)


def corrupt(latents: Tensor, bucket: Tensor, config: NoiseConfig, generator: Generators) -> Tensor:
    """Mixes noise into context frames: sigma eps + (1 - sigma) x, sigma growing evenly from bucket 0, which has none.

    Args:
        latents: [B, T, C, h, w].
        bucket: [B, T] int64.
        config: buckets and their range.
        generator: of the noise.

    Returns:
        [B, T, C, h, w].
    """
    sigma = bucket * (config.max_sigma / (config.num_buckets - 1))
    sigma = sigma.to(latents.dtype)[:, :, None, None, None]
    return sigma * draw_normal(latents.shape, generator, latents) + (1 - sigma) * latents


def to_tokens(latents: Tensor, patch: int) -> Tensor:
    """Cuts latents [..., C, h, w] into tokens [..., N, P], row by row, contiguous: linear layers are slow otherwise."""
    return rearrange(latents, "... c (h p) (w q) -> ... (h w) (c p q)", p=patch, q=patch).contiguous()


def to_latents(tokens: Tensor, patch: int, height: int) -> Tensor:
    """Undoes `to_tokens`: [..., N, P] to [..., C, h, w], where h = `height`."""
    return rearrange(tokens, "... (h w) (c p q) -> ... c (h p) (w q)", h=height // patch, p=patch, q=patch)


class FrameEmbedding(nn.Module):
    """Embeds the tokens of input frames: values, place in the frame, and noise bucket.

    Args:
        token_values: P.
        num_tokens: N.
        width: D.
        num_buckets: noise buckets; one more row marks a reference picture.
        places: (M, F) places of a chunk's condition tokens and of its frames (`Layout.places`); (0, 0) learns none.
        direct: which of a chunk's M condition tokens are added to each of its F frames, F lists of one length, or none;
            M itself stands for nothing.
        shortcut: whether the frames also go past the backbone.
    """

    def __init__(
        self,
        token_values: int,
        num_tokens: int,
        width: int,
        num_buckets: int,
        places: tuple[int, int] = (0, 0),
        direct: Sequence[Sequence[int]] = (),
        shortcut: bool = False,
    ) -> None:
        super().__init__()
        self.projection = nn.Linear(token_values, width)
        self.position = nn.Parameter(0.02 * torch.randn(num_tokens, width))
        self.bucket = nn.Parameter(0.02 * torch.randn(num_buckets + 1, width))
        condition_places, self.frame_places = places
        if self.frame_places:
            self.condition_place = nn.Parameter(PLACE_SCALE * torch.randn(condition_places, width))
            self.frame_place = nn.Parameter(PLACE_SCALE * torch.randn(self.frame_places, width))
        self.direct: Tensor
        self.register_buffer("direct", torch.tensor([list(own) for own in direct], dtype=torch.long), persistent=False)
        if len(self.direct):
            self.entry = nn.Linear(self.direct.shape[1] * width, width)
            nn.init.zeros_(self.entry.weight)
            nn.init.zeros_(self.entry.bias)
        self.shortcut = nn.Linear(token_values, width, bias=False) if shortcut else None
        if self.shortcut is not None:
            nn.init.zeros_(self.shortcut.weight)

    def forward(self, tokens: Tensor, bucket: Tensor, first: int = 0) -> Tensor:
        """Embeds frames.

        Args:
            tokens: [B, T, N, P].
            bucket: [B, T] int64.
            first: place in its chunk of the first frame.

        Returns:
            [B, T, N, D].
        """
        embedded = self.projection(tokens) + self.position + self.bucket[bucket][:, :, None]
        if not self.frame_places:
            return embedded
        place = (torch.arange(tokens.shape[1], device=tokens.device) + first) % self.frame_places
        return embedded + self.frame_place[place][:, None]

    def entering(self, conditions: Tensor) -> Tensor | float:
        """What the frames' own conditions add to their tokens.

        Args:
            conditions: [B, K, M, D] condition tokens of K chunks, their places untold.

        Returns:
            [B, K F, 1, D], or 0 where they enter by attention alone.
        """
        if not len(self.direct):
            return 0.0
        conditions = functional.pad(conditions, (0, 0, 0, 1))  # [B, K, M + 1, D]
        return rearrange(self.entry(conditions[:, :, self.direct].flatten(-2)), "b k f d -> b (k f) 1 d")

    def past(self, tokens: Tensor) -> Tensor | float:
        """What of input frames [..., N, P] is added to the backbone's state there: [..., N, D], or 0."""
        return 0.0 if self.shortcut is None else self.shortcut(tokens)

    def conditions(self, tokens: Tensor) -> Tensor:
        """Tells condition tokens [..., M, D] their places in the chunk, where places are learned."""
        return tokens + self.condition_place if self.frame_places else tokens

    def reference(self, tokens: Tensor) -> Tensor:
        """Tokens of a reference picture, never corrupted: [B, N, P] to [B, N, D]."""
        return self.projection(tokens) + self.position + self.bucket[-1]
