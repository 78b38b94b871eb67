"""Speech by espeak-ng, with the exact first sample of every phone.

The library comes with PyPI's `espeakng-loader`, the extra `speech`: it is under the GPL, so it is not required, and is
loaded only here. It keeps hidden state from one utterance to the next; each utterance therefore loads it anew (a few
ms), so that the same words give the same samples.
"""

from __future__ import annotations

import _ctypes
import ctypes
import functools
import importlib
import importlib.util
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from conditions.values import nearest
from envs.speech.track import Phone, Track, resampled
from envs.speech.visemes import phones_of

_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4  # espeak_PARAMETER
_RETRIEVAL, _PHONEME_EVENTS, _PHONEME_IPA, _DONT_EXIT = 1, 1, 2, 0x8000
_UTF8, _END_PAUSE, _PHONEME = 1, 0x1000, 7
_lock = threading.RLock()


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    ]


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


def is_installed() -> bool:
    """Whether the extra `speech` is there."""
    return importlib.util.find_spec("espeakng_loader") is not None


def say(text: str, voice: str = "en-us", words_per_minute: int = 165, pitch: int = 50, pitch_range: int = 50) -> Track:
    """Says a text; the same arguments give the same samples.

    Args:
        text: what to say, in the language of the voice.
        voice: an espeak-ng voice such as "en-us", "cmn" or "de", with a variant or not: "en-us+f3".
        words_per_minute: 80 to 450.
        pitch: 0 to 99, 50 is the voice's own.
        pitch_range: 0 to 99, 0 is monotone.

    Returns:
        A track at 16 kHz, with a short pause at its end.

    Raises:
        ModuleNotFoundError: if the extra `speech` is not installed.
        ValueError: for an unknown voice (naming the nearest), a number out of range, or a text with nothing to say.
    """
    for name, value, low, high in (
        ("words_per_minute", words_per_minute, 80, 450),
        ("pitch", pitch, 0, 99),
        ("pitch_range", pitch_range, 0, 99),
    ):
        if not low <= value <= high:
            raise ValueError(f"{name} must be {low} to {high}, got {value}")
    if "\0" in text:
        raise ValueError(f"text must have no NUL characters, got {text!r}")
    language, _, variant = voice.partition("+")
    if language not in voices():
        raise ValueError(f"no voice is called {language!r}{nearest(language, voices())}")
    if variant and variant not in variants():
        raise ValueError(f"voice {language!r} has no variant {variant!r}{nearest(variant, variants())}")
    with _lock:
        file = voices()[language] + voice.removeprefix(language)
        samples, events, rate = _synthesise(text, file, {_RATE: words_per_minute, _PITCH: pitch, _RANGE: pitch_range})
    audio = np.clip(resampled(samples / 32768.0, rate), -1.0, 1.0)
    edges = [min(round(sample * 16000 / rate), len(audio)) for sample, _ in events] + [len(audio)]
    phones: list[Phone] = []
    for (_, symbol), start, stop in zip(events, edges[:-1], edges[1:], strict=True):
        if symbol and not symbol.startswith("(") and stop > start:  # "(en)" marks a change of language
            phones += phones_of(symbol, start, stop)
    if not phones:
        raise ValueError(f"text must hold words that voice {voice!r} can say, got {text!r}")
    return Track(audio, tuple(phones), text, language)


@functools.cache
def voices() -> dict[str, str]:
    """Returns all voices, those of 100 languages: name of the language -> file of the voice.

    Raises:
        ModuleNotFoundError: if the extra `speech` is not installed.
    """

    class Voice(ctypes.Structure):
        _fields_ = [(name, ctypes.c_char_p) for name in ("name", "languages", "identifier")]  # espeak_VOICE's head

    with _lock:
        library = _load()
        try:
            library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(Voice))
            listed, found, index = library.espeak_ListVoices(None), {}, 0
            while listed[index]:
                voice = listed[index].contents
                found[voice.languages[1:].decode()] = voice.identifier.decode()
                index += 1
        finally:
            _unload(library)
    return found


@functools.cache
def variants() -> tuple[str, ...]:
    """Returns the names of the variants that any voice can be given, as in "en-us+f3"."""
    return tuple(sorted(path.name for path in (Path(_loader().get_data_path()) / "voices" / "!v").iterdir()))


def _loader() -> ModuleType:
    try:
        return importlib.import_module("espeakng_loader")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "speech needs espeak-ng, which is not installed (it is under the GPL, so it is an extra): "
            "pip install 'worldmodel[speech]', or pip install espeakng-loader"
        ) from error


def _load() -> Any:
    loader = _loader()
    library: Any = ctypes.CDLL(loader.get_library_path())
    options = _PHONEME_EVENTS | _PHONEME_IPA | _DONT_EXIT
    library.rate = library.espeak_Initialize(_RETRIEVAL, 0, str(loader.get_data_path()).encode(), options)
    if library.rate <= 0:
        raise ModuleNotFoundError(
            f"espeak-ng could not read its data in {loader.get_data_path()}: pip install --force-reinstall "
            "espeakng-loader"
        )
    return library


def _unload(library: Any) -> None:
    library.espeak_Terminate()
    close = getattr(_ctypes, "dlclose" if hasattr(_ctypes, "dlclose") else "FreeLibrary")
    close(library._handle)


def _synthesise(text: str, voice: str, parameters: dict[int, int]) -> tuple[np.ndarray, list[tuple[int, str]], int]:
    """Returns int16 samples [S], the phones' first samples and symbols, and the sample rate."""
    library = _load()
    pieces: list[np.ndarray] = []
    events: list[tuple[int, str]] = []

    def receive(wave: Any, count: int, event: Any) -> int:
        if wave and count > 0:
            pieces.append(np.ctypeslib.as_array(wave, (count,)).copy())
        index = 0
        while event[index].type:
            if event[index].type == _PHONEME:
                name = ctypes.string_at(ctypes.addressof(event[index].id), 8).split(b"\0")[0]
                events.append((event[index].sample, name.decode("utf-8", "ignore")))
            index += 1
        return 0

    callback = _CALLBACK(receive)
    try:
        library.espeak_ng_SetRandSeed(1)  # of its noise; by default the clock
        library.espeak_SetSynthCallback(callback)
        if library.espeak_SetVoiceByName(voice.encode()):
            raise ValueError(f"espeak-ng could not load voice {voice!r}")
        for parameter, value in parameters.items():
            library.espeak_SetParameter(parameter, value, 0)
        data = text.encode() + b"\0"
        failed = library.espeak_Synth(data, len(data), 0, 1, 0, _UTF8 | _END_PAUSE, None, None)
        if failed or library.espeak_Synchronize():
            raise ValueError(f"espeak-ng could not say {text!r} with voice {voice!r} (status {failed})")
        rate = int(library.rate)
    finally:
        _unload(library)
    return np.concatenate(pieces) if pieces else np.zeros(0, np.int16), events, rate
