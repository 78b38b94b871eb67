"""Moods and manners, and how a caption asks for them."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Mood:
    """What a mood does to a face; fields as in `rig.Face`.

    Attributes:
        pitch: degrees that the head is lowered.
        energy: how lively the head moves, 1 is usual.
    """

    smile: float = 0.30
    brow_raise: float = 0.0
    brow_tilt: float = 0.0
    eye_open: float = 1.0
    squint: float = 0.0
    gaze_y: float = 0.0
    blush: float = 0.25
    pitch: float = 0.0
    energy: float = 1.0


MOODS: dict[str, Mood] = {
    "neutral": Mood(),
    "happy": Mood(smile=1.0, brow_raise=0.35, squint=0.45, blush=0.75, eye_open=0.96, pitch=-2.0, energy=1.25),
    "sad": Mood(
        smile=-0.95, brow_raise=0.25, brow_tilt=1.0, eye_open=0.72, gaze_y=0.5, blush=0.1, pitch=7.0, energy=0.6
    ),
    "angry": Mood(
        smile=-0.7, brow_raise=-0.85, brow_tilt=-1.0, eye_open=0.84, squint=0.5, blush=0.9, pitch=4.0, energy=1.3
    ),
    "surprised": Mood(smile=0.0, brow_raise=1.3, brow_tilt=0.15, eye_open=1.3, blush=0.3, pitch=-4.0, energy=1.1),
    "afraid": Mood(
        smile=-0.45, brow_raise=0.9, brow_tilt=1.0, eye_open=1.22, gaze_y=-0.1, blush=0.0, pitch=-1.0, energy=0.9
    ),
    "disgusted": Mood(
        smile=-0.8, brow_raise=-0.5, brow_tilt=-0.45, eye_open=0.62, squint=0.85, blush=0.1, pitch=-4.0, energy=0.9
    ),
    "tired": Mood(
        smile=-0.1,
        brow_raise=-0.15,
        brow_tilt=0.35,
        eye_open=0.45,
        squint=0.15,
        gaze_y=0.35,
        blush=0.15,
        pitch=5.0,
        energy=0.45,
    ),
}
WORDS: dict[str, str] = {
    "neutral": "neutral calm plain composed serious relaxed",
    "happy": "happy happily joyful joyfully glad cheerful cheerfully smile smiles smiling delighted pleased friendly "
    "laughing warm warmly excited excitedly",
    "sad": "sad sadly unhappy sorrowful gloomy melancholy crying tearful grieving disappointed depressed",
    "angry": "angry angrily furious furiously mad annoyed irritated enraged cross upset hostile",
    "surprised": "surprised astonished amazed shocked startled surprise wonder astonishment wow",
    "afraid": "afraid fearful scared frightened anxious worried nervous fear terrified",
    "disgusted": "disgusted disgust disgustedly contemptuous revolted repulsed",
    "tired": "tired tiredly sleepy sleepily exhausted weary bored drowsy",
}
MOOD_OF = {word: mood for mood, words in WORDS.items() for word in words.split()}
_NEGATIONS = {"not", "no", "never", "without", "hardly", "neither", "nor"}
_BREAKS = {"but", "and", *",.;:!?"}  # a "not" before it does not deny what follows
STRENGTHS = {"slightly": 0.5, "little": 0.5, "bit": 0.5, "mildly": 0.5, "very": 1.2, "extremely": 1.3, "really": 1.2}
ENERGIES = {
    **dict.fromkeys(("lively", "energetic", "energetically", "animated", "excited", "excitedly", "fast"), 1.5),
    **dict.fromkeys(("still", "quietly", "softly", "slowly", "gently", "motionless"), 0.5),
}


@dataclass(frozen=True)
class Wish:
    """What a caption asks for.

    Attributes:
        mood: a name of MOODS.
        strength: how much of it, 1 is usual.
        energy: how lively, 1 is usual.
    """

    mood: str = "neutral"
    strength: float = 1.0
    energy: float = 1.0


def understand(caption: str) -> Wish:
    """Finds what a caption asks for: the last mood word that is not denied, with its strength and manner.

    It knows the English words of WORDS and nothing more: any other caption is neutral.

    Args:
        caption: any text.
    """
    words = re.findall(r"[a-z']+|[,.;:!?]", caption.lower().replace("’", "'"))
    name, strength, energy = "neutral", 1.0, 1.0
    for index, word in enumerate(words):
        start = max((at + 1 for at in range(index) if words[at] in _BREAKS), default=0)
        before = words[max(start, index - 3) : index]
        energy = ENERGIES.get(word, energy)
        if word in MOOD_OF and not any(w in _NEGATIONS or w.endswith("n't") for w in before):
            name = MOOD_OF[word]
            strength = next((STRENGTHS[w] for w in reversed(before) if w in STRENGTHS), 1.0)
    return Wish(name, strength, energy)


def read_caption(caption: str) -> tuple[str, Mood]:
    """The mood that a caption asks for (`understand`), as strong and lively as asked for.

    Returns:
        A name of MOODS, and what it does to a face.
    """
    wish = understand(caption)
    mood = mixed(MOODS["neutral"], MOODS[wish.mood], wish.strength)
    return wish.mood, mixed(mood, mood, 1.0, wish.energy)


def mixed(here: Mood, there: Mood, amount: float, energy: float = 1.0) -> Mood:
    """Returns the mood a share `amount` of the way from one to another, its liveliness times `energy`."""
    numbers = {name: (1 - amount) * value + amount * getattr(there, name) for name, value in vars(here).items()}
    numbers["energy"] *= energy
    return Mood(**numbers)
