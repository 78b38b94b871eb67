"""From phones to mouth shapes: the viseme of a phone, its shape, and how neighbours blend into one another.

Co-articulation follows Cohen and Massaro (1993), "Modeling coarticulation in synthetic visual speech": each phone pulls
each part of the mouth towards its own shape, with a strength that falls off before and after it; the mouth is the
weighted mean. Lips that must close (p, b, m) pull hardest, rounding is prepared earliest.

Shapes: P phones, N times, K = 6 parts of the mouth.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from envs.speech.track import SAMPLE_RATE, Phone

# The parts of a mouth: jaw open 0..1; corners wide 1, round -1; lips pressed; lower lip under the upper teeth;
# teeth seen; tongue raised and seen.
PARTS = ("open", "wide", "press", "tuck", "teeth", "tongue")
# viseme: (open, wide, press, tuck, teeth, tongue), strength. The names are those of the common set of 15.
SHAPES: dict[str, tuple[tuple[float, float, float, float, float, float], float]] = {
    "sil": ((0.0, 0.0, 0.0, 0.0, 0.0, 0.0), 0.5),
    "PP": ((0.0, -0.05, 1.0, 0.0, 0.0, 0.0), 9.0),
    "FF": ((0.12, 0.10, 0.0, 1.0, 0.5, 0.0), 5.0),
    "TH": ((0.26, 0.15, 0.0, 0.0, 0.6, 1.0), 2.5),
    "DD": ((0.24, 0.20, 0.0, 0.0, 0.5, 0.6), 1.0),
    "kk": ((0.34, 0.05, 0.0, 0.0, 0.2, 0.2), 0.7),
    "CH": ((0.24, -0.55, 0.0, 0.0, 0.8, 0.0), 2.0),
    "SS": ((0.14, 0.45, 0.0, 0.0, 1.0, 0.0), 2.2),
    "nn": ((0.26, 0.15, 0.0, 0.0, 0.3, 0.8), 1.0),
    "RR": ((0.30, -0.40, 0.0, 0.0, 0.2, 0.3), 1.0),
    "aa": ((1.00, 0.10, 0.0, 0.0, 0.5, 0.1), 1.6),
    "E": ((0.62, 0.45, 0.0, 0.0, 0.5, 0.2), 1.5),
    "I": ((0.34, 0.85, 0.0, 0.0, 0.6, 0.2), 1.5),
    "O": ((0.66, -0.60, 0.0, 0.0, 0.1, 0.0), 1.6),
    "U": ((0.34, -1.00, 0.0, 0.0, 0.0, 0.0), 1.8),
}
VISEMES = tuple(SHAPES)
REST = np.zeros(len(PARTS))
FALL_S = 0.030  # the pull of a phone falls to 1/e this long before and after it,
CLOSURE_FALL_S = 0.015  # lips close and open at once
ROUND_FALL_S = 0.060  # that on the corners of the mouth this long

_SYMBOLS = {
    **dict.fromkeys("pbm", "PP"),
    **dict.fromkeys("fvɱʋɸβ", "FF"),
    **dict.fromkeys("θð", "TH"),
    **dict.fromkeys("tdʈɖɗ", "DD"),
    **dict.fromkeys("kgɡqɢxɣχʁħʕʔhɦŋɴcɟçʝʀ", "kk"),
    **dict.fromkeys("ʃʒɕʑʂʐ", "CH"),
    **dict.fromkeys("sz", "SS"),
    **dict.fromkeys("nlɲɳɫɭʎɬɮ", "nn"),
    **dict.fromkeys("rɹɻɾɽɚɝ", "RR"),
    **dict.fromkeys("aɑɐʌɒæäɶ", "aa"),
    **dict.fromkeys("eɛəɜɘɞ", "E"),
    **dict.fromkeys("iɪᵻjɨyʏ", "I"),
    **dict.fromkeys("oɔøœɵɤ", "O"),
    **dict.fromkeys("uʊwɯʉɥʍ", "U"),
}
_VOWELS = frozenset(("aa", "E", "I", "O", "U"))


@functools.lru_cache(maxsize=4096)
def visemes_of(symbol: str) -> tuple[str, ...]:
    """Returns the mouth shapes of an IPA symbol in turn: two for a diphthong, one else, "sil" for a pause.

    Stress, length, tones and diacritics do not matter; an affricate looks like its second half.
    """
    plain = unicodedata.normalize("NFD", symbol)
    if "ᵝ" in plain:  # the compressed u of Japanese
        return ("U",)
    found = [_SYMBOLS[letter] for letter in plain if letter in _SYMBOLS]
    if not found:
        return ("sil",)
    if len(found) == 1 or found[0] not in _VOWELS:
        return (found[-1],)
    turn = [found[0]]
    for viseme in found[1:]:
        if viseme != turn[-1]:
            turn.append(viseme)
    return tuple(turn[:3])


def phones_of(symbol: str, start: int, stop: int) -> list[Phone]:
    """Returns a symbol's stretch of samples as phones of one viseme each; none for a pause."""
    turn = visemes_of(symbol)
    if turn == ("sil",):
        return []
    edges = np.linspace(start, stop, len(turn) + 1).round().astype(int).tolist()
    return [Phone(edges[i], edges[i + 1], symbol, viseme) for i, viseme in enumerate(turn)]


def mouth_at(phones: Sequence[Phone], times_s: NDArray[np.floating]) -> NDArray[np.float64]:
    """Returns the shape of the mouth at some times.

    Args:
        phones: P phones in order.
        times_s: [N] seconds.

    Returns:
        [N, K], columns as PARTS.
    """
    times = np.asarray(times_s, np.float64)
    near = [
        phone
        for phone in phones
        if phone.start / SAMPLE_RATE < times.max(initial=0.0) + 0.5
        and phone.stop / SAMPLE_RATE > times.min(initial=np.inf) - 0.5
    ]
    if not near:
        return np.tile(REST, (len(times), 1))
    near = _with_pauses(near)
    start = np.array([phone.start for phone in near]) / SAMPLE_RATE
    stop = np.array([phone.stop for phone in near]) / SAMPLE_RATE
    target = np.array([SHAPES[phone.viseme][0] for phone in near])  # [P, K]
    strength = np.array([SHAPES[phone.viseme][1] for phone in near])
    distance = np.maximum(np.maximum(start - times[:, None], times[:, None] - stop), 0.0)  # [N, P]
    fall = np.full(len(PARTS), FALL_S)
    fall[1] = ROUND_FALL_S
    falls = np.where([[phone.viseme == "PP"] for phone in near], CLOSURE_FALL_S, fall)  # [P, K]
    pull = strength[:, None] * np.exp(-distance[..., None] / falls)  # [N, P, K]
    return (pull * target).sum(1) / np.maximum(pull.sum(1), 1e-12)


def frame_mouth(phones: Sequence[Phone], start: int, stop: int) -> NDArray[np.float64]:
    """Returns the mouth [K] of the frame that lasts from sample `start` to `stop`.

    It is the mouth in the middle of the frame, but lips that close during it are drawn closed, as animators do: at
    12.5 Hz most p, b and m would else fall between two frames.
    """
    middle = (start + stop) / 2 / SAMPLE_RATE
    closing = [p for p in phones if p.viseme == "PP" and start <= (p.start + p.stop) / 2 < stop]
    if closing:
        middle = (closing[0].start + closing[0].stop) / 2 / SAMPLE_RATE
    mouth = mouth_at(phones, np.array([middle]))[0]
    if closing:
        mouth[:3] *= (0.0, 1.0, 0.0)
        mouth[2] = 1.0
    return mouth


def frame_viseme(phones: Sequence[Phone], start: int, stop: int) -> str:
    """Returns the viseme of a frame: that of a closure during it, or else of the phone in its middle, or "sil"."""
    middle = (start + stop) / 2
    for phone in phones:
        if phone.viseme == "PP" and start <= (phone.start + phone.stop) / 2 < stop:
            return "PP"
    return next((phone.viseme for phone in phones if phone.start <= middle < phone.stop), "sil")


def _with_pauses(phones: Sequence[Phone]) -> list[Phone]:
    """Fills the gaps between phones, and half a second around them, with silence."""
    half = SAMPLE_RATE // 2
    result = [Phone(phones[0].start - half, phones[0].start, "", "sil")]
    for phone in phones:
        if phone.start > result[-1].stop:
            result.append(Phone(result[-1].stop, phone.start, "", "sil"))
        result.append(phone)
    return [*result, Phone(phones[-1].stop, phones[-1].stop + half, "", "sil")]
