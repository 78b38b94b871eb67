"""Words that are spoken: text to speech, by espeak-ng, with the phones that a rendered mouth can follow."""

from __future__ import annotations

from envs.speech.espeak import say
from envs.speech.track import Track
from player.sources.base import SourceError


def spoken(words: str, voice: str = "en-us") -> Track:
    """Says words.

    Args:
        words: in the language of the voice.
        voice: of espeak-ng, such as "en-us", "de" or "en-us+f3".

    Returns:
        The speech at 16 kHz, with its phones.

    Raises:
        SourceError: if the extra `speech` is not installed, there is no such voice, or there is nothing to say.
    """
    try:
        return say(words, voice)
    except (ModuleNotFoundError, ValueError) as error:
        raise SourceError(f"--say: {error}") from error
