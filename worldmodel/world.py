"""WorldModel: the autoencoder, the conditions, the backbone and the head as one model of a world.

Training asks it for a loss; a session asks it for the steps of generation: see `Session`.

Shapes: B batch, T frames to predict, C latent channels, h w latent size, H W pixels, N tokens per frame, M condition
tokens per chunk, D width, F frames per chunk, K chunks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from conditions import ConditionSet, Prepared
from worldmodel.autoencoder import Autoencoder, AutoencoderConfig
from worldmodel.backbone import Backbone, BackboneConfig
from worldmodel.embedding import FrameEmbedding, NoiseConfig, corrupt, draw_buckets, to_latents, to_tokens
from worldmodel.flow import (
    FlowConfig,
    Generators,
    draw_normal,
    draw_uniform,
    interpolate,
    sample_timesteps,
    solve,
    velocity,
)
from worldmodel.head import Head, HeadConfig
from worldmodel.layout import Layout, LayoutConfig

if TYPE_CHECKING:
    from worldmodel.data.clips import Clip
    from worldmodel.session import Session


@dataclass
class FrameConfig:
    """The pictures of a world."""

    height: int = 128  # pixels
    width: int = 128  # pixels
    fps: float = 20.0  # frames per second


@dataclass
class WorldConfig:
    """All that defines a model. It is stored in every checkpoint."""

    frame: FrameConfig = field(default_factory=FrameConfig)
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    layout: LayoutConfig = field(default_factory=LayoutConfig)
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    flow: FlowConfig = field(default_factory=FlowConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    conditions: dict[str, dict[str, Any]] = field(default_factory=lambda: {"keyboard": {}, "camera": {}})
    patch_size: int = 1  # latent pixels per token, along each side
    condition_dropout: float = 0.1  # chance that a clip's condition is hidden in training, for guidance


def new_embedding(
    config: WorldConfig, layout: Layout, conditions: ConditionSet, values: int, width: int
) -> FrameEmbedding:
    """The embedding of a world's frames, with random weights: tokens of `values` numbers to `width`."""
    chunk, ahead = config.layout.chunk_frames, config.layout.direct_ahead
    direct = conditions.frame_places(chunk, ahead) if config.layout.direct else ()
    buckets, shortcut = config.noise.num_buckets, config.layout.shortcut
    return FrameEmbedding(values, layout.frame_tokens, width, buckets, layout.places, direct, shortcut)


class WorldModel(nn.Module):
    """A generated world.

    Args:
        config: the whole definition; weights are random.

    Raises:
        ValueError: if the picture does not divide into latents and patches.
    """

    def __init__(self, config: WorldConfig) -> None:
        super().__init__()
        self.config = config
        self.folder: Path | None = None  # where the model was loaded from
        self.autoencoder = Autoencoder(config.autoencoder)
        compression = self.autoencoder.spatial_compression
        unit = compression * config.patch_size
        if config.frame.height % unit or config.frame.width % unit:
            raise ValueError(
                f"frame.height and frame.width must be multiples of {unit} (autoencoder compression {compression} x "
                f"patch_size {config.patch_size}), got {config.frame.height}x{config.frame.width}"
            )
        self.latent_size = (config.frame.height // compression, config.frame.width // compression)
        self.frame_tokens = self.latent_size[0] * self.latent_size[1] // config.patch_size**2
        values = self.autoencoder.latent_channels * config.patch_size**2

        self.backbone = Backbone(config.backbone)
        width = self.backbone.width
        self.conditions = ConditionSet(config.conditions, width)
        condition_tokens = self.conditions.tokens_per_chunk(config.layout.chunk_frames)
        self.layout = Layout(config.layout, condition_tokens, self.frame_tokens)
        self.embedding = new_embedding(config, self.layout, self.conditions, values, width)
        self.head = Head(config.head, values, width, self.frame_tokens)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(C, h, w) of one frame's latents."""
        return (self.autoencoder.latent_channels, *self.latent_size)

    @property
    def device(self) -> torch.device:
        return self.embedding.position.device

    def dynamics_modules(self) -> dict[str, nn.Module]:
        """Everything but the autoencoder, by the name of its folder in a checkpoint."""
        return {
            "backbone": self.backbone,
            "conditions": self.conditions,
            "embedding": self.embedding,
            "head": self.head,
        }

    def dynamics_parameters(self) -> Iterable[nn.Parameter]:
        """The parameters that the stage `dynamics` trains."""
        for module in self.dynamics_modules().values():
            yield from (p for p in module.parameters() if p.requires_grad)

    # -- training -----------------------------------------------------------------------------------------------------

    def forward(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """The same as `loss`, under the name that distributed wrappers call."""
        return self.loss(*args, **kwargs)

    def loss(
        self,
        latents: Tensor,
        prepared: Mapping[str, Prepared],
        generator: Generators = None,
        reference: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Teacher-forced flow matching: every frame is predicted from the true, corrupted, frames before it.

        With `noise.redraw`, a share of the clips has the frames before it redrawn by the model: see `redraw`.

        Args:
            latents: [B, T + 1, C, h, w], unit variance; frames 1 to T are predicted.
            prepared: conditions by name, T values each (T / F where the rate is one per chunk).
            generator: one, or one per clip, so that a clip's loss does not depend on its batch.
            reference: [B, C, h, w] latents of the reference picture, where the layout has one.

        Returns:
            loss: [] mean squared error of the velocity.
            clip_loss: [B] the same per clip, without gradient.
            by_noise: [4] the same by quarter of the timestep, least noisy first, without gradient.

        Raises:
            ValueError: if the latents' shape does not fit the model.
        """
        self._check_latents(latents)
        context, target = latents[:, :-1], to_tokens(latents[:, 1:], self.config.patch_size)
        batch, frames = context.shape[:2]
        if self.config.noise.redraw:
            context = self._redraw_some(context, prepared, generator, reference)
        bucket = draw_buckets(batch, frames, self.config.noise, generator, latents)
        context = corrupt(context, bucket, self.config.noise, generator)
        hidden = self.hidden(context, bucket, self._drop(prepared, generator), reference)

        draws = self.config.flow.draws
        timestep = sample_timesteps((batch, frames, draws), self.config.flow, generator, target)
        noise = draw_normal((batch, frames, draws, *target.shape[2:]), generator, target)
        data = target[:, :, None].expand_as(noise)
        noisy = interpolate(data, noise, timestep[..., None, None])
        guide = self.head.guide(hidden)[:, :, None].expand(-1, -1, draws, -1, -1)
        predicted = self.head(noisy.flatten(0, 2), timestep.flatten(), guide.flatten(0, 2))
        error = functional.mse_loss(predicted.float(), velocity(data, noise).flatten(0, 2).float(), reduction="none")
        error = error.mean(dim=(1, 2))

        with torch.no_grad():
            quarter = (timestep.flatten() * 4).long().clamp(0, 3)
            total = torch.zeros(4, device=error.device).index_add_(0, quarter, error.detach())
            count = torch.zeros(4, device=error.device).index_add_(0, quarter, torch.ones_like(error))
        return {
            "loss": error.mean(),
            "clip_loss": error.detach().view(batch, -1).mean(dim=1),
            "by_noise": total / count.clamp(min=1),
        }

    @torch.no_grad()
    def redraw(
        self,
        context: Tensor,
        prepared: Mapping[str, Prepared],
        generator: Generators = None,
        reference: Tensor | None = None,
    ) -> Tensor:
        """Context frames as the model would have drawn them, so that it learns to mend its own errors.

        Every frame but the first is noised up to a timestep and solved back from there by the model, which sees the
        true frames before it: what the frame shows stays, what is lost in noise is the model's own (after Resampling
        Forcing, Guo et al. 2025).

        Args:
            context: [B, T, C, h, w].
            prepared: conditions of the T frames that follow.
            generator: as in `loss`.
            reference: as in `loss`.

        Returns:
            [B, T, C, h, w], without gradient.
        """
        config, target = self.config, to_tokens(context[:, 1:], self.config.patch_size)
        shape = target.shape[:2]
        bucket = torch.full(context.shape[:2], config.noise.stream_bucket, device=context.device)
        seen = corrupt(context, bucket, config.noise, generator)
        guide = self.head.guide(self.hidden(seen, bucket, prepared, reference)[:, :-1]).flatten(0, 1)
        timestep = sample_timesteps(shape, config.flow, generator, target)
        noisy = interpolate(target, draw_normal(target.shape, generator, target), timestep[..., None, None])
        drawn = solve(
            lambda x, t: self.head(x, t, guide),
            noisy.flatten(0, 1),
            config.noise.redraw_steps,
            timestep.flatten(),
            config.flow.order,
            config.flow.shift,
        )
        torch.clear_autocast_cache()  # weights cast here would carry no gradient
        drawn = to_latents(drawn.unflatten(0, shape), config.patch_size, self.latent_size[0])
        return torch.cat([context[:, :1], drawn.to(context.dtype)], dim=1)

    def _redraw_some(
        self,
        context: Tensor,
        prepared: Mapping[str, Prepared],
        generator: Generators,
        reference: Tensor | None,
    ) -> Tensor:
        """`redraw` for the configured share of the clips."""
        rows = (draw_uniform(context.shape[:1], generator, context) < self.config.noise.redraw).nonzero()[:, 0]
        if not len(rows):
            return context
        own = [generator[row] for row in rows.tolist()] if isinstance(generator, Sequence) else generator
        some = {name: Prepared(x[rows], present[rows]) for name, (x, present) in prepared.items()}
        drawn = self.redraw(context[rows], some, own, None if reference is None else reference[rows])
        return context.index_copy(0, rows, drawn)

    def hidden(
        self, context: Tensor, bucket: Tensor, prepared: Mapping[str, Prepared], reference: Tensor | None = None
    ) -> Tensor:
        """The backbone over a whole clip.

        Args:
            context: [B, T, C, h, w] input frames, corrupted by `bucket`.
            bucket: [B, T] int64.
            prepared: conditions of the T frames that follow.
            reference: [B, C, h, w] or None.

        Returns:
            [B, T, N, D]: the state at frame t guides frame t + 1.
        """
        inputs = to_tokens(context, self.config.patch_size)
        conditions = self.conditions(prepared, self.config.layout.chunk_frames)
        frames = self.embedding(inputs, bucket) + self.embedding.entering(conditions)
        conditions = self.embedding.conditions(conditions)
        picture = None
        if reference is not None:
            picture = self.embedding.reference(to_tokens(reference, self.config.patch_size))
        tokens = self.layout.assemble(conditions, frames, picture)
        return self.layout.frames_of(self.backbone(tokens, self.layout)) + self.embedding.past(inputs)

    def _drop(self, prepared: Mapping[str, Prepared], generator: Generators) -> dict[str, Prepared]:
        """Hides each condition of a clip with the configured chance, all of them with the same, and optional parts."""
        chance = self.config.condition_dropout
        names = list(prepared)
        if not chance or not names:
            return dict(prepared)
        partly = [name for name in names if self.conditions[name].optional]
        batch = prepared[names[0]].present.shape[0]
        drawn = draw_uniform((batch, len(names) + 1 + len(partly)), generator, self.embedding.position) >= chance
        keep = (drawn[:, : len(names)] & drawn[:, len(names), None]).unbind(dim=1)
        whole = dict(zip(partly, drawn[:, len(names) + 1 :].unbind(dim=1), strict=True))
        return {
            name: Prepared(
                self.conditions[name].obscure(prepared[name].x, ~whole[name]) if name in whole else prepared[name].x,
                prepared[name].present & kept[:, None],
            )
            for name, kept in zip(names, keep, strict=True)
        }

    def _check_latents(self, latents: Tensor) -> None:
        channels, height, width = self.latent_shape
        if latents.ndim != 5 or tuple(latents.shape[2:]) != self.latent_shape or latents.shape[1] < 2:
            raise ValueError(
                f"latents must be [B, T + 1, {channels}, {height}, {width}] (autoencoder.latent_channels, frame size / "
                f"compression), got {tuple(latents.shape)}: were they encoded with another autoencoder?"
            )

    # -- streaming ----------------------------------------------------------------------------------------------------

    def session(
        self,
        seed: int = 0,
        first_frames: np.ndarray | Sequence[np.ndarray] | None = None,
        first_conditions: Sequence[Any] | None = None,
        *,
        reference: np.ndarray | None = None,
        num_streams: int = 1,
        guidance: float | None = None,
        num_steps: int | None = None,
    ) -> Session:
        """Opens live streams of this world.

        Args:
            seed: of the noise; stream i uses seed + i.
            first_frames: [T, H, W, 3] uint8, T >= 1, or a list of such, one per stream; by default the checkpoint's own
                starting clips, chosen by seed.
            first_conditions: the T - 1 raw values that led from each of the first frames to the next (a list of such
                lists for several streams); missing ones are placeholders.
            reference: [H, W, 3] uint8, for layouts with a reference picture.
            num_streams: B, stepped together.
            guidance: 1 follows the conditions as learned; more exaggerates them, at twice the work. The model's own by
                default.
            num_steps: solver steps per frame; the model's own by default.

        Returns:
            A `Session`.
        """
        from worldmodel.session import Session

        return Session(
            self,
            seed=seed,
            first_frames=first_frames,
            first_conditions=first_conditions,
            reference=reference,
            num_streams=num_streams,
            guidance=guidance,
            num_steps=num_steps,
        )

    # -- on disk ------------------------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls, folder_or_id: str | Path, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> WorldModel:
        """Loads a checkpoint from a folder or a hub id. See `worldmodel.checkpoint.load`."""
        from worldmodel.checkpoint import load

        return load(folder_or_id, device=device, dtype=dtype)

    def save_pretrained(
        self, folder: str | Path, starts: Sequence[Clip] = (), dtype: torch.dtype | None = None
    ) -> None:
        """Saves a checkpoint. See `worldmodel.checkpoint.save`."""
        from worldmodel.checkpoint import save

        save(self, folder, starts=starts, dtype=dtype)

    def starts(self) -> list[Clip]:
        """The starting clips that came with the checkpoint; empty where there are none."""
        from worldmodel.checkpoint import read_starts

        return read_starts(self.folder) if self.folder is not None else []

    def config_dict(self) -> dict[str, Any]:
        """The configuration as plain values."""
        return asdict(self.config)
