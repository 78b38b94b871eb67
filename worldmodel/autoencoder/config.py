"""What an autoencoder is made of: AutoencoderDC's fields for all that is spatial, and ours for time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from conditions.values import nearest

BLOCK_TYPES = ("ResBlock", "EfficientViTBlock")
NORM_TYPES = ("rms_norm", "batch_norm", "none")
PLACEMENTS = ("stage", "block", "conv")
ACTIVATIONS = ("silu", "swish", "relu", "gelu", "mish", "none")


@dataclass
class AutoencoderConfig:
    """Fields of an autoencoder; every list has one entry per stage, stage 0 being the full resolution.

    The names up to `scaling_factor` and their meanings are those of diffusers' AutoencoderDC, so that its config.json
    is read and written as it is. `layers_per_block[0] == 0` leaves the full resolution to one strided convolution.
    """

    in_channels: int = 3
    latent_channels: int = 32
    attention_head_dim: int = 32
    encoder_block_types: list[str] = field(default_factory=lambda: ["ResBlock"] * 6)
    decoder_block_types: list[str] = field(default_factory=lambda: ["ResBlock"] * 6)
    encoder_block_out_channels: list[int] = field(default_factory=lambda: [128, 256, 512, 512, 1024, 1024])
    decoder_block_out_channels: list[int] = field(default_factory=lambda: [128, 256, 512, 512, 1024, 1024])
    encoder_layers_per_block: list[int] = field(default_factory=lambda: [2, 2, 2, 3, 3, 3])
    decoder_layers_per_block: list[int] = field(default_factory=lambda: [3, 3, 3, 3, 3, 3])
    encoder_qkv_multiscales: list[list[int]] = field(default_factory=lambda: [[], [], [], [5], [5], [5]])
    decoder_qkv_multiscales: list[list[int]] = field(default_factory=lambda: [[], [], [], [5], [5], [5]])
    upsample_block_type: str = "pixel_shuffle"
    downsample_block_type: str = "pixel_unshuffle"
    decoder_norm_types: list[str] = field(default_factory=lambda: ["rms_norm"] * 6)
    decoder_act_fns: list[str] = field(default_factory=lambda: ["silu"] * 6)
    encoder_out_shortcut: bool = True
    decoder_in_shortcut: bool = True
    decoder_conv_act_fn: str = "relu"
    scaling_factor: float = 1.0
    # AutoencoderDC always has rms_norm and silu in the encoder, and rms_norm before the last convolution. "none" leaves
    # norms out: a residual branch then begins at zero (see initialization.py).
    encoder_norm_types: list[str] = field(default_factory=lambda: ["rms_norm"] * 6)
    encoder_act_fns: list[str] = field(default_factory=lambda: ["silu"] * 6)
    decoder_out_norm_type: str = "rms_norm"
    # Stages that look back in time, negative ones counted from the lowest resolution; [] is a picture autoencoder.
    temporal_stages: list[int] = field(default_factory=lambda: [-2, -1])
    # "stage": once, after a stage's blocks. "block": after every block of the stage, resampling blocks too.
    # "conv": after every convolution that mixes places: as "block", and between the two of each residual block, and
    # after the very first on either side. Inside an EfficientViTBlock it would be eight times as wide: there, after it.
    temporal_placement: str = "stage"
    temporal_history: int = 5  # past frames seen beside the current one
    temporal_heads: int = 4
    temporal_rope_theta: float = 10000.0

    @property
    def num_stages(self) -> int:
        """Number of resolutions, the full one included."""
        return len(self.encoder_block_out_channels)

    @property
    def spatial_compression(self) -> int:
        """Pixels of a side per latent position, e.g. 32."""
        return 2 ** (self.num_stages - 1)

    @property
    def stages_in_time(self) -> list[int]:
        """`temporal_stages` as sorted indices from 0."""
        return sorted({stage % self.num_stages for stage in self.temporal_stages})

    def validate(self) -> None:
        """Checks that the fields fit together.

        Raises:
            ValueError: naming the field, what it should be and what it is.
        """
        count = self.num_stages
        for name in fields(self):
            value = getattr(self, name.name)
            per_stage = name.name.startswith(("encoder_", "decoder_")) and isinstance(value, list)
            if per_stage and len(value) != count:
                raise ValueError(
                    f"autoencoder.{name.name} must have {count} entries, one per stage of "
                    f"encoder_block_out_channels, got {len(value)}: {value}"
                )
        for side in ("encoder", "decoder"):
            self._among(f"{side}_block_types", BLOCK_TYPES)
            self._among(f"{side}_norm_types", NORM_TYPES)
            self._among(f"{side}_act_fns", ACTIVATIONS)
            layers = getattr(self, f"{side}_layers_per_block")
            if any(n < 1 for n in layers[1:]) or layers[0] < 0:
                raise ValueError(
                    f"autoencoder.{side}_layers_per_block must be at least 1 in every stage but the first "
                    f"(0 there skips the full resolution), got {layers}"
                )
        self._validate_shortcuts()
        self._among("decoder_conv_act_fn", ACTIVATIONS)
        self._among("decoder_out_norm_type", NORM_TYPES)
        self._among("upsample_block_type", ("pixel_shuffle", "interpolate"))
        self._among("downsample_block_type", ("pixel_unshuffle", "conv", "Conv"))
        self._among("temporal_placement", PLACEMENTS)
        self._validate_temporal()

    def _validate_shortcuts(self) -> None:
        """Resampling shortcuts repeat or average whole groups of channels."""
        for side in ("encoder", "decoder"):
            name = f"autoencoder.{side}_block_out_channels"
            widths = getattr(self, f"{side}_block_out_channels")
            first = 0 if getattr(self, f"{side}_layers_per_block")[0] else 1
            for high, low in zip(widths[first:], widths[first + 1 :], strict=False):
                if (4 * high) % low:
                    raise ValueError(f"{name}: 4 * {high} must be a multiple of the next stage's {low}, got {widths}")
            shortcut = self.encoder_out_shortcut if side == "encoder" else self.decoder_in_shortcut
            if shortcut and widths[-1] % self.latent_channels:
                raise ValueError(f"{name} must end in a multiple of latent_channels = {self.latent_channels}: {widths}")

    def _among(self, name: str, known: tuple[str, ...]) -> None:
        value = getattr(self, name)
        for entry in value if isinstance(value, list) else [value]:
            if entry not in known:
                raise ValueError(f"autoencoder.{name} must be among the known, got {entry!r}{nearest(entry, known)}")

    def _validate_temporal(self) -> None:
        if self.temporal_history < 1:
            raise ValueError(f"autoencoder.temporal_history must be 1 or more, got {self.temporal_history}")
        for stage in self.temporal_stages:
            if not -self.num_stages <= stage < self.num_stages:
                raise ValueError(f"autoencoder.temporal_stages names stage {stage}, there are {self.num_stages}")
        for stage in self.stages_in_time:
            for side in ("encoder", "decoder"):
                width = getattr(self, f"{side}_block_out_channels")[stage]
                if getattr(self, f"{side}_layers_per_block")[stage] == 0:
                    raise ValueError(
                        f"autoencoder.temporal_stages names stage {stage}, but {side}_layers_per_block[{stage}] is 0: "
                        "there is no block to follow; leave the stage out"
                    )
                if width % (2 * self.temporal_heads):
                    raise ValueError(
                        f"autoencoder.{side}_block_out_channels[{stage}] = {width} must be a multiple of "
                        f"2 * temporal_heads = {2 * self.temporal_heads} for rotary positions"
                    )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> AutoencoderConfig:
        """Reads a config.json of ours or of AutoencoderDC.

        A string where a list per stage is due stands for all stages. Keys that begin with an underscore are the
        library's own and are passed over.

        Args:
            values: the parsed file.

        Returns:
            The validated config.

        Raises:
            ValueError: for another architecture, an unknown field, naming the nearest one, or fields that do not fit
                together.
        """
        kind = values.get("_class_name", "AutoencoderDC")
        if kind != "AutoencoderDC":
            raise ValueError(f"the autoencoder must be an AutoencoderDC, got {kind!r}: give a folder of DC-AE's")
        known = [f.name for f in fields(cls)]
        values = {name: value for name, value in values.items() if not name.startswith("_")}
        for name in values:
            if name not in known:
                raise ValueError(f"unknown autoencoder field {name!r}{nearest(name, known)}")
        count = len(values.get("encoder_block_out_channels", [0] * 6))
        defaults = {"block_types": "ResBlock", "norm_types": "rms_norm", "act_fns": "silu"}
        for side in ("encoder", "decoder"):
            for suffix, default in defaults.items():
                value = values.get(f"{side}_{suffix}", default)
                values[f"{side}_{suffix}"] = [value] * count if isinstance(value, str) else list(value)
        config = cls(**values)
        config.validate()
        return config

    def to_dict(self) -> dict[str, Any]:
        """Plain values for config.json."""
        return asdict(self)
