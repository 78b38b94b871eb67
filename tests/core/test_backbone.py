"""The backbone over the layout: streaming against the whole forward, stock Qwen2, causality by gradient."""

from __future__ import annotations

import pytest
import torch
from transformers import Qwen2Config, Qwen2Model

from worldmodel.backbone import Backbone, BackboneConfig, rotate, rotation_table
from worldmodel.layout import Layout, LayoutConfig

M, N, D, W = 2, 3, 32, 3
CONFIG = BackboneConfig(
    hidden_size=D, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2
)


def make(chunk_frames: int = 1, reference: str = "none") -> tuple[Backbone, Layout]:
    torch.manual_seed(0)
    backbone = Backbone(CONFIG).eval()
    for name, parameter in backbone.named_parameters():
        if "proj" in name:
            torch.nn.init.normal_(parameter, std=0.3)  # large enough that attention is far from uniform
    return backbone, Layout(LayoutConfig(chunk_frames, W, reference), M, N)


def sequence(layout: Layout, num_chunks: int, batch: int = 2) -> torch.Tensor:
    torch.manual_seed(1)
    frames = torch.randn(batch, num_chunks * layout.config.chunk_frames, N, D)
    reference = None if layout.config.reference == "none" else torch.randn(batch, N, D)
    return layout.assemble(torch.randn(batch, num_chunks, M, D), frames, reference)


def stream(backbone: Backbone, layout: Layout, tokens: torch.Tensor, begin: int = 0) -> torch.Tensor:
    """Everything but the sinks, step by step; `begin` is the chunk number that the stream pretends to be at."""
    cache = backbone.new_cache(len(tokens), layout)
    if layout.sink_tokens:
        backbone.sinks(tokens[:, : layout.sink_tokens], layout, cache)
    cache.num_chunks += begin
    chunks = tokens[:, layout.sink_tokens :].unflatten(1, (-1, layout.chunk_tokens))
    out = []
    for chunk in chunks.unbind(dim=1):
        out += [backbone.step(chunk[:, s.start : s.stop], layout, s, cache) for s in layout.steps]
        cache.num_chunks += 1
    return torch.cat(out, dim=1)


@pytest.mark.parametrize("reference", ["none", "sink", "chunk"])
@pytest.mark.parametrize("chunk_frames", [1, 3])
@torch.no_grad()
def test_streaming_equals_the_windowed_forward(chunk_frames: int, reference: str) -> None:
    """Through more than three windows, so that most of it is after eviction."""
    backbone, layout = make(chunk_frames, reference)
    tokens = sequence(layout, 3 * W + 2)
    whole = backbone(tokens, layout)[:, layout.sink_tokens :]
    torch.testing.assert_close(stream(backbone, layout, tokens), whole, atol=1e-4, rtol=0)
    assert (whole[:, -1] - whole[:, -1 - layout.chunk_tokens]).abs().max() > 0.1  # and it is not a constant


@pytest.mark.parametrize("reference", ["none", "sink"])
@torch.no_grad()
def test_streaming_after_ten_hours(reference: str) -> None:
    """A window later, a stream that began at chunk 0 and one that is ten hours old at 20 Hz agree."""
    backbone, layout = make(reference=reference)
    tokens = sequence(layout, 3 * W)
    old = stream(backbone, layout, tokens, begin=10 * 3600 * 20 // W * W)
    whole = backbone(tokens, layout)[:, layout.sink_tokens :]
    # the old stream's first chunks look back on slots that were never written: compare what has forgotten them
    depth = CONFIG.num_hidden_layers * (W - 1) * layout.chunk_tokens
    torch.testing.assert_close(old[:, depth:], whole[:, depth:], atol=1e-4, rtol=0)


@torch.no_grad()
def test_positions_are_exact_at_ten_hours() -> None:
    """Scores depend on distance only, at positions worth ten hours as at the start."""
    query, key = torch.randn(1, 1, 1, 64), torch.randn(1, 1, 1, 64)

    def score(q: int, k: int) -> torch.Tensor:
        tables = [rotation_table(torch.tensor([p]), 64, 1e6) for p in (q, k)]
        return (rotate(query, tables[0]) * rotate(key, tables[1])).sum()

    far = 10 * 3600 * 20 * 18
    torch.testing.assert_close(score(far + 100, far), score(100, 0), atol=1e-4, rtol=0)


@torch.no_grad()
def test_it_is_stock_qwen2() -> None:
    """The same weights in an unmodified Qwen2Model, with its own rotation and our mask, give the same hidden states."""
    backbone, layout = make()
    tokens = sequence(layout, W)
    config = Qwen2Config(**{**backbone.model.config.to_dict(), "attn_implementation": "sdpa"})
    stock = Qwen2Model(config).eval()
    stock.load_state_dict(backbone.model.state_dict())
    expected = stock(
        inputs_embeds=tokens,
        attention_mask={"full_attention": layout.mask(W)[None, None]},
        position_ids=torch.arange(tokens.shape[1])[None],
    ).last_hidden_state
    torch.testing.assert_close(backbone(tokens, layout), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("chunk_frames", "reference"), [(1, "none"), (2, "sink"), (2, "chunk")])
def test_causality_by_gradient(chunk_frames: int, reference: str) -> None:
    """Token by token: a hidden state has a gradient from exactly those tokens that layers of the mask let through."""
    backbone, layout = make(chunk_frames, reference)
    num_chunks = W + 2
    tokens = sequence(layout, num_chunks, batch=1).requires_grad_()
    hidden = backbone(tokens, layout)
    mask = layout.mask(num_chunks).double()
    reach = torch.linalg.matrix_power(mask, CONFIG.num_hidden_layers) > 0
    for query in range(0, tokens.shape[1], 4):
        (gradient,) = torch.autograd.grad(hidden[0, query].square().sum(), tokens, retain_graph=True)
        seen = gradient[0].abs().sum(dim=-1) > 0
        assert torch.equal(seen, reach[query]), query


def test_bad_heads_are_named() -> None:
    with pytest.raises(ValueError, match="num_attention_heads"):
        BackboneConfig(hidden_size=30, num_attention_heads=4)
