"""Captions as people write them: what clips are recorded with, and what a reader learns to read.

Every word that `mood.read_caption` knows comes up, bare or in a sentence, stronger or weaker, denied, in any case and
with any punctuation; and so do captions that ask for nothing. Some sentences are kept out of training, to measure with.
"""

from __future__ import annotations

import re

import numpy as np

from envs.avatar.mood import ENERGIES, MOOD_OF, STRENGTHS, WORDS

SENTENCES = (
    "{mood}",
    "a {mood} person",
    "they look {mood}",
    "she looks {mood}",
    "he is {mood}",
    "she is feeling {mood} today",
    "someone who is {mood}",
    "a {mood} face",
    "{mood} expression",
    "speaking in a {mood} voice",
    "a portrait of someone {mood}",
    "{mood}, looking at the camera",
    "talking about the weather, {mood}",
    "make it {mood}",
    "please be {mood}",
    "i want you to be {mood}",
    "now {mood}",
)
HELD_OUT = (
    "you seem {mood}",
    "a woman who feels {mood}",
    "look {mood} while you talk",
    "{mood} as ever",
    "the man on the phone sounds {mood}",
)
DENIALS = (
    "not {mood}",
    "she is not {mood}",
    "never {mood}",
    "no longer {mood}",
    "he isn't {mood}",
    "she doesn't look {mood}",
    "don't be {mood}",
    "neither {mood} nor {other}",
)
TURNS = ("not {other}, but {mood}", "{other} no more. {mood} now", "{mood}, not {other}")
PLAIN = (
    "a person",
    "looking at the camera",
    "someone talks",
    "a portrait",
    "she tells a story about the sea",
    "he reads the news",
    "talking",
    "listen to me",
    "",
)
# what else is said, before or after, to no end
ELSE = (
    "the a an and or of in on at to for with from by it its this that these those who what when where how one two "
    "man woman person girl boy child people friend teacher doctor face head voice eyes mouth hair hand room house "
    "street city car train morning evening night day week year today tomorrow yesterday here there always often "
    "sometimes again more than before after while during about into over under between please show make let be is are "
    "was were has have had do does did can could will would should may might must say says said tell tells told speak "
    "speaks talk talks look looks think thinks know knows see sees hear hears go goes come comes give gives take takes "
    "work works play plays read reads write writes good new old young big small long short tall blue red green white "
    "black first last next other same different i you he she we they me him her us them my your his our their "
    # and words that look like some of those that ask for something
    "ever every everyone forever clever river seven another north note noon know known nobody nothing knot knight "
    "had has hand land made make maid bad dad glass saddle sand said sat add road read happen happens shape apple "
    "tire wire fired hired retired hunger hungry danger ranger dangerous prize rise surpass frame fair afford fright "
    "rust trust discuss disc guest calmer palm ball small camp class planet play placed warning swarm smell mile"
).split()
MANNERS = (*(word for word in ENERGIES if word not in MOOD_OF), "calmly", "clearly")
MOODY = [word for word, name in MOOD_OF.items() if name != "neutral"]
MARKS = ("", "", "", ".", "!", "...", "?", " ")
VOWELS, CONSONANTS = "aeiou", "bcdfghjklmnprstvwz"


def draw_caption(rng: np.random.Generator, mood: str, held_out: bool = False) -> str:
    """One caption that asks for a mood, as `read_caption` reads it, more or less of it and in any manner.

    Args:
        rng: what is drawn from.
        mood: a name of MOODS.
        held_out: whether the sentence is one of those kept out of training.
    """
    words = WORDS[mood].split()
    word = words[0] if rng.random() < 0.3 else _one(rng, words)
    if mood == "neutral" and rng.random() < 0.5:
        caption = _asks_nothing(rng)
    else:
        if rng.random() < 0.2:
            word = f"{_one(rng, list(STRENGTHS))} {word}"
        sentence = _one(rng, HELD_OUT if held_out else SENTENCES)
        if not held_out and rng.random() < 0.08:
            sentence = _one(rng, TURNS)
        other = WORDS[_one(rng, [name for name in WORDS if name != mood])].split()[0]
        caption = sentence.format(mood=word, other=other)
        if rng.random() < 0.3:
            manner = _one(rng, MANNERS)
            caption = _one(rng, (f"{manner} and {caption}", f"{caption}, {manner}", f"{caption}, talking {manner}"))
    if rng.random() < 0.5:
        some = [_one(rng, ELSE) if rng.random() < 0.8 else _word(rng) for _ in range(rng.integers(1, 7))]
        at = int(rng.integers(len(some) + 1))
        caption = " ".join(filter(None, [*some[:at], caption, *some[at:]]))
    return _written(rng, caption)


def _asks_nothing(rng: np.random.Generator) -> str:
    """A caption without any mood: a denied one, a plain one, or words that nobody knows."""
    kind = rng.random()
    if kind < 0.3:
        return _one(rng, DENIALS).format(mood=_one(rng, MOODY), other=_one(rng, MOODY))
    if kind < 0.6:
        return _one(rng, PLAIN)
    return " ".join(_word(rng) for _ in range(rng.integers(1, 6)))


def _word(rng: np.random.Generator) -> str:
    """A word that nobody knows; now and then of another script."""
    if rng.random() < 0.2:
        first = int(rng.choice((0x3B1, 0x430, 0x627, 0x915, 0x3042, 0x4E00)))
        return "".join(chr(first + int(rng.integers(24))) for _ in range(rng.integers(1, 6)))
    letters = [_one(rng, (CONSONANTS, VOWELS)[at % 2]) for at in range(rng.integers(2, 10))]
    return "".join(letters)


def _written(rng: np.random.Generator, caption: str) -> str:
    """In small letters mostly, else in others; with a mark at its end or without."""
    caption = re.sub(r"\ba (?=[aeiou])", "an ", caption)
    kind = rng.random()
    if kind < 0.15:
        caption = caption.capitalize()
    elif kind < 0.2:
        caption = caption.upper()
    elif kind < 0.25:
        caption = caption.title()
    if rng.random() < 0.5:
        caption = caption.replace("'", "’")
    return caption + _one(rng, MARKS)


def _one(rng: np.random.Generator, choices: tuple[str, ...] | list[str] | str) -> str:
    return choices[int(rng.integers(len(choices)))]
