"""The velocity networks: small diffusion heads that turn a frame's hidden state into its latents.

Shapes: B batch (frames of all clips together), N tokens per frame, D hidden width of the backbone, E width of the head,
P values per token (latent channels x patch).
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from worldmodel.flow import timestep_features

HEADS = ("dit", "dit_cross", "mlp")


@dataclass
class HeadConfig:
    """Which velocity network, and its size (MIDAS, section 3.4: PixArt-alpha's blocks without cross-attention)."""

    # dit: tokens of a frame attend to each other | dit_cross: and to the frame's hidden states | mlp: each for itself
    kind: str = "dit"
    hidden_size: int = 256
    num_layers: int = 3
    num_attention_heads: int = 4
    mlp_ratio: float = 3.0

    def __post_init__(self) -> None:
        if self.kind not in HEADS:
            raise ValueError(f"head.kind must be one of {', '.join(HEADS)}, got {self.kind!r}")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"head.hidden_size must be a multiple of head.num_attention_heads, "
                f"got {self.hidden_size} and {self.num_attention_heads}"
            )


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Shifts and scales a normalised x, all [B, N, E]."""
    return x * (1 + scale) + shift


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention of few tokens to few tokens, [B, heads, N, E / heads] each."""
    # There torch's fused backward takes several times as long as that of its plain matrix products.
    slow = query.device.type == "cpu" and query.dtype == torch.bfloat16 and query.requires_grad
    with sdpa_kernel(SDPBackend.MATH) if slow else nullcontext():
        return functional.scaled_dot_product_attention(query, key, value)


class SelfAttention(nn.Module):
    """Attention among the tokens of one frame: [B, N, E] to [B, N, E]."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(x).view(batch, tokens, 3, self.num_heads, width // self.num_heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        out = attend(query, key, value)
        return self.proj(out.transpose(1, 2).reshape(batch, tokens, width))


class CrossAttention(nn.Module):
    """Attention of a frame's tokens to its hidden states: [B, N, E] and [B, N, E] to [B, N, E]."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        query = self.q(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        key, value = self.kv(guide).unflatten(-1, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        out = attend(query, key, value)
        return self.proj(out.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """A transformer block under adaLN-single: the modulation is shared by all blocks, plus a table of its own."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, int(config.hidden_size * config.mlp_ratio)
        self.attn = SelfAttention(width, config.num_attention_heads) if config.kind != "mlp" else None
        self.cross_attn = CrossAttention(width, config.num_attention_heads) if config.kind == "dit_cross" else None
        self.mlp = nn.Sequential(nn.Linear(width, inner), nn.GELU(approximate="tanh"), nn.Linear(inner, width))
        self.scale_shift_table = nn.Parameter(torch.randn(6, width) / width**0.5)

    def forward(self, x: Tensor, modulation: Tensor, guide: Tensor) -> Tensor:
        """x [B, N, E], modulation [B, N, 6, E], guide [B, N, E] to [B, N, E]."""
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = (modulation + self.scale_shift_table).unbind(dim=2)
        shape = (x.shape[-1],)
        if self.attn is not None:
            x = x + gate_a * self.attn(modulate(functional.layer_norm(x, shape, eps=1e-6), shift_a, scale_a))
        if self.cross_attn is not None:
            x = x + self.cross_attn(x, guide)
        return x + gate_m * self.mlp(modulate(functional.layer_norm(x, shape, eps=1e-6), shift_m, scale_m))


class Head(nn.Module):
    """Predicts the velocity of a frame's noisy tokens, guided token by token by the backbone.

    Args:
        config: kind and size.
        token_values: P.
        hidden_width: D.
        num_tokens: N.
    """

    def __init__(self, config: HeadConfig, token_values: int, hidden_width: int, num_tokens: int) -> None:
        super().__init__()
        self.config = config
        width = config.hidden_size
        self.x_embedder = nn.Linear(token_values, width)
        self.position = nn.Parameter(0.02 * torch.randn(num_tokens, width))
        self.t_embedder = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))
        self.hidden_embedder = nn.Linear(hidden_width, width)
        self.t_block = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.num_layers)])
        self.final_table = nn.Parameter(torch.randn(2, width) / width**0.5)
        self.final_layer = nn.Linear(width, token_values)
        nn.init.zeros_(self.final_layer.weight)
        nn.init.zeros_(self.final_layer.bias)

    def guide(self, hidden: Tensor) -> Tensor:
        """What of the hidden state the head needs, the same for all solver steps: [B, N, D] to [B, N, E]."""
        return self.hidden_embedder(hidden)

    def forward(self, x: Tensor, timestep: Tensor, guide: Tensor) -> Tensor:
        """Velocity at x(t).

        Args:
            x: [B, N, P] noisy tokens.
            timestep: [B] in [0, 1].
            guide: [B, N, E] from `guide`.

        Returns:
            [B, N, P] velocity.
        """
        condition = guide + self.t_embedder(timestep_features(timestep, 256).to(x.dtype))[:, None]
        modulation = self.t_block(condition).unflatten(-1, (6, -1))
        x = self.x_embedder(x) + self.position + guide
        for block in self.blocks:
            x = block(x, modulation, guide)
        shift, scale = (condition[:, :, None] + self.final_table).unbind(dim=2)
        x = functional.layer_norm(x, (x.shape[-1],), eps=1e-6)
        return self.final_layer(modulate(x, shift, scale))
