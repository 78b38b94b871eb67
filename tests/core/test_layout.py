"""The layout: order, mask, positions."""

from __future__ import annotations

import pytest
import torch

from worldmodel.layout import Layout, LayoutConfig

M, N, D = 2, 3, 4


def make(chunk_frames: int = 1, window: int = 3, reference: str = "none") -> Layout:
    return Layout(LayoutConfig(chunk_frames, window, reference), M, N)


def test_order_of_tokens() -> None:
    layout = make(chunk_frames=2, reference="chunk")
    conditions = torch.zeros(1, 2, M, D)
    frames = torch.arange(4.0).view(1, 4, 1, 1).expand(1, 4, N, D) + 1
    reference = torch.full((1, N, D), 9.0)
    tokens = layout.assemble(conditions, frames, reference)[0, :, 0]
    chunk = lambda a, b: [0.0] * M + [9.0] * N + [a] * N + [b] * N  # noqa: E731
    assert tokens.tolist() == chunk(1.0, 2.0) + chunk(3.0, 4.0)
    assert torch.equal(layout.frames_of(layout.assemble(conditions, frames, reference)), frames)


def test_sinks_come_first_and_are_not_frames() -> None:
    layout = make(reference="sink")
    conditions, frames = torch.zeros(1, 2, M, D), torch.ones(1, 2, N, D)
    tokens = layout.assemble(conditions, frames, torch.full((1, N, D), 9.0))
    assert tokens[0, :N, 0].tolist() == [9.0] * N
    assert torch.equal(layout.frames_of(tokens), frames)


@pytest.mark.parametrize("reference", ["none", "sink", "chunk"])
@pytest.mark.parametrize("chunk_frames", [1, 2])
def test_mask_is_the_rule_in_words(chunk_frames: int, reference: str) -> None:
    """Against the rule spelled out token by token."""
    layout = make(chunk_frames, window=2, reference=reference)
    tokens: list[tuple[int, int]] = [(-1, -1)] * layout.sink_tokens  # (chunk, block within the chunk)
    for chunk in range(4):
        tokens += [(chunk, 0)] * M + ([(chunk, 1)] * N if reference == "chunk" else [])
        for frame in range(chunk_frames):
            tokens += [(chunk, 2 + frame)] * N
    mask = layout.mask(4)
    assert mask.shape == (len(tokens), len(tokens))
    for q, (chunk, block) in enumerate(tokens):
        for k, (key_chunk, key_block) in enumerate(tokens):
            earlier = (key_chunk, key_block) <= (chunk, block)
            near = key_chunk == -1 or chunk - key_chunk < 2
            assert mask[q, k] == (earlier and near), (q, k)


def test_sinks_stand_right_before_the_window() -> None:
    layout = make(window=2, reference="sink")
    position, sink_position = layout.positions(5)
    first_of_chunk = layout.sink_tokens + layout.chunk_tokens * torch.arange(5)
    assert position[first_of_chunk].tolist() == first_of_chunk.tolist()
    # from the second chunk on, the window has begun one chunk before the query's
    expected = layout.sink_tokens + layout.chunk_tokens * torch.tensor([0, 1, 1, 1, 1])
    assert sink_position[first_of_chunk].tolist() == expected.tolist()


def test_whole_chunks_are_required() -> None:
    with pytest.raises(ValueError, match="multiple of 2 frames"):
        make(chunk_frames=2).assemble(torch.zeros(1, 1, M, D), torch.zeros(1, 3, N, D))


def test_reference_must_match_the_layout() -> None:
    with pytest.raises(ValueError, match="takes no reference"):
        make().assemble(torch.zeros(1, 1, M, D), torch.zeros(1, 1, N, D), torch.zeros(1, N, D))
    with pytest.raises(ValueError, match="takes a reference"):
        make(reference="sink").assemble(torch.zeros(1, 1, M, D), torch.zeros(1, 1, N, D))


@pytest.mark.parametrize("bad", [{"chunk_frames": 0}, {"window_chunks": 0}, {"reference": "sinks"}])
def test_bad_config(bad: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        LayoutConfig(**bad)
