"""The two ways of hearing behind one interface: a small causal network, and the public Whisper-VQ tokenizer.

    ear.history                      values before one that are heard with it
    ear.prepare(samples, present)    int16 [history + T, S], bool [T] -> [T, ...], off the hot path
    ear(x)                           [B, T, ...] -> [B, T, features]

Each value's tensor holds all that is heard of it and before it, so a stream, a window and a whole clip give the same.

Shapes: B batch, T values, S samples per value, m mel frames per value, W values heard together.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from conditions.encoders.sound import HOP, SAMPLE_RATE, WINDOW, log_mel, to_float

WINDOWS_AT_ONCE = 32  # that Whisper-VQ encodes in one batch


class CausalEar(nn.Module):
    """A small convolutional network over the mel frames of a value and of those before it; trained with the rest.

    Args:
        samples: S.
        context_ms: how far back it hears.
        features: its width.
        num_mels: mel filters.
    """

    lookahead_ms = 0.0

    def __init__(self, samples: int, context_ms: float, features: int, num_mels: int) -> None:
        super().__init__()
        self.samples, self.num_mels = samples, num_mels
        self.context = math.ceil(context_ms * SAMPLE_RATE / 1000 / samples)
        self._before = math.ceil((WINDOW - HOP) / samples)  # values that the first mel frame begins in
        self.history = self.context + self._before
        self.network = nn.Sequential(
            nn.Conv1d(num_mels, features, 3),
            nn.GELU(),
            nn.Conv1d(features, features, 3, stride=2),
            nn.GELU(),
            nn.Conv1d(features, features, 3, stride=2),
            nn.GELU(),
        )
        steps = (self.context + 1) * samples // HOP - 2  # after each convolution
        for _ in range(2):
            steps = (steps - 3) // 2 + 1
        if steps < 1:
            raise ValueError(
                f"audio.context_ms must reach back further, {context_ms} and {samples} samples are too short for a "
                "token: set 160 or more"
            )
        self.head = nn.Sequential(nn.Flatten(-2), nn.Linear(steps * features, features), nn.GELU())

    def prepare(self, samples: np.ndarray, present: np.ndarray) -> Tensor:
        """Turns int16 [history + T, S] into log-mel frames [T, W, m, num_mels], `present` [T] or not."""
        first = self._before * self.samples - (WINDOW - HOP)
        sound = torch.from_numpy(to_float(samples.reshape(-1)))[first:]
        mel = log_mel(sound, self.num_mels).unflatten(0, (-1, self.samples // HOP))  # [context + T, m, mels]
        last = torch.arange(self.context, len(mel))
        return mel[last[:, None] + torch.arange(-self.context, 1)]

    def forward(self, x: Tensor) -> Tensor:
        """Turns [B, T, W, m, num_mels] into [B, T, features]."""
        mel = x.flatten(2, 3).flatten(0, 1).transpose(1, 2)  # [B T, mels, W m]
        mel = mel.to(next(self.parameters()).dtype)
        return self.head(self.network(mel)).unflatten(0, x.shape[:2])


class WhisperEar(nn.Module):
    """The code of the 80 ms that end with a value, as the public tokenizer hears them at the end of a rolling window.

    The window is the same in training and in a stream, where nothing beyond its end is heard. The tokenizer is frozen
    and shared, is read when it is first needed, and is no part of a checkpoint.

    Args:
        samples: S.
        context_ms: how far back it hears; the window is whole tokens.
        features: the code book's width.
        folder: of the tokenizer.
    """

    TOKEN = 1280  # samples
    lookahead_ms = 0.0

    def __init__(self, samples: int, context_ms: float, features: int, folder: str) -> None:
        super().__init__()
        self.samples, self.features, self.folder = samples, features, folder
        self.history = math.ceil(context_ms * SAMPLE_RATE / 1000 / samples)
        while (self.history + 1) * samples % self.TOKEN:
            self.history += 1
        self.register_buffer("_where", torch.zeros(()), persistent=False)  # knows the device

    @torch.no_grad()
    def prepare(self, samples: np.ndarray, present: np.ndarray) -> Tensor:
        """Turns int16 [history + T, S] into the codes' vectors [T, features] float32; zeros where not `present` [T].

        Raises:
            ValueError: if the tokenizer's folder is not one, or of another width or longest sound.
        """
        from conditions.encoders.whisper_vq import load_whisper_vq

        x = torch.zeros(len(present), self.features)
        if not present.any():
            return x
        vq = load_whisper_vq(self.folder, str(self._where.device))
        length = (self.history + 1) * self.samples
        if vq.config.d_model != self.features or vq.samples_per_token != self.TOKEN or length > vq.max_samples:
            raise ValueError(
                f"the tokenizer in {self.folder} has width {vq.config.d_model}, {vq.samples_per_token} samples a token "
                f"and hears {vq.max_samples} samples at most; asked for {self.features}, {self.TOKEN} and {length}: "
                "set audio.features and audio.context_ms to fit"
            )
        sound = to_float(samples.reshape(-1))
        windows = np.lib.stride_tricks.sliding_window_view(sound, length)[:: self.samples][present]
        codes = [vq(windows[at : at + WINDOWS_AT_ONCE])[:, -1] for at in range(0, len(windows), WINDOWS_AT_ONCE)]
        x[torch.from_numpy(present)] = vq.codebook(torch.cat(codes)).float().cpu()
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Returns [B, T, features] as it is: the projection to the backbone's width is what is trained."""
        return x
