"""Captions: two encoders, each text read once, cut with a word about it, kept in clips as stretches, bad input."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import ByT5Tokenizer, T5Config, T5EncoderModel

from conditions import ConditionSet
from conditions.encoders.words import Encoded, load_t5
from tests.tiny import tiny_config, tiny_frames
from worldmodel import WorldModel
from worldmodel.data.clips import codec

SMALL = {"features": 16, "num_tokens": 3, "max_length": 24, "num_layers": 1}


def caption(*texts: str | None) -> list[dict[str, Any]]:
    return [{"text": text} for text in texts]


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder as the public ones are, with a tiny encoder of random weights."""
    folder = tmp_path_factory.mktemp("t5")
    torch.manual_seed(0)
    config = T5Config(vocab_size=384, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2)
    T5EncoderModel(config).save_pretrained(folder)
    ByT5Tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture
def conditions() -> ConditionSet:
    torch.manual_seed(0)
    return ConditionSet({"text": SMALL}, 8).eval()


@torch.no_grad()
def test_a_caption_a_chunk(conditions: ConditionSet) -> None:
    assert conditions.tokens_per_chunk(6) == 3
    prepared = conditions.prepare(caption("calm", "sad", None, "glad", None, None), chunk_frames=2)
    tokens = conditions(prepared, 2)  # [1, 3, 3, 8]
    assert prepared["text"].present.tolist() == [[True, True, False]]
    for chunk, text in enumerate(("calm", "glad")):
        alone = conditions(conditions.prepare(caption(text)), 1)
        torch.testing.assert_close(tokens[:, chunk], alone[:, 0])
    assert torch.equal(tokens[0, 2], conditions["text"].placeholder)
    assert not torch.allclose(tokens[:, 0], tokens[:, 1], atol=1e-3)


@torch.no_grad()
def test_order_and_script_of_the_bytes_matter_and_their_padding_does_not(conditions: ConditionSet) -> None:
    texts = ["ab", "ba", "", "微笑", "مرحبا"]
    tokens = [conditions(conditions.prepare(caption(text)), 1) for text in texts]
    for i, one in enumerate(tokens):
        for other in tokens[:i]:
            assert not torch.allclose(one, other, atol=1e-4)
    longer = ConditionSet({"text": {**SMALL, "max_length": 40}}, 8).eval()
    state = {**conditions.state_dict()}
    position = "conditions.text.reader.position"
    state[position] = functional.pad(state[position], (0, 0, 0, 16), value=9.0)
    longer.load_state_dict(state)
    torch.testing.assert_close(
        longer(longer.prepare(caption("calm")), 1), conditions(conditions.prepare(caption("calm")), 1)
    )


def test_training_and_streaming_read_alike(conditions: ConditionSet) -> None:
    prepared = conditions.prepare(caption("calm", "glad and loud"))
    with torch.inference_mode():
        streamed = conditions(prepared, 1)
    trained = conditions.train()(prepared, 1)
    torch.testing.assert_close(streamed, trained, atol=1e-5, rtol=1e-5)


def test_the_small_encoder_learns() -> None:
    torch.manual_seed(0)
    conditions = ConditionSet({"text": SMALL}, 8)
    prepared = conditions.prepare(caption("happy", "sad", "very happy", "very sad", "so happy", "so sad"))
    target = torch.tensor([1.0, 0.0] * 3)
    optimizer = torch.optim.Adam(conditions.parameters(), 1e-2)
    for _ in range(60):
        loss = functional.mse_loss(conditions(prepared, 1)[0, :, 0, 0], target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.02


@pytest.mark.parametrize("encoder", ["bytes", "t5"])
def test_a_text_is_read_once_for_as_long_as_it_stays(encoder: str, t5: str, monkeypatch: pytest.MonkeyPatch) -> None:
    t5_config = {"encoder": "t5", "pretrained": t5, "features": 16, "num_tokens": 30}
    reader = ConditionSet({"text": SMALL if encoder == "bytes" else t5_config}, 8)
    read, original = [], reader["text"].reader.memory._read
    monkeypatch.setattr(reader["text"].reader.memory, "_read", lambda text: read.append(text) or original(text))
    for text in ("calm", "calm", "sad", "calm", "sad"):
        reader.prepare(caption(text, text))
    assert read == ["calm", "sad"]


def count(conditions: ConditionSet) -> list[int]:
    """Lengths of the batches that the small network reads from here on."""
    read: list[int] = []
    conditions["text"].reader.layers[0].register_forward_hook(lambda module, args, out: read.append(len(out)))
    return read


@pytest.mark.parametrize("guidance", [1.0, 1.5])
def test_a_stream_encodes_a_text_once_for_as_long_as_it_stays(guidance: float, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config(chunk_frames=2)
    config.conditions = {"text": SMALL}
    torch.manual_seed(0)
    world = WorldModel(config)
    read = count(world.conditions)

    def stream() -> list[np.ndarray]:
        session = world.session(0, tiny_frames(1), guidance=guidance)
        frames = []
        for text in ("calm", "calm", "sad", "sad", None, None, "calm"):
            frames.append(session.step_chunk([{"text": text}] * 2))
            counts.append(len(read))
        return frames

    counts: list[int] = []
    remembered = stream()
    assert counts == [1, 1, 2, 2, 3, 3, 4]
    remembered += stream()
    assert counts[7:] == [5, 5, 6, 6, 7, 7, 8]  # a new stream begins with nothing
    monkeypatch.setattr(Encoded, "_may_remember", lambda *args: False)
    np.testing.assert_array_equal(remembered, stream() + stream())
    assert len(read) == 8 + 14


def change_in_place(reader: torch.nn.Module) -> None:
    with torch.no_grad():
        reader.layers[0].linear1.weight.mul_(3)


def change_in_inference(reader: torch.nn.Module) -> None:
    with torch.inference_mode():
        reader.queries.add_(1)


def load_others(reader: torch.nn.Module) -> None:
    reader.load_state_dict({key: value + 0.5 for key, value in reader.state_dict().items()})


def load_in_their_place(reader: torch.nn.Module) -> None:
    reader.load_state_dict({key: value + 0.5 for key, value in reader.state_dict().items()}, assign=True)


def take_a_step(reader: torch.nn.Module) -> None:
    optimizer = torch.optim.AdamW(reader.parameters(), 0.1)
    with torch.enable_grad():
        reader(reader.prepare(["calm"])[None]).square().sum().backward()
    optimizer.step()


def change_behind_its_back(reader: torch.nn.Module) -> None:
    reader.train()  # as training does before it
    reader.queries.data.add_(1)
    reader.eval()


@pytest.mark.parametrize(
    "change",
    [
        change_in_place,
        change_in_inference,
        load_others,
        load_in_their_place,
        take_a_step,
        change_behind_its_back,
        lambda reader: reader.double(),
        lambda reader: reader.bfloat16(),
    ],
)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_remembered_text_is_read_anew_when_the_weights_change(
    conditions: ConditionSet, mode: Any, change: Any
) -> None:
    reader = conditions["text"].reader
    x = reader.prepare(["calm"])[None]
    with mode():
        before = reader(x)
        assert reader(x) is before and torch.equal(before, reader._encode(x))
    change(reader)
    with mode():
        after = reader(x)
        assert torch.equal(after, reader._encode(x))
    assert after.dtype != before.dtype or not torch.allclose(after, before, atol=1e-4)


def test_a_text_is_remembered_without_gradients_only(conditions: ConditionSet) -> None:
    reader, read = conditions["text"].reader, count(conditions)
    x = reader.prepare(["calm"])[None]
    with torch.no_grad():
        reader(x), reader(x)
        assert len(read) == 1
        with torch.autocast("cpu", torch.bfloat16):
            reader(x)
        assert len(read) == 2
        reader(x), reader(x.clone())
        assert len(read) == 3
        x[0, 0, 0] += 1  # a buffer that is filled anew
        reader(x)
        assert len(read) == 4
    assert reader(x).requires_grad and len(read) == 5
    reader.train()
    with torch.no_grad():
        reader(x), reader(x)
    assert len(read) == 7


@torch.no_grad()
def test_t5_is_the_public_encoder(t5: str) -> None:
    conditions = ConditionSet({"text": {"encoder": "t5", "pretrained": t5, "features": 16, "num_tokens": 30}}, 8)
    assert not any("reader" in key for key in conditions.state_dict())  # frozen, and no part of a checkpoint
    x = conditions.prepare(caption("calm voice"))["text"].x  # [1, 1, 30, 16]
    ids = ByT5Tokenizer()("calm voice", return_tensors="pt").input_ids
    expected = T5EncoderModel.from_pretrained(t5)(input_ids=ids).last_hidden_state
    torch.testing.assert_close(x[0, 0, : ids.shape[1]], expected[0])
    assert not x[0, 0, ids.shape[1] :].any()
    assert conditions(conditions.prepare(caption("calm voice")), 1).shape == (1, 1, 30, 8)
    half = {"encoder": "t5", "pretrained": t5, "features": 16, "num_tokens": 30, "dtype": "bfloat16"}
    x16 = ConditionSet({"text": half}, 8).prepare(caption("calm voice"))["text"].x
    assert x16.dtype == torch.bfloat16
    torch.testing.assert_close(x16.float(), x, atol=0.1, rtol=0.1)
    blank = ConditionSet({"text": {**half, "pretrained": "/nowhere"}}, 8).blank(2, 3)
    assert blank["text"].x.shape == (2, 3, 30, 16)  # no caption, no T5


def test_256_tokens_a_chunk(t5: str) -> None:
    conditions = ConditionSet({"text": {"encoder": "t5", "pretrained": t5, "features": 16, "num_tokens": 256}}, 8)
    assert conditions.tokens_per_chunk(6) == 256  # the paper's


@pytest.mark.parametrize("encoder", ["bytes", "t5"])
def test_a_long_text_is_cut_and_said_so_once(encoder: str, t5: str) -> None:
    t5_config = {"encoder": "t5", "pretrained": t5, "features": 16, "num_tokens": 24}
    conditions = ConditionSet({"text": SMALL if encoder == "bytes" else t5_config}, 8)
    option, unit = ("max_length", "bytes") if encoder == "bytes" else ("num_tokens", "tokens")
    with pytest.warns(UserWarning, match=rf"text is 41 {unit} long and is cut to 24 \(text.{option}\)"):
        long = conditions.prepare(caption("x" * 40))["text"].x
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        conditions.prepare(caption("x" * 40))
        assert torch.equal(long, conditions.prepare(caption("x" * 23))["text"].x)
    assert torch.isfinite(conditions(conditions.prepare(caption("x" * 40)), 1)).all()


def test_captions_survive_a_clip_as_stretches() -> None:
    text = codec("text")
    values = ["calm"] * 3 + ['微笑,\u2028 "loud" \\n '] + [""] * 2 + ["calm"]
    data = text.encode(values)
    assert [json.loads(line)["frames"] for line in data.decode().split("\n")[:-1]] == [3, 1, 2, 1]
    assert text.raw(text.decode(data)) == values
    assert len(text.decode(text.encode([]))) == 0


@pytest.mark.parametrize(
    "data", [b"calm\n", b'{"frames": 2}\n', b'["calm"]\n', b"\xff\xfe\n", b'{"frames": 2, "text": 5}\n']
)
def test_damaged_captions_are_named(data: bytes) -> None:
    with pytest.raises(ValueError, match="text.txt|text must be a string"):
        codec("text").decode(data)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (5, "text must be a string, got int"),
        (b"calm", "text must be a string, got bytes"),
        ("two\nlines", "in one line, got 9: .*join its lines"),
        ("x" * 5000, "up to 4096 characters in one line, got 5000"),
        ("\ud800", "one line"),
    ],
)
def test_bad_captions_are_named(value: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        codec("text").validate(value)


def test_bad_configs_and_folders_are_named(t5: str, tmp_path: Path) -> None:
    for config, words in [
        ({"encoder": "t6"}, "'t6', did you mean 't5'"),
        ({"encoder": "t5"}, "text.pretrained is the folder or hub id"),
        ({"pretrained": t5}, "text.pretrained is the folder or hub id"),
        ({"dtype": "float61"}, "did you mean"),
        ({"features": 40}, "multiple of 32"),
        ({"num_tokens": 0}, "text.num_tokens"),
    ]:
        with pytest.raises(ValueError, match=words):
            ConditionSet({"text": config}, 8)

    def read(**changes: Any) -> None:
        config = {"encoder": "t5", "pretrained": t5, "features": 16, "num_tokens": 30, **changes}
        ConditionSet({"text": config}, 8).prepare(caption("calm"))

    with pytest.raises(ValueError, match="has width 16: set text.features"):
        read(features=8)
    with pytest.raises(ValueError, match="no folder /nowhere"):
        read(pretrained="/nowhere")
    with pytest.raises(ValueError, match="must be a T5"):
        read(pretrained=str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ValueError, match="model_type is 'bert', not 't5'"):
        read(pretrained=str(tmp_path))
    for file in Path(t5).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="must be a T5 .*safetensors"):
        read(pretrained=str(tmp_path))
    load_t5.cache_clear()


def test_packed_captions(conditions: ConditionSet) -> None:
    text = conditions["text"]
    packed = text.column(["calm", ""])
    assert packed.dtype.kind == "U"
    assert torch.equal(text.prepare(packed), text.prepare(["calm", ""]))
    with pytest.raises(ValueError, match=r"text must be \[T\] strings"):
        text.column(np.zeros((2, 2)))
