"""play.py with talking heads: the whole program, from sound, pose, words and portraits to films."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

import play
from player.recorder import Recorder
from tests.player.sources.sounds import click, write_sound
from tests.player.test_recorder import read_film
from tests.player.test_soundtrack import heard
from tests.talking import FPS, SAMPLES, talking_world
from tests.tiny import SIZE

CHUNK = 3


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny checkpoint of chunks of three frames, which starts from a portrait."""
    folder = tmp_path_factory.mktemp("checkpoints") / "head"
    talking_world(CHUNK).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def speech() -> str:
    """One second with a click at 0.6 s, stereo at 44.1 kHz."""
    return str(write_sound(Path("speech.wav"), click(1.0, 44100, 0.6, 2), 44100))


@pytest.fixture
def face() -> str:
    Image.new("RGBA", (40, 20), (200, 30, 30, 128)).save("face.png")
    return "face.png"


@pytest.fixture
def actions(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the world was told to do, frame by frame."""
    seen: list[dict[str, Any]] = []
    write = Recorder.write

    def spy(recorder: Recorder, frame: np.ndarray, action: Any, sound: np.ndarray | None = None) -> None:
        if action is not None:
            seen.append(action)
        write(recorder, frame, action, sound)

    monkeypatch.setattr(Recorder, "write", spy)
    return seen


def test_a_portrait_talks(
    head: str, speech: str, face: str, actions: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("moods.txt").write_text("0 calm\n0.5 a caption longer than the sixteen bytes that this world reads\n")
    points = np.random.default_rng(0).uniform(0.2, 0.8, (9, 10, 2)).astype(np.float32)
    points[4, 2] = np.nan
    np.savez("pose.npz", pose=points)
    options = ["--audio", speech, "--portrait", face, "--pose", "pose.npz", "--captions", "moods.txt"]
    assert play.main(["--checkpoint", head, "--headless", *options, "--out", "talk.mp4"]) == 0
    frames = read_film(Path("talk.mp4"))
    steps = 13 + CHUNK - 1  # a second at 12.5 frames, the last one begun, and those that are still to come
    assert len(frames) == 1 + steps and len(actions) == steps
    portrait = np.array((227, 142, 142))  # half red on white
    assert np.abs(frames[: CHUNK - 1].astype(int) - portrait).mean() < 6
    assert np.abs(frames[-1].astype(int) - portrait).mean() > 6
    # The click is heard with the frame that it led to, which comes a chunk less one later.
    sound, _ = heard(Path("talk.mp4"))
    at = np.flatnonzero(np.abs(sound[0]) > 0.3)[0] / 16000
    assert at == pytest.approx(0.6 + (1 + CHUNK - 1) / FPS, abs=2e-3)
    assert np.abs(actions[7]["audio"]).max() > 0.5 and actions[0]["audio"].shape == (SAMPLES,)
    assert [action["text"][:6] for action in actions] == 7 * ["calm"] + (steps - 7) * ["a capt"]
    assert np.array_equal(actions[4]["pose"], points[4], equal_nan=True) and "pose" not in actions[9]
    err = capsys.readouterr().err
    for said in (
        "44100 Hz",
        "2 channels, mixed into one",
        "put on white",
        "cut about its middle",
        "joints are missing",
        "play.py: text is 62 bytes long and is cut to 16 (text.max_length), its end is not read: 'a caption",
        "is of one colour nearly all over, and shows no face",
    ):
        assert said in err
    lines = [json.loads(line) for line in Path("talk.jsonl").read_text().splitlines()]
    assert len(lines) == steps and set(lines[0]) == {"pose", "text"}
    # And again, from the script of what was done.
    again = ["--script", "talk.jsonl", "--audio", speech, "--portrait", face, "--out", "again.mp4"]
    assert play.main(["--checkpoint", head, "--headless", *again]) == 0
    assert np.abs(read_film(Path("again.mp4")).astype(int) - frames).mean() < 2


def test_two_heads_listen_to_each_other(head: str, face: str, actions: list[dict[str, Any]]) -> None:
    both = np.hstack([click(1.0, 16000, 0.1), click(1.0, 16000, 0.6)])
    Image.new("RGB", (SIZE, SIZE), "blue").save("other.png")
    options = ["--duplex", str(write_sound(Path("two.wav"), both, 16000)), "--portrait", face, "other.png"]
    assert play.main(["--checkpoint", head, "--headless", *options, "--out", "call.mp4"]) == 0
    frames = read_film(Path("call.mp4"))
    assert frames.shape == (1 + 13 + CHUNK - 1, SIZE, 2 * SIZE, 3)
    left, right = frames[0, :, :SIZE].mean(axis=(0, 1)), frames[0, :, SIZE:].mean(axis=(0, 1))
    assert left[0] > 180 and right[2] > 180 > 80 > right[0]
    loud = [[float(np.abs(action[name]).max()) for name in ("audio", "listen")] for action in actions]
    assert np.argmax(loud, axis=0).tolist() == [1, 7]
    sound, _ = heard(Path("call.mp4"))
    at = [np.flatnonzero(np.abs(channel) > 0.3)[0] / 16000 for channel in sound]
    assert at == pytest.approx([0.1 + CHUNK / FPS, 0.6 + CHUNK / FPS], abs=2e-3)


def test_a_rendered_head_talks_and_listens(speech: str) -> None:
    pytest.importorskip("skia", reason="the extra `avatar` is not installed", exc_type=ImportError)
    world = ["--world", "worldmodel/Avatar-v0", "--world-kwargs", "size=48"]
    options = ["--headless", "--audio", speech, "--listen", speech, "--text", "happy", "--out", "talk.mp4"]
    assert play.main([*world, *options]) == 0
    assert read_film(Path("talk.mp4")).shape == (14, 48, 48, 3)
    sound, _ = heard(Path("talk.mp4"))
    assert np.flatnonzero(np.abs(sound[0]) > 0.3)[0] / 16000 == pytest.approx(0.6 + 1 / FPS, abs=2e-3)


def test_a_rendered_mouth_follows_the_words_that_it_is_given_to_say() -> None:
    pytest.importorskip("skia", reason="the extra `avatar` is not installed", exc_type=ImportError)
    pytest.importorskip("espeakng_loader", reason="the extra `speech` is not installed")
    arguments = ["--world", "worldmodel/Avatar-v0", "--world-kwargs", "size=48", "--headless", "--say", "Mama"]
    parser = play.parser()
    args = parser.parse_args(arguments)
    play.check(parser, args)
    made, _ = play.make_play(args)
    frames = made.drive.frames
    assert frames is not None and frames > 5
    info = [made.game.world.step(made.drive.read())[4] for _ in range(frames)]
    assert {"timeline"} <= {told["source"] for told in info} <= {"timeline", "silence"}
    assert max(told["aperture"] for told in info) > 0.4
    made.close()


def test_without_display_or_end_a_mood_alone_is_filmed(head: str, face: str) -> None:
    options = ["--text", "calm", "--portrait", face, "--frames", "8", "--out", "mood.mp4"]
    assert play.main(["--checkpoint", head, "--headless", *options]) == 0
    assert len(read_film(Path("mood.mp4"))) == 8
    with av.open("mood.mp4") as container:
        assert not container.streams.audio  # no one speaks


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--audio", "a.wav", "--say", "hello"], "--audio and --say are for the same thing"),
        (["--text", "calm", "--captions", "c.txt"], "--text and --captions are for the same thing"),
        (["--pose", "p.npz", "--drive", "v.mp4"], "--pose and --drive are for the same thing"),
        (["--duplex", "two.wav", "--listen", "a.wav"], "--duplex and --listen are for the same thing"),
        (["--duplex", "two.wav", "--side-by-side"], "--duplex shows two heads of one world"),
        (["--audio", "mic", "--listen", "mic"], "there is one microphone"),
        (["--voice", "de"], "--voice is of --say"),
        (["--face-model", "f.task"], "--face-model is for --drive or --portrait"),
        (["--portrait", "a.png", "b.png"], "--portrait wants one file, or two with --duplex, got 2"),
        (["--portrait", "a.png", "--start", "1"], "--start and --portrait are for the same thing"),
        (["--portrait", "a.png", "--world", "tests/Patch-v0"], "--portrait is for a checkpoint"),
    ],
)
def test_options_that_cannot_go_together(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        play.main(arguments)
    assert caught.value.code == 2 and told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--audio", "none.wav"], "no sound file at none.wav: check --audio"),
        (["--audio", "broken.wav"], "broken.wav cannot be read as sound"),
        (["--audio", "speech.wav", "--portrait", "none.png"], "no portrait at none.png"),
        (["--audio", "speech.wav"], "give --portrait FILE"),
        (["--pose", "seven.npz", "--portrait", "face.png"], "has 7 joints, and this world's pose has 10"),
        (["--captions", "none.txt", "--portrait", "face.png"], "no file of captions at none.txt"),
        (["--duplex", "mono.wav", "--portrait", "face.png"], "wants a file of two channels"),
    ],
)
def test_a_broken_start_is_said_in_one_line(
    head: str, speech: str, face: str, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("broken.wav").write_bytes(b"nothing at all" * 99)
    np.savez("seven.npz", pose=np.zeros((4, 7, 2), np.float32))
    write_sound(Path("mono.wav"), click(0.2, 16000, 0.1), 16000)
    assert play.main(["--checkpoint", head, "--headless", *arguments]) == 2
    assert told in capsys.readouterr().err.splitlines()[-1]


def test_worlds_without_the_condition_or_the_portrait_say_so(
    checkpoint: Path, speech: str, face: str, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["--checkpoint", str(checkpoint), "--headless"]
    assert play.main([*base, "--audio", speech]) == 2
    told = "--audio gives the condition 'audio', which this world has not: it has keyboard, camera"
    assert told in capsys.readouterr().err
    assert play.main([*base, "--duplex", speech]) == 2
    assert "need the conditions audio and listen" in capsys.readouterr().err
    assert play.main([*base, "--portrait", face]) == 2
    assert "--portrait is for a checkpoint with a reference picture" in capsys.readouterr().err


def test_keys_and_sources_go_together(tmp_path: Path, speech: str, actions: list[dict[str, Any]]) -> None:
    """A world with a keyboard and a voice, in which one walks and talks."""
    from tests.tiny import tiny_config, tiny_frames
    from worldmodel import WorldModel
    from worldmodel.data.clips import Clip

    config = tiny_config()
    config.frame.fps = FPS
    config.conditions = {"keyboard": {}, "audio": {"samples": SAMPLES, "features": 8, "num_mels": 8}}
    start = Clip("start", tiny_frames(2), {"keyboard": [{"forward": 1}]}, {"fps": FPS})
    WorldModel(config).save_pretrained(tmp_path / "both", starts=[start])
    Path("walk.txt").write_text("5 forward\n")
    options = ["--headless", "--script", "walk.txt", "--audio", speech, "--out", "both.mp4"]
    assert play.main(["--checkpoint", str(tmp_path / "both"), *options]) == 0
    assert len(actions) == 13 and all(action["keyboard"] == {"forward": 1} for action in actions)
    assert np.abs(actions[7]["audio"]).max() > 0.5


def test_a_talking_head_s_options_choose_the_talking_head() -> None:
    for arguments, chosen in (
        (["--say", "hello"], play.HEAD),
        (["--text", "happy", "--world", "worldmodel/Avatar-v0"], None),
        (["--frames", "9"], play.CHECKPOINT),
        (["--audio", "a.wav", "--checkpoint", "mine"], "mine"),
    ):
        made = play.parser()
        args = made.parse_args(arguments)
        play.check(made, args)
        assert args.checkpoint == chosen
