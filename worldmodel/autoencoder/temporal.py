"""Looking back in time inside the autoencoder, causally, over a fixed history.

After MIDAS (arXiv 2508.19320, the autoencoder's section): a temporal convolution whose padding lies wholly in the past
and repeats the first frame, and temporal attention with rotary positions. Both see the current frame and
`history` (5) frames before it. Both are residuals that start at zero, so a picture autoencoder's weights keep their
output until training moves them.

Shapes: B batch, T frames, C channels, K history + 1, h w a stage's height and width, P = h * w positions.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


@dataclass
class History:
    """What one temporal block remembers of a batch of streams."""

    frames: Tensor  # [B, C, K-1, P], inputs of the convolution, oldest first
    keys: Tensor  # [B, P, heads, K-1, head_dim], not yet rotated
    values: Tensor  # [B, P, heads, K-1, head_dim]

    def tensors(self) -> list[Tensor]:
        return [self.frames, self.keys, self.values]


@dataclass
class StreamState:
    """What one side (encoder or decoder) remembers: a history per temporal block, and each row's frame count."""

    count: Tensor  # [B] int64, frames seen since the row was reset
    histories: dict[str, History] = field(default_factory=dict)

    def reset(self, row: int) -> None:
        """Begins row `row` anew: its next frame stands for its whole past. Other rows are untouched."""
        self.count[row] = 0

    def tensors(self) -> list[Tensor]:
        """Everything that has a row per stream."""
        return [self.count, *(tensor for history in self.histories.values() for tensor in history.tensors())]

    def copy_row(self, source: int, target: int, origin: StreamState | None = None) -> None:
        """Makes row `target` continue from where row `source` (of `origin`, by default of this state) is."""
        for mine, theirs in zip(self.tensors(), (origin or self).tensors(), strict=True):
            mine[target].copy_(theirs[source])


class TemporalConv(nn.Module):
    """Causal convolution over time, zero at the start of training."""

    def __init__(self, channels: int, history: int) -> None:
        super().__init__()
        self.history = history
        self.conv = nn.Conv2d(channels, channels, (history + 1, 1))
        nn.init.zeros_(self.conv.weight)
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, P] -> [B, C, T, P]; output t depends on inputs t - history … t only."""
        first = x[:, :, :1].expand(-1, -1, self.history, -1)
        return self.conv(torch.cat([first, x], dim=2))

    def step(self, x: Tensor, frames: Tensor) -> Tensor:
        """One frame [B, C, 1, P] after `frames` [B, C, history, P], which moves on by one in place."""
        window = torch.cat([frames, x], dim=2)  # [B, C, K, P]
        frames.copy_(window[:, :, 1:])
        return self.conv(window)


class TemporalAttention(nn.Module):
    """Causal attention of each position to its own past, with rotary positions, zero at the start of training."""

    def __init__(self, channels: int, history: int, heads: int, theta: float) -> None:
        super().__init__()
        self.history, self.heads, self.head_dim, self.theta = history, heads, channels // heads, theta
        self.norm = nn.RMSNorm(channels, eps=1e-5)
        self.to_qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.to_out = nn.Linear(channels, channels, bias=False)
        nn.init.zeros_(self.to_out.weight)

    def rotate(self, x: Tensor, start: int) -> Tensor:
        """Rotates [..., T, head_dim] by the positions start … start + T - 1."""
        # Angles in float64: a clip's late frames must keep the distances that a stream sees near zero.
        half = self.head_dim // 2
        exponent = torch.arange(half, device=x.device, dtype=torch.float64) / half
        position = torch.arange(start, start + x.shape[-2], device=x.device, dtype=torch.float64)
        angle = position[:, None] * self.theta**-exponent  # [T, head_dim / 2]
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        a, b = x[..., :half], x[..., half:]
        return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B, C, T, P] -> queries, keys, values, each [B, P, heads, T, head_dim]."""
        x = rearrange(x, "b c t p -> b p t c").contiguous()  # a linear layer is 300 times slower on strided bf16 (CPU)
        qkv = self.to_qkv(self.norm(x.to(self.norm.weight.dtype)))  # a norm of one dtype is one kernel
        q, k, v = rearrange(qkv, "b p t (three n d) -> three b p n t d", three=3, n=self.heads).unbind(0)
        return q, k, v

    def output(self, x: Tensor) -> Tensor:
        """[B, P, heads, T, head_dim] -> [B, C, T, P]."""
        return rearrange(self.to_out(rearrange(x, "b p n t d -> b p t (n d)")), "b p t c -> b c t p")

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, P] -> [B, C, T, P]; output t depends on inputs t - history … t only."""
        frames = x.shape[2]
        q, k, v = self.project(x)
        k = torch.cat([k[..., :1, :].expand(*k.shape[:-2], self.history, -1), k], dim=-2)
        v = torch.cat([v[..., :1, :].expand(*v.shape[:-2], self.history, -1), v], dim=-2)
        query = torch.arange(frames, device=x.device)[:, None]
        key = torch.arange(frames + self.history, device=x.device)
        band = (key >= query) & (key <= query + self.history)  # [T, history + T]
        q, k, v = (t.flatten(0, 1) for t in (self.rotate(q, self.history), self.rotate(k, 0), v))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=band)
        return self.output(y.unflatten(0, (x.shape[0], -1)))

    def step(self, x: Tensor, keys: Tensor, values: Tensor, fresh: Tensor) -> Tensor:
        """One frame [B, C, 1, P] after `keys` and `values` [B, P, heads, history, head_dim], moved on in place."""
        q, k, v = self.project(x)
        fresh = fresh[:, None, None, None, None]
        k = torch.cat([torch.where(fresh, k, keys), k], dim=-2)
        v = torch.cat([torch.where(fresh, v, values), v], dim=-2)
        keys.copy_(k[..., 1:, :])
        values.copy_(v[..., 1:, :])
        q, k, v = (t.flatten(0, 1) for t in (self.rotate(q, self.history), self.rotate(k, 0), v))
        y = F.scaled_dot_product_attention(q, k, v)
        return self.output(y.unflatten(0, (x.shape[0], -1)))


class TemporalBlock(nn.Module):
    """Temporal convolution, then temporal attention, each a residual."""

    def __init__(self, channels: int, history: int, heads: int, theta: float = 10000.0) -> None:
        super().__init__()
        self.conv = TemporalConv(channels, history)
        self.attention = TemporalAttention(channels, history, heads, theta)

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        """Whole clips: [B*T, C, h, w] -> [B*T, C, h, w], `num_frames` = T."""
        height = x.shape[-2]
        x = rearrange(x, "(b t) c h w -> b c t (h w)", t=num_frames)
        x = x + self.conv(x)
        x = x + self.attention(x)
        return rearrange(x, "b c t (h w) -> (b t) c h w", h=height)

    def step(self, x: Tensor, history: History, fresh: Tensor) -> Tensor:
        """The next frame of each row: [B, C, h, w] -> [B, C, h, w]; `history` moves on in place.

        Rows marked in `fresh` [B] bool have no past yet: the frame itself stands for it. Never syncs with the host.
        """
        height = x.shape[-2]
        x = rearrange(x, "b c h w -> b c 1 (h w)")
        # A row without a past gets this very frame as its past, as the padding of a whole clip does.
        history.frames.copy_(torch.where(fresh[:, None, None, None], x, history.frames))
        x = x + self.conv.step(x, history.frames)
        x = x + self.attention.step(x, history.keys, history.values, fresh)
        return rearrange(x, "b c 1 (h w) -> b c h w", h=height)

    def init_history(self, batch_size: int, positions: int, device: torch.device, dtype: torch.dtype) -> History:
        """Room for `batch_size` streams of `positions` = h * w."""
        attention = self.attention
        shape = (batch_size, positions, attention.heads, attention.history, attention.head_dim)
        channels = attention.heads * attention.head_dim
        return History(
            frames=torch.zeros(batch_size, channels, attention.history, positions, device=device, dtype=dtype),
            keys=torch.zeros(shape, device=device, dtype=dtype),
            values=torch.zeros(shape, device=device, dtype=dtype),
        )
