"""Films with sound: where a clap and a flash land, to the sample."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import av
import numpy as np
import pytest

from player.recorder import Recorder


def flash_and_clap(path: Path, fps: float, frames: int, at: int, channels: int = 1) -> None:
    """Films a black picture that is white in frame `at`, and a click that begins with it."""
    size = round(16000 / fps)
    with Recorder(path, fps, channels) as recorder:
        for index in range(frames):
            sound = np.zeros((size, channels), np.float32)
            if index == at:
                sound[:40, -1] = 0.9
            picture = np.full((32, 32, 3), 255 if index == at else 0, np.uint8)
            recorder.write(picture, {"audio": sound[:, 0], "text": "calm"} if index else None, sound)


def heard(path: Path) -> tuple[np.ndarray, float]:
    """The sound of a film [channels, n], and the time of its first sample by its own time stamp, in seconds."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    assert frames[0].time is not None
    return np.concatenate([frame.to_ndarray() for frame in frames], axis=1), frames[0].time


def flash_s(path: Path) -> tuple[float, float, int]:
    """When the flash is shown and the film begins, in seconds, and how many frames there are."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    bright = [frame.time for frame in frames if frame.to_ndarray(format="rgb24").mean() > 128]
    assert len(bright) == 1
    return bright[0], frames[0].time, len(frames)


@pytest.mark.parametrize(("fps", "frames", "at"), [(12.5, 100, 70), (25.0, 60, 33), (30.0, 100, 88)])
def test_a_clap_is_heard_when_its_flash_is_seen(tmp_path: Path, fps: float, frames: int, at: int) -> None:
    path = tmp_path / "film.mp4"
    flash_and_clap(path, fps, frames, at)
    flash, begins, count = flash_s(path)
    sound, first = heard(path)
    clap = first + np.flatnonzero(np.abs(sound[0]) > 0.3)[0] / 16000
    assert (begins, count) == (0, frames)
    assert flash == pytest.approx(at / fps, abs=1e-3)
    assert clap == pytest.approx(flash, abs=1.5e-3)
    with av.open(str(path)) as container:  # and what a player reads first says the same
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (audio.codec_context.name, audio.rate, audio.start_time, video.start_time) == ("aac", 16000, 0, 0)
        assert float(video.duration * video.time_base) == pytest.approx(frames / fps, abs=1e-3)
        assert float(audio.duration * audio.time_base) == pytest.approx(frames / fps, abs=1e-3)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["film.jsonl", "film.mp4"]


def test_two_voices_keep_to_their_channels_and_out_of_the_script(tmp_path: Path) -> None:
    flash_and_clap(tmp_path / "two.mp4", 12.5, 20, 10, channels=2)
    sound, _ = heard(tmp_path / "two.mp4")
    left, right = np.abs(sound).max(axis=1)
    assert right > 0.5 > 0.05 > left
    lines = [json.loads(line) for line in (tmp_path / "two.jsonl").read_text().splitlines()]
    assert lines == 19 * [{"text": "calm"}]


def test_frames_without_sound_are_silent_and_take_their_time(tmp_path: Path) -> None:
    with Recorder(tmp_path / "film.mp4", 12.5, 1) as recorder:
        for index in range(25):
            sound = np.full((1280, 1), 0.5, np.float32) if index >= 20 else None
            recorder.write(np.zeros((16, 16, 3), np.uint8), None, sound)
    sound, _ = heard(tmp_path / "film.mp4")
    assert sound.shape[1] == pytest.approx(25 * 1280, abs=1024)
    assert np.abs(sound[0, : 20 * 1280 - 1100]).max() < 0.01 and np.abs(sound[0, 20 * 1280 :]).max() > 0.2


def test_a_film_cut_short_has_its_sound_beside_it(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "film.mp4", 12.5, 1)
    for _ in range(30):
        recorder.write(np.zeros((16, 16, 3), np.uint8), None, np.full((1280, 1), 0.25, np.float32))
    with wave.open(str(tmp_path / "film.part.wav"), "rb") as file:  # not closed, as if it had been killed here
        samples = np.frombuffer(file.readframes(10**6), "<i2")
    assert len(samples) == 30 * 1280 and (samples == 8192).all()
    recorder.close()


def test_another_size_begins_another_film_with_its_own_sound(tmp_path: Path) -> None:
    with Recorder(tmp_path / "film.mp4", 12.5, 1) as recorder:
        for index in range(12):
            recorder.write(np.zeros((16, 16 if index < 5 else 32, 3), np.uint8), None, None)
    lengths = [heard(path)[0].shape[1] for path in recorder.films]
    assert lengths == [pytest.approx(5 * 1280, abs=1024), pytest.approx(7 * 1280, abs=1024)]
