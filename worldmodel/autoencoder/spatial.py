"""The picture part of DC-AE (arXiv 2410.10733): deep compression by residual resampling.

Module names, hence state-dict keys, and the order of every floating-point operation follow diffusers' AutoencoderDC,
so that its public weights give the same bits here.

Shapes: N pictures, C channels, H W the height and width of a stage.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ACTIVATION_MODULES: dict[str, type[nn.Module]] = {
    "silu": nn.SiLU,
    "swish": nn.SiLU,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "mish": nn.Mish,
    "none": nn.Identity,
}


class RMSNorm(nn.Module):
    """Root-mean-square norm over the channels of [N, C, H, W], with scale and shift."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        x = x.movedim(1, -1)
        mean_square = x.float().pow(2).mean(-1, keepdim=True)
        x = x * torch.rsqrt(mean_square + self.eps)
        if self.weight.dtype != torch.float32:
            x = x.to(self.weight.dtype)
        return (x * self.weight + self.bias).movedim(-1, 1)


def make_norm(norm_type: str, channels: int) -> nn.Module:
    if norm_type == "rms_norm":
        return RMSNorm(channels)
    if norm_type == "batch_norm":
        return nn.BatchNorm2d(channels, eps=1e-5)
    return nn.Identity()


class ResBlock(nn.Module):
    """Two 3x3 convolutions beside an identity."""

    def __init__(self, channels: int, norm_type: str, act_fn: str) -> None:
        super().__init__()
        self.nonlinearity = ACTIVATION_MODULES[act_fn]()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = make_norm(norm_type, channels)
        if norm_type == "none":
            nn.init.zeros_(self.conv2.weight)  # a deep stack without norms starts as the identity

    def forward(self, x: Tensor, between: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """x [N, C, H, W] to the same; `between` is put after the first convolution."""
        y = self.conv1(x)
        if between is not None:
            y = between(y)
        return self.norm(self.conv2(self.nonlinearity(y))) + x


class MultiscaleProjection(nn.Module):
    """Queries, keys and values gathered from a neighbourhood: a depthwise, then a per-head convolution."""

    def __init__(self, inner: int, heads: int, kernel_size: int) -> None:
        super().__init__()
        width = 3 * inner
        self.proj_in = nn.Conv2d(width, width, kernel_size, padding=kernel_size // 2, groups=width, bias=False)
        self.proj_out = nn.Conv2d(width, width, 1, groups=3 * heads, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj_out(self.proj_in(x))


class MultiscaleLinearAttention(nn.Module):
    """ReLU linear attention over all positions (EfficientViT); quadratic where there are few of them."""

    eps = 1e-15

    def __init__(self, channels: int, head_dim: int, norm_type: str, kernel_sizes: list[int]) -> None:
        super().__init__()
        self.head_dim = head_dim
        heads = channels // head_dim
        inner = heads * head_dim
        self.to_q = nn.Linear(channels, inner, bias=False)
        self.to_k = nn.Linear(channels, inner, bias=False)
        self.to_v = nn.Linear(channels, inner, bias=False)
        self.to_qkv_multiscale = nn.ModuleList(MultiscaleProjection(inner, heads, size) for size in kernel_sizes)
        self.to_out = nn.Linear(inner * (1 + len(kernel_sizes)), channels, bias=False)
        self.norm_out = make_norm(norm_type, channels)

    def linear(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Each [N, heads, head_dim, positions]; the sum of weights rides along as one more row of the values."""
        v = F.pad(v, (0, 0, 0, 1), value=1.0)
        x = ((v @ k.transpose(-1, -2)) @ q).float()
        return x[:, :, :-1] / (x[:, :, -1:] + self.eps)

    def quadratic(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        weights = (k.transpose(-1, -2) @ q).float()
        weights = weights / (weights.sum(dim=2, keepdim=True) + self.eps)
        return v @ weights.to(v.dtype)

    def forward(self, x: Tensor) -> Tensor:
        count, _, height, width = x.shape
        last = x.movedim(1, -1)  # [N, H, W, C]
        qkv = torch.cat([self.to_q(last), self.to_k(last), self.to_v(last)], dim=-1).movedim(-1, 1)
        qkv = torch.cat([qkv, *(project(qkv) for project in self.to_qkv_multiscale)], dim=1)
        linear = height * width > self.head_dim
        if linear:
            qkv = qkv.float()
        q, k, v = qkv.reshape(count, -1, 3 * self.head_dim, height * width).chunk(3, dim=2)
        q, k = F.relu(q), F.relu(k)
        y = self.linear(q, k, v).to(x.dtype) if linear else self.quadratic(q, k, v)
        y = self.to_out(y.reshape(count, -1, height, width).movedim(1, -1)).movedim(-1, 1)
        return self.norm_out(y) + x


class GLUMBConv(nn.Module):
    """Gated inverted bottleneck: widen eightfold, a depthwise 3x3, half of it gating the other, and back."""

    def __init__(self, channels: int, expand_ratio: int = 4) -> None:
        super().__init__()
        hidden = expand_ratio * channels
        self.nonlinearity = nn.SiLU()
        self.conv_inverted = nn.Conv2d(channels, 2 * hidden, 1)
        self.conv_depth = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden)
        self.conv_point = nn.Conv2d(hidden, channels, 1, bias=False)
        self.norm = RMSNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.conv_depth(self.nonlinearity(self.conv_inverted(x))).chunk(2, dim=1)
        return self.norm(self.conv_point(value * self.nonlinearity(gate))) + x


class EfficientViTBlock(nn.Module):
    """Global mixing by linear attention, then local mixing by a gated convolution."""

    def __init__(self, channels: int, head_dim: int, norm_type: str, kernel_sizes: list[int]) -> None:
        super().__init__()
        self.attn = MultiscaleLinearAttention(channels, head_dim, norm_type, kernel_sizes)
        self.conv_out = GLUMBConv(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_out(self.attn(x))


class DownBlock(nn.Module):
    """Halves height and width; the shortcut is space-to-depth, averaged over groups of channels."""

    def __init__(self, in_channels: int, out_channels: int, unshuffle: bool, shortcut: bool = True) -> None:
        super().__init__()
        self.unshuffle, self.shortcut = unshuffle, shortcut
        self.group_size = 4 * in_channels // out_channels
        ratio, stride = (4, 1) if unshuffle else (1, 2)
        self.conv = nn.Conv2d(in_channels, out_channels // ratio, 3, stride=stride, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        if self.unshuffle:
            y = F.pixel_unshuffle(y, 2)
        if not self.shortcut:
            return y
        return y + F.pixel_unshuffle(x, 2).unflatten(1, (-1, self.group_size)).mean(dim=2)


class UpBlock(nn.Module):
    """Doubles height and width; the shortcut repeats channels and moves depth to space."""

    def __init__(self, in_channels: int, out_channels: int, interpolate: bool, shortcut: bool = True) -> None:
        super().__init__()
        self.interpolate, self.shortcut = interpolate, shortcut
        self.repeats = 4 * out_channels // in_channels
        self.conv = nn.Conv2d(in_channels, out_channels * (1 if interpolate else 4), 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        if self.interpolate:
            y = self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))
        else:
            y = F.pixel_shuffle(self.conv(x), 2)
        if not self.shortcut:
            return y
        repeated = x.repeat_interleave(self.repeats, dim=1, output_size=x.shape[1] * self.repeats)
        return y + F.pixel_shuffle(repeated, 2)
