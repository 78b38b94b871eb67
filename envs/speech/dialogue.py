"""Speakers, what they say, and two of them taking turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from envs.speech.espeak import say
from envs.speech.phrases import sentence
from envs.speech.sounds import sing
from envs.speech.track import SAMPLE_RATE, Track, joined, silence

# Timbres, low and high, of those that espeak-ng brings and that sound like people. The second ones are heard in clips
# that are kept to measure with, and in no others.
VARIANTS = {
    "m": (
        *"m1 m2 m3 m4 m5 m6 m7 m8 Alex Andy Denis Diogo Henrique Hugo Lee Marco Michael Mike antonio ed".split(),
        *"grandpa john max michel miguel norbert pablo paul rob sandro travis victor zac".split(),
    ),
    "f": tuple("f1 f2 f3 f4 f5 Alicia Andrea Annie anika aunty belinda grandma".split()),
}
HELD_OUT_VARIANTS = {"m": ("boris",), "f": ("linda", "steph")}


@dataclass(frozen=True)
class Speaker:
    """A voice.

    Attributes:
        language: a name of `phrases.PHRASES`, or "song" for one that only sings and needs no espeak-ng.
        variant: of the voice, such as "+f3".
        words_per_minute, pitch: as `espeak.say`.
        gain: times the voice's own loudness.
    """

    language: str
    variant: str = ""
    words_per_minute: int = 165
    pitch: int = 50
    gain: float = 1.0

    def utter(self, rng: np.random.Generator) -> Track:
        """Returns a sentence or, of a singer, a line of a song, its start and end trimmed.

        Raises:
            ModuleNotFoundError: if the extra `speech` is not installed and this is no singer.
        """
        if self.language == "song":
            track = sing(rng, int(rng.uniform(2.0, 4.5) * SAMPLE_RATE), 110.0 * 2 ** (self.pitch / 60))
        else:
            voice = self.language + self.variant
            track = say(sentence(rng, self.language), voice, self.words_per_minute, self.pitch)
        if track.phones:
            track = track.fitted(min(track.phones[-1].stop + SAMPLE_RATE // 20, len(track.samples)))
        return track.with_gain(self.gain)


def draw_speaker(rng: np.random.Generator, languages: Sequence[str], high: float, held_out: bool = False) -> Speaker:
    """Returns a random voice.

    Args:
        rng: what is drawn from.
        languages: names of `phrases.PHRASES`, or "song".
        high: 0 for a low one to 1 for a high one.
        held_out: whether it is one of those kept out of training.
    """
    variants = (HELD_OUT_VARIANTS if held_out else VARIANTS)["f" if high > 0.5 else "m"]
    return Speaker(
        language=str(languages[int(rng.integers(len(languages)))]),
        variant=f"+{variants[int(rng.integers(len(variants)))]}",
        words_per_minute=int(rng.integers(125, 206)),
        pitch=int(np.clip(rng.normal(38 + 24 * high, 11), 5, 95)),
        gain=float(rng.uniform(0.4, 0.9)),
    )


def monologue(rng: np.random.Generator, speaker: Speaker, length: int) -> Track:
    """Returns `length` samples of someone who speaks, with pauses of 0.1 to 1.2 s."""
    parts = [silence(int(rng.uniform(0.1, 0.7) * SAMPLE_RATE))]
    while sum(len(part.samples) for part in parts) < length:
        parts += [speaker.utter(rng), silence(int(rng.uniform(0.1, 1.2) * SAMPLE_RATE))]
    return joined(parts).fitted(length)


def dialogue(rng: np.random.Generator, one: Speaker, other: Speaker, length: int) -> tuple[Track, Track]:
    """Returns `length` samples each of two who take turns, with gaps of up to 0.8 s between them."""
    turns: tuple[list[Track], list[Track]] = ([], [])
    current = int(rng.integers(2))
    at = 0
    while at < length:
        parts = [one, other][current].utter(rng), silence(int(rng.uniform(0.1, 0.8) * SAMPLE_RATE))
        turn = joined(parts)
        turns[current].append(turn)
        turns[1 - current].append(silence(len(turn.samples)))
        at += len(turn.samples)
        current = 1 - current if rng.random() < 0.8 else current
    return joined(turns[0]).fitted(length), joined(turns[1]).fitted(length)
