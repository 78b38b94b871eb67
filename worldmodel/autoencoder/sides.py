"""The encoder and the decoder: spatial stages, with temporal blocks after the chosen ones.

Shapes: B batch, T frames, C latent channels, h w latent, H W pixels.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from worldmodel.autoencoder.config import AutoencoderConfig
from worldmodel.autoencoder.spatial import (
    ACTIVATION_MODULES,
    DownBlock,
    EfficientViTBlock,
    ResBlock,
    UpBlock,
    make_norm,
)
from worldmodel.autoencoder.temporal import StreamState, TemporalBlock


class _Side(nn.Module):
    """What encoder and decoder share: their blocks, and the temporal blocks between them."""

    def __init__(self, config: AutoencoderConfig, side: str) -> None:
        super().__init__()
        self.config = config
        self.block_types: list[str] = getattr(config, f"{side}_block_types")
        self.widths: list[int] = getattr(config, f"{side}_block_out_channels")
        self.layers: list[int] = getattr(config, f"{side}_layers_per_block")
        self.norm_types: list[str] = getattr(config, f"{side}_norm_types")
        self.act_fns: list[str] = getattr(config, f"{side}_act_fns")
        self.multiscales: list[list[int]] = getattr(config, f"{side}_qkv_multiscales")

    def blocks(self, stage: int) -> list[nn.Module]:
        """The spatial blocks of a stage, resampling left out."""
        width, norm = self.widths[stage], self.norm_types[stage]
        if self.block_types[stage] == "ResBlock":
            return [ResBlock(width, norm, self.act_fns[stage]) for _ in range(self.layers[stage])]
        head_dim, sizes = self.config.attention_head_dim, list(self.multiscales[stage])
        return [EfficientViTBlock(width, head_dim, norm, sizes) for _ in range(self.layers[stage])]

    def make_temporal(self, stages: nn.ModuleList) -> nn.ModuleDict:
        """Temporal blocks keyed by the stage and the position of the spatial block that they follow."""
        config, result = self.config, nn.ModuleDict()
        for stage in config.stages_in_time:
            blocks = list(cast(nn.Sequential, stages[stage]))
            inside = [i for i, block in enumerate(blocks) if not isinstance(block, DownBlock | UpBlock)]
            chosen = nn.ModuleDict()
            for position in inside[-1:] if config.temporal_placement == "stage" else range(len(blocks)):
                # An encoder's last block leads to the next stage, and has its width.
                width = self.widths[stage + 1] if isinstance(blocks[position], DownBlock) else self.widths[stage]
                chosen[str(position)] = TemporalBlock(
                    width, config.temporal_history, config.temporal_heads, config.temporal_rope_theta
                )
            result[str(stage)] = chosen
        return result

    def run_stage(self, x: Tensor, stage: int, blocks: nn.Module, num_frames: int, state: StreamState | None) -> Tensor:
        temporal = cast(nn.ModuleDict, self.temporal)
        after = cast(nn.ModuleDict, temporal[str(stage)]) if str(stage) in temporal else nn.ModuleDict()
        for position, block in enumerate(cast(nn.Sequential, blocks)):
            x = block(x)
            if str(position) in after:
                look_back = cast(TemporalBlock, after[str(position)])
                if state is None:
                    x = look_back(x, num_frames)
                else:
                    x = look_back.step(x, state.histories[f"{stage}.{position}"], state.count == 0)
        return x

    def init_state(
        self, batch_size: int, height: int, width: int, device: torch.device, dtype: torch.dtype
    ) -> StreamState:
        """Room for `batch_size` streams of frames of `height` x `width` pixels."""
        state = StreamState(torch.zeros(batch_size, dtype=torch.int64, device=device))
        for stage, after in cast(nn.ModuleDict, self.temporal).items():
            for position, block in cast(nn.ModuleDict, after).items():
                scale = 2 ** self.resolution(int(stage), int(position))
                state.histories[f"{stage}.{position}"] = cast(TemporalBlock, block).init_history(
                    batch_size, (height // scale) * (width // scale), device, dtype
                )
        return state

    def resolution(self, stage: int, position: int) -> int:
        """How often the picture was halved after block `position` of `stage`."""
        return stage


class Encoder(_Side):
    """Frames to latents, not yet normalised."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__(config, "encoder")
        unshuffle = config.downsample_block_type == "pixel_unshuffle"
        widths = self.widths
        if self.layers[0] > 0:
            self.conv_in: nn.Module = nn.Conv2d(config.in_channels, widths[0], 3, padding=1)
        else:
            self.conv_in = DownBlock(config.in_channels, widths[1], unshuffle, shortcut=False)
        self.down_blocks = nn.ModuleList()
        for stage in range(config.num_stages):
            blocks = self.blocks(stage)
            if stage < config.num_stages - 1 and blocks:
                blocks.append(DownBlock(widths[stage], widths[stage + 1], unshuffle))
            self.down_blocks.append(nn.Sequential(*blocks))
        self.conv_out = nn.Conv2d(widths[-1], config.latent_channels, 3, padding=1)
        self.group_size = widths[-1] // config.latent_channels if config.encoder_out_shortcut else 0
        self.temporal = self.make_temporal(self.down_blocks)

    def resolution(self, stage: int, position: int) -> int:
        blocks = cast(nn.Sequential, self.down_blocks[stage])
        return stage + isinstance(blocks[position], DownBlock)

    def forward(self, x: Tensor, num_frames: int = 1, state: StreamState | None = None) -> Tensor:
        """Encodes whole clips of `num_frames`, or one frame per row after `state`.

        Args:
            x: [B*T, 3, H, W] in [-1, 1] (T = 1 with a state).
            num_frames: T.
            state: the rows' past, moved on in place by the temporal blocks.

        Returns:
            [B*T, C, h, w].
        """
        x = self.conv_in(x)
        for stage, blocks in enumerate(self.down_blocks):
            x = self.run_stage(x, stage, blocks, num_frames, state)
        if not self.group_size:
            return self.conv_out(x)
        return self.conv_out(x) + x.unflatten(1, (-1, self.group_size)).mean(dim=2)


class Decoder(_Side):
    """Latents as the encoder gives them to frames."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__(config, "decoder")
        interpolate = config.upsample_block_type == "interpolate"
        widths = self.widths
        self.conv_in = nn.Conv2d(config.latent_channels, widths[-1], 3, padding=1)
        self.repeats = widths[-1] // config.latent_channels if config.decoder_in_shortcut else 0
        self.up_blocks = nn.ModuleList()
        for stage in range(config.num_stages):
            blocks = self.blocks(stage)
            if stage < config.num_stages - 1 and blocks:
                blocks.insert(0, UpBlock(widths[stage + 1], widths[stage], interpolate))
            self.up_blocks.append(nn.Sequential(*blocks))
        last = widths[0] if self.layers[0] > 0 else widths[1]
        self.norm_out = make_norm(config.decoder_out_norm_type, last)
        self.conv_act = ACTIVATION_MODULES[config.decoder_conv_act_fn]()
        if self.layers[0] > 0:
            self.conv_out: nn.Module = nn.Conv2d(last, config.in_channels, 3, padding=1)
        else:
            self.conv_out = UpBlock(last, config.in_channels, interpolate, shortcut=False)
        self.temporal = self.make_temporal(self.up_blocks)

    def forward(self, x: Tensor, num_frames: int = 1, state: StreamState | None = None) -> Tensor:
        """Decodes whole clips of `num_frames`, or one frame per row after `state`.

        Args:
            x: [B*T, C, h, w] (T = 1 with a state).
            num_frames: T.
            state: the rows' past, moved on in place by the temporal blocks.

        Returns:
            [B*T, 3, H, W], nominally in [-1, 1].
        """
        if self.repeats:
            shortcut = x.repeat_interleave(self.repeats, dim=1, output_size=x.shape[1] * self.repeats)
            x = self.conv_in(x) + shortcut
        else:
            x = self.conv_in(x)
        for stage, blocks in reversed(list(enumerate(self.up_blocks))):
            x = self.run_stage(x, stage, blocks, num_frames, state)
        return self.conv_out(self.conv_act(self.norm_out(x)))
