"""Sound: FLAC, two encoders, streams that equal the whole pass, nothing heard before it is said, bad input."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional
from transformers import WhisperConfig, WhisperFeatureExtractor

from conditions import Column, ConditionSet
from conditions.encoders.sound import encode_flac
from conditions.encoders.whisper_vq import WhisperVQ, load_whisper_vq
from worldmodel.data.clips import codec

CAUSAL = {"features": 16, "num_mels": 12}
PUBLIC = {  # the layout of the published tokenizer, narrow
    "model_type": "whisper",
    "d_model": 16,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "encoder_layers": 4,
    "max_source_positions": 300,
    "num_mel_bins": 8,
    "pooling_kernel_size": 4,
    "pooling_type": "avg",
    "pooling_position": 2,
    "quantize_position": 2,
    "quantize_vocab_size": 64,
    "quantize_causal_block_size": 20,
    "encoder_causal_convolution": True,
}


def sounds(count: int, samples: int = 1280, seed: int = 0) -> list[np.ndarray]:
    """Tones that change, in noise, one after the other."""
    rng = np.random.default_rng(seed)
    time = np.arange(samples) / 16_000
    return [
        (0.4 * np.sin(2 * np.pi * rng.uniform(100, 3000) * time) + rng.normal(0, 0.05, samples)).astype(np.float32)
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder as the public one: config, extractor, weights, also those that tokens do not need."""
    folder = tmp_path_factory.mktemp("tokenizer")
    (folder / "config.json").write_text(json.dumps(PUBLIC))
    extractor = WhisperFeatureExtractor(feature_size=8)
    extractor.save_pretrained(folder)
    torch.manual_seed(0)
    model = WhisperVQ(WhisperConfig(**{**PUBLIC, "quantize_position": 4}), extractor)  # with the layers after the codes
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    half = WhisperVQ(WhisperConfig(**PUBLIC), extractor)
    half.load_state_dict({key: value for key, value in model.state_dict().items() if key in half.state_dict()})
    mel = extractor(sounds(64, 2560), sampling_rate=16_000, padding="longest", return_tensors="pt")["input_features"]
    with torch.no_grad():
        model.codebook.weight.copy_(half.hidden(mel)[:, -1])  # so that sounds have different codes
    extra = {"ema_count": torch.zeros(64), "ema_weight": torch.zeros(64, 16)}
    save_file({**model.state_dict(), **extra}, folder / "model.safetensors")
    return str(folder)


def listeners(tokenizer: str) -> dict[str, dict[str, Any]]:
    whisper = {"encoder": "whisper_vq", "pretrained": tokenizer, "features": 16, "context_ms": 400}
    return {"causal": CAUSAL, "causal 25 Hz": {**CAUSAL, "samples": 640}, "whisper": whisper}


@pytest.mark.parametrize("kind", ["causal", "causal 25 Hz", "whisper"])
@torch.no_grad()
def test_a_stream_equals_the_whole_pass(kind: str, tokenizer: str) -> None:
    config = listeners(tokenizer)[kind]
    torch.manual_seed(0)
    conditions = ConditionSet({"audio": config}, 8).eval()
    assert conditions["audio"].history > 3 and conditions["audio"].lookahead_ms == 0
    values = [{"audio": sound} for sound in sounds(18, config.get("samples", 1280))]
    values[4] = values[5] = values[11] = {}  # comes and goes, within chunks and across
    whole = conditions(conditions.prepare(values, 3), 3)
    past: list[dict[str, Any]] = []
    for at in range(0, 18, 3):
        chunk = values[at : at + 3]
        tokens = conditions(conditions.prepare(chunk, 3, past=past), 3)
        torch.testing.assert_close(tokens[:, 0], whole[:, at // 3], atol=1e-6, rtol=0)
        past = conditions.recall(past, chunk)
        assert len(past) == min(conditions.history, at + 3)
    without_past = conditions(conditions.prepare(values[12:15], 3), 3)
    assert not torch.allclose(without_past[:, 0], whole[:, 4], atol=1e-4)  # so the past did matter


@pytest.mark.parametrize("kind", ["causal", "whisper"])
@torch.no_grad()
def test_nothing_is_heard_early_or_forever(kind: str, tokenizer: str) -> None:
    torch.manual_seed(0)
    conditions = ConditionSet({"audio": listeners(tokenizer)[kind]}, 8).eval()
    values = [{"audio": sound} for sound in sounds(20)]
    changed = [dict(value) for value in values]
    changed[6] = {"audio": sounds(1, seed=9)[0]}
    moved = [not torch.equal(a, b) for a, b in _token_pairs(conditions, values, changed)]
    last = 6 + conditions.history
    assert not any(moved[:6]) and any(moved[6 : last + 1]) and not any(moved[last + 1 :])
    assert kind == "whisper" or moved[6]  # another sound may have the same code


def _token_pairs(conditions: ConditionSet, one: list, other: list) -> list:
    a, b = (conditions(conditions.prepare(values), 1)[0] for values in (one, other))
    return list(zip(a, b, strict=True))


def test_a_recorded_array_is_the_live_sound() -> None:
    conditions = ConditionSet({"audio": CAUSAL}, 8)
    audio, values = conditions["audio"], sounds(9)
    packed = audio.decode(audio.encode(values))
    live = conditions.prepare([{"audio": value} for value in values])["audio"].x
    recorded = conditions.prepare_columns({"audio": Column(packed, np.ones(9, bool))}, 9)["audio"].x
    assert torch.equal(live, recorded)
    rest = conditions.prepare_columns({"audio": Column(packed, np.ones(9, bool))}, 2, past=7)["audio"].x
    assert torch.equal(rest, live[:, 7:])


def test_listening_is_hearing_with_weights_of_its_own() -> None:
    conditions = ConditionSet({"listen": CAUSAL, "audio": CAUSAL}, 8)
    assert conditions.names == ["audio", "listen"]
    one, other = conditions["audio"], conditions["listen"]
    assert one.state_dict().keys() == other.state_dict().keys()
    values = sounds(3)
    both = conditions(conditions.prepare([{"audio": value, "listen": value} for value in values]), 1)
    assert not torch.equal(both[:, :, 0], both[:, :, 1])
    alone = conditions(conditions.prepare([{"listen": value} for value in values]), 1)
    assert torch.equal(alone[0, 0, 0], one.placeholder[0]) and torch.equal(alone[:, :, 1], both[:, :, 1])


def test_the_small_encoder_learns() -> None:
    torch.manual_seed(0)
    conditions = ConditionSet({"audio": CAUSAL}, 8)
    quiet, loud = [{"audio": 0.01 * sound} for sound in sounds(8)], [{"audio": sound} for sound in sounds(8)]
    x = conditions.prepare([value for pair in zip(quiet, loud, strict=True) for value in pair])
    target = torch.tensor([0.0, 1.0] * 8)
    optimizer = torch.optim.Adam(conditions.parameters(), 1e-2)
    for _ in range(60):
        loss = functional.mse_loss(conditions(x, 1)[0, :, 0, 0], target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.02


def test_flac_is_lossless_and_whole() -> None:
    audio = codec("audio")
    values = [audio.validate(sound) for sound in sounds(7)]
    values[2] = np.ones(1280, np.float32)
    values[3] = -values[2]
    data = audio.encode(values)
    assert data[:4] == b"fLaC" and len(data) < 7 * 1280 * 2
    packed = audio.decode(data)
    assert packed.dtype == np.int16
    np.testing.assert_array_equal(np.stack(audio.raw(packed)), [audio.validate(value) for value in values])
    assert audio.decode(audio.encode([])).shape == (0, 1280)
    with pytest.raises(ValueError, match="whole frames of 1280 samples, got 1300: is it cut off"):
        audio.decode(encode_flac(np.zeros(1300, np.int16)))
    for bad in (b"nothing", data[:60], b"fLaC" + data[200:]):
        with pytest.raises(ValueError, match="audio.flac must be"):
            audio.decode(bad)


def test_flac_of_another_rate_is_named() -> None:
    import io

    import av

    stream = io.BytesIO()
    with av.open(stream, "w", format="flac") as container:
        encoder = container.add_stream("flac", rate=44100, layout="stereo", format="s16")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8820), np.int16), format="s16", layout="stereo")
        frame.sample_rate = 44100
        for packet in (*encoder.encode(frame), *encoder.encode(None)):
            container.mux(packet)
    with pytest.raises(ValueError, match="mono, 16 bits, 16000 Hz, got 2 channels, s16, 44100 Hz: resample"):
        codec("audio").decode(stream.getvalue())


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (
            np.zeros(1000, np.float32),
            r"audio must be \[1280\] float32 .* got shape \(1000,\): resample .* frames of 80 ms",
        ),
        (np.zeros((1280, 2), np.float32), r"mono at 16000 Hz, got shape \(1280, 2\)"),
        (np.full(1280, np.nan, np.float32), "audio must be finite, got NaN"),
        (np.full(1280, 1.5, np.float32), "got 1.5 at its loudest: clip it"),
        (np.zeros(1280, np.int16), "got int16: divide 16-bit samples by 32768"),
        (None, "audio must be"),
        ("speech.wav", "audio must be"),
    ],
)
def test_bad_sounds_are_named(value: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        codec("audio").validate(value)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"samples": 1000}, "audio.samples must be a multiple of 160"),
        ({"encoder": "whisper"}, "'whisper', did you mean 'whisper_vq'"),
        ({"encoder": "whisper_vq"}, "audio.pretrained is the folder"),
        ({"pretrained": "somewhere"}, "audio.pretrained is the folder"),
        ({"context_ms": 0.0, "samples": 160}, "audio.context_ms must reach back further"),
        ({"context_ms": -1.0}, "audio.context_ms 0 to 30000"),
    ],
)
def test_bad_configs_are_named(config: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ConditionSet({"audio": config}, 8)


# -- Whisper-VQ -------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_whisper_vq_is_the_published_network(tokenizer: str) -> None:
    """Against the same network written out by hand, from the published keys."""
    vq = load_whisper_vq(tokenizer)
    state = vq.state_dict()
    mel = torch.randn(2, 8, 96)
    x = functional.gelu(functional.conv1d(functional.pad(mel, (2, 0)), state["conv1.weight"], state["conv1.bias"]))
    x = functional.gelu(functional.conv1d(functional.pad(x, (2, 0)), state["conv2.weight"], state["conv2.bias"], 2))
    x = x.transpose(1, 2) + state["embed_positions.weight"][:48]
    block = torch.arange(48) // 20
    seen = (block[:, None] > block[None]) | (block[:, None] == block[None])  # earlier blocks, and all of its own

    def linear(value: torch.Tensor, key: str) -> torch.Tensor:
        return functional.linear(value, state[f"{key}.weight"], state.get(f"{key}.bias"))

    def norm(value: torch.Tensor, key: str) -> torch.Tensor:
        return functional.layer_norm(value, (16,), state[f"{key}.weight"], state[f"{key}.bias"])

    for layer in ("layers.0", "layers.1"):
        y = norm(x, f"{layer}.self_attn_layer_norm")
        q, k, v = (
            linear(y, f"{layer}.self_attn.{part}_proj").unflatten(-1, (2, 8)).transpose(1, 2)
            for part in ("q", "k", "v")
        )
        y = functional.scaled_dot_product_attention(q, k, v, seen).transpose(1, 2).flatten(-2)
        x = x + linear(y, f"{layer}.self_attn.out_proj")
        y = functional.gelu(linear(norm(x, f"{layer}.final_layer_norm"), f"{layer}.fc1"))
        x = x + linear(y, f"{layer}.fc2")
    expected = x.unflatten(1, (-1, 4)).mean(dim=2)  # 12.5 Hz
    torch.testing.assert_close(vq.hidden(mel), expected, atol=1e-4, rtol=1e-4)
    nearest = torch.cdist(expected, state["codebook.weight"][None].expand(2, -1, -1)).argmin(dim=-1)
    assert torch.equal(vq.quantize(expected), nearest)


@torch.no_grad()
def test_whisper_vq_looks_ahead_to_the_end_of_its_block_and_no_further(tokenizer: str) -> None:
    vq = load_whisper_vq(tokenizer)
    assert vq.lookahead_ms == 320  # blocks of 5 tokens of 80 ms
    mel = torch.randn(1, 8, 160)  # 20 tokens
    changed = mel.clone()
    changed[..., 13 * 8 :] += 1  # from token 13 on
    moved = (vq.hidden(mel) != vq.hidden(changed)).any(dim=-1)[0]
    assert moved.tolist() == [token >= 10 for token in range(20)]
    tokens = vq(np.stack(sounds(2, 5120)))
    assert tokens.shape == (2, 4) and tokens.dtype == torch.int64 and len(tokens.unique()) > 2


@torch.no_grad()
def test_whisper_vq_in_a_condition(tokenizer: str) -> None:
    conditions = ConditionSet({"audio": listeners(tokenizer)["whisper"]}, 8)
    assert not any("ear" in key for key in conditions.state_dict())  # the tokenizer is no part of a checkpoint
    values = sounds(6)
    x = conditions.prepare([{"audio": value} for value in values])["audio"].x
    vq = load_whisper_vq(tokenizer)
    window = conditions["audio"].validate(values[0])
    window = np.concatenate([np.zeros(5 * 1280, np.float32), window])
    assert torch.equal(x[0, 0], vq.codebook.weight[vq(window[None])[0, -1]])
    blank = ConditionSet({"audio": {**listeners(tokenizer)["whisper"], "pretrained": "/nowhere"}}, 8).blank(2, 3)
    assert blank["audio"].x.shape == (2, 3, 16)  # no sound, no tokenizer


def test_the_other_layout_of_the_public_weights(tokenizer: str, tmp_path: Path) -> None:
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((Path(tokenizer) / name).read_bytes())
    state = load_whisper_vq(tokenizer).state_dict()
    decoder = {"model.decoder.layers.0.fc1.weight": torch.zeros(2)}
    save_file(
        {**{f"model.encoder.{key}": value for key, value in state.items()}, **decoder}, tmp_path / "a.safetensors"
    )
    same = load_whisper_vq(str(tmp_path)).state_dict()
    assert all(torch.equal(same[key], value) for key, value in state.items())


def test_bad_tokenizers_are_named(tokenizer: str, tmp_path: Path) -> None:
    def broken(**changes: Any) -> str:
        (tmp_path / "config.json").write_text(json.dumps({**PUBLIC, **changes}))
        for name in ("preprocessor_config.json", "model.safetensors"):
            (tmp_path / name).write_bytes((Path(tokenizer) / name).read_bytes())
        load_whisper_vq.cache_clear()
        return str(tmp_path)

    with pytest.raises(ValueError, match="must be a Whisper-VQ folder"):
        load_whisper_vq("/nowhere")
    with pytest.raises(ValueError, match="model_type 'whisper', got 'bert'"):
        load_whisper_vq(broken(model_type="bert"))
    with pytest.raises(ValueError, match="got none of quantize_vocab_size: is it plain Whisper"):
        load_whisper_vq(broken(quantize_vocab_size=None))
    with pytest.raises(ValueError, match=r"codebook.weight must be \(128, 16\), got \(64, 16\)"):
        load_whisper_vq(broken(quantize_vocab_size=128))
    with pytest.raises(ValueError, match="layers.4.fc1.weight is missing"):
        load_whisper_vq(broken(encoder_layers=8, quantize_position=5))
    with pytest.raises(ValueError, match="8 mels|80 mels|12 mels"):
        load_whisper_vq(broken(num_mel_bins=12))
    broken()
    (tmp_path / "model.safetensors").write_bytes(b"x" * 50)
    with pytest.raises(ValueError, match="must be a Whisper-VQ folder"):
        load_whisper_vq(str(tmp_path))
    wide = {**listeners(tokenizer)["whisper"], "features": 32}
    with pytest.raises(ValueError, match="has width 16.*asked for 32.*set audio.features"):
        ConditionSet({"audio": wide}, 8).prepare([{"audio": sounds(1)[0]}])
