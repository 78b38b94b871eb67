"""Published measures: the distance against closed forms, SyncNet's layout and lags, files that are not what they say.

The networks are ones that the tests make: TorchScript of a few lines, SyncNet with random weights.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from conditions.pose import JOINTS
from tests.evaluation import toyhead
from tests.evaluation.conftest import TINY
from worldmodel.data.clip_writer import ClipWriter
from worldmodel.data.clips import codec
from worldmodel.evaluation import __main__ as command
from worldmodel.evaluation.figure import Task
from worldmodel.evaluation.heldout import HeldOut
from worldmodel.evaluation.options import Unavailable
from worldmodel.evaluation.published import figure
from worldmodel.evaluation.published.faces import PLACES, cut_face, similarity
from worldmodel.evaluation.published.frechet import frechet_distance, moments
from worldmodel.evaluation.published.mfcc import mfcc
from worldmodel.evaluation.published.networks import load_networks
from worldmodel.evaluation.published.section import published
from worldmodel.evaluation.published.syncnet import SHIFT, SyncNet, lag_distances, measure_sync
from worldmodel.world import WorldModel


class Images(nn.Module):
    """In the place of Inception: means of each colour and of their squares, over the quarters of a picture."""

    def forward(self, x: Tensor, return_features: bool = False) -> Tensor:
        assert return_features and x.dtype == torch.uint8
        y = x.float() / 255
        pooled = torch.nn.functional.adaptive_avg_pool2d(y, [2, 2]).flatten(1)
        return torch.cat([pooled, pooled * pooled], dim=1)


class Videos(nn.Module):
    """In the place of I3D: a colour's mean and how it changes."""

    def forward(self, x: Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False) -> Tensor:
        assert rescale and resize and return_features and x.dtype == torch.uint8 and x.dim() == 5 and x.size(1) == 3
        y = x.float().mean(dim=[3, 4]) / 255
        return torch.cat([y.mean(2), (y[:, :, 1:] - y[:, :, :-1]).abs().mean(2)], dim=1)


class Person(nn.Module):
    """In the place of ArcFace: the pattern of a face."""

    def forward(self, x: Tensor) -> Tensor:
        assert x.size(2) == 112 and x.size(3) == 112 and float(x.min()) >= -1.0 and float(x.max()) <= 1.0
        return torch.nn.functional.adaptive_avg_pool2d(x, [2, 2]).flatten(1)[:, -4:] + 1.0


class Nothing(nn.Module):
    def forward(self, x: Tensor, return_features: bool = False) -> Tensor:
        return x.float().mean()


def scripted(path: Path, module: nn.Module) -> Path:
    torch.jit.script(module).save(str(path))
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    files = {"fid": Images(), "fvd": Videos(), "identity": Person()}
    found = {name: scripted(folder / f"{name}.pt", module) for name, module in files.items()}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(SyncNet(16).state_dict(), folder / "syncnet.model")
    return found | {"syncnet": folder / "syncnet.model"}


# The distance


def test_the_distance_of_two_normal_distributions_is_the_closed_form() -> None:
    rng = np.random.default_rng(0)
    mean_1, mean_2 = rng.normal(size=(2, 5))
    a, b = rng.uniform(0.1, 3, (2, 5))
    turn, _ = np.linalg.qr(rng.normal(size=(5, 5)))  # one basis for both: the root is that of each variance
    one, other = (mean_1, turn @ np.diag(a) @ turn.T), (mean_2, turn @ np.diag(b) @ turn.T)
    wanted = ((mean_1 - mean_2) ** 2).sum() + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    assert frechet_distance(one, other) == pytest.approx(wanted, rel=1e-9)
    assert frechet_distance(other, one) == pytest.approx(wanted, rel=1e-9)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)


def test_covariances_that_do_not_commute_have_the_root_of_their_product() -> None:
    one, other = np.array([[2.0, 0.8], [0.8, 1.0]]), np.array([[0.5, -0.3], [-0.3, 3.0]])
    product = one @ other
    assert np.abs(product - product.T).max() > 0.5
    root = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))  # of a 2 x 2 matrix
    wanted = np.trace(one) + np.trace(other) - 2 * root
    zero = np.zeros(2)
    assert frechet_distance((zero, one), (zero, other)) == pytest.approx(wanted, rel=1e-9)


def test_samples_come_near_the_distance_of_what_they_are_drawn_from() -> None:
    rng = np.random.default_rng(1)
    one = rng.normal(0, 1, (40_000, 4))
    other = rng.normal((1, 0, 0, -1), (1, 2, 0.5, 1), (40_000, 4))
    assert frechet_distance(moments(one), moments(other)) == pytest.approx(2 + 1 + 0.25, abs=0.06)
    few = rng.normal(size=(6, 64)).astype(np.float32)  # fewer than dimensions
    assert frechet_distance(moments(few), moments(few)) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(moments(few), moments(few + 1)) == pytest.approx(64, rel=1e-5)
    with pytest.raises(ValueError, match="at least 2"):
        moments(few[:1])


# SyncNet


def test_coefficients_are_those_of_the_package_that_syncnet_was_trained_with() -> None:
    t = np.arange(3200)
    sound = np.round(8000 * np.sin(t / 7) + 4000 * np.sin(t / 2.3) * np.cos(t / 400)).astype(np.int16)
    wanted = [  # by python_speech_features 0.6
        *(19.6524, 16.5132, -12.2536, -23.6315, -11.5153, -1.8236, -17.8769),
        *(-46.8778, -49.9184, -16.852, 21.5649, 29.3776, 10.5628),
    ]
    found = mfcc(sound)
    assert found.shape == (19, 13)
    np.testing.assert_allclose(found[0], wanted, atol=1e-3)
    np.testing.assert_allclose(found[10, :4], [18.9307, 27.9842, -1.1118, -14.5398], atol=1e-3)
    assert mfcc(np.zeros(401, np.int16)).shape == (2, 13) and np.isfinite(mfcc(np.zeros(401, np.int16))).all()


def test_the_layout_is_that_of_the_release() -> None:
    shapes = {name: tuple(value.shape) for name, value in SyncNet().state_dict().items()}
    for name, shape in {
        "netcnnaud.0.weight": (64, 1, 3, 3),
        "netcnnaud.4.weight": (192, 64, 3, 3),
        "netcnnaud.8.weight": (384, 192, 3, 3),
        "netcnnaud.11.weight": (256, 384, 3, 3),
        "netcnnaud.14.weight": (256, 256, 3, 3),
        "netcnnaud.18.weight": (512, 256, 5, 4),
        "netcnnaud.19.running_var": (512,),
        "netfcaud.0.weight": (512, 512),
        "netfcaud.3.weight": (1024, 512),
        "netcnnlip.0.weight": (96, 3, 5, 7, 7),
        "netcnnlip.4.weight": (256, 96, 1, 5, 5),
        "netcnnlip.8.weight": (256, 256, 1, 3, 3),
        "netcnnlip.11.weight": (256, 256, 1, 3, 3),
        "netcnnlip.14.weight": (256, 256, 1, 3, 3),
        "netcnnlip.18.weight": (512, 256, 1, 6, 6),
        "netfclip.3.bias": (1024,),
    }.items():
        assert shapes[name] == shape, name
    network = SyncNet(8).eval()
    with torch.inference_mode():
        assert network.hear(torch.zeros(2, 1, 13, 20)).shape == (2, 8)
        assert network.see(torch.zeros(1, 3, 5, 224, 224)).shape == (1, 8)


class Loudness(SyncNet):
    """Networks whose vectors say how loud and how bright it is, about 0; `middle` is the loudness that counts as 0."""

    def __init__(self, middle: float) -> None:
        nn.Module.__init__(self)
        self.middle = middle
        self.anchor = nn.Parameter(torch.zeros(1))

    def hear(self, sound: Tensor) -> Tensor:
        assert sound.shape[1:] == (1, 13, 20)
        return sound[:, 0, 0].mean(dim=1, keepdim=True) - self.middle

    def see(self, pictures: Tensor) -> Tensor:
        assert pictures.shape[1:] == (3, 5, 224, 224)
        assert pictures[:, 0].min() == 0 and pictures[:, 1].min() == 0  # red alone is bright, and comes last
        return pictures[:, 2].mean(dim=(1, 2, 3))[:, None] / 30 - 2.5


@pytest.mark.parametrize(("fps", "late"), [(25.0, 0), (25.0, 4), (25.0, -7), (12.5, 0), (12.5, 6)])
def test_lips_that_come_late_are_said_to(fps: float, late: int) -> None:
    hold = round(25 / fps)
    levels = np.random.default_rng(2).uniform(0, 5, 45).repeat(hold)  # at 25 a second, of the logarithm of the energy
    sound = _tone(levels)
    network = Loudness(float(mfcc(_tone(np.full(9, 2.5)))[10, 0]))
    shown = np.roll(levels, late)[::hold]
    frames = np.zeros((len(shown), 8, 8, 3), np.uint8)
    frames[..., 0] = (30 * shown).round().astype(np.uint8)[:, None, None]
    found = measure_sync(network, frames, sound, fps)
    assert found is not None and found.late == late
    assert found.confidence > 0.3
    assert measure_sync(network, frames[: round(34 / hold)], sound, fps) is None


def _tone(levels: np.ndarray) -> np.ndarray:
    """Frames of 1/25 s of a tone, as loud as they say."""
    loud = np.exp(levels / 2).repeat(640) * 200
    return (loud * np.where(np.arange(len(loud)) % 2, 1, -1)).round().astype(np.int16)


def test_distances_over_the_lags_are_those_written_out() -> None:
    seen, heard = torch.randn(2, 40, 3, generator=torch.Generator().manual_seed(0))
    found = lag_distances(seen, heard)
    for place in (0, 4, SHIFT, 2 * SHIFT):
        apart = [(seen[t] - (heard[t + place - SHIFT] if 0 <= t + place - SHIFT < 40 else 0)).norm() for t in range(40)]
        assert float(found[place]) == pytest.approx(float(torch.stack(apart).mean()), abs=1e-4)


# Faces


def test_a_face_is_put_upright_in_its_place() -> None:
    rng = np.random.default_rng(0)
    angle, scale = 0.5, 1.3
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    places = np.array(list(PLACES.values()))
    points = places @ turn.T + (60, 30)
    np.testing.assert_allclose(similarity(places, points), np.column_stack([turn, (60, 30)]), atol=1e-9)
    frame = rng.integers(0, 60, (240, 320, 3), dtype=np.uint8)
    for x, y in points.round().astype(int):
        frame[y - 3 : y + 4, x - 3 : x + 4] = 255
    joints = np.full((len(JOINTS), 2), np.nan, np.float32)
    joints[[JOINTS.index(name) for name in PLACES]] = points / 320
    face, placed = cut_face(frame, joints)
    assert placed and face.shape == (112, 112, 3)
    for x, y in places.round().astype(int):
        assert face[y - 1 : y + 2, x - 1 : x + 2].min() > 200
    joints[JOINTS.index("nose")] = np.nan
    assert cut_face(frame, joints)[1] is False and cut_face(frame, None)[0].shape == (112, 112, 3)


# The whole


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toyhead.write_heads(tmp_path_factory.mktemp("heads"), 6, 49)


def head_task(folder: Path, weights: dict[str, Path], out: Path) -> Task:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        world = WorldModel(toyhead.head_config()).eval()
    shared = {"published": load_networks(weights)}
    return Task(world, HeldOut(folder, world), TINY, out, lambda text: None, shared=shared)


def test_a_model_without_a_flaw_scores_what_the_recorded_clips_do(
    heads: Path, weights: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figure, "stream", toyhead.obedient)
    task = head_task(heads, weights, tmp_path)
    found = figure.measure(task)
    assert (found["num_clips"], found["frames"]) == (6, 48) and not found["unavailable"]
    # Its frames are exact but for the rounding of the video, in which the recorded ones are stored.
    assert found["fid"]["value"] < 1e-3 and found["fid"]["images"] == 288
    assert found["fvd"]["value"] < 1e-3 and found["fvd"]["videos"] == 18
    for key in ("lse_c", "lse_d"):
        assert found["syncnet"]["generated"][key] == pytest.approx(found["syncnet"]["recorded"][key], abs=0.02)
    assert found["syncnet"]["repeated"] == 2
    assert found["identity"]["generated"]["mean"] == pytest.approx(found["identity"]["recorded"]["mean"], abs=0.02)
    assert found["identity"]["recorded"]["mean"] > found["identity"]["others"]
    assert found["weights"]["fid"]["features"] == 24 and len(found["weights"]["syncnet"]["sha256"]) == 64
    page = published(found, tmp_path)
    assert "FID, 288 images" in page and "LSE-C" in page and "syncnet.model" in page


def test_the_command_measures_where_weights_are_given(
    heads: Path,
    weights: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    checkpoint, out = tmp_path / "head", tmp_path / "out"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        WorldModel(toyhead.head_config()).save_pretrained(checkpoint)
    monkeypatch.setattr(command, "QUICK", dataclasses.replace(TINY, head_clips=3, head_frames=20))
    line = ["--checkpoint", str(checkpoint), "--data", str(heads), "--out", str(out), "--quick", "--device", "cpu"]
    line += ["--worlds", "", "--only", "published"]
    given = ["--fid-weights", str(weights["fid"]), "--syncnet-weights", str(weights["syncnet"])]
    assert command.main([*line, *given]) == 0
    record = json.loads((out / "figures.json").read_text())["figures"]["published"]
    assert record["fid"]["value"] > 0.01 and "fvd" not in record  # random weights show nothing like the clips
    assert "syncnet" in record
    assert "Published measures" in (out / "report.html").read_text()
    assert command.main(line) == 0  # without weights it says what it lacks
    assert "no weights were given: add --fid-weights" in capsys.readouterr().out
    assert command.main([*line[:-1], "latency", *given]) == 1
    assert "which --only leaves out" in capsys.readouterr().err
    assert command.main([*line, "--fvd-weights", str(tmp_path / "none.pt")]) == 1
    assert "check --fvd-weights" in capsys.readouterr().err


def test_clips_too_short_or_without_a_voice_say_so(weights: dict[str, Path], tmp_path: Path) -> None:
    with ClipWriter(tmp_path / "clips" / "shard-000000.tar", [codec(name) for name in toyhead.CONDITIONS]) as writer:
        for seed in range(2):
            clip = toyhead.play(seed, 24)
            silent = [np.zeros(toyhead.SAMPLES, np.float32)] * 11
            columns = {name: values[:11] for name, values in clip.conditions.items()}
            writer.write(dataclasses.replace(clip, frames=clip.frames[:12], conditions=columns | {"audio": silent}))
    task = head_task(tmp_path / "clips", weights, tmp_path)
    found = figure.measure(task)
    assert set(found["unavailable"]) == {"fvd", "syncnet"} and found["fid"]["images"] == 22
    with pytest.raises(Unavailable, match="no weights were given"):
        figure.measure(dataclasses.replace(task, shared={}))


class Harm:
    """What a pickle could do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_file_that_is_not_the_network_is_refused_and_never_run(tmp_path: Path) -> None:
    text = tmp_path / "text.pt"
    text.write_text("weights")
    for name in ("fid", "fvd", "identity", "syncnet"):
        with pytest.raises(ValueError, match=rf"text.pt is not .*, which --{name}-weights wants: "):
            load_networks({name: text})
    with pytest.raises(ValueError, match=r"must give features \[2, D\], got \(\)"):
        load_networks({"fid": scripted(tmp_path / "mean.pt", Nothing())})
    with pytest.raises(ValueError, match="does not take"):
        load_networks({"fvd": scripted(tmp_path / "images.pt", Images())})
    harm = tmp_path / "harm.model"
    torch.save({"netfcaud.3.weight": Harm(tmp_path / "harmed")}, harm)
    for name in ("syncnet", "fid"):
        with pytest.raises(ValueError, match="harm.model is not"):
            load_networks({name: harm})
    assert not (tmp_path / "harmed").exists()
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.model")
    with pytest.raises(ValueError, match="Missing key"):
        load_networks({"syncnet": tmp_path / "other.model"})
    with pytest.raises(FileNotFoundError, match="check --identity-weights"):
        load_networks({"identity": tmp_path / "none.pt"})
