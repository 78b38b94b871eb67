"""`worldmodel/Avatar-v0`: the talking head as a Gymnasium environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

import conditions
from conditions.pose import JOINTS
from conditions.values import nearest
from envs.avatar.draw import draw
from envs.avatar.identity import Identity, draw_identity
from envs.avatar.mood import MOODS, Mood, mixed, read_caption
from envs.avatar.motion import SPEECH_LEVEL, Motion
from envs.avatar.rig import Face, Pose, Rig, blended, from_picture, to_picture
from envs.speech.estimate import estimate_mouth, nearest_viseme
from envs.speech.phrases import PHRASES, TRAINED
from envs.speech.track import SAMPLE_RATE, Track
from envs.speech.visemes import REST, VISEMES, frame_mouth, frame_viseme
from worldmodel.data.clips import codec

if TYPE_CHECKING:
    from envs.avatar.performer import Performer

RATES = (12.5, 25.0)
OPTIONS = ("identity", "speech", "pose", "text")
SOURCES = ("silence", "timeline", "estimate")


class Avatar(gymnasium.Env[NDArray[np.uint8], dict[str, Any]]):
    """A drawn head that talks, listens, moves and feels as it is told.

    An action has any of `audio` and `listen` (the samples of this frame, [16000 / fps] at 16 kHz, its own voice and
    the other's), `pose` (its 10 joints in picture widths, NaN where unknown) and `text` (a caption of its mood). The
    action at t is what happens during frame t+1.

    The mouth is exact where the voice is known: give the `speech` track to `reset`, and play its samples from the
    first step on. Any other sound moves it by an estimate from loudness and spectrum (`info["source"]` says which).
    Without `audio` it rests. The head goes where `pose` puts it, and lives by itself where that is missing; the
    mood stays until another caption comes.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 12.5}

    def __init__(
        self,
        size: int | tuple[int, int] = (128, 128),
        fps: float = 12.5,
        identity: int | None = None,
        voices: str = "espeak",
        languages: Sequence[str] = TRAINED,
        caption_s: Sequence[float] = (0.5, 6.0),
        reach: float = 1.0,
        held_out: bool = False,
        render_mode: str | None = "rgb_array",
    ) -> None:
        """Makes a head; who it is shows on `reset`.

        Args:
            size: frame as (height, width) or one side, in pixels, 32 to 4096.
            fps: 12.5 or 25 frames per second.
            identity: seed of who it is; by default drawn from the seed given to `reset`.
            voices: who speaks when clips are recorded: "espeak" (needs the extra `speech`), or "sung".
            languages: what is spoken then, names of `envs.speech.phrases.PHRASES`.
            caption_s: the shortest and the longest time for which a caption stays then, in seconds; rounded to beats of
                480 ms, one at least.
            reach: how far heads turn and shift then, 0 to 1; at 1 up to 28 degrees and a tenth of the picture.
            held_out: whether what is said and asked for then is kept out of all clips that are recorded without it:
                the variants of the voices, and the sentences that captions are worded in.
            render_mode: "rgb_array" or None.

        Raises:
            ValueError: for a value outside these bounds.
        """
        sides = (size, size) if isinstance(size, int) else tuple(size)
        if len(sides) != 2 or not all(isinstance(side, int) and 32 <= side <= 4096 for side in sides):
            raise ValueError(f"size must be (height, width) of 32 to 4096 pixels, got {size!r}")
        if fps not in RATES:
            raise ValueError(f"fps must be 12.5 or 25 frames per second, got {fps!r}")
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode must be 'rgb_array' or None, got {render_mode!r}")
        if voices not in ("espeak", "sung"):
            raise ValueError(f"voices must be 'espeak' or 'sung', got {voices!r}{nearest(voices, ('espeak', 'sung'))}")
        for language in languages:
            if language not in PHRASES:
                raise ValueError(f"there are no phrases in language {language!r}{nearest(language, PHRASES)}")
        if len(caption_s) != 2 or not 1 / fps <= caption_s[0] <= caption_s[1] < np.inf:
            raise ValueError(f"caption_s must be (shortest, longest) in seconds, of a frame or more, got {caption_s!r}")
        if not 0 <= reach <= 1:
            raise ValueError(f"reach must be 0 to 1, got {reach!r}")
        if identity is not None:
            draw_identity(identity)  # refuses what is no seed
        self.height, self.width = sides
        self.render_mode, self.fps, self.identity_seed = render_mode, float(fps), identity
        self.voices, self.languages = voices, tuple(languages)
        self.caption_s, self.reach, self.held_out = tuple(caption_s), float(reach), held_out
        self.metadata = {**self.metadata, "render_fps": self.fps}
        self.samples = round(SAMPLE_RATE / self.fps)
        self.condition_configs = {"audio": {"samples": self.samples}, "listen": {"samples": self.samples}}
        self._codecs = {
            name: codec(name, self.condition_configs.get(name)) for name in ("audio", "listen", "pose", "text")
        }
        self.observation_space = spaces.Box(0, 255, (self.height, self.width, 3), np.uint8)
        self.action_space = spaces.Dict(
            [(name, conditions.space(name, self.condition_configs.get(name))) for name in self._codecs]
        )

    def explorer(self, seed: int, frames: int) -> Performer:
        """Returns who plays this world while `frames` frames of it are recorded."""
        from envs.avatar.performer import Performer

        return Performer(self, seed, frames)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Shows a head at rest.

        Args:
            seed: of who it is, where none was given, and of what it does by itself.
            options: "identity" (a seed or an `Identity`), "speech" (the `Track` whose samples the steps will bring),
                "pose" (joints to begin with) and "text" (a caption to begin with).

        Returns:
            The frame [H, W, 3] uint8 and info: "aperture" 0 to 1, "mouth" [6], "viseme" and "viseme_index",
            "key_points" [10, 2] in picture widths, "head" [yaw, pitch, roll] in degrees, "gaze" [2], "eye_open",
            "mood" and "mood_index", "speaking", "listening", "source" and "source_index", and "identity".

        Raises:
            ValueError: for an unknown option (naming the nearest) or one of another kind.
        """
        super().reset(seed=seed)
        options = dict(options or {})
        for name in options:
            if name not in OPTIONS:
                raise ValueError(f"unknown reset option {name!r}{nearest(name, OPTIONS)}")
        speech = options.get("speech")
        if speech is not None and not isinstance(speech, Track):
            raise ValueError(f"option speech must be a Track (envs.speech.track), got {type(speech).__name__}")
        drawn = int(self.np_random.integers(2**31))
        own = drawn if seed is None else seed  # a seed is one person, recorded or not
        chosen = options.get("identity", self.identity_seed)
        if not isinstance(chosen, Identity):
            chosen = draw_identity(own if chosen is None else chosen)
        self.identity: Identity = chosen
        self._rig = Rig(chosen)
        self._speech, self._first, self._frames = speech, 0, 0
        self._motion = Motion(np.random.default_rng(int(self.np_random.integers(2**31))), self.fps)
        self._mood_name, self._wanted = "neutral", MOODS["neutral"]
        self._caption: str | None = None
        if options.get("text") is not None:
            self._read(self._codecs["text"].validate(options["text"]))
        self._mood = self._wanted
        self._pose = Pose()
        self._release = 1.0
        given = options.get("pose")
        self._pose = self._motion.pose(self._mood) if given is None else self._follow(given)
        self._set(REST, "sil", "silence", 0.0, 0.0)
        return self._frame.copy(), self._info()

    def step(self, action: Mapping[str, Any]) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Lives through one frame.

        Args:
            action: `audio`, `listen`, `pose` and `text` as in `action_space`, each may be missing or None.

        Returns:
            Frame [H, W, 3] uint8, reward 0, terminated False, truncated False, info as from `reset`.

        Raises:
            ValueError: for an unknown name (naming the nearest), or a value outside its space.
        """
        if not isinstance(action, Mapping):
            raise ValueError(f"action must be a dict of {', '.join(self._codecs)}, got {type(action).__name__}")
        for name in action:
            if name not in self._codecs:
                raise ValueError(f"action has no entry {name!r}{nearest(name, self._codecs)}")
        given = {name: self._codecs[name].validate(value) for name, value in action.items() if value is not None}
        if "text" in given:
            self._read(given["text"])
        self._mood = mixed(self._mood, self._wanted, min(1.0, 5.0 / self.fps))
        voice, other = (_loudness(given.get(name)) for name in ("audio", "listen"))
        mouth, viseme, source = self._mouth(given.get("audio"))
        if self._speech is not None and source == "timeline" and not self._speech.speaks(*self._at()):
            voice = 0.0  # what sounds is no speech, however loud
        self._motion.step(voice, other, self._mood.energy)
        own = self._motion.pose(self._mood)
        if "pose" in given and np.isfinite(given["pose"]).all(1).any():
            self._pose, self._release = self._follow(given["pose"]), 0.0
        else:  # the head takes over smoothly where the pose ends
            self._release = min(1.0, self._release + 1.0 / self.fps)
            self._pose = blended(self._pose, own, self._release**2)
        self._frames += 1
        self._set(mouth, viseme, source, voice, other)
        return self._frame.copy(), 0.0, False, False, self._info()

    def render(self) -> NDArray[np.uint8] | None:
        """The current frame, [H, W, 3] uint8."""
        return self._frame.copy() if self.render_mode == "rgb_array" else None

    def speak(self, track: Track) -> None:
        """Tells what the steps from now on will bring as `audio`, as the option "speech" does from the first one on."""
        self._speech, self._first = track, self._frames * self.samples

    def key_points(self, pose: Pose) -> NDArray[np.float32]:
        """Returns the joints [10, 2], in picture widths, of this head in a pose with its mouth at rest."""
        points = self._rig.key_points(Face(pose=pose))
        return to_picture(points, self.height, self.width).astype(np.float32)

    def _read(self, caption: str) -> None:
        if caption != self._caption:
            self._caption = caption
            self._mood_name, self._wanted = read_caption(caption)

    def _follow(self, key_points: NDArray[np.floating]) -> Pose:
        points = self._codecs["pose"].validate(key_points).astype(np.float64)
        return self._rig.fit(from_picture(points, self.height, self.width), self._pose)

    def _mouth(self, audio: NDArray[np.float32] | None) -> tuple[NDArray[np.float64], str, str]:
        """Returns the mouth of the frame to come, its viseme, and where it is known from."""
        if audio is None or not np.abs(audio).max(initial=0.0) > 1e-3:
            return REST, "sil", "silence"
        start, stop = self._at()
        if self._speech is not None and np.abs(self._speech.slice(start, stop) - audio).max() < 1e-3:
            phones = self._speech.phones
            return frame_mouth(phones, start, stop), frame_viseme(phones, start, stop), "timeline"
        mouth = estimate_mouth(audio)
        return mouth, nearest_viseme(mouth), "estimate"

    def _at(self) -> tuple[int, int]:
        """The first sample of the frame to come, and the one after its last, in the track that is said."""
        start = self._frames * self.samples - self._first
        return start, start + self.samples

    def _set(self, mouth: NDArray[np.float64], viseme: str, source: str, voice: float, other: float) -> None:
        mood: Mood = self._mood
        gaze_x, gaze_y = self._motion.gaze
        self._face = Face(
            pose=self._pose,
            mouth=mouth,
            smile=mood.smile + 0.15 * self._motion.attention,
            brow_raise=mood.brow_raise + 0.2 * self._motion.attention,
            brow_tilt=mood.brow_tilt,
            eye_open=mood.eye_open * self._motion.lids,
            squint=mood.squint,
            gaze_x=gaze_x,
            gaze_y=gaze_y + mood.gaze_y,
            blush=mood.blush,
        )
        self._heard = (viseme, source, voice, other)
        self._frame = draw(self.identity, self._rig, self._face, self.height, self.width)

    def _info(self) -> dict[str, Any]:
        viseme, source, voice, other = self._heard
        face = self._face
        key_points = to_picture(self._rig.key_points(face), self.height, self.width)
        return {
            "aperture": round(face.aperture, 5),
            "mouth": face.mouth.round(5),
            "viseme": viseme,
            "viseme_index": VISEMES.index(viseme),
            "key_points": key_points.round(5),
            "joints": JOINTS,
            "head": np.array((face.pose.yaw, face.pose.pitch, face.pose.roll)).round(4),
            "gaze": np.array((face.gaze_x, face.gaze_y)).round(4),
            "eye_open": round(face.eye_open, 5),
            "mood": self._mood_name,
            "mood_index": tuple(MOODS).index(self._mood_name),
            "speaking": int(voice > SPEECH_LEVEL),
            "listening": int(other > SPEECH_LEVEL),
            "source": source,
            "source_index": SOURCES.index(source),
            "identity": self.identity.as_dict(),
        }


def _loudness(samples: NDArray[np.float32] | None) -> float:
    """RMS of a sound, 0 where there is none."""
    return 0.0 if samples is None else float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
