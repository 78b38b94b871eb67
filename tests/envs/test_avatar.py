"""The talking head: its truth, its rules, and that what it draws shows them."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import envs  # noqa: F401  (registers the worlds)

pytest.importorskip("envs.avatar.canvas", exc_type=ImportError)  # the extra `avatar`
from envs.avatar.draw import draw  # noqa: E402
from envs.avatar.env import Avatar  # noqa: E402
from envs.avatar.identity import draw_identity  # noqa: E402
from envs.avatar.mood import MOODS, read_caption  # noqa: E402
from envs.avatar.rig import JOINTS, Face, Pose, Rig, from_picture, to_picture  # noqa: E402
from envs.speech.sounds import sing  # noqa: E402
from envs.speech.track import SAMPLE_RATE, Track  # noqa: E402
from envs.speech.visemes import PARTS  # noqa: E402


def make(**options: Any) -> Avatar:
    env = gymnasium.make("worldmodel/Avatar-v0", **{"size": 64, **options}).unwrapped
    assert isinstance(env, Avatar)
    return env


def song(seconds: float = 4.0) -> Track:
    return sing(np.random.default_rng(5), int(seconds * SAMPLE_RATE))


@pytest.mark.parametrize("options", [{}, {"fps": 25.0, "size": (48, 96)}, {"size": (128, 64), "identity": 3}])
def test_it_is_a_gymnasium_world(options: dict[str, Any]) -> None:
    env = make(**options)
    check_env(env)
    assert env.metadata["render_fps"] == options.get("fps", 12.5)
    assert env.action_space["audio"].shape == (1280 if env.fps == 12.5 else 640,)  # type: ignore[index]


def test_a_seed_is_a_film() -> None:
    def play(seed: int) -> tuple[np.ndarray, list[float]]:
        env, track = make(), song()
        frames, apertures = [env.reset(seed=seed, options={"speech": track})[0]], []
        for step in range(20):
            action = {"audio": track.slice(1280 * step, 1280 * step + 1280), "text": "a happy person"}
            frame, *_, info = env.step(action)
            frames.append(frame)
            apertures.append(info["aperture"])
        return np.stack(frames), apertures

    first, again, other = play(7), play(7), play(8)
    np.testing.assert_array_equal(first[0], again[0])
    assert first[1] == again[1] and (first[0][0] != other[0][0]).any()
    assert (first[0][1:] != first[0][:-1]).any(axis=(1, 2, 3)).all()  # it is never frozen


def test_the_mouth_follows_the_timeline_and_the_picture_the_mouth() -> None:
    env, track = make(identity=2, size=128), song()
    env.reset(seed=1, options={"speech": track})
    dark, apertures = [], []
    for step in range(45):
        frame, *_, info = env.step(
            {"audio": track.slice(1280 * step, 1280 * (step + 1)), "pose": env.key_points(Pose())}
        )
        middle = (step + 0.5) * 1280
        deep = [phone for phone in track.phones if phone.start + 800 <= middle < phone.stop - 800]
        if deep and deep[0].viseme == "aa":
            assert info["viseme"] == "aa" and info["aperture"] > 0.6 and info["source"] == "timeline"
        left, right = (info["key_points"][JOINTS.index(name)] * 128 for name in ("mouth_left", "mouth_right"))
        mouth = frame[int(left[1]) - 8 : int(left[1]) + 16, int(left[0]) : int(right[0])]
        dark.append((mouth.sum(-1) < 300).sum())
        apertures.append(info["aperture"])
    assert np.corrcoef(dark, apertures)[0, 1] > 0.6 and max(apertures) > 0.7


def test_a_closure_is_never_missed() -> None:
    track = song(5.0)
    for fps in (12.5, 25.0):
        env = make(fps=fps, size=32)
        env.reset(seed=1, options={"speech": track})
        apertures = []
        for step in range(int(5 * fps)):
            audio = track.slice(env.samples * step, env.samples * (step + 1))
            apertures.append(env.step({"audio": audio})[4]["aperture"])
        closures = [phone for phone in track.phones if phone.viseme == "PP"]
        assert closures
        for phone in closures:
            assert apertures[int((phone.start + phone.stop) / 2 / env.samples)] < 0.02


def test_speech_may_begin_at_any_time() -> None:
    env, track = make(size=32), song()
    env.reset(seed=1)
    for _ in range(3):
        env.step({})
    env.speak(track)
    sources = set()
    for step in range(20):
        info = env.step({"audio": track.slice(1280 * step, 1280 * (step + 1))})[4]
        sources.add(info["source"])
    assert "timeline" in sources and "estimate" not in sources


def test_without_sound_it_is_silent_and_other_sound_is_estimated() -> None:
    env, track = make(), song()
    env.reset(seed=1, options={"speech": track})
    for action in ({}, {"audio": None}, {"audio": np.zeros(1280, np.float32)}):
        info = env.step(action)[4]
        assert (info["aperture"], info["viseme"], info["source"]) == (0.0, "sil", "silence")
    time = np.arange(1280) / SAMPLE_RATE
    voice = sum(np.sin(2 * np.pi * 120 * n * time) / n for n in range(1, 20))
    loud, soft = (np.float32(gain) * voice.astype(np.float32) for gain in (0.4, 0.02))
    apertures = []
    for audio in (loud, soft):
        info = env.step({"audio": audio})[4]
        assert info["source"] == "estimate"
        apertures.append(info["aperture"])
    assert apertures[0] > 0.4 > apertures[1]


def test_while_the_other_speaks_it_listens() -> None:
    env, track = make(size=32), song(6.0)
    env.reset(seed=4)
    pitch, attention = [], []
    for step in range(70):
        info = env.step({"listen": track.slice(1280 * step, 1280 * (step + 1))})[4]
        assert info["aperture"] == 0.0 and info["speaking"] == 0
        pitch.append(float(info["head"][1]))
        attention.append(env._motion.attention)
    assert max(attention) > 0.8
    assert np.diff(pitch).max() > 1.0  # it nods


def test_it_looks_at_who_speaks_to_it() -> None:
    track, away = song(20.0), {True: 0, False: 0}
    for seed in range(4):
        for heard in away:
            env = make(size=32)
            env.reset(seed=seed)
            for step in range(250):
                action = {"listen": track.slice(1280 * step, 1280 * (step + 1))} if heard else {}
                away[heard] += float(np.abs(env.step(action)[4]["gaze"]).max()) > 0.3
    assert away[True] < 0.6 * away[False]


def test_noise_while_the_other_speaks_is_no_speech_of_its_own() -> None:
    other, noise = song(6.0), 0.05 * np.random.default_rng(0).normal(size=70 * 1280).astype(np.float32)
    own = Track(noise.clip(-1, 1))
    env = make(size=32)
    env.reset(seed=4, options={"speech": own})
    for step in range(70):
        part = slice(1280 * step, 1280 * (step + 1))
        info = env.step({"audio": own.samples[part], "listen": other.slice(part.start, part.stop)})[4]
        assert (info["aperture"], info["speaking"], info["source"]) == (0.0, 0, "timeline")
    assert env._motion.attention > 0.8


@pytest.mark.parametrize("size", [(64, 64), (48, 96), (96, 64)])
def test_the_head_goes_where_the_pose_puts_it(size: tuple[int, int]) -> None:
    env = make(size=size)
    env.reset(seed=3)
    rng = np.random.default_rng(0)
    for _ in range(12):
        wanted = Pose.from_array(rng.uniform(-1, 1, 8) * (25, 18, 15, 0.06, 0.05, 0.05, 0.03, 6))
        points = env.key_points(wanted)
        info = env.step({"pose": points, "audio": rng.uniform(-0.5, 0.5, 1280).astype(np.float32)})[4]
        rigid = [index for index, name in enumerate(JOINTS) if not name.startswith("mouth") and name != "chin"]
        assert np.abs(info["key_points"] - points)[rigid].max() < 0.004
        np.testing.assert_allclose(info["head"], (wanted.yaw, wanted.pitch, wanted.roll), atol=0.6)


def test_missing_joints_are_filled_in_and_a_lost_pose_is_let_go() -> None:
    env = make(identity=5)
    env.reset(seed=3)
    wanted = Pose(yaw=15.0, pitch=-6.0, roll=8.0, x=0.02)
    points = env.key_points(wanted)
    points[[JOINTS.index("head_top"), JOINTS.index("mouth_left")]] = np.nan
    info = env.step({"pose": points})[4]
    np.testing.assert_allclose(info["head"], (15.0, -6.0, 8.0), atol=1.5)
    nothing = np.full((10, 2), np.nan, np.float32)
    yaws = [float(env.step({"pose": nothing})[4]["head"][0]) for _ in range(25)]
    assert abs(yaws[0] - 15.0) < 1.5 and abs(yaws[-1]) < 10.0
    assert np.abs(np.diff(yaws)).max() < 5.0  # without a jump


def test_another_figures_pose_is_followed_too() -> None:
    env, other = make(identity=1), Rig(draw_identity(8))
    env.reset(seed=0)
    from envs.avatar.rig import Face

    points = to_picture(other.key_points(Face(pose=Pose(yaw=20.0, roll=-10.0))), 64, 64).astype(np.float32)
    head = env.step({"pose": points})[4]["head"]
    np.testing.assert_allclose(head, (20.0, 0.0, -10.0), atol=4.0)


def test_picture_widths_round_trip() -> None:
    points = np.random.default_rng(0).random((10, 2))
    for size in ((64, 64), (48, 96), (96, 64)):
        np.testing.assert_allclose(from_picture(to_picture(points, *size), *size), points)


@pytest.mark.parametrize(
    ("caption", "mood"),
    [
        ("a happy person", "happy"),
        ("she is furious", "angry"),
        ("not happy, but sad", "sad"),
        ("not angry", "neutral"),
        ("she isn’t happy", "neutral"),
        ("he doesn't look happy", "neutral"),
        ("neither happy nor sad", "neutral"),
        ("don't be sad, be happy", "happy"),
        ("Surprised!", "surprised"),
        ("", "neutral"),
        ("ein Satz", "neutral"),
    ],
)
def test_captions_are_read(caption: str, mood: str) -> None:
    assert read_caption(caption)[0] == mood


def test_strength_and_manner_are_read() -> None:
    assert read_caption("slightly happy")[1].smile < MOODS["happy"].smile < read_caption("very happy")[1].smile
    assert read_caption("happy, quietly")[1].energy < read_caption("happy")[1].energy


def test_every_mood_shows_and_stays() -> None:
    pictures = {}
    for mood in MOODS:
        env = make(identity=0)
        env.reset(seed=0, options={"text": f"a {mood} person"})
        frame, *_, info = env.step({"pose": env.key_points(Pose())})
        assert info["mood"] == mood == env.step({})[4]["mood"]
        pictures[mood] = frame.astype(int)
    names = list(pictures)
    for one in names:
        for other in names[names.index(one) + 1 :]:
            assert np.abs(pictures[one] - pictures[other]).max() > 30, (one, other)


def test_an_open_mouth_shows_teeth_and_tongue() -> None:
    env = make(size=128, identity=2)
    env.reset(seed=0)

    def inside(part: str | None) -> np.ndarray:
        mouth = np.zeros(len(PARTS))
        mouth[PARTS.index("open")] = 0.9
        if part is not None:
            mouth[PARTS.index(part)] = 1.0
        picture = draw(env.identity, env._rig, Face(mouth=mouth), 128, 128).astype(int)
        x, y = env.key_points(Pose())[[JOINTS.index("mouth_left"), JOINTS.index("mouth_right")]].mean(0) * 128
        return picture[int(y) - 6 : int(y) + 14, int(x) - 8 : int(x) + 8]

    dark, teeth, tongue = inside(None), inside("teeth"), inside("tongue")
    assert ((teeth - dark).min(-1) > 60).sum() > 10  # white
    assert ((tongue - dark)[..., 0] > 40).sum() > 5 and (tongue != teeth).any()  # red


def test_it_breathes() -> None:
    env = make(size=32)
    env.reset(seed=3)
    shoulders = [env.step({})[4]["key_points"][JOINTS.index("left_shoulder"), 1] for _ in range(125)]
    rises = np.diff(np.sign(np.diff(shoulders)[np.abs(np.diff(shoulders)) > 1e-5]))
    assert 4 <= np.count_nonzero(rises) <= 8  # ten seconds at 0.28 Hz: up and down some three times


def test_it_blinks() -> None:
    env = make()
    env.reset(seed=2)
    lids = [env.step({})[4]["eye_open"] for _ in range(100)]
    assert min(lids) < 0.4 and np.mean(np.array(lids) > 0.9) > 0.7


def test_identities_differ_and_depend_on_their_seed_alone() -> None:
    frames = [make(identity=seed).reset(seed=9)[0].astype(int) for seed in (*range(6), 0)]
    np.testing.assert_array_equal(frames[0], frames[-1])
    assert all(np.abs(frames[i] - frames[j]).mean() > 5 for i in range(6) for j in range(i))
    assert draw_identity(11) == draw_identity(11) != draw_identity(12)
    env = make()
    env.reset(seed=11)  # as a clip of this seed was recorded
    assert env.identity == draw_identity(11)
    for who in map(draw_identity, range(300)):  # nobody seems undressed
        assert np.abs(np.subtract(who.cloth, who.skin)).sum() >= 80


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 8}, "32 to 4096"),
        ({"fps": 30}, "12.5 or 25"),
        ({"identity": -1}, "whole number"),
        ({"voices": "espaek"}, "did you mean 'espeak'"),
        ({"languages": ["en-su"]}, "did you mean 'en-us'"),
        ({"caption_s": (2.0, 1.0)}, "caption_s must be"),
        ({"caption_s": (0.01, 1.0)}, "of a frame or more"),
        ({"reach": 1.5}, "reach must be 0 to 1"),
        ({"render_mode": "human"}, "rgb_array"),
    ],
)
def test_wrong_arguments_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Avatar(**options)


def test_wrong_actions_and_options_are_named() -> None:
    env = make()
    with pytest.raises(ValueError, match="did you mean 'speech'"):
        env.reset(options={"speach": song()})
    with pytest.raises(ValueError, match="Track"):
        env.reset(options={"speech": np.zeros(10)})
    env.reset(seed=0)
    for action, message in (
        ({"adio": None}, "did you mean 'audio'"),
        ({"audio": np.zeros(640, np.float32)}, "audio must be"),
        ({"audio": np.full(1280, np.nan, np.float32)}, "audio must be finite"),
        ({"pose": np.zeros((9, 2), np.float32)}, "pose must be"),
        ({"text": 3}, "text must be a string"),
        ([1], "action must be a dict"),
    ):
        with pytest.raises(ValueError, match=message):
            env.step(action)  # type: ignore[arg-type]
