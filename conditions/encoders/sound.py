"""Sound as numbers: 16-bit samples, a log-mel spectrum that never looks ahead, FLAC.

Shapes: B batch, T values, S samples per value, m mel frames per value.
"""

from __future__ import annotations

import functools
import io

import av
import av.error
import numpy as np
import torch
from torch import Tensor

SAMPLE_RATE = 16_000  # Hz
WINDOW = 400  # samples that a mel frame hears: 25 ms
HOP = 160  # samples from one mel frame to the next: 10 ms
FLOOR = 1e-8  # of the mel power, about the noise of 16 bits
_FULL_SCALE = 32768


def to_16_bit(samples: np.ndarray) -> np.ndarray:
    """Turns float samples in [-1, 1] into int16; those on the 16-bit grid come back exactly by `to_float`."""
    scaled = np.round(samples.astype(np.float32) * _FULL_SCALE)
    return np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)


def to_float(samples: np.ndarray) -> np.ndarray:
    """Turns int16 samples into float32 in [-1, 1)."""
    return samples.astype(np.float32) / _FULL_SCALE


def log_mel(samples: Tensor, num_mels: int) -> Tensor:
    """Log-mel frames, each of the 25 ms before its end, so that nothing after a moment changes it.

    Whisper's filters and scale (arXiv 2212.04356, section 2.2), but neither its centred frames nor its floor below the
    loudest moment: both look ahead.

    Args:
        samples: [..., n] float in [-1, 1], n = 240 + 160 k.
        num_mels: filters between 0 and 8 kHz.

    Returns:
        [..., k, num_mels]; silence is -1.
    """
    frames = samples.unfold(-1, WINDOW, HOP) * torch.hann_window(WINDOW, device=samples.device)  # [..., k, 400]
    power = torch.fft.rfft(frames).abs().square()  # [..., k, 201]
    mel = power @ torch.from_numpy(_filters(num_mels)).to(power)
    return (mel.clamp(min=FLOOR).log10() + 4) / 4


@functools.cache
def _filters(num_mels: int) -> np.ndarray:
    from transformers.audio_utils import mel_filter_bank

    filters = mel_filter_bank(1 + WINDOW // 2, num_mels, 0.0, SAMPLE_RATE / 2, SAMPLE_RATE, "slaney", "slaney")
    return filters.astype(np.float32)


def encode_flac(samples: np.ndarray) -> bytes:
    """Writes mono int16 samples at 16 kHz, [n] with n >= 1, as the bytes of a FLAC file; lossless."""
    stream = io.BytesIO()
    with av.open(stream, "w", format="flac", options={"metadata_header_padding": "0"}) as container:
        encoder = container.add_stream("flac", rate=SAMPLE_RATE, layout="mono", format="s16")
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        for packet in (*encoder.encode(frame), *encoder.encode(None)):
            container.mux(packet)
    return stream.getvalue()


def decode_flac(data: bytes, where: str) -> np.ndarray:
    """Reads a mono FLAC file of 16 kHz and 16 bits.

    Args:
        data: the file's bytes.
        where: what to call it in errors.

    Returns:
        [n] int16.

    Raises:
        ValueError: if it is damaged, or of another kind, rate or number of channels.
    """
    try:
        with av.open(io.BytesIO(data), "r") as container:
            if container.format.name != "flac" or len(container.streams.audio) != 1:
                raise ValueError(f"{where} must be a FLAC file, got {container.format.name}")
            stream = container.streams.audio[0]
            if (stream.rate, stream.channels, stream.format.name) != (SAMPLE_RATE, 1, "s16"):
                raise ValueError(
                    f"{where} must be mono, 16 bits, {SAMPLE_RATE} Hz, got {stream.channels} channels, "
                    f"{stream.format.name}, {stream.rate} Hz: resample it before it becomes a clip"
                )
            blocks = [frame.to_ndarray()[0] for frame in container.decode(stream)]
    except (av.error.FFmpegError, IndexError) as error:
        raise ValueError(f"{where} must be a FLAC file, {len(data)} bytes of it are damaged: {error}") from error
    return np.concatenate(blocks) if blocks else np.zeros(0, np.int16)
