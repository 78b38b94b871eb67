"""The autoencoder: frames to latents of unit variance and back, whole clips or frame by frame.

Shapes: B batch, T frames, C latent channels, h w latent, H W pixels.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from worldmodel.autoencoder.config import AutoencoderConfig
from worldmodel.autoencoder.sides import Decoder, Encoder
from worldmodel.autoencoder.temporal import StreamState, TemporalAttention, TemporalConv
from worldmodel.storage import pack, unpack

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "diffusion_pytorch_model.safetensors"


@dataclass
class AutoencoderCache:
    """The past of a batch of streams on both sides; updated in place by `encode_step` and `decode_step`."""

    encoder: StreamState
    decoder: StreamState

    def reset(self, row: int) -> None:
        """Begins stream `row` anew on both sides; the other rows are untouched."""
        self.encoder.reset(row)
        self.decoder.reset(row)

    def copy_row(self, source: int, target: int, origin: AutoencoderCache | None = None) -> None:
        """Makes stream `target` continue from where stream `source` (of `origin`, by default of this cache) is."""
        origin = origin or self
        self.encoder.copy_row(source, target, origin.encoder)
        self.decoder.copy_row(source, target, origin.decoder)


class Autoencoder(nn.Module):
    """DC-AE (arXiv 2410.10733) with causal temporal residuals (MIDAS, arXiv 2508.19320).

    `config.json` and the spatial state-dict keys are AutoencoderDC's; the temporal blocks lie under
    `encoder.temporal.STAGE.POSITION` and `decoder.temporal.STAGE.POSITION`.
    """

    latents_mean: Tensor
    latents_std: Tensor

    def __init__(self, config: AutoencoderConfig) -> None:
        """Builds the network with random weights.

        Args:
            config: its fields; checked here.

        Raises:
            ValueError: if fields of the config do not fit together.
        """
        super().__init__()
        config.validate()
        self.config = config
        self.spatial_compression = config.spatial_compression
        self.latent_channels = config.latent_channels
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        # Until statistics are set, the one number that AutoencoderDC's config carries stands for them.
        self.register_buffer("latents_mean", torch.zeros(config.latent_channels))
        self.register_buffer("latents_std", torch.full((config.latent_channels,), 1.0 / config.scaling_factor))

    @property
    def decoder_history(self) -> int:
        """Latents before one that its decoded frame depends on: all temporal modules in a row look back so far."""
        temporal = (TemporalConv, TemporalAttention)
        return sum(module.history for module in self.decoder.modules() if isinstance(module, temporal))

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Sets what makes latents zero-mean and of unit variance, per channel.

        Args:
            mean: [C], of latents as the encoder gives them.
            std: [C], positive.

        Raises:
            ValueError: for another shape, or a deviation that is not positive and finite.
        """
        for name, value in (("mean", mean), ("std", std)):
            if value.shape != (self.latent_channels,):
                raise ValueError(f"{name} must be [{self.latent_channels}], one per channel, got {tuple(value.shape)}")
        if not bool((torch.isfinite(mean) & torch.isfinite(std) & (std > 0)).all()):
            raise ValueError(f"mean and std must be finite and std positive, got mean {mean}, std {std}")
        self.latents_mean.copy_(mean)
        self.latents_std.copy_(std)

    def normalize(self, latents: Tensor) -> Tensor:
        """Latents [..., C, h, w] as the encoder gives them -> zero mean, unit variance."""
        return (latents - self.latents_mean[:, None, None]) / self.latents_std[:, None, None]

    def denormalize(self, latents: Tensor) -> Tensor:
        """The inverse of `normalize`."""
        return latents * self.latents_std[:, None, None] + self.latents_mean[:, None, None]

    def encode(self, frames: Tensor) -> Tensor:
        """Encodes whole clips; latent t depends on frames 0 … t only.

        Args:
            frames: [B, T, 3, H, W] in [-1, 1].

        Returns:
            [B, T, C, h, w] of unit variance.

        Raises:
            ValueError: for another shape, or H or W that is no multiple of `spatial_compression`.
        """
        self._check_frames(frames, "B, T", 5)
        latents = self.encoder(frames.flatten(0, 1), frames.shape[1])
        return self.normalize(latents).unflatten(0, frames.shape[:2])

    def decode(self, latents: Tensor) -> Tensor:
        """Decodes whole clips; frame t depends on latents 0 … t only.

        Args:
            latents: [B, T, C, h, w] of unit variance.

        Returns:
            [B, T, 3, H, W], nominally in [-1, 1].

        Raises:
            ValueError: for another shape.
        """
        self._check_latents(latents, "B, T", 5)
        frames = self.decoder(self.denormalize(latents.flatten(0, 1)), latents.shape[1])
        return frames.unflatten(0, latents.shape[:2])

    def init_cache(
        self,
        batch_size: int,
        height: int,
        width: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> AutoencoderCache:
        """A cache for `batch_size` streams that have seen nothing yet.

        Args:
            batch_size: number of streams B.
            height: of a frame, in pixels.
            width: of a frame, in pixels.
            device: where the parameters are by default.
            dtype: the parameters' by default.

        Returns:
            The cache that `encode_step` and `decode_step` read and update.
        """
        device = torch.device(device) if device is not None else self.latents_mean.device
        dtype = dtype or self.decoder.conv_in.weight.dtype
        return AutoencoderCache(
            self.encoder.init_state(batch_size, height, width, device, dtype),
            self.decoder.init_state(batch_size, height, width, device, dtype),
        )

    def encode_step(self, frame: Tensor, cache: AutoencoderCache) -> Tensor:
        """Encodes the next frame of each stream: what `encode` gives for it in a whole clip.

        Args:
            frame: [B, 3, H, W] in [-1, 1].
            cache: the streams' past, moved on in place.

        Returns:
            [B, C, h, w] of unit variance.

        Raises:
            ValueError: for another shape, or a cache of another batch size.
        """
        self._check_frames(frame, "B", 4)
        self._check_rows(frame, cache)
        latents = self.encoder(frame, state=cache.encoder)
        cache.encoder.count += 1
        return self.normalize(latents)

    def decode_step(self, latents: Tensor, cache: AutoencoderCache) -> Tensor:
        """Decodes the next latents of each stream: what `decode` gives for them in a whole clip.

        Args:
            latents: [B, C, h, w] of unit variance.
            cache: the streams' past, moved on in place.

        Returns:
            [B, 3, H, W], nominally in [-1, 1].

        Raises:
            ValueError: for another shape, or a cache of another batch size.
        """
        self._check_latents(latents, "B", 4)
        self._check_rows(latents, cache)
        frame = self.decoder(self.denormalize(latents), state=cache.decoder)
        cache.decoder.count += 1
        return frame

    def temporal_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters of the temporal blocks (the second phase of training)."""
        return (p for name, p in self.named_parameters() if ".temporal." in name)

    def spatial_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters of all else (the first phase)."""
        return (p for name, p in self.named_parameters() if ".temporal." not in name)

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Writes config.json and safetensors, whole or not at all.

        Args:
            folder: made if missing.
            dtype: of the stored weights, see `worldmodel.storage.pack`; their own by default.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        save_file(pack(self.state_dict(), dtype), folder / f"{WEIGHTS_NAME}.tmp", metadata={"format": "pt"})
        text = json.dumps({"_class_name": "AutoencoderDC", **self.config.to_dict()}, indent=2)
        (folder / f"{CONFIG_NAME}.tmp").write_text(text + "\n")
        for name in (WEIGHTS_NAME, CONFIG_NAME):
            (folder / f"{name}.tmp").replace(folder / name)

    @classmethod
    def from_pretrained(cls, folder: str | Path, **overrides: Any) -> Autoencoder:
        """Reads a folder of ours, or of AutoencoderDC's: then the temporal blocks begin as zero residuals.

        Args:
            folder: holds config.json and diffusion_pytorch_model.safetensors.
            **overrides: config fields to replace, e.g. `temporal_stages=[]`.

        Returns:
            The autoencoder, in evaluation mode, on the CPU, with the dtype of the file.

        Raises:
            FileNotFoundError: if a file is missing; pickled weights are never read.
            ValueError: for unknown config fields, a damaged file, or weights that do not fit, all listed at once.
        """
        folder = Path(folder)
        for name in (CONFIG_NAME, WEIGHTS_NAME):
            if not (folder / name).is_file():
                found = ", ".join(sorted(path.name for path in folder.glob("*"))) or "nothing"
                raise FileNotFoundError(
                    f"{folder} must hold {CONFIG_NAME} and {WEIGHTS_NAME}, found {found}: download the folder again; "
                    "pickled weights (.bin, .pt) are not read"
                )
        try:
            values = json.loads((folder / CONFIG_NAME).read_text())
        except json.JSONDecodeError as error:
            raise ValueError(f"{folder / CONFIG_NAME} is not JSON ({error}): download or copy it again") from error
        try:
            weights = unpack(load_file(folder / WEIGHTS_NAME))
        except Exception as error:  # safetensors raises its own error type, whatever is wrong with the file
            raise ValueError(
                f"{folder / WEIGHTS_NAME} is damaged or incomplete ({error}): download or copy it again"
            ) from error
        model = cls(AutoencoderConfig.from_dict({**values, **overrides}))
        dtype = weights["encoder.conv_out.weight"].dtype if "encoder.conv_out.weight" in weights else torch.float32
        model.to(dtype).load_weights(weights, str(folder))
        return model.eval()

    def load_weights(self, weights: dict[str, Tensor], source: str) -> None:
        """Loads a state dict; temporal blocks and statistics may be absent, nothing else.

        Args:
            weights: tensors by key.
            source: where they come from, for the error.

        Raises:
            ValueError: listing every missing, unknown and mismatched key, with both shapes.
        """
        own = self.state_dict()
        problems = []
        for name, tensor in own.items():
            if name not in weights:
                if not (".temporal." in name and not any(".temporal." in key for key in weights)) and not (
                    name.startswith("latents_") and not any(key.startswith("latents_") for key in weights)
                ):
                    problems.append(f"  {name}: expected {tuple(tensor.shape)}, missing in the file")
            elif weights[name].shape != tensor.shape:
                problems.append(f"  {name}: expected {tuple(tensor.shape)}, got {tuple(weights[name].shape)}")
        for name, tensor in weights.items():
            dropped = ".temporal." in name and not self.config.temporal_stages
            if name not in own and not dropped:
                problems.append(f"  {name}: unknown here, got {tuple(tensor.shape)}")
        if problems:
            raise ValueError(
                f"weights of {source} do not fit the autoencoder ({len(problems)} keys):\n"
                + "\n".join(problems)
                + "\ncheck that config.json belongs to these weights"
            )
        self.load_state_dict({name: t for name, t in weights.items() if name in own}, strict=False)

    def _check_frames(self, frames: Tensor, leading: str, ndim: int) -> None:
        side, channels = self.spatial_compression, self.config.in_channels
        if frames.ndim != ndim or frames.shape[-3] != channels or frames.shape[-2] % side or frames.shape[-1] % side:
            raise ValueError(
                f"frames must be [{leading}, {channels}, H, W] with H and W multiples of {side} "
                f"(autoencoder.spatial_compression), got {tuple(frames.shape)}: resize or crop them"
            )

    def _check_latents(self, latents: Tensor, leading: str, ndim: int) -> None:
        if latents.ndim != ndim or latents.shape[-3] != self.latent_channels:
            raise ValueError(
                f"latents must be [{leading}, {self.latent_channels}, h, w] (autoencoder.latent_channels), "
                f"got {tuple(latents.shape)}: were they encoded with another autoencoder?"
            )

    def _check_rows(self, x: Tensor, cache: AutoencoderCache) -> None:
        if x.shape[0] != cache.encoder.count.shape[0]:
            raise ValueError(
                f"the cache holds {cache.encoder.count.shape[0]} streams, got a batch of {x.shape[0]}: "
                "make one by init_cache(batch_size, height, width)"
            )
