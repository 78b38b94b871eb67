"""A world model small enough for tests, with random weights that make every part matter."""

from __future__ import annotations

import numpy as np
import torch

from worldmodel.autoencoder import AutoencoderConfig
from worldmodel.backbone import BackboneConfig
from worldmodel.head import HeadConfig
from worldmodel.layout import LayoutConfig
from worldmodel.world import FrameConfig, WorldConfig, WorldModel

SIZE = 16  # pixels


def tiny_config(chunk_frames: int = 1, reference: str = "none", head: str = "dit") -> WorldConfig:
    """16x16 pixels, 4 tokens a frame, a window of 4 chunks."""
    return WorldConfig(
        frame=FrameConfig(height=SIZE, width=SIZE, fps=20.0),
        autoencoder=AutoencoderConfig(
            latent_channels=8,
            attention_head_dim=8,
            encoder_block_types=["ResBlock"] * 4,
            decoder_block_types=["ResBlock"] * 4,
            encoder_block_out_channels=[8, 8, 16, 16],
            decoder_block_out_channels=[8, 8, 16, 16],
            encoder_layers_per_block=[0, 1, 1, 1],
            decoder_layers_per_block=[0, 1, 1, 1],
            encoder_qkv_multiscales=[[], [], [], []],
            decoder_qkv_multiscales=[[], [], [], []],
            decoder_norm_types=["rms_norm"] * 4,
            decoder_act_fns=["silu"] * 4,
            encoder_norm_types=["rms_norm"] * 4,
            encoder_act_fns=["silu"] * 4,
            temporal_stages=[-1],
        ),
        layout=LayoutConfig(chunk_frames=chunk_frames, window_chunks=4, reference=reference),
        backbone=BackboneConfig(
            hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2
        ),
        head=HeadConfig(kind=head, hidden_size=32, num_layers=2, num_attention_heads=2),
    )


def tiny_world(
    chunk_frames: int = 1,
    reference: str = "none",
    head: str = "dit",
    seed: int = 0,
    layout: LayoutConfig | None = None,
) -> WorldModel:
    """A tiny world whose zero-initialised parts are given weights too, so that nothing is inert."""
    config = tiny_config(chunk_frames, reference, head)
    config.layout = layout or config.layout
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        world = WorldModel(config).eval()
        for parameter in world.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1)
    return world


def tiny_frames(num_frames: int, seed: int = 0) -> np.ndarray:
    """[T, 16, 16, 3] uint8 noise."""
    return np.random.default_rng(seed).integers(0, 256, (num_frames, SIZE, SIZE, 3), dtype=np.uint8)


def tiny_actions(num_actions: int, seed: int = 0) -> list[dict]:
    """Random keys and camera turns."""
    rng = np.random.default_rng(seed)
    return [
        {
            "keyboard": {"forward": int(rng.integers(2)), "jump": int(rng.integers(2))},
            "camera": rng.uniform(-15, 15, 2).astype(np.float32),
        }
        for _ in range(num_actions)
    ]
