"""Frame by frame equals whole clips; rows of a cache are independent; nothing looks ahead."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from worldmodel.autoencoder import Autoencoder, AutoencoderCache, AutoencoderConfig

FRAMES = 17  # over three times the history


def tiny(placement: str = "stage", stages: list[int] | None = None) -> Autoencoder:
    """A small autoencoder whose temporal blocks are far from zero."""
    torch.manual_seed(0)
    config = AutoencoderConfig(
        latent_channels=4,
        encoder_block_types=["ResBlock"] * 3,
        decoder_block_types=["ResBlock"] * 3,
        encoder_block_out_channels=[8, 8, 16],
        decoder_block_out_channels=[8, 8, 16],
        encoder_layers_per_block=[1, 1, 2],
        decoder_layers_per_block=[1, 2, 1],
        encoder_qkv_multiscales=[[]] * 3,
        decoder_qkv_multiscales=[[]] * 3,
        encoder_norm_types=["rms_norm"] * 3,
        encoder_act_fns=["silu"] * 3,
        decoder_norm_types=["batch_norm", "rms_norm", "none"],
        decoder_act_fns=["silu"] * 3,
        temporal_stages=[-2, -1] if stages is None else stages,
        temporal_placement=placement,
        temporal_heads=2,
    )
    model = Autoencoder(config).eval()
    for parameter in model.temporal_parameters():
        torch.nn.init.normal_(parameter, std=0.08)
    model.set_statistics(torch.linspace(-1, 1, 4), torch.linspace(0.5, 2, 4))
    return model


def clip(batch: int = 2, frames: int = FRAMES) -> Tensor:
    return torch.rand(batch, frames, 3, 8, 12, generator=torch.Generator().manual_seed(1)) * 2 - 1


def stream(model: Autoencoder, frames: Tensor, cache: AutoencoderCache) -> tuple[Tensor, Tensor]:
    latents = [model.encode_step(frame, cache) for frame in frames.unbind(1)]
    return torch.stack(latents, 1), torch.stack([model.decode_step(x, cache) for x in latents], 1)


@pytest.mark.parametrize(("placement", "stages"), [("stage", [-2, -1]), ("block", [0, 1, 2]), ("conv", [0, 1, 2])])
@torch.no_grad()
def test_streaming_equals_whole_clips(placement: str, stages: list[int]) -> None:
    model, frames = tiny(placement, stages), clip()
    latents = model.encode(frames)
    still = model.encode(frames[:, :1].expand_as(frames))
    assert (latents - still).abs().max() > 0.1  # the clip moves the latents at all
    alone = torch.stack([model.encode(frame[:, None])[:, 0] for frame in frames.unbind(1)], 1)
    assert (latents - alone)[:, 1:].abs().max() > 0.03  # and time matters
    streamed, decoded = stream(model, frames, model.init_cache(2, 8, 12))
    torch.testing.assert_close(streamed, latents, rtol=0, atol=1e-5)
    torch.testing.assert_close(decoded, model.decode(latents), rtol=0, atol=1e-5)


def test_causal_within_the_history_by_gradient() -> None:
    """With one temporal block, output t depends on inputs t - 5 … t: on each of them, and on no other."""
    model = tiny(stages=[-1])
    for side in (model.encode, model.decode):
        x = clip(1) if side == model.encode else torch.randn(1, FRAMES, 4, 2, 3)
        x.requires_grad_(True)
        (gradient,) = torch.autograd.grad(side(x)[:, 9].sum(), x)
        touched = gradient.abs().amax(dim=(0, 2, 3, 4)) > 0
        # The convolution looks back 5 frames, and the attention 5 more from there.
        assert touched.tolist() == [t <= 9 for t in range(FRAMES)]
        (gradient,) = torch.autograd.grad(side(x)[:, 14].sum(), x)
        touched = gradient.abs().amax(dim=(0, 2, 3, 4)) > 0
        assert touched.tolist() == [4 <= t <= 14 for t in range(FRAMES)]


@pytest.mark.parametrize("stages", [[-1], [-2, -1]])
@torch.no_grad()
def test_a_decoder_is_warm_after_its_whole_history(stages: list[int]) -> None:
    model, latents = tiny(stages=stages), torch.randn(1, 30, 4, 2, 3)
    whole = model.decode(latents)[:, -1]

    def warm(history: int) -> torch.Tensor:
        cache = model.init_cache(1, 8, 12)
        for step in range(29 - history, 30):
            last = model.decode_step(latents[:, step], cache)
        return last

    assert model.decoder_history == 10 * len(stages)
    torch.testing.assert_close(warm(model.decoder_history), whole, rtol=0, atol=1e-5)
    assert (warm(model.decoder_history // 2) - whole).abs().max() > 1e-4


@torch.no_grad()
def test_reset_and_copied_rows_leave_others_bit_equal() -> None:
    model, frames = tiny(), clip(3)
    cache = model.init_cache(3, 8, 12)
    stream(model, frames[:, :7], cache)
    untouched = copy.deepcopy(cache)
    cache.reset(1)
    cache.copy_row(0, 2)
    same_input = frames[:, 7:].clone()
    same_input[2] = same_input[0]
    expected, expected_frames = stream(model, same_input, untouched)
    latents, decoded = stream(model, same_input, cache)
    assert torch.equal(latents[0], expected[0]) and torch.equal(decoded[0], expected_frames[0])
    # The fork goes on as its source does, the reset row as a clip of its own.
    torch.testing.assert_close(latents[2], latents[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(decoded[2], decoded[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(latents[1], model.encode(frames[1:2, 7:])[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(decoded[1], model.decode(latents[1:2])[0], rtol=0, atol=1e-5)
    assert (latents[1] - expected[1]).abs().max() > 1e-3  # the reset was not without effect


@torch.no_grad()
def test_the_cache_is_updated_in_place() -> None:
    model, frames = tiny(), clip()
    cache = model.init_cache(2, 8, 12)
    tensors = [t for side in (cache.encoder, cache.decoder) for h in side.histories.values() for t in h.tensors()]
    assert len(tensors) == 12
    before = [t.data_ptr() for t in tensors]
    stream(model, frames, cache)
    after = [t for side in (cache.encoder, cache.decoder) for h in side.histories.values() for t in h.tensors()]
    assert before == [t.data_ptr() for t in after]
    assert cache.encoder.count.tolist() == cache.decoder.count.tolist() == [FRAMES, FRAMES]


@torch.no_grad()
def test_no_temporal_stage_is_a_picture_autoencoder() -> None:
    model, frames = tiny(stages=[]), clip()
    assert not list(model.temporal_parameters())
    assert torch.equal(model.encode(frames), model.encode(frames.flatten(0, 1)[:, None]).view_as(model.encode(frames)))


def test_wrong_shapes_are_refused() -> None:
    model = tiny()
    with pytest.raises(ValueError, match=r"\[B, T, 3, H, W\].*multiples of 4.*got \(1, 2, 3, 8, 10\)"):
        model.encode(torch.zeros(1, 2, 3, 8, 10))
    with pytest.raises(ValueError, match=r"\[B, T, 4, h, w\].*another autoencoder"):
        model.decode(torch.zeros(1, 2, 8, 2, 2))
    with pytest.raises(ValueError, match="holds 2 streams, got a batch of 1"):
        model.decode_step(torch.zeros(1, 4, 2, 3), model.init_cache(2, 8, 12))
