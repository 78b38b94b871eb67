"""Qwen2.5 over the layout: transformers' own Qwen2Model, unmodified, with the layout's mask and positions.

The model is called with all-zero `position_ids`, which makes its built-in rotation the identity; the attention function
registered here rotates queries and keys itself by the positions it is given. Keys are thus cached before rotation, and
a ring of slots can be read at any positions.

Shapes: B batch, S tokens, Q query tokens, P key tokens, D width, E head width, R sink tokens.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, Qwen2Config, Qwen2Model

from worldmodel.cache import StreamCache
from worldmodel.layout import Layout, Step

ATTENTION = "worldmodel_layout"


@dataclass
class BackboneConfig:
    """The keys of transformers' Qwen2Config that a run sets."""

    hidden_size: int = 256
    intermediate_size: int = 768
    num_hidden_layers: int = 6
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    rope_theta: float = 1e6
    rms_norm_eps: float = 1e-6
    vocab_size: int = 1  # rows of the unused word embedding, kept so that stock Qwen2 folders load
    max_position_embeddings: int = 32768
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads or self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                "backbone.hidden_size must be a multiple of num_attention_heads, and that of num_key_value_heads, got "
                f"{self.hidden_size}, {self.num_attention_heads} and {self.num_key_value_heads}"
            )


@dataclass
class Rotation:
    """Cosines and sines that rotate one forward pass, computed once for all layers.

    Attributes:
        query: [B or 1, 1, Q, 2, E / 2] cosine and sine of each query.
        key: [B or 1, 1, P, 2, E / 2] cosine and sine of each key.
        sink_query: like query, for queries that meet sinks; None where it would be the same.
        sink_tokens: R, the leading keys that are sinks.
    """

    query: Tensor
    key: Tensor
    sink_query: Tensor | None = None
    sink_tokens: int = 0


def rotation_table(position: Tensor, head_width: int, theta: float) -> Tensor:
    """Rotary cosines and sines (Su et al. 2021), the angles in float64 so that any position is exact.

    Args:
        position: [..., S] int64.
        head_width: E, even.
        theta: base of the frequencies.

    Returns:
        [..., 1, S, 2, E / 2] float32.
    """
    half = head_width // 2
    frequency = theta ** (-torch.arange(half, dtype=torch.float64, device=position.device) / half)
    angle = position.to(torch.float64)[..., None] * frequency
    return torch.stack([angle.cos(), angle.sin()], dim=-2).float().unsqueeze(-4)


def rotate(x: Tensor, table: Tensor) -> Tensor:
    """Rotates the two halves of each head (Qwen2's convention): x [B, heads, S, E], table [B or 1, 1, S, 2, E / 2]."""
    first, second = x.chunk(2, dim=-1)
    cosine, sine = table.to(x.dtype).unbind(dim=-2)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


def layout_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    rotation: Rotation,
    scaling: float,
    dropout: float = 0.0,
    **_: object,
) -> tuple[Tensor, None]:
    """Attention as transformers' AttentionInterface calls it, rotating by the layout's positions.

    Queries that meet sinks stand elsewhere than queries that meet the window. Where the two differ, both rotations are
    laid side by side in a head twice as wide, and each key fills the half that concerns it, so one softmax serves both.

    Args:
        module: the attention layer.
        query: [B, heads, Q, E] not rotated.
        key: [B, key heads, P, E] not rotated.
        value: [B, key heads, P, E].
        attention_mask: [B or 1, 1, Q, P] bool, True where seen.
        rotation: how to rotate.
        scaling: factor on the scores.
        dropout: probability, in training.

    Returns:
        [B, Q, heads, E] and None for the weights.
    """
    if rotation.sink_query is None:
        query, key = rotate(query, rotation.query), rotate(key, rotation.key)
    else:
        key = rotate(key, rotation.key)
        query = torch.cat([rotate(query, rotation.query), rotate(query, rotation.sink_query)], dim=-1)
        sinks, window = key.split([rotation.sink_tokens, key.shape[2] - rotation.sink_tokens], dim=2)
        sinks = torch.cat([torch.zeros_like(sinks), sinks], dim=-1)
        window = torch.cat([window, torch.zeros_like(window)], dim=-1)
        key = torch.cat([sinks, window], dim=2)
    out = scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, dropout_p=dropout, scale=scaling, enable_gqa=True
    )
    return out.transpose(1, 2).contiguous(), None


AttentionInterface.register(ATTENTION, layout_attention)


class Backbone(nn.Module):
    """The autoregressive backbone.

    Args:
        config: the Qwen2 keys, or the model's own Qwen2Config.
    """

    def __init__(self, config: BackboneConfig | Qwen2Config) -> None:
        super().__init__()
        if isinstance(config, BackboneConfig):
            keys = asdict(config)
            checkpointing = keys.pop("gradient_checkpointing")
            rope = {"rope_type": "default", "rope_theta": keys.pop("rope_theta")}
            config = Qwen2Config(**keys, rope_parameters=rope, attn_implementation=ATTENTION, use_cache=False)
        else:
            checkpointing = False
            config._attn_implementation = ATTENTION
        self.model = Qwen2Model(config)
        if checkpointing:
            self.model.gradient_checkpointing_enable({"use_reentrant": False})
        self.model.embed_tokens.requires_grad_(False)  # words are never looked up

    @property
    def width(self) -> int:
        return self.model.config.hidden_size

    @property
    def head_width(self) -> int:
        return self.width // self.model.config.num_attention_heads

    def forward(self, tokens: Tensor, layout: Layout) -> Tensor:
        """A whole sequence at once, as in training.

        Args:
            tokens: [B, S, D] from `layout.assemble`.
            layout: the sequence's geometry.

        Returns:
            [B, S, D] hidden states.
        """
        num_chunks = (tokens.shape[1] - layout.sink_tokens) // layout.chunk_tokens
        position, sink_position = layout.positions(num_chunks, tokens.device)
        table = self._table(position)
        rotation = Rotation(query=table, key=table)
        if layout.sink_tokens and num_chunks > layout.config.window_chunks:
            rotation.sink_query, rotation.sink_tokens = self._table(sink_position), layout.sink_tokens
        return self._run(tokens, layout.mask(num_chunks, tokens.device)[None, None], rotation, None)

    def step(self, tokens: Tensor, layout: Layout, step: Step, cache: StreamCache) -> Tensor:
        """The next tokens of B streams, the same result as `forward` gives at their place.

        Args:
            tokens: [B, Q, D], the tokens from step.start to step.stop of each stream's chunk in progress.
            layout: the geometry.
            step: which of `layout.steps`.
            cache: updated in place.

        Returns:
            [B, Q, D] hidden states.
        """
        slots, query_position, key_position, mask = layout.stream_geometry(step, cache.num_chunks)
        cache.slots = slots
        rotation = Rotation(query=self._table(query_position), key=self._table(key_position))
        return self._run(tokens, mask[:, None], rotation, cache)

    def sinks(self, tokens: Tensor, layout: Layout, cache: StreamCache) -> None:
        """Writes the sinks of B streams: tokens [B, R, D] see each other only."""
        slots = torch.arange(layout.sink_tokens, device=tokens.device).expand(tokens.shape[0], -1)
        cache.slots = slots
        key_position = torch.zeros(1, layout.window_tokens, dtype=torch.long, device=tokens.device)
        key_position[:, : layout.sink_tokens] = slots[:1]
        mask = torch.zeros(1, 1, layout.sink_tokens, layout.window_tokens, dtype=torch.bool, device=tokens.device)
        mask[..., : layout.sink_tokens] = True
        self._run(tokens, mask, Rotation(query=self._table(slots), key=self._table(key_position)), cache)

    def new_cache(self, batch_size: int, layout: Layout) -> StreamCache:
        """An empty cache for B streams, on the model's device and in its dtype."""
        weight = self.model.layers[0].self_attn.k_proj.weight
        config = self.model.config
        shape = (batch_size, config.num_key_value_heads, layout.window_tokens, self.head_width)
        return StreamCache(config.num_hidden_layers, shape, weight.dtype, weight.device)

    def _table(self, position: Tensor) -> Tensor:
        return rotation_table(position, self.head_width, self.model.config.rope_parameters["rope_theta"])

    def _run(self, tokens: Tensor, mask: Tensor, rotation: Rotation, cache: StreamCache | None) -> Tensor:
        out = self.model(
            inputs_embeds=tokens,
            attention_mask={"full_attention": mask},
            position_ids=torch.zeros(1, tokens.shape[1], dtype=torch.long, device=tokens.device),
            past_key_values=cache,
            use_cache=False,
            rotation=rotation,
        )
        return out.last_hidden_state
