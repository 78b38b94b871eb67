"""Stage `autoencoder`: its spatial part, then its temporal part, then both (MIDAS, section 3.2); then, if asked, the
decoder alone is refined for texture, with the encoder and so the latents as they are (as DC-AE's last phase does).

Shapes: B batch, T frames, C latent channels, h w latent, H W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.distributed
from torch import Generator, Tensor, nn

from worldmodel.autoencoder import Autoencoder, initialize_linear, reconstruction_loss
from worldmodel.data.windows import FrameWindows, read
from worldmodel.flow import draw_normal
from worldmodel.frames import to_frames, to_model
from worldmodel.metrics import psnr
from worldmodel.training.config import PhaseConfig
from worldmodel.training.pictures import grid
from worldmodel.training.run import Run
from worldmodel.training.schedule import in_steps

PRINCIPAL_FRAMES = 768  # that principal components are taken over
STATISTICS_FRAMES = 2048  # that the latents' mean and deviation are taken over
STATISTICS_WINDOW = 8  # frames encoded together for it
SAMPLE_FRAMES = 8


class AutoencoderStage:
    """Trains an autoencoder on windows of frames.

    Args:
        run: the run.

    Raises:
        ValueError: if there are no clips, or none is long enough.
    """

    name = "autoencoder"

    def __init__(self, run: Run) -> None:
        config = run.config.training
        self.clips = run.clips()
        torch.manual_seed(config.seed)
        self.model: Autoencoder = run.initial_autoencoder() or Autoencoder(run.config.model.autoencoder)
        if config.principal_start and run.config.initial is not None:
            raise ValueError(
                "an autoencoder begins at `initial` or at principal components: set training.principal_start=false"
            )
        if config.principal_start:
            stills = FrameWindows(self.clips, 1, cache_bytes=0)
            initialize_linear(self.model, to_model(stills.batch(stills.spread(PRINCIPAL_FRAMES))[:, 0]))
        self.losses = config.reconstruction
        phases = {name: getattr(config, name) for name in ("spatial", "temporal", "joint", "refine")}
        self.phases: dict[str, PhaseConfig] = {
            name: in_steps(phase, self.clips) for name, phase in phases.items() if self.trained(name)
        }
        kept: dict[int, np.ndarray] = {}  # no phase decodes again what one before it decoded
        self.windows = {name: FrameWindows(self.clips, phase.frames, kept=kept) for name, phase in self.phases.items()}
        self.orders = {name: run.order(self.windows[name], phase) for name, phase in self.phases.items()}

    def trained(self, phase: str) -> dict[str, nn.Parameter]:
        named = dict(self.model.named_parameters())
        if phase == "joint":
            return named
        part = {
            "spatial": self.model.spatial_parameters,
            "temporal": self.model.temporal_parameters,
            "refine": self.model.decoder.parameters,
        }[phase]
        chosen = {id(parameter) for parameter in part()}
        return {name: parameter for name, parameter in named.items() if id(parameter) in chosen}

    def state(self) -> dict[str, Tensor]:
        return dict(self.model.state_dict())

    def batch(self, phase: str, samples: Sequence[int]) -> Tensor:
        """Frames [B, T, H, W, 3] uint8."""
        return torch.from_numpy(read(self.windows[phase], self.orders[phase], samples))

    def loss(self, phase: str, batch: Tensor, generators: Sequence[Generator]) -> Mapping[str, Tensor]:
        frames = to_model(batch)
        latents = self.model.encoder(frames.flatten(0, 1), frames.shape[1])  # [B T, C, h, w]
        # Noise in proportion to each channel's deviation makes the decoder forgive latents that are slightly off, as a
        # generated world's are, and gains the encoder nothing by growing its output.
        noise = draw_normal((len(batch), frames.shape[1], *latents.shape[1:]), generators, latents).flatten(0, 1)
        noisy = latents + self.losses.latent_noise * deviation(latents.detach()).to(latents) * noise
        restored = self.model.decoder(noisy, frames.shape[1]).unflatten(0, frames.shape[:2])
        losses = self.losses if phase == "refine" else replace(self.losses, texture=0.0)
        figures = reconstruction_loss(restored, frames, losses)
        return {**figures, "psnr": psnr(restored.detach(), frames).mean()}

    @torch.no_grad()
    def sample(self, phase: str) -> np.ndarray:
        windows = FrameWindows(self.clips, min(SAMPLE_FRAMES, self.clips.num_frames(0)), cache_bytes=0)
        truth = windows.batch([0, len(windows) // 2])
        frames = to_model(truth, self.model.latents_mean.device)
        restored = to_frames(self.model.decode(self.model.encode(frames))).cpu().numpy()
        return grid([truth[0], restored[0], truth[1], restored[1]])

    def compile(self) -> None:
        self.model.encoder.compile()
        self.model.decoder.compile()

    def export(self, folder: Path) -> None:
        self.model.set_statistics(*self.statistics())
        self.model.save_pretrained(folder)

    @torch.no_grad()
    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation [C] of the latents over windows spread evenly over the clips."""
        windows = FrameWindows(self.clips, min(STATISTICS_WINDOW, self.clips.num_frames(0)), cache_bytes=0)
        count = min(len(windows), -(-STATISTICS_FRAMES // windows.frames))
        moments, device = (
            torch.zeros(3, self.model.latent_channels, dtype=torch.float64),
            self.model.latents_mean.device,
        )
        for index in windows.spread(count):
            frames = to_model(windows.batch([index]), device)
            moments += moments_of(self.model.encoder(frames.flatten(0, 1), windows.frames)).cpu()
        mean = moments[1] / moments[0]
        deviation = (moments[2] / moments[0] - mean.square()).clamp(min=0).sqrt()
        return mean.float().to(device), deviation.float().clamp(min=1e-6).to(device)


def moments_of(latents: Tensor) -> Tensor:
    """Count, sum and sum of squares of each channel: [N, C, h, w] to [3, C] float64."""
    wide = latents.double()
    count = torch.full_like(wide[0, :, 0, 0], latents[:, 0].numel())
    return torch.stack([count, wide.sum(dim=(0, 2, 3)), wide.square().sum(dim=(0, 2, 3))])


def deviation(latents: Tensor) -> Tensor:
    """Each channel's deviation over the batch of all processes: [N, C, h, w] to [C, 1, 1]."""
    moments = moments_of(latents)
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(moments)
    count, total, squares = moments
    return (squares / count - (total / count).square()).clamp(min=0).sqrt()[:, None, None]
