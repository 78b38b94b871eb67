"""Recording the talking head: its performer and what ends up in a clip."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
import pytest

import envs  # noqa: F401  (registers the worlds)

pytest.importorskip("envs.avatar.canvas", exc_type=ImportError)  # the extra `avatar`
from envs.avatar.env import Avatar  # noqa: E402
from envs.avatar.performer import SCENES, Performer  # noqa: E402
from envs.record import Recording, record  # noqa: E402
from worldmodel.data.clips import ClipSet  # noqa: E402


def make(**options: object) -> Avatar:
    env = gymnasium.make("worldmodel/Avatar-v0", size=32, voices="sung", **options).unwrapped
    assert isinstance(env, Avatar)
    return env


def test_the_performer_says_what_it_does() -> None:
    scenes, missing = set(), {"audio": 0, "listen": 0, "pose": 0, "text": 0}
    env = make()
    for seed in range(40):
        performer = Performer(env, seed, 20)
        observation, info = env.reset(seed=seed, options=performer.reset_options)
        scenes.add(performer.scene)
        action = performer.act(observation, info)
        for name in missing:
            missing[name] += action[name] is None
        assert len(performer.speech.samples) == len(performer.heard.samples) == 19 * 1280
    assert scenes == set(SCENES)
    assert all(0 < count < 40 for count in missing.values())


def test_the_performer_tells_what_is_spoken() -> None:
    found: dict[str, set[str]] = {}
    for seed in range(40):
        about = Performer(make(), seed, 4).about
        found.setdefault(about["scene"], set()).add(about["language"])
        assert about["held_out"] is False
    assert found.pop("quiet") == {""} and set.union(*found.values()) == {"song"}
    assert set(found) == set(SCENES) - {"quiet"}
    pytest.importorskip("espeakng_loader")
    env = gymnasium.make("worldmodel/Avatar-v0", size=32, languages=["fr-fr"]).unwrapped
    told = [Performer(env, seed, 4).about for seed in range(12)]  # type: ignore[arg-type]
    assert {(about["language"], about["held_out"]) for about in told} >= {("fr-fr", True)}


def test_a_caption_stays_for_as_long_as_is_asked() -> None:
    shortest, longest = 0.96, 1.44  # seconds, of chunks of six frames
    stretches: list[int] = []
    for seed in range(12):
        performer = Performer(make(caption_s=(shortest, longest)), seed, 120)
        said = [performer.act(np.zeros(0, np.uint8), {})["text"] for _ in range(119)]
        changes = [0, *(at for at in range(1, 119) if said[at] != said[at - 1])]
        stretches += np.diff(changes).tolist()
        assert not any(at % 6 for at in changes)
    assert min(stretches) == shortest * 12.5 and len(stretches) > 50
    assert np.median(stretches) <= longest * 12.5  # the same caption may come twice


def test_heads_reach_as_far_as_is_asked() -> None:
    far = []
    for reach in (0.0, 0.4, 1.0):
        poses = np.array(
            [pose.as_array() for seed in range(6) for pose in Performer(make(reach=reach), seed, 60)._poses(60)]
        )
        far.append(float(np.abs(poses).max()))
    assert far[0] == 0.0 and far[1] == pytest.approx(0.4 * far[2], rel=0.05)


def test_truth_agrees_with_the_plan() -> None:
    env = make()
    for seed in range(4):
        performer = Performer(env, seed, 30)
        observation, info = env.reset(seed=seed, options=performer.reset_options)
        while performer._step < 29:
            action = performer.act(observation, info)
            observation, *_, info = env.step(action)
            if action["pose"] is not None:
                rigid = [0, 2, 3, 4, 7, 8, 9]
                assert np.abs(info["key_points"] - action["pose"])[rigid].max() < 0.004
            if action["audio"] is None:
                assert info["aperture"] == 0.0
            else:
                assert info["source"] in ("timeline", "silence")


@pytest.mark.parametrize("fps", [12.5, 25.0])
def test_a_clip_holds_all_of_it(tmp_path: Path, fps: float) -> None:
    kwargs = {"size": 32, "voices": "sung", "fps": fps}
    recording = Recording("worldmodel/Avatar-v0", kwargs, 4, 12, 100, 4, "mix")
    assert record(recording, tmp_path, progress=False) == 4
    clips = ClipSet(tmp_path)
    env = make(fps=fps)
    for index, clip in enumerate(clips):
        performer = Performer(env, 100 + index, 12)
        first, info = env.reset(seed=100 + index, options=performer.reset_options)
        assert np.abs(first.astype(int) - clip.frames[0]).mean() < 6
        assert clip.meta["fps"] == fps
        for name in ("aperture", "viseme_index", "key_points", "head", "mood_index", "speaking"):
            assert len(clip.meta["info"][name]) == 12
        for step, action in enumerate(clip.actions()):
            wanted = performer.act(first, info)
            assert {name for name, value in wanted.items() if value is not None} == set(action)
            if "audio" in action:
                np.testing.assert_allclose(action["audio"], wanted["audio"], atol=1e-4)
            _, *_, info = env.step(action)  # the recorded actions lead to the recorded truth
            assert info["aperture"] == pytest.approx(clip.meta["info"]["aperture"][step + 1], abs=1e-6)
