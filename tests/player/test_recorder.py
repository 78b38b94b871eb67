"""Films: every frame, every action, and something to see even if the program was killed."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import av
import numpy as np
import pytest
from gymnasium import spaces

import conditions
from player.recorder import Recorder, name_by_time, write_picture
from player.scripts import read_script

SPACE = spaces.Dict({"keyboard": conditions.space("keyboard"), "camera": conditions.space("camera")})


def read_film(path: Path) -> np.ndarray:
    """All frames of a film, [T, H, W, 3] uint8."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def grey(level: int, height: int = 32, width: int = 48) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def test_a_film_has_its_frames_and_the_actions_between_them(tmp_path: Path) -> None:
    actions = [
        {"keyboard": {"forward": index % 2}, "camera": np.array([0.0, index], np.float32)} for index in range(49)
    ]
    with Recorder(tmp_path / "film.mp4", 20) as recorder:
        for index in range(50):
            recorder.write(grey(4 * index), actions[index - 1] if index else None)
    frames = read_film(tmp_path / "film.mp4")
    assert np.abs(frames.mean(axis=(1, 2, 3)) - 4 * np.arange(50)).max() < 3
    with av.open(str(tmp_path / "film.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.frames, stream.average_rate) == (50, 20)
    lines = (tmp_path / "film.jsonl").read_text().splitlines()
    assert [json.loads(line)["camera"][1] for line in lines] == list(range(49))
    assert read_script(tmp_path / "film.jsonl", SPACE) == [json.loads(line) for line in lines]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.jsonl", "film.mp4"]


def test_a_film_cut_short_can_be_seen_up_to_its_last_second(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "film.mp4", 20)
    for index in range(100):
        recorder.write(grey(index), {"keyboard": {}})
    # Not closed, as if the program had been killed here. The encoder looks some frames ahead.
    assert len(read_film(tmp_path / "film.part.mp4")) >= 40
    assert len((tmp_path / "film.jsonl").read_text().splitlines()) == 99
    assert not (tmp_path / "film.mp4").exists()
    recorder.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_waits_until_the_frame_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def end(*_: object) -> None:
        raise KeyboardInterrupt

    def interrupted(frame: np.ndarray) -> np.ndarray:  # between the line of the action and its frame
        signal.raise_signal(number)
        return contiguous(frame)

    recorder, contiguous = Recorder(tmp_path / "film.mp4", 20), np.ascontiguousarray
    before = signal.signal(number, end)
    try:
        recorder.write(grey(0), None)
        monkeypatch.setattr(np, "ascontiguousarray", interrupted)
        with pytest.raises(KeyboardInterrupt):
            recorder.write(grey(1), {"keyboard": {}})
        assert signal.getsignal(number) is end
    finally:
        signal.signal(number, before)
    recorder.close()
    assert len(read_film(tmp_path / "film.mp4")) == 2
    assert len((tmp_path / "film.jsonl").read_text().splitlines()) == 1


def test_another_size_of_frames_begins_another_film(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "film.mp4", 20)
    for width in (48, 48, 96, 96, 96, 48):
        recorder.write(grey(100, width=width), {"keyboard": {}})
    films = recorder.close()
    assert [path.name for path in films] == ["film.mp4", "film-2.mp4", "film-3.mp4"]
    assert [read_film(path).shape[:3] for path in films] == [(2, 32, 48), (3, 32, 96), (1, 32, 48)]
    assert recorder.frames == 6


def test_odd_sizes_are_filmed(tmp_path: Path) -> None:
    with Recorder(tmp_path / "odd.mp4", 12.5) as recorder:
        recorder.write(grey(77, 31, 45), None)
    assert read_film(tmp_path / "odd.mp4").shape == (1, 31, 45, 3)


def test_names_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must end in \.mp4"):
        Recorder(tmp_path / "film.avi", 20)
    with pytest.raises(FileNotFoundError, match="no folder"):
        Recorder(tmp_path / "missing" / "film.mp4", 20)


def test_a_picture_is_the_frame_itself(tmp_path: Path) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    path = name_by_time(".png", tmp_path / "recordings")
    write_picture(path, frame)
    with av.open(str(path)) as container:
        (picture,) = [picture.to_ndarray(format="rgb24") for picture in container.decode(video=0)]
    assert (picture == frame).all()
