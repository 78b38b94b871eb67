"""The encoder and the decoder: spatial stages, with temporal blocks after the chosen ones.

Shapes: B batch, T frames, C latent channels, h w latent, H W pixels.
"""

from __future__ import annotations

from functools import partial
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

INSIDE = "_conv1"  # after the position of a residual block: between its two convolutions


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

    def make_temporal(self, stages: nn.ModuleList, first: int) -> nn.ModuleDict:
        """Temporal blocks keyed by the stage and what they follow: see `places`.

        Args:
            stages: the spatial blocks of every stage.
            first: the stage that the side's first convolution leads to.
        """
        config, result = self.config, nn.ModuleDict()
        for stage in config.stages_in_time:
            chosen = nn.ModuleDict()
            blocks = list(cast(nn.Sequential, stages[stage]))
            for place in self.places(blocks, stage == first):
                # An encoder's last block leads to the next stage, and has its width.
                leads_on = place.isdecimal() and isinstance(blocks[int(place)], DownBlock)
                width = self.widths[stage + 1] if leads_on else self.widths[stage]
                chosen[place] = TemporalBlock(
                    width, config.temporal_history, config.temporal_heads, config.temporal_rope_theta
                )
            result[str(stage)] = chosen
        return result

    def places(self, blocks: list[nn.Module], first: bool) -> list[str]:
        """What temporal blocks follow in a stage.

        Returns:
            In order: "in", the side's first convolution; "3_conv1", the first convolution in block 3; "3", that block.
        """
        if self.config.temporal_placement == "stage":
            inside = [i for i, block in enumerate(blocks) if not isinstance(block, DownBlock | UpBlock)]
            return [str(inside[-1])]
        every = self.config.temporal_placement == "conv"
        chosen = ["in"] if first and every else []
        for position, block in enumerate(blocks):
            if every and isinstance(block, ResBlock):
                chosen.append(f"{position}{INSIDE}")
            chosen.append(str(position))
        return chosen

    def run_stage(self, x: Tensor, stage: int, blocks: nn.Module, num_frames: int, state: StreamState | None) -> Tensor:
        """One stage of [B*T, C, h, w], its temporal blocks included."""
        temporal = cast(nn.ModuleDict, self.temporal)
        chosen = cast(nn.ModuleDict, temporal[str(stage)]) if str(stage) in temporal else nn.ModuleDict()

        def look_back(x: Tensor, place: str) -> Tensor:
            block = cast(TemporalBlock, chosen[place])
            if state is None:
                return block(x, num_frames)
            return block.step(x, state.histories[f"{stage}.{place}"], state.count == 0)

        if "in" in chosen:
            x = look_back(x, "in")
        for position, block in enumerate(cast(nn.Sequential, blocks)):
            inside = f"{position}{INSIDE}"
            x = block(x, partial(look_back, place=inside)) if inside in chosen else block(x)
            if str(position) in chosen:
                x = look_back(x, str(position))
        return x

    def init_state(
        self, batch_size: int, height: int, width: int, device: torch.device, dtype: torch.dtype
    ) -> StreamState:
        """Room for `batch_size` streams of frames of `height` x `width` pixels."""
        state = StreamState(torch.zeros(batch_size, dtype=torch.int64, device=device))
        for stage, after in cast(nn.ModuleDict, self.temporal).items():
            for place, block in cast(nn.ModuleDict, after).items():
                scale = 2 ** self.resolution(int(stage), place)
                state.histories[f"{stage}.{place}"] = cast(TemporalBlock, block).init_history(
                    batch_size, (height // scale) * (width // scale), device, dtype
                )
        return state

    def resolution(self, stage: int, place: str) -> int:
        """How often the picture was halved at a place of a stage: see `places`."""
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
        self.temporal = self.make_temporal(self.down_blocks, 0 if self.layers[0] > 0 else 1)

    def resolution(self, stage: int, place: str) -> int:
        blocks = cast(nn.Sequential, self.down_blocks[stage])
        return stage + (place.isdecimal() and isinstance(blocks[int(place)], DownBlock))

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
        self.temporal = self.make_temporal(self.up_blocks, config.num_stages - 1)

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
