"""Films of a talking head: what is seen and what is heard stay together, whatever the film's rates and times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from player.recorder import Recorder
from tests.data.convert.talking import clap, is_flash, picture, seen_at, write_film
from tests.player.sources.sounds import write_float_wav
from worldmodel.data.clips import Clip, ClipSet
from worldmodel.data.convert.files import Stored
from worldmodel.data.convert.run import convert
from worldmodel.data.convert.sound import Sound
from worldmodel.data.convert.talking import TalkingOptions

SIZE = (48, 64)


def converted(tmp_path: Path, **options: Any) -> tuple[list[Clip], dict[str, Any]]:
    options = {"size": SIZE, "crop": "none"} | options
    report = convert("video", tmp_path / "in", tmp_path / "out", TalkingOptions(**options), progress=False)
    return (list(ClipSet(tmp_path / "out")) if report["clips"] else []), report


def heard_s(clip: Clip, name: str = "audio") -> float:
    """Returns when the clap begins, in seconds after the clip's first frame: value t is heard during frame t + 1."""
    size = round(16000 / clip.meta["fps"])
    missing = np.zeros(size, np.float32)
    sound = np.concatenate([missing, *(missing if v is None else v for v in clip.conditions[name])])
    return float(np.flatnonzero(np.abs(sound) > 0.2)[0]) / 16000


def flash_frame(clip: Clip) -> int:
    return [is_flash(frame) for frame in clip.frames].index(True)


@pytest.mark.parametrize(
    ("suffix", "rate", "channels", "pictures", "fps"),
    [
        (".mp4", 48000, 2, 25, 12.5),
        (".mp4", 44100, 1, 25, 25.0),
        (".mkv", 44100, 2, 30, 25.0),
        (".mov", 16000, 1, 50, 12.5),
    ],
)
def test_a_clap_is_in_the_value_that_leads_to_its_flash(
    tmp_path: Path, suffix: str, rate: int, channels: int, pictures: int, fps: float
) -> None:
    write_film(tmp_path / f"in/a{suffix}", fps=pictures, sound=clap(4, rate, 2.0, channels), rate=rate)
    (clip,), report = converted(tmp_path, fps=fps)
    assert clip.meta["fps"] == fps and len(clip.frames) == round(4 * fps)
    flash = flash_frame(clip)
    assert flash == round(2 * fps)
    assert heard_s(clip) == pytest.approx(flash / fps, abs=0.003)
    value = clip.actions()[flash - 1]["audio"]  # leads from the frame before the flash to the flash
    assert np.abs(value[:480]).max() > 0.2 and value.shape == (round(16000 / fps),)
    for index, frame in enumerate(clip.frames):  # a picture is on the screen in the middle of its frame
        assert -0.012 < (index + 0.5) / fps - seen_at(frame) < 1 / pictures + 0.012
    assert report["skipped"] == [] and report["cut"] == []


def test_times_rule_where_the_frame_rate_wanders(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    times = np.cumsum(random.uniform(0.015, 0.09, 100)) - 0.02
    times = np.round(times[times < 4], 3)  # as the container keeps them
    write_film(tmp_path / "in/a.mkv", times=times, flash_s=None, sound=clap(4, 48000, 2.0), rate=48000)
    (clip,), _ = converted(tmp_path)
    begins = times[0]
    assert clip.meta["begins_s"] == pytest.approx(begins, abs=1e-3)
    assert begins + heard_s(clip) == pytest.approx(2.0, abs=0.003)
    for index, frame in enumerate(clip.frames):
        middle = begins + (index + 0.5) / 12.5
        shown = times[times < middle - 0.002][-1]
        assert seen_at(frame) == pytest.approx(shown, abs=0.012)


@pytest.mark.parametrize("late_s", [0.5, 0.013])
def test_sound_that_begins_later_stays_later_and_is_missing_before(tmp_path: Path, late_s: float) -> None:
    write_film(tmp_path / "in/a.mkv", sound=clap(3.0, 48000, 1.5), rate=48000, late_s=late_s)
    (clip,), _ = converted(tmp_path)
    assert heard_s(clip) == pytest.approx(1.5 + late_s, abs=0.003)
    missing = [value is None for value in clip.conditions["audio"]]
    assert any(missing[:6]) == (late_s > 0.1) and all(missing[-4:]) and not any(missing[8:-12])


def test_a_film_without_sound_is_kept_and_counted(tmp_path: Path) -> None:
    write_film(tmp_path / "in/a.mp4")
    (clip,), report = converted(tmp_path)
    assert "audio" not in clip.conditions and report["notes"]["films without sound"] == 1


def test_sound_that_is_damaged_is_missing_there_and_nowhere_shifted(tmp_path: Path) -> None:
    path = write_film(tmp_path / "in/a.mkv", flash_s=None, sound=clap(4, 48000, 3.0))
    with av.open(str(path)) as container:
        found = [(p.pos, p.size) for p in container.demux(audio=0) if p.size and 1.0 < float(p.pts * p.time_base) < 1.5]
    data = bytearray(path.read_bytes())
    for place, size in found:
        data[place + 20 : place + size] = bytes(size - 20)
    path.write_bytes(bytes(data))
    (clip,), report = converted(tmp_path)
    assert heard_s(clip) == pytest.approx(3.0, abs=0.003)
    missing = [index for index, value in enumerate(clip.conditions["audio"]) if value is None]
    assert len(found) == 5 and missing == list(range(missing[0], missing[0] + 6)) and missing[0] == 12
    assert report["notes"]["films whose sound is broken in places: it is missing there"] == 1


def test_two_channels_are_two_voices(tmp_path: Path) -> None:
    write_film(tmp_path / "in/a.mp4", sound=clap(4, 48000, 2.0, 2))
    (clip,), _ = converted(tmp_path, listen="right")
    assert heard_s(clip, "listen") == pytest.approx(2.0, abs=0.003)
    assert max(np.abs(value).max() for value in clip.conditions["audio"] if value is not None) < 0.1
    write_film(tmp_path / "mono/in/a.mp4", sound=clap(4, 48000, 2.0))
    _, report = converted(tmp_path / "mono", listen="left")
    assert report["skipped_by_reason"] == {"not two channels": 1}


def test_a_film_of_play_gives_back_the_sound_of_its_actions(tmp_path: Path) -> None:
    """The recorder puts the sound of the action that leads to a frame beside that frame: here it comes back."""
    random = np.random.default_rng(0)
    sounds = [(0.3 * np.sin(np.arange(1280) * random.uniform(0.2, 0.9))).astype(np.float32) for _ in range(40)]
    (tmp_path / "in").mkdir()
    with Recorder(tmp_path / "in/play.mp4", 12.5, 1) as recorder:
        for index in range(41):
            action = {"audio": sounds[index - 1]} if index else None
            recorder.write(picture(index / 12.5, False), action, sounds[index - 1][:, None] if index else None)
    (clip,), _ = converted(tmp_path)
    actions = clip.actions()
    assert len(clip.frames) == 41 and len(actions) == 40
    for step in range(39):  # the last is cut a little by AAC
        likeness = [float(np.corrcoef(actions[step]["audio"], sounds[other])[0, 1]) for other in range(40)]
        assert int(np.argmax(likeness)) == step and likeness[step] > 0.9


def test_samples_that_are_no_numbers_are_silent_in_a_clip_and_counted(tmp_path: Path) -> None:
    heard = np.full((16000, 1), 0.25)
    heard[4000:4003, 0] = np.nan, np.inf, -np.inf
    sound = Sound(Stored((write_float_wav(tmp_path / "a.wav", heard),)))
    value = sound.at(0.0, 16000)
    assert value is not None and not value[4000:4003].any() and "3 samples are no numbers" in sound.damage
    assert np.abs(np.delete(value, slice(4000, 4003)) - 0.25).max() < 1e-4
