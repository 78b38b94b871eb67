"""mp4 bytes: frame-exact, reproducible, close to what went in; damage is named."""

import numpy as np
import pytest

from worldmodel.data.video import KEYFRAME_INTERVAL, count_frames, decode_video, encode_video


def moving(frames: int, height: int = 32, width: int = 48) -> np.ndarray:
    """Smooth colours that move; frame t differs from every other."""
    y, x, t = np.mgrid[0:height, 0:width, 0:frames].astype(np.float32)
    channels = [128 + 100 * np.sin(x / 9 + t * speed + y / 7) for speed in (0.1, 0.17, 0.23)]
    return np.stack(channels, -1).transpose(2, 0, 1, 3).astype(np.uint8)


FRAMES = moving(3 * KEYFRAME_INTERVAL + 5)


@pytest.fixture(scope="module")
def data() -> bytes:
    return encode_video(FRAMES, 20.0)


def test_close_to_what_went_in(data: bytes) -> None:
    error = decode_video(data).astype(np.float64) - FRAMES
    assert decode_video(data).shape == FRAMES.shape
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 38
    assert np.abs(error.mean(axis=(0, 1, 2))).max() < 0.5  # no shift of colour


def test_reproducible(data: bytes) -> None:
    assert encode_video(FRAMES, 20.0) == data


@pytest.mark.parametrize("fps", [20.0, 12.5, 29.97, 24000 / 1001])
def test_any_window_is_frame_exact(fps: float) -> None:
    data = encode_video(FRAMES, fps)
    whole = decode_video(data)
    assert count_frames(data) == len(FRAMES) == len(whole)
    for start in range(0, len(FRAMES), 3):
        for stop in {start + 1, min(start + 7, len(FRAMES)), len(FRAMES)}:
            np.testing.assert_array_equal(decode_video(data, start, stop), whole[start:stop])


def test_one_frame_and_odd_sizes() -> None:
    frames = moving(1, 17, 33)
    data = encode_video(frames, 20)
    assert count_frames(data) == 1
    assert decode_video(data, 0, 1).shape == (1, 17, 33, 3)


def test_damage_is_named(data: bytes) -> None:
    for bad in (data[: len(data) // 2], b"", b"x" * 1000):
        with pytest.raises(ValueError, match="not a whole mp4 file"):
            count_frames(bad)
        with pytest.raises(ValueError, match="not a whole mp4 file"):
            decode_video(bad)
    with pytest.raises(ValueError, match="must hold frames 50 to 60, got 3"):
        decode_video(data, 50, 60)
    with pytest.raises(ValueError, match="start < stop"):
        decode_video(data, 5, 5)
