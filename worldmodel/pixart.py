"""PixArt-alpha's transformer (arXiv 2310.00426; diffusers' PixArtTransformer2DModel) as the start of a head.

Taken are the blocks, the embedding of the timestep, adaLN-single and the last modulation; and places in the frame are
told as there (`positions`). Left are what stands at another width or for another purpose: patches in and out, captions,
picture size and aspect; and without `dit_cross` the cross-attention.

Shapes: E width.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from worldmodel.head import Head

CLASSES = ("PixArtTransformer2DModel", "Transformer2DModel")  # the latter in folders saved before the former was made
WHOLE = {
    "scale_shift_table": "final_table",
    "adaln_single.emb.timestep_embedder.linear_1": "t_embedder.0",
    "adaln_single.emb.timestep_embedder.linear_2": "t_embedder.2",
    "adaln_single.linear": "t_block.1",
}
BLOCK = {
    "scale_shift_table": ["scale_shift_table"],
    "attn.qkv": ["attn1.to_q", "attn1.to_k", "attn1.to_v"],
    "attn.proj": ["attn1.to_out.0"],
    "cross_attn.q": ["attn2.to_q"],
    "cross_attn.kv": ["attn2.to_k", "attn2.to_v"],
    "cross_attn.proj": ["attn2.to_out.0"],
    "mlp.0": ["ff.net.0.proj"],
    "mlp.2": ["ff.net.2"],
}


def from_pixart(config: Mapping[str, Any], weights: Mapping[str, Tensor], head: Head, source: str) -> dict[str, Tensor]:
    """The weights that a head takes over, under its own keys.

    A head of fewer layers takes the first ones.

    Args:
        config: the folder's config.json.
        weights: the folder's tensors.
        head: gives keys and shapes.
        source: where they come from, for the error.

    Raises:
        ValueError: for another architecture, or listing every weight that is missing or of another shape, with both.
    """
    if config.get("_class_name") not in CLASSES or config.get("norm_type") != "ada_norm_single":
        raise ValueError(
            f"{source} must be a {CLASSES[0]} with norm_type 'ada_norm_single', got {config.get('_class_name')!r} with "
            f"{config.get('norm_type')!r}: give PixArt-alpha's transformer folder"
        )
    wrong = []
    heads, wanted_heads = config.get("num_attention_heads"), head.config.num_attention_heads
    if heads != wanted_heads:
        wrong.append(f"head.num_attention_heads must be {heads}, got {wanted_heads}")
    state: dict[str, Tensor] = {}
    for key, own in head.state_dict().items():
        sources = origins(key)
        if not sources:
            continue
        missing = [name for name in sources if name not in weights]
        if missing:
            wrong.append(f"{', '.join(missing)} for {key} {tuple(own.shape)} is missing")
            continue
        parts = [weights[name] for name in sources]
        if (
            len({part.shape[1:] for part in parts}) > 1
            or torch.Size((sum(part.shape[0] for part in parts), *parts[0].shape[1:])) != own.shape
        ):
            got = " + ".join(str(tuple(part.shape)) for part in parts)
            wrong.append(f"{key} must be {tuple(own.shape)}, got {got}")
            continue
        state[key] = torch.cat(parts)
    if wrong:
        raise ValueError(f"the transformer in {source} does not fit the head: {'; '.join(wrong)}")
    return state


def positions(config: Mapping[str, Any], rows: int, columns: int, width: int) -> Tensor:
    """Where a frame's tokens stand, as the transformer's blocks have learned to be told: sinusoids of both axes.

    Args:
        config: the folder's config.json; its picture size is the unit of length.
        rows, columns: of the frame's tokens.
        width: E, a multiple of 4.

    Returns:
        [rows * columns, E] float32: of the column in the first half, of the row in the second.
    """
    unit = config["sample_size"] // config.get("patch_size", 2)
    scale = config.get("interpolation_scale") or max(config["sample_size"] // 64, 1)
    frequency = 10_000 ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))

    def along(count: int) -> Tensor:
        angle = torch.arange(count, dtype=torch.float64)[:, None] * unit / count / scale * frequency
        return torch.cat([angle.sin(), angle.cos()], dim=1).float()  # [count, E / 2]

    grid = along(columns).expand(rows, -1, -1), along(rows)[:, None].expand(-1, columns, -1)
    return torch.cat(grid, dim=2).flatten(0, 1)


def origins(key: str) -> list[str]:
    """The keys of PixArt's that make one of the head's, laid end to end; none where the head begins at random."""
    module, _, leaf = key.rpartition(".")
    if match := re.fullmatch(r"blocks\.(\d+)\.(.+)", key):
        name, ending = match[2], ""
        if name not in BLOCK:
            name, _, ending = name.rpartition(".")
        return [f"transformer_blocks.{match[1]}.{part}{'.' if ending else ''}{ending}" for part in BLOCK.get(name, [])]
    for theirs, ours in WHOLE.items():
        if key == ours:
            return [theirs]
        if module == ours:
            return [f"{theirs}.{leaf}"]
    return []
