"""Captions that are drawn, and readers that are taught what they mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("skia")

from conditions.encoders.words import ByteReader  # noqa: E402
from envs.avatar import reading  # noqa: E402
from envs.avatar.captions import HELD_OUT, draw_caption  # noqa: E402
from envs.avatar.mood import MOODS, WORDS, understand  # noqa: E402
from envs.avatar.reading import Codes, plainest, read, teach  # noqa: E402
from tests.tiny import tiny_world  # noqa: E402
from worldmodel.checkpoint import load_part  # noqa: E402

COUNT = 4000


def drawn(held_out: bool = False) -> list[tuple[str, str]]:
    rng = np.random.default_rng(0)
    moods = [str(rng.choice(list(MOODS))) for _ in range(COUNT)]
    return [(mood, draw_caption(rng, mood, held_out)) for mood in moods]


@pytest.mark.parametrize("held_out", [False, True])
def test_captions_ask_for_their_mood_in_every_way(held_out: bool) -> None:
    captions = drawn(held_out)
    assert np.mean([understand(caption).mood == mood for mood, caption in captions]) > 0.998
    assert captions == drawn(held_out) and len({caption for _, caption in captions}) > 0.8 * COUNT
    said = " ".join(caption.lower() for _, caption in captions).replace(".", " ").replace("!", " ").replace(",", " ")
    assert not {word for words in WORDS.values() for word in words.split()} - set(said.replace("?", " ").split())
    wishes = {(understand(caption).strength, understand(caption).energy) for _, caption in captions}
    assert {strength for strength, _ in wishes} >= {0.5, 1.0, 1.2, 1.3} and {e for _, e in wishes} == {0.5, 1.0, 1.5}


def test_some_sentences_are_kept_out() -> None:
    parts = [sentence.replace("{mood}", "").strip() for sentence in HELD_OUT]
    captions = [caption.lower() for _, caption in drawn()]
    assert not [part for part in parts if any(part in caption for caption in captions)]


def test_a_reader_is_taught_to_make_the_same_of_all_wordings() -> None:
    """On the words of two moods, which a reader of this size learns in seconds."""
    torch.manual_seed(0)
    reader = ByteReader(max_bytes=128, num_tokens=2, features=32, num_layers=1, kernel=5).eval()
    codes = Codes(reader)
    assert codes.nearest(read(reader, [plainest(understand(mood)) for mood in MOODS])) == list(MOODS)
    wordings = ["SAD!", "so very sad, all of you", "not happy, but sad"]
    before = (read(reader, wordings) - codes(wordings)).square().mean()
    reader.embedding.weight.requires_grad_(False)  # as a model may ask for
    told: list[str] = []
    figures = teach(reader, codes, steps=60, report=told.append)
    after = (read(reader, wordings) - codes(wordings)).square().mean()
    assert after < 0.7 * before and figures["error"] < 0.6 and not told
    assert not reader.embedding.weight.requires_grad and not reader.training


def test_what_asks_for_little_lies_between() -> None:
    reader = ByteReader(max_bytes=64, num_tokens=2, features=32, num_layers=1).eval()
    usual, little, much, more = Codes(reader)(["xylophone", "slightly happy", "happy", "very happy"]).flatten(1)
    assert torch.equal(much, more) and not torch.equal(little, usual)
    assert torch.dist(little, much) < torch.dist(usual, much) > torch.dist(little, usual)


def test_the_command_writes_a_part_that_a_world_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "model.conditions={text: {num_tokens: 2, features: 32, num_layers: 1, kernel: 5}}"
    settings = ["config=configs/avatar.yaml", text]
    reading.main([*settings, f"out={tmp_path / 'reader'}", "steps=2"])
    assert "% give their mood" in capsys.readouterr().out
    with pytest.raises(ValueError, match="out=DIR must say"):
        reading.main(settings)
    with pytest.raises(ValueError, match=r"a world has no part 'conditions/text'"):
        load_part(tiny_world(), "conditions/text", tmp_path / "reader")
    with pytest.raises(ValueError, match="must have the condition text with text.encoder=bytes"):
        reading.main(["config=configs/blockworld.yaml", f"out={tmp_path / 'none'}"])
