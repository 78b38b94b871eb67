"""Whisper-VQ: half a Whisper encoder, pooled to 12.5 Hz and quantised; the speech tokenizer of GLM-4-Voice.

Its weights are public (`glm-4-voice-tokenizer`, `model_type: whisper`); see arXiv 2412.02612. Convolutions
are padded on the left only; attention sees everything before and all of its own block of 200 steps, so that the whole
pass looks up to 4 s ahead (`lookahead_ms`).

Shapes: B batch, n samples, L steps of 20 ms, N tokens of 80 ms, D width.
"""

from __future__ import annotations

import functools
import json
import math
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoderLayer

from conditions.encoders.sound import SAMPLE_RATE

FIELDS = (
    *("pooling_kernel_size", "pooling_type", "pooling_position", "quantize_position", "quantize_vocab_size"),
    *("quantize_causal_block_size", "encoder_causal_convolution"),
)
_STATISTICS = {"ema_count", "ema_weight"}  # of the code book's training


class CausalConv1d(nn.Conv1d):
    """A convolution over [B, D, L] that is padded on the left only."""

    def forward(self, input: Tensor) -> Tensor:
        """[B, D, L] -> [B, D', ceil(L / stride)], each step from what came before it and itself."""
        return super().forward(functional.pad(input, (self.dilation[0] * (self.kernel_size[0] - 1), 0)))


class WhisperVQ(nn.Module):
    """The encoder up to its code book, keys as published. `attention` is eager for a mask of the blocks.

    Args:
        config: Whisper's, with the fields in `FIELDS` beside.
        extractor: of the mel spectrum.

    Raises:
        ValueError: if the config is of another architecture, naming each field.
    """

    def __init__(self, config: WhisperConfig, extractor: WhisperFeatureExtractor) -> None:
        super().__init__()
        _check_config(config)
        config._attn_implementation = "eager"
        self.config = config
        self.extractor = extractor
        width, positions = config.d_model, config.max_source_positions
        self.conv1 = CausalConv1d(config.num_mel_bins, width, 3)
        self.conv2 = CausalConv1d(width, width, 3, stride=2)
        self.embed_positions = nn.Embedding(positions, width)
        self.layers = nn.ModuleList(WhisperEncoderLayer(config) for _ in range(config.quantize_position))
        self.codebook = nn.Embedding(config.quantize_vocab_size, width)
        # For the layers after the code book, which the tokens do not need; kept so that the keys are the public ones.
        self.embed_positions2 = nn.Embedding(math.ceil(positions / config.pooling_kernel_size), width)

    @property
    def samples_per_token(self) -> int:
        """Samples at 16 kHz that make one token: 1280, which is 80 ms."""
        return self.extractor.hop_length * self.conv2.stride[0] * self.config.pooling_kernel_size

    @property
    def max_samples(self) -> int:
        """The longest sound that positions are known for: 30 s."""
        return self.config.max_source_positions * self.conv2.stride[0] * self.extractor.hop_length

    @property
    def lookahead_ms(self) -> float:
        """How far beyond itself a token of the whole pass may hear, in ms: to the end of its block."""
        step_ms = 1000 * self.conv2.stride[0] * self.extractor.hop_length / SAMPLE_RATE
        return (self.config.quantize_causal_block_size - self.config.pooling_kernel_size) * step_ms

    def forward(self, samples: np.ndarray) -> Tensor:
        """Turns sounds of one length into tokens.

        Args:
            samples: [B, n] float32 in [-1, 1] at 16 kHz, n a multiple of `samples_per_token`, at most `max_samples`.

        Returns:
            [B, N] int64, numbers of codes.

        Raises:
            ValueError: for another length.
        """
        if (
            samples.ndim != 2
            or samples.shape[1] % self.samples_per_token
            or not 0 < samples.shape[1] <= self.max_samples
        ):
            raise ValueError(
                f"samples must be [B, n], n a multiple of {self.samples_per_token} up to {self.max_samples}, "
                f"got {samples.shape}"
            )
        mel = self.extractor(list(samples), sampling_rate=SAMPLE_RATE, padding="longest", return_tensors="pt")
        return self.quantize(self.hidden(mel["input_features"].to(self.conv1.weight)))

    def hidden(self, mel: Tensor) -> Tensor:
        """Turns a log-mel spectrum [B, mels, 2 L] into [B, N, D], before the code book."""
        x = functional.gelu(self.conv2(functional.gelu(self.conv1(mel)))).transpose(1, 2)  # [B, L, D]
        x = x + self.embed_positions.weight[: x.shape[1]]
        block = self.config.quantize_causal_block_size
        mask = _block_mask(x, block)
        for number, layer in enumerate(self.layers, start=1):
            x = layer(x, mask)
            if number == self.config.pooling_position:
                x = functional.avg_pool1d(x.transpose(1, 2), self.config.pooling_kernel_size).transpose(1, 2)
                mask = _block_mask(x, block // self.config.pooling_kernel_size)
        return x

    def quantize(self, hidden: Tensor) -> Tensor:
        """Finds the code nearest to each of [B, N, D]: [B, N] int64."""
        codes = self.codebook.weight.float()
        distance = codes.square().sum(dim=1) - 2 * hidden.float() @ codes.T  # less |hidden|^2, the same for all codes
        return distance.argmin(dim=-1)


def _block_mask(x: Tensor, block: int) -> Tensor:
    """[1, 1, L, L] to add to attention: 0 for what came before and for the own block, else very negative."""
    step = torch.arange(x.shape[1], device=x.device)
    seen = (step[None, :] <= step[:, None]) | (step[None, :] // block == step[:, None] // block)
    return torch.zeros_like(seen, dtype=x.dtype).masked_fill(~seen, torch.finfo(x.dtype).min)[None, None]


def _check_config(config: WhisperConfig) -> None:
    missing = [field for field in FIELDS if getattr(config, field, None) is None]
    if missing:
        raise ValueError(
            f"a Whisper-VQ config must have {', '.join(FIELDS)}, got none of {', '.join(missing)}: is it plain Whisper?"
        )
    if not config.encoder_causal_convolution or config.pooling_type != "avg":
        raise ValueError(
            f"Whisper-VQ must have encoder_causal_convolution true and pooling_type 'avg', got "
            f"{config.encoder_causal_convolution} and {config.pooling_type!r}"
        )
    if not 1 <= config.pooling_position <= config.quantize_position <= config.encoder_layers:
        raise ValueError(
            f"Whisper-VQ must have 1 <= pooling_position <= quantize_position <= encoder_layers, got "
            f"{config.pooling_position}, {config.quantize_position}, {config.encoder_layers}"
        )


@functools.lru_cache(maxsize=2)
def load_whisper_vq(folder: str, device: str = "cpu", dtype: torch.dtype = torch.float32) -> WhisperVQ:
    """Reads the tokenizer from a local folder, once per process: config.json, preprocessor_config.json, safetensors.

    Args:
        folder: such as a download of `glm-4-voice-tokenizer`.
        device: where to put it.
        dtype: of its weights in memory.

    Returns:
        The frozen encoder in evaluation mode. Layers after the code book, and statistics of its training, are left out.

    Raises:
        ValueError: if a file is missing or damaged, the architecture is another, or weights are missing or misshapen:
            all of them are named.
    """
    path = Path(folder)
    try:
        described = json.loads((path / "config.json").read_text())
        extractor = WhisperFeatureExtractor.from_pretrained(path)
        state = {k: v for file in sorted(path.glob("*.safetensors")) for k, v in load_file(file).items()}
    except (OSError, ValueError, SafetensorError) as error:
        raise ValueError(
            f"{path} must be a Whisper-VQ folder with config.json, preprocessor_config.json and *.safetensors: {error}"
        ) from error
    if described.get("model_type") != "whisper":
        raise ValueError(f"{path}/config.json must have model_type 'whisper', got {described.get('model_type')!r}")
    with torch.device("meta"):
        model = WhisperVQ(WhisperConfig(**described), extractor)
    if extractor.sampling_rate != SAMPLE_RATE or extractor.feature_size != model.config.num_mel_bins:
        raise ValueError(
            f"{path}: preprocessor_config.json must be of {SAMPLE_RATE} Hz and {model.config.num_mel_bins} mels, got "
            f"{extractor.sampling_rate} Hz and {extractor.feature_size} mels"
        )
    state = {key.removeprefix("model.encoder."): value for key, value in state.items()}
    wanted = model.state_dict()
    wrong = [f"{key} is missing" for key in wanted if key not in state]
    wrong += [
        f"{key} must be {tuple(wanted[key].shape)}, got {tuple(value.shape)}"
        for key, value in state.items()
        if key in wanted and wanted[key].shape != value.shape
    ]
    wrong += [f"{key} is not known" for key in state if key not in wanted and not _is_unused(key, model.config)]
    if wrong:
        raise ValueError(f"the weights in {path} are not a whole Whisper-VQ: {'; '.join(wrong)}")
    model.load_state_dict({key: state[key].to(dtype) for key in wanted}, assign=True)
    return model.to(device).eval().requires_grad_(False)


def _is_unused(key: str, config: WhisperConfig) -> bool:
    """Whether a published tensor is no part of what makes the tokens."""
    parts = key.split(".")
    later = parts[0] == "layers" and int(parts[1]) >= config.quantize_position
    return later or key in _STATISTICS or parts[0] in ("layer_norm", "model", "proj_out")
