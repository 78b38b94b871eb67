"""Who plays an avatar while clips are recorded: speech or song, a listener, a moving head, changing moods.

Each of audio, listen, pose and text is missing in some clips, so that a model learns to do without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from envs.avatar.captions import draw_caption
from envs.avatar.identity import draw_identity
from envs.avatar.mood import MOODS
from envs.avatar.rig import Face, Pose, Rig, to_picture
from envs.speech.dialogue import Speaker, dialogue, draw_speaker, monologue
from envs.speech.phrases import HELD_OUT
from envs.speech.sounds import BACKGROUNDS
from envs.speech.track import Track, silence

if TYPE_CHECKING:
    from envs.avatar.env import Avatar

SCENES = {"talk": 0.48, "dialogue": 0.28, "song": 0.08, "listen": 0.09, "quiet": 0.07}
CAPTION_BEAT_S = 0.48  # captions change on this beat, so that a model's chunks (six frames, MIDAS) hold one each
REACH = np.array((28.0, 18.0, 18.0, 0.12, 0.08, 0.08, 0.05, 8.0))  # of the head it plays, as `rig.Pose`


class Performer:
    """Plays one clip.

    Args:
        env: the world; it is read, not changed.
        seed: of the clip: of who is seen, and of all that happens.
        frames: length of the clip.

    Attributes:
        reset_options: what `env.reset` must be given, so that the mouth follows what is said.
        scene: one of SCENES.
        language: what is spoken, a name of `phrases.PHRASES`, "song", or "" where nobody speaks.
        speech, heard: what the avatar and the other one say, a track of (frames - 1) frames each.
    """

    def __init__(self, env: Avatar, seed: int, frames: int) -> None:
        self._env = env
        self._rng = rng = np.random.default_rng([seed, 0xAC7])
        self._step, self._count = 0, max(frames - 1, 1)
        identity_seed = seed if env.identity_seed is None else env.identity_seed
        self._identity = draw_identity(identity_seed)
        self._rig = Rig(self._identity)
        self.scene = str(rng.choice(list(SCENES), p=list(SCENES.values())))
        self.language, self.speech, self.heard = self._speak()
        talks = self.scene in ("talk", "dialogue", "song")
        self._has_audio = talks or rng.random() < 0.6
        self._has_listen = self.scene in ("dialogue", "listen") or rng.random() < 0.4
        self._captions = self._feel() if rng.random() < 0.85 else None
        self._points = self._move()
        self.reset_options: dict[str, Any] = {"identity": identity_seed, "speech": self.speech}
        if self._points[0] is not None:
            self.reset_options["pose"] = self._points[0]
        if self._captions is not None:
            self.reset_options["text"] = self._captions[0]

    @property
    def about(self) -> dict[str, Any]:
        """What is played, for the clip's meta: "scene", "language", and whether that one is "held_out" of training."""
        return {"scene": self.scene, "language": self.language, "held_out": self.language in HELD_OUT}

    def act(self, observation: NDArray[np.uint8], info: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the next action; what was seen does not matter. After the clip's last step its values repeat."""
        step = min(self._step, self._count - 1)
        start, stop = self._step * self._env.samples, (self._step + 1) * self._env.samples
        self._step += 1
        return {
            "audio": self.speech.slice(start, stop) if self._has_audio else None,
            "listen": self.heard.slice(start, stop) if self._has_listen else None,
            "pose": self._points[step + 1],
            "text": self._captions[step] if self._captions is not None else None,
        }

    def _speak(self) -> tuple[str, Track, Track]:
        """The language, what the avatar says, and what it hears."""
        rng, length = self._rng, self._count * self._env.samples
        languages = self._env.languages if self._env.voices == "espeak" else ("song",)
        own = draw_speaker(rng, languages, self._identity.voice, self._env.held_out)
        other = draw_speaker(rng, (own.language,), float(rng.random()), self._env.held_out)
        nothing = silence(length)
        language = own.language
        if self.scene == "dialogue":
            speech, heard = dialogue(rng, own, other, length)
        elif self.scene == "talk":
            speech, heard = monologue(rng, own, length), nothing
        elif self.scene == "song":
            language = "song"
            speech, heard = monologue(rng, Speaker("song", pitch=own.pitch), length), nothing
        elif self.scene == "listen":
            speech, heard = nothing, monologue(rng, other, length)
        else:
            language = ""
            speech, heard = nothing, nothing
        if rng.random() < 0.35:
            background = str(rng.choice(list(BACKGROUNDS)))
            speech = speech.over(BACKGROUNDS[background](rng, length, float(rng.uniform(-55.0, -30.0))))
        return language, speech, heard

    def _feel(self) -> list[str]:
        """One caption a step; many stay for a moment only, since a model learns of a caption where the mood changes."""
        rng = self._rng
        captions: list[str] = []
        while len(captions) < self._count:
            caption = draw_caption(rng, str(rng.choice(list(MOODS))), self._env.held_out)
            beats = np.exp(rng.uniform(*np.log(self._env.caption_s))) / CAPTION_BEAT_S
            captions += [caption] * max(1, round(beats)) * round(CAPTION_BEAT_S * self._env.fps)
        return captions[: self._count]

    def _move(self) -> list[NDArray[np.float32] | None]:
        """Joints for the first frame and each step: all along, for a while, or never."""
        rng, count = self._rng, self._count + 1
        kind = rng.random()
        if kind < 0.3:
            return [None] * count
        poses = self._poses(count)
        size = self._env.height, self._env.width
        points = [to_picture(self._rig.key_points(Face(pose=pose)), *size).astype(np.float32) for pose in poses]
        if kind < 0.8:
            return list(points)
        stop = int(rng.integers(count // 2, count + 1))
        return [*points[:stop], *([None] * (count - stop))]

    def _poses(self, count: int) -> list[Pose]:
        """A head that turns from one random pose to the next, smoothly, and rests between."""
        rng, fps = self._rng, self._env.fps
        scale = REACH * self._env.reach * rng.uniform(0.4, 1.0)
        here = rng.normal(0, 0.25, 8).clip(-1, 1) * scale
        poses: list[Pose] = []
        while len(poses) < count:
            there = rng.normal(0, 0.5, 8).clip(-1, 1) * scale
            steps = max(2, int(rng.uniform(0.35, 1.6) * fps))
            share = (np.arange(1, steps + 1) / steps)[:, None]
            path = here + (there - here) * share**3 * (10 - 15 * share + 6 * share**2)  # minimum jerk
            poses += [Pose.from_array(numbers) for numbers in path]
            poses += [Pose.from_array(there)] * int(rng.exponential(0.5) * fps)
            here = there
        return poses[:count]
