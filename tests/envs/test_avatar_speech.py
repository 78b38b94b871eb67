"""Speech: phones where they sound, the same samples every time, mouths that blend."""

from __future__ import annotations

import sys
import time

import numpy as np
import pytest

from envs.speech import espeak, phrases, sounds
from envs.speech.dialogue import HELD_OUT_VARIANTS, VARIANTS, Speaker, dialogue, draw_speaker, monologue
from envs.speech.estimate import estimate_mouth
from envs.speech.track import SAMPLE_RATE, Phone, Track, joined, resampled, silence
from envs.speech.visemes import SHAPES, VISEMES, frame_mouth, mouth_at, visemes_of

needs_espeak = pytest.mark.skipif(not espeak.is_installed(), reason="the extra speech is not installed")


def loudness(track: Track, phone: Phone) -> float:
    return float(np.sqrt(np.mean(track.samples[phone.start : phone.stop] ** 2)))


@needs_espeak
@pytest.mark.parametrize("language", phrases.PHRASES)
def test_every_language_is_spoken(language: str) -> None:
    track = espeak.say(phrases.PHRASES[language][1], language)
    assert 1.0 < track.duration_s < 10.0 and track.language == language
    assert len({phone.viseme for phone in track.phones}) >= 5
    spoken = np.zeros(len(track.samples), bool)
    for phone in track.phones:
        spoken[phone.start : phone.stop] = True
    energy = track.samples.astype(float) ** 2
    assert energy[~spoken].sum() < 0.05 * energy.sum()  # what sounds is within phones


@needs_espeak
def test_phones_stand_where_they_sound() -> None:
    track = espeak.say("A sea, a sea.", "en-us", 130)
    hiss = [phone for phone in track.phones if phone.symbol == "s"]
    vowels = [phone for phone in track.phones if phone.viseme == "I"]
    assert len(hiss) == 2 and len(vowels) >= 2
    for phone, high in [(phone, True) for phone in hiss] + [(phone, False) for phone in vowels]:
        piece = track.samples[phone.start : phone.stop]
        power = np.abs(np.fft.rfft(piece)) ** 2
        frequency = np.fft.rfftfreq(len(piece), 1 / SAMPLE_RATE)
        assert (power[frequency > 3500].sum() > power[frequency < 1500].sum()) == high


@needs_espeak
def test_the_same_words_give_the_same_samples() -> None:
    once = espeak.say("Hello, big world.", "en-us+f3", 190, 70)
    espeak.say("Guten Morgen.", "de")
    time.sleep(1.1)  # the library would seed its noise by the second
    again = espeak.say("Hello, big world.", "en-us+f3", 190, 70)
    np.testing.assert_array_equal(once.samples, again.samples)
    assert once.phones == again.phones
    slow, low = espeak.say("Hello, big world.", "en-us+f3", 100), espeak.say("Hello, big world.", "en-us+m3", 190)
    assert slow.duration_s > 1.3 * once.duration_s
    assert not np.array_equal(low.samples[:8000], once.samples[:8000])


@needs_espeak
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": "hi", "voice": "en-uss"}, "did you mean 'en-us'"),
        ({"text": "hi", "voice": "de+f33"}, "did you mean 'f3'"),
        ({"text": "...", "voice": "de"}, "words that voice"),
        ({"text": "hi", "pitch": 200}, "pitch must be 0 to 99"),
    ],
)
def test_what_cannot_be_said_is_named(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        espeak.say(**arguments)


def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    espeak.voices.cache_clear()
    with pytest.raises(ModuleNotFoundError, match=r"worldmodel\[speech\]"):
        espeak.say("hi")
    espeak.voices.cache_clear()


@pytest.mark.parametrize(
    ("symbol", "visemes"),
    [
        ("ˈoʊ", ("O", "U")),
        ("p", ("PP",)),
        ("tʃ", ("CH",)),
        ("ts", ("SS",)),
        ("ɑːɹ", ("aa", "RR")),
        ("iː", ("I",)),
        ("ᵻ", ("I",)),
        ("ˈɯᵝ", ("U",)),
        ("ɛ̃", ("E",)),
        ("", ("sil",)),
    ],
)
def test_visemes_of_symbols(symbol: str, visemes: tuple[str, ...]) -> None:
    assert visemes_of(symbol) == visemes


def test_neighbours_pull_at_the_mouth() -> None:
    def phone(start_s: float, stop_s: float, viseme: str) -> Phone:
        return Phone(int(start_s * SAMPLE_RATE), int(stop_s * SAMPLE_RATE), viseme, viseme)

    alone = [phone(0.1, 0.3, "aa")]
    between = [phone(0.0, 0.1, "U"), phone(0.1, 0.3, "aa"), phone(0.3, 0.4, "U")]
    middle, edge = mouth_at(alone, np.array([0.2]))[0], mouth_at(between, np.array([0.11]))[0]
    assert middle[0] > 0.9
    assert edge[1] < mouth_at(alone, np.array([0.11]))[0][1] - 0.2  # rounded by the u before
    times = np.linspace(0, 0.5, 200)
    moves = np.abs(np.diff(mouth_at(between, times), axis=0))
    assert moves.max() < 0.2  # no jumps
    assert np.abs(mouth_at(alone, np.array([1.5, -1.0]))).max() < 1e-3
    assert frame_mouth([], 0, 1280).tolist() == [0.0] * 6


def test_every_viseme_has_its_own_mouth() -> None:
    shapes = np.array([SHAPES[name][0] for name in VISEMES])
    apart = np.abs(shapes[:, None] - shapes[None]).max(-1)
    assert apart[~np.eye(len(VISEMES), dtype=bool)].min() >= 0.1 and len(VISEMES) == 15


def test_a_song_is_loud_where_its_phones_are() -> None:
    track = sounds.sing(np.random.default_rng(1), 4 * SAMPLE_RATE)
    vowels = [phone for phone in track.phones if phone.viseme in ("aa", "E", "I", "O", "U")]
    assert len(vowels) > 3 and all(loudness(track, phone) > 0.05 for phone in vowels)
    assert float(np.abs(track.samples[track.phones[-1].stop :]).max(initial=0.0)) == 0.0


def test_some_voices_are_kept_out() -> None:
    def drawn(held_out: bool) -> set[str]:
        rng = np.random.default_rng(0)
        return {draw_speaker(rng, ["en-us"], high, held_out).variant for high in (0.0, 1.0) for _ in range(99)}

    assert len(drawn(False)) > 30 and len(drawn(True)) == 3 and not drawn(False) & drawn(True)
    pytest.importorskip("espeakng_loader")
    known = {variant for group in (*VARIANTS.values(), *HELD_OUT_VARIANTS.values()) for variant in group}
    assert known <= set(espeak.variants()) and {variant[1:] for variant in drawn(False) | drawn(True)} <= known


def test_turns_do_not_overlap() -> None:
    rng = np.random.default_rng(0)
    one, other = dialogue(rng, Speaker("song", pitch=20), Speaker("song", pitch=70), 20 * SAMPLE_RATE)
    assert len(one.samples) == len(other.samples) == 20 * SAMPLE_RATE
    assert one.phones and other.phones
    assert not (np.abs(one.samples) * np.abs(other.samples)).any()


def test_backgrounds_have_their_loudness() -> None:
    for make in sounds.BACKGROUNDS.values():
        background = make(np.random.default_rng(0), SAMPLE_RATE, -30.0)
        assert 20 * np.log10(np.sqrt(np.mean(background**2))) == pytest.approx(-30.0, abs=0.1)


def test_tracks_join_cut_and_mix() -> None:
    track = Track(np.full(100, 0.5, np.float32), (Phone(10, 90, "a", "aa"),), "hi", "xx")
    both = joined([silence(50), track, track])
    assert [phone.start for phone in both.phones] == [60, 160] and both.text == "hi hi"
    assert both.fitted(100).phones == (Phone(60, 100, "a", "aa"),)
    assert both.slice(240, 300).tolist() == [0.5] * 10 + [0.0] * 50
    assert track.with_gain(4.0).samples.max() == 1.0
    with pytest.raises(ValueError, match="background must be"):
        track.over(np.zeros(99))
    with pytest.raises(ValueError, match="mono float"):
        Track(np.zeros((2, 100), np.float32))
    with pytest.raises(ValueError, match="within -1 and 1"):
        Track(np.full(5, 2.0, np.float32))
    with pytest.raises(ValueError, match="follow one another"):
        Track(np.zeros(100, np.float32), (Phone(50, 120, "a", "aa"),))


def test_resampling_keeps_tones_and_time() -> None:
    time = np.arange(22050) / 22050
    tone = np.sin(2 * np.pi * 440 * time) * np.hanning(22050)
    result = resampled(tone, 22050)
    there = np.arange(16000) / 16000
    wanted = np.sin(2 * np.pi * 440 * there) * np.interp(there, time, np.hanning(22050))
    assert result.shape == (16000,) and np.abs(result - wanted).max() < 1e-3


def test_the_estimate_hears_loud_wide_and_hissing() -> None:
    time = np.arange(1280) / SAMPLE_RATE
    rng = np.random.default_rng(0)
    low, high = 0.3 * np.sin(2 * np.pi * 500 * time), 0.3 * np.sin(2 * np.pi * 2300 * time)
    hiss = np.diff(rng.normal(0, 0.1, 1281))
    assert estimate_mouth(low)[0] > 0.5 and not estimate_mouth(np.zeros(1280)).any()
    assert estimate_mouth(0.5 * low + high)[1] > estimate_mouth(low)[1] + 0.5
    assert estimate_mouth(hiss)[4] > 0.6 and estimate_mouth(hiss)[0] < 0.4


@needs_espeak
@pytest.mark.parametrize("language", ["en-us", "cmn", "fr-fr"])
def test_the_estimate_is_near_the_truth(language: str) -> None:
    rng = np.random.default_rng(1)
    track = monologue(rng, Speaker(language, "+f2"), 12 * SAMPLE_RATE)
    frames = [(start, start + 1280) for start in range(0, 12 * SAMPLE_RATE, 1280)]
    truth = np.array([frame_mouth(track.phones, *frame) for frame in frames])
    guess = np.array([estimate_mouth(track.slice(*frame)) for frame in frames])
    opening = truth[:, 0] * (1 - truth[:, 2])
    assert np.corrcoef(opening, guess[:, 0])[0, 1] > 0.5
    assert abs(opening.mean() - guess[:, 0].mean()) < 0.15
