"""Sound files that tests make, by the codecs themselves."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

Tell = Callable[[str], None]
CODECS = {
    ".wav": ("pcm_s16le", "s16"),
    ".flac": ("flac", "s16"),
    ".mp3": ("libmp3lame", "s16p"),
    ".mp4": ("aac", "fltp"),
}


def click(seconds: float, rate: int, at_s: float, channels: int = 1) -> np.ndarray:
    """[n, channels] float: a soft noise, and 5 ms of a loud tone that begins at `at_s`."""
    noise = np.random.default_rng(0).normal(0, 0.003, (round(seconds * rate), channels))
    start, length = round(at_s * rate), round(0.005 * rate)
    noise[start : start + length] += 0.8 * np.sin(2 * np.pi * 1000 * np.arange(length) / rate)[:, None]
    return noise


def write_sound(path: Path, samples: np.ndarray, rate: int, late_s: float = 0.0) -> Path:
    """Writes [n, channels] in [-1, 1] as the suffix says; if `late_s`, beside a picture that begins so much sooner."""
    codec, form = CODECS[path.suffix]
    scaled = samples if form.startswith("flt") else np.clip(np.round(samples * 32768), -32768, 32767)
    kind = np.float32 if form.startswith("flt") else np.int16
    layout = "mono" if samples.shape[1] == 1 else "stereo"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout, format=form)
        stream.time_base = Fraction(1, rate)
        if late_s:
            picture = container.add_stream("libx264", rate=25, height=16, width=16, pix_fmt="yuv420p")
            for _ in range(50):
                container.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), "rgb24")))
            container.mux(picture.encode(None))
        size = 1024
        for start in range(0, len(scaled), size):
            block = scaled[start : start + size].astype(kind)
            planes = block.T if form.endswith("p") else block.reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(planes), format=form, layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, start + round(late_s * rate), Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_float_wav(path: Path, samples: np.ndarray, rate: int = 16000, bits: int = 32) -> Path:
    """Writes [n, channels] as floating samples, whatever they are."""
    data, channels = samples.astype(f"<f{bits // 8}").tobytes(), samples.shape[1]
    form = struct.pack("<HHIIHH", 3, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


def write_video(path: Path, frames: np.ndarray, fps: int) -> Path:
    """Writes [T, H, W, 3] uint8 as a silent film."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "10"})
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path
