"""Full-size configurations made narrow: every part, every layer and every option stays, only widths shrink."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from worldmodel.world import FrameConfig, WorldConfig

WIDTHS = [8, 8, 8, 8, 16, 16, 32]  # channels of the autoencoder's stages


def narrow(config: WorldConfig, window_chunks: int = 2) -> WorldConfig:
    """A configuration at small widths, 128x192 pixels and a short window; encoders that need no download.

    Args:
        config: of 64x compression, as configs/midas-3b.yaml.
        window_chunks: chunks that a token sees.

    Returns:
        The same number of layers, condition tokens and solver steps, small enough for a CPU.
    """
    autoencoder = replace(
        config.autoencoder,
        latent_channels=8,
        attention_head_dim=8,
        encoder_block_out_channels=WIDTHS,
        decoder_block_out_channels=WIDTHS,
        temporal_heads=2,
    )
    heads = config.backbone.num_attention_heads // config.backbone.num_key_value_heads
    backbone = replace(
        config.backbone,
        hidden_size=8 * heads,
        intermediate_size=48,
        num_attention_heads=heads,
        num_key_value_heads=1,
        vocab_size=16,
    )
    conditions: dict[str, dict[str, Any]] = {name: dict(values) for name, values in config.conditions.items()}
    if "audio" in conditions:
        conditions["audio"] = {"samples": conditions["audio"]["samples"], "features": 8}
    if "text" in conditions:
        conditions["text"] = {"num_tokens": conditions["text"]["num_tokens"], "features": 8}
    return replace(
        config,
        frame=FrameConfig(128, 192, config.frame.fps),
        autoencoder=autoencoder,
        layout=replace(config.layout, window_chunks=window_chunks),
        backbone=backbone,
        head=replace(config.head, hidden_size=32),
        conditions=conditions,
    )
