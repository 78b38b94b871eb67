"""Films of a talking head that tests make: what is seen and heard at a moment says which moment it is.

A white bar stands at the left edge and goes right steadily, so that the picture tells its own time; a flash in a corner
and a clap in the sound begin together.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

HEIGHT, WIDTH = 48, 64
CODECS = {".mp4": "aac", ".mkv": "flac", ".mov": "pcm_s16le"}


def picture(seconds: float, flash: bool, length: float = 4.0) -> np.ndarray:
    """Returns [H, W, 3] uint8: the bar at `seconds` of `length`, and the lower right corner white in a flash."""
    frame = np.full((HEIGHT, WIDTH, 3), 30, np.uint8)
    at = (WIDTH - 8) * seconds / length
    columns = np.arange(WIDTH)[None, :, None]
    frame[:16] = np.maximum(frame[:16], (255 * np.clip(4 - np.abs(columns - at - 4), 0, 1)).astype(np.uint8))
    if flash:
        frame[36:, 48:] = 255
    return frame


def seen_at(frame: np.ndarray, length: float = 4.0) -> float:
    """Returns the second that a frame's bar tells, from a whole picture of any size."""
    profile = frame[: len(frame) // 4].mean(axis=(0, 2)) - 35
    profile = np.clip(profile, 0, None)
    middle = (profile * (np.arange(len(profile)) + 0.5)).sum() / profile.sum() * WIDTH / len(profile)
    return float((middle - 4.5) * length / (WIDTH - 8))


def is_flash(frame: np.ndarray) -> bool:
    """Returns whether a frame of a whole picture shows the flash."""
    return bool(frame[int(len(frame) * 0.8) :, int(frame.shape[1] * 0.8) :].mean() > 128)


def clap(seconds: float, rate: int, at_s: float, channels: int = 1) -> np.ndarray:
    """Returns [n, channels] float32: a soft hum, and 30 ms of a loud tone from `at_s` on, in the last channel."""
    times = np.arange(round(seconds * rate)) / rate
    sound = np.repeat(0.01 * np.sin(2 * np.pi * 200 * times)[:, None], channels, axis=1)
    loud = (times >= at_s) & (times < at_s + 0.03)
    sound[loud, -1] = 0.8 * np.sin(2 * np.pi * 1000 * (times[loud] - at_s))
    return sound.astype(np.float32)


def write_film(
    path: Path,
    times: np.ndarray | None = None,
    fps: int = 25,
    seconds: float = 4.0,
    flash_s: float | None = 2.0,
    sound: np.ndarray | None = None,
    rate: int = 48000,
    late_s: float = 0.0,
    frames: list[np.ndarray] | None = None,
    pixel: Fraction = Fraction(1),
) -> Path:
    """Writes a film.

    Args:
        path: of the film; its suffix says how the sound is kept.
        times: second of each picture; by default steadily `fps` a second.
        fps: pictures a second.
        seconds: how long it lasts.
        flash_s: when the flash begins, for a fifth of a second.
        sound: [n, channels].
        rate: of the sound.
        late_s: when the first sample is heard.
        frames: the pictures themselves, instead of those of their times.
        pixel: width of a pixel in its height.
    """
    times = np.arange(round(seconds * fps)) / fps if times is None else times
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=fps, options={"crf": "8", "preset": "ultrafast", "bf": "0"})
        first = picture(0, False) if frames is None else frames[0]
        video.height, video.width, video.pix_fmt = first.shape[0], first.shape[1], "yuv420p"
        video.codec_context.sample_aspect_ratio = pixel
        video.codec_context.time_base = video.time_base = Fraction(1, 1000)
        voice: Any = None
        if sound is not None:
            layout = "mono" if sound.shape[1] == 1 else "stereo"
            voice = container.add_stream(CODECS[path.suffix], rate=rate, layout=layout)
            voice.time_base = Fraction(1, rate)
        for index, time in enumerate(times):
            flash = flash_s is not None and flash_s <= time + 1e-6 < flash_s + 0.2
            shown = picture(time, flash, seconds) if frames is None else frames[index]
            frame = av.VideoFrame.from_ndarray(shown, format="rgb24")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if sound is not None:
            form = voice.codec_context.format.name
            for start in range(0, len(sound), 1024):
                block = sound[start : start + 1024]
                block = block if form.startswith("flt") else np.round(block * 32767).astype(np.int16)
                planes = block.T if form.endswith("p") else block.reshape(1, -1)
                part = av.AudioFrame.from_ndarray(np.ascontiguousarray(planes), format=form, layout=layout)
                part.sample_rate, part.time_base = rate, Fraction(1, rate)
                part.pts = start + round(late_s * rate)
                container.mux(voice.encode(part))
            container.mux(voice.encode(None))
    return path
