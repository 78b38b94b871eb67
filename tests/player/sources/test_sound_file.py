"""Sound from files: any rate, any number of channels, damaged or not, always mono at 16 kHz and in time."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import conditions
from player.sources.base import SourceError
from player.sources.sound_file import Sounds, read_sound, read_two_channels
from tests.player.sources.sounds import click, write_float_wav, write_sound, write_video

AT_S = 0.5
NOTHING = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x80\x3e\0\0\0\x7d\0\0\2\0\x10\0data\0\0\0\0"  # a wav of 0 samples


def onset_s(samples: np.ndarray) -> float:
    """When a loud sound begins."""
    return float(np.flatnonzero(np.abs(samples) > 0.2)[0]) / 16000


@pytest.mark.parametrize(
    ("name", "rate", "channels", "said"),
    [
        ("a.wav", 16000, 1, []),
        ("a.flac", 44100, 1, ["44100 Hz, resampled to 16000 Hz"]),
        ("a.mp3", 44100, 2, ["44100 Hz, resampled", "2 channels, mixed into one"]),
        ("a.mp4", 48000, 2, ["48000 Hz, resampled", "2 channels, mixed into one"]),
        ("a.wav", 8000, 1, ["8000 Hz, resampled to 16000 Hz; it has nothing above 4 kHz"]),
        ("a.wav", 96000, 2, ["96000 Hz, resampled", "2 channels, mixed into one"]),
    ],
)
def test_every_kind_of_file_becomes_mono_in_time(
    tmp_path: Path, name: str, rate: int, channels: int, said: list[str]
) -> None:
    told: list[str] = []
    path = write_sound(tmp_path / name, click(1.0, rate, AT_S, channels), rate)
    samples = read_sound(path, told.append)
    assert samples.dtype == np.float32 and samples.ndim == 1 and np.abs(samples).max() <= 1
    assert len(samples) == pytest.approx(16000, abs=1200 if path.suffix in (".mp3", ".mp4") else 2)
    assert onset_s(samples) == pytest.approx(AT_S, abs=0.003)
    assert len(told) == len(said)
    assert all(part in line and str(path) in line for part, line in zip(said, told, strict=True))


def test_samples_of_the_right_rate_stay_as_they_are(tmp_path: Path) -> None:
    wanted = np.random.default_rng(1).integers(-20000, 20000, (5000, 1)) / 32768
    for name in ("a.wav", "a.flac"):
        samples = read_sound(write_sound(tmp_path / name, wanted, 16000), print)
        assert np.abs(samples - wanted[:, 0]).max() < 1e-6


def test_sound_that_begins_late_keeps_its_time(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "late.mp4", click(1.0, 16000, 0.25), 16000, late_s=0.5)
    assert onset_s(read_sound(path, print)) == pytest.approx(0.75, abs=0.003)


def test_clipped_and_silent_files_are_used_and_said_to_be(tmp_path: Path) -> None:
    told: list[str] = []
    loud = 3 * np.sin(2 * np.pi * 440 * np.arange(8000) / 16000)[:, None]
    samples = read_sound(write_sound(tmp_path / "loud.wav", loud.clip(-1, 1), 16000), told.append)
    assert len(samples) == 8000 and np.abs(samples).max() <= 1 and "clipped" in told[0]
    read_sound(write_sound(tmp_path / "none.wav", np.zeros((8000, 1)), 16000), told.append)
    assert "silent from beginning to end" in told[1] and len(told) == 2


def test_a_file_that_is_damaged_later_is_used_as_far_as_it_goes(tmp_path: Path) -> None:
    told: list[str] = []
    path = write_sound(tmp_path / "a.mp3", click(4.0, 16000, AT_S), 16000)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 600] = bytes(range(256)) * 2 + bytes(88)
    path.write_bytes(data)
    samples = read_sound(path, told.append)
    assert onset_s(samples) == pytest.approx(AT_S, abs=0.003) and len(samples) > 3 * 16000
    assert len(told) == 1 and told[0].startswith(f"{path}: damaged, Invalid data") and "silence in the gaps" in told[0]
    cut = write_sound(tmp_path / "cut.flac", click(4.0, 16000, AT_S), 16000)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    assert onset_s(read_sound(cut, told.append)) == pytest.approx(AT_S, abs=0.003)
    assert len(told) == 2 and told[1].startswith(f"{cut}: damaged, Invalid data")


def test_what_a_decoder_leaves_out_in_silence_is_said(tmp_path: Path) -> None:
    """A flac with a byte flipped: a frame of it is gone, and the sound after it stays in time."""
    told: list[str] = []
    hiss = np.random.default_rng(0).normal(0, 0.02, (64_000, 1))
    path = write_sound(tmp_path / "a.flac", click(4.0, 16000, 3.0) + hiss, 16000)
    assert onset_s(read_sound(path, told.append)) == pytest.approx(3.0, abs=0.003) and not told
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    assert onset_s(read_sound(path, told.append)) == pytest.approx(3.0, abs=0.003)
    assert len(told) == 1 and "silence in the gaps" in told[0]
    assert re.search(r"damaged, 0\.\d\d s are missing from \d\.\d\d s on;", told[0])


def test_a_wav_that_is_cut_off_is_used_and_said_to_be(tmp_path: Path) -> None:
    told: list[str] = []
    path = write_sound(tmp_path / "a.wav", click(4.0, 16000, AT_S), 16000)
    whole = path.read_bytes()
    path.write_bytes(whole[:64_000])
    assert len(read_sound(path, told.append)) == pytest.approx(32_000, abs=60)
    missing = len(whole) - 64_000
    assert told == [
        f"{path}: damaged, it lacks {missing} bytes at its end that its header promises; 2.0 s of it are used, with "
        "silence in the gaps"
    ]
    at = whole.index(b"data") + 4
    for promise in (0, 0x7FFFF000, 0xFFFFFFFF):  # as programs do that write into a pipe
        path.write_bytes(whole[:at] + promise.to_bytes(4, "little") + whole[at + 4 :])
        assert len(read_sound(path, told.append)) == 64_000
    assert len(told) == 1


@pytest.mark.parametrize(("rate", "bits"), [(16000, 32), (44100, 32), (16000, 64)])
def test_samples_that_are_no_numbers_are_silent_and_do_no_harm_to_others(tmp_path: Path, rate: int, bits: int) -> None:
    told: list[str] = []
    sound = np.full((rate, 2), 0.25)
    sound[100, 0], sound[200:210, 1], sound[300], sound[400, 0] = np.nan, np.inf, -np.inf, 1e36
    samples = read_sound(write_float_wav(tmp_path / "a.wav", sound, rate, bits), told.append)
    assert np.isfinite(samples).all() and len(samples) == pytest.approx(16000, abs=2)
    assert samples[8000:15_900] == pytest.approx(0.25, abs=1e-3)
    assert (np.abs(samples - 0.25) > 0.05).sum() < 60
    (line,) = [line for line in told if "damaged" in line]
    assert "14 samples are no numbers (NaN or infinite); 1.0 s of it are used" in line
    assert conditions.space("audio", {"samples": 1280}).contains(Sounds(samples, 1280).read())


def test_several_channels_are_counted_and_mixed_without_clipping(tmp_path: Path) -> None:
    told: list[str] = []
    path = write_float_wav(tmp_path / "six.wav", np.repeat(click(1.0, 16000, AT_S), 6, axis=1))
    samples = read_sound(path, told.append)
    assert onset_s(samples) == pytest.approx(AT_S, abs=0.003) and told == [f"{path}: 6 channels, mixed into one"]
    with pytest.raises(SourceError, match=r"two channels, one for each speaker, and .*six.wav has 6:"):
        read_two_channels(path, print)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: None, "no sound file at"),
        (lambda path: path.write_bytes(b""), "is empty (0 bytes)"),
        (lambda path: path.write_bytes(b"nothing like sound" * 99), "cannot be read as sound"),
        (lambda path: path.write_bytes(b"RIFF\x24\0\0\0WAVEfmt "), "cannot be read as sound"),
        (lambda path: path.write_bytes(NOTHING), "holds no sound (0 samples"),
    ],
)
def test_a_start_that_is_broken(tmp_path: Path, make: object, told: str) -> None:
    path = tmp_path / "speech.wav"
    make(path)  # type: ignore[operator]
    with pytest.raises(SourceError) as caught:
        read_sound(path, print)
    assert told in str(caught.value) and "speech.wav" in str(caught.value)


def test_a_film_without_sound_is_no_sound_file(tmp_path: Path) -> None:
    path = write_video(tmp_path / "mute.mp4", np.zeros((3, 16, 16, 3), np.uint8), 10)
    with pytest.raises(SourceError, match="holds no sound"):
        read_sound(path, print)


def test_a_conversation_has_a_channel_for_each(tmp_path: Path) -> None:
    both = np.hstack([click(1.0, 16000, 0.2), click(1.0, 16000, 0.7)])
    left, right = read_two_channels(write_sound(tmp_path / "two.wav", both, 16000), print)
    assert (onset_s(left), onset_s(right)) == (pytest.approx(0.2, abs=1e-3), pytest.approx(0.7, abs=1e-3))
    with pytest.raises(SourceError, match="two channels, one for each speaker"):
        read_two_channels(write_sound(tmp_path / "one.wav", both[:, :1], 16000), print)


def test_frames_of_a_sound_and_silence_after_it() -> None:
    sounds = Sounds(np.arange(1, 11, dtype=np.float32) / 20, 4)
    assert sounds.frames == 3
    values = np.stack([sounds.read() for _ in range(4)])
    assert values.shape == (4, 4) and values.dtype == np.float32
    assert (values.ravel()[:10] == np.arange(1, 11, dtype=np.float32) / 20).all() and not values.ravel()[10:].any()
