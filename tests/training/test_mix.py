"""Training on two sets of which one lacks a condition: every stage, a kill, two processes, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from accelerate import Accelerator
from omegaconf import OmegaConf

from tests.tiny import SIZE, tiny_frames
from tests.training.small import launch, losses, write_config
from worldmodel import WorldModel
from worldmodel.config import CLIPS, load_config
from worldmodel.data.clip_writer import ClipWriter
from worldmodel.data.clips import Clip
from worldmodel.training.__main__ import main
from worldmodel.training.dynamics import DynamicsStage
from worldmodel.training.run import Run

ROOT = Path(__file__).parents[2]


def write_set(folder: Path, clips: int = 4, size: int = SIZE, fps: float = 20.0, camera: bool = False) -> Path:
    """Noise, with keys that only the one set presses: `left` where there is a camera, `jump` where there is text."""
    for shard in range(clips // 2):
        with ClipWriter(folder / f"shard-{shard:06d}.tar") as writer:
            for number in (2 * shard, 2 * shard + 1):
                frames = tiny_frames(12, seed=number + 50 * camera).repeat(size // SIZE, 1).repeat(size // SIZE, 2)
                conditions: dict[str, object] = {"keyboard": [{"left" if camera else "jump": 1}] * 11}
                conditions |= {"camera": [[0.0, 20.0 * (-1) ** step] for step in range(11)]} if camera else {}
                conditions |= {} if camera else {"text": ["a plain of noise"] * 11}
                meta = {"fps": fps, "world": "test", "seed": number}
                writer.write(Clip(f"{number:06d}", frames, conditions, meta))  # type: ignore[arg-type]
    return folder


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Settings of a run on two sets; both have clips of the same names."""
    folder = tmp_path_factory.mktemp("sets")
    one, other = write_set(folder / "turns", camera=True), write_set(folder / "words", clips=2)
    config = write_config(folder / "small.yaml", Path("nowhere"))
    values = OmegaConf.load(config)
    del values.data.clips
    values.data.mix = {"turns": {"clips": str(one), "weight": 3.0}, "words": {"clips": str(other)}}
    values.model.conditions = {"keyboard": {}, "camera": {}, "text": {"num_tokens": 2, "features": 16}}
    OmegaConf.save(values, config)
    return [f"config={config}"]


@pytest.fixture(scope="module")
def trained(mix: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "mixed"
    for stage in ("autoencoder", "latents", "dynamics"):
        main([*mix, f"stage={stage}", f"run={run}", "training.dynamics.steps=12"])
    return run


def test_every_stage_trains_on_a_mix(trained: Path) -> None:
    encoded = sorted(path.parent.name for path in (trained / "latents").rglob("*.safetensors"))
    assert encoded == ["turns", "turns", "words"]
    world = WorldModel.from_pretrained(trained / "dynamics" / "export")
    assert world.conditions.names == ["text", "keyboard", "camera"]
    keys = [clip.key for clip in world.starts()]
    assert len(set(keys)) == len(keys) == 2 and {key.split("-")[0] for key in keys} == {"turns", "words"}
    assert len(losses(trained / "dynamics")) == 12


def test_a_condition_that_a_set_lacks_is_a_placeholder(mix: list[str], trained: Path) -> None:
    arguments = [*mix, "stage=dynamics", f"run={trained}"]
    stage = DynamicsStage(Run(load_config(arguments), arguments, Accelerator(cpu=True)))
    batch = stage.batch("dynamics", range(1000))
    turns = batch.prepared["keyboard"].x[:, 0, 2] == 1  # left
    assert turns.sum() == 750
    assert (batch.prepared["camera"].present == turns[:, None]).all()
    assert (batch.prepared["text"].present == ~turns[:, None]).all()
    assert batch.prepared["keyboard"].present.all()


def test_a_mix_takes_the_place_of_an_earlier_files_one_set(tmp_path: Path) -> None:
    mix = 'data.mix={"a":{"clips":"data/a"},"b":{"clips":"data/b"}}'
    layer = tmp_path / "mix.yaml"
    layer.write_text("data: {mix: {a: {clips: data/a}, b: {clips: data/b}}}")
    world = f"config={ROOT / 'configs' / 'blockworld.yaml'}"
    for arguments in ([world, mix], [world, f"config={layer}"]):
        data = load_config(arguments).data
        assert data.mix is not None and [part.clips for part in data.mix.values()] == ["data/a", "data/b"]
        assert data.clips == CLIPS
    assert load_config([world, "data.mix=null"]).data.clips == "data/blockworld/train"
    with pytest.raises(ValueError, match="data.clips is for one set"):
        load_config([world, mix, "data.clips=data/other"])


def test_a_kill_and_two_processes_change_nothing(
    mix: list[str], trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = losses(trained / "dynamics")
    for name in ("killed", "two"):
        shutil.copytree(trained, tmp_path / name, ignore=shutil.ignore_patterns("dynamics"))
    settings = [*mix, "stage=dynamics", "training.dynamics.steps=12"]
    plain, calls = DynamicsStage.loss, []

    def dying(self: DynamicsStage, *rest: object) -> object:
        calls.append(1)
        if len(calls) == 7:
            raise RuntimeError("killed")
        return plain(self, *rest)  # type: ignore[arg-type]

    killed = [*settings, f"run={tmp_path / 'killed'}", "training.save_every_steps=1"]
    with monkeypatch.context() as patch:
        patch.setattr(DynamicsStage, "loss", dying)
        with pytest.raises(RuntimeError, match="killed"):
            main(killed)
    with pytest.raises(SystemExit, match=r"holds a run with data.mix.turns = 3.0, got 1.0"):
        main([*killed, "data.mix.turns.weight=1"])
    main(killed)
    assert losses(tmp_path / "killed" / "dynamics") == expected
    # Muon's sums come out in another order in two processes, by far less than another window would change.
    launch(*settings, f"run={tmp_path / 'two'}", "training.num_processes=2", processes=2)
    assert losses(tmp_path / "two" / "dynamics") == pytest.approx(expected, abs=1e-4)


def test_what_cannot_be_mixed_is_named(mix: list[str], tmp_path: Path) -> None:
    write_set(tmp_path / "large", clips=2, size=2 * SIZE)
    write_set(tmp_path / "slow", clips=2, fps=16.0)
    settings = [*mix, "stage=autoencoder", f"run={tmp_path / 'run'}"]
    for wrong, message in (
        (
            [f"data.mix.words.clips={tmp_path / 'large'}"],
            r"must be 16x16 .* 32x32 in .*large \('words'\).* --size 16x16",
        ),
        ([f"data.mix.words.clips={tmp_path / 'slow'}"], r"of 20 frames .* got 16 in .*slow \('words'\).* --fps 20"),
        (["data.mix.words.clips=nowhere"], r"no clips in nowhere \(data.mix.words.clips\).*data.mix.words.weight=0"),
        (["data.mix.words.clips=s3://bucket/words"], r"data.mix takes folders, data.mix.words.clips is s3://bucket"),
        (["data.mix.word.weight=0"], r"data.mix.word must have clips, a folder, got none, did you mean 'words'"),
        (["data.mix.words.wieght=0"], r"unknown key data.mix.words.wieght, did you mean 'weight'"),
        (["data.mix.words.weight=-1"], r"weight of a set in data.mix must be 0 or more, got -1"),
        (["data.mix.words.weight=0", "data.mix.turns.weight=0"], r"must have a weight above 0, got none"),
        (["data.clips=data/other"], r"data.clips is for one set, and data.mix has turns, words"),
        (["data.latents=data/other"], r"data.latents is for one set"),
        (["data.mix.words.weight=0.0001"], r"data.mix.words.weight must be at least a 1000th"),
        (["training.joint.frames=13"], r"windows of 13 frames must fit into a clip"),
    ):
        with pytest.raises(SystemExit, match=rf"(?s)^error: .*{message}"):
            main([*settings, *wrong])


def test_latents_of_one_set_missing_are_named(mix: list[str], trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained, tmp_path / "run", ignore=shutil.ignore_patterns("dynamics"))
    shutil.rmtree(run / "latents" / "words")
    with pytest.raises(SystemExit, match=r"1 of 1 shards are missing in .*latents/words: encode them by python"):
        main([*mix, "stage=dynamics", f"run={run}"])
    elsewhere = f"data.mix.words.latents={trained / 'latents' / 'words'}"
    main([*mix, "stage=dynamics", f"run={run}", elsewhere, "training.dynamics.steps=1"])
    assert len(losses(run / "dynamics")) == 1
    no_words = ["data.mix.words.weight=0", f"run={tmp_path / 'run'}"]
    with pytest.raises(SystemExit, match=r"has the condition 'text' that the model is given: .*model.conditions"):
        main([*mix, "stage=dynamics", *no_words])


def test_the_directional_preset_reads_turns_as_keys(mix: list[str], trained: Path, tmp_path: Path) -> None:
    """Laid over a run, it trains on the same latents."""
    preset = f"config={ROOT / 'configs' / 'minecraft-directional.yaml'}"
    whole = load_config([f"config={ROOT / 'configs' / 'minecraft.yaml'}", preset])
    assert list(whole.model.conditions) == ["keyboard"] and whole.data.mix is not None and "teco" in whole.data.mix
    run = shutil.copytree(trained, tmp_path / "run", ignore=shutil.ignore_patterns("dynamics"))
    main([*mix, preset, "stage=dynamics", f"run={run}"])
    world = WorldModel.from_pretrained(run / "dynamics" / "export")
    assert list(world.conditions.spaces["keyboard"]) == ["forward", "left", "right"]
    turns, words = world.starts()
    pressed = [action["keyboard"] for action in turns.actions()]
    assert pressed[0] == {"forward": 0, "left": 0, "right": 1} and pressed[1] == {"forward": 0, "left": 1, "right": 0}
    assert words.actions() == [{}] * len(words.actions())  # no camera there: nobody knows where it turned
    frame = world.session(seed=0).step({"keyboard": {"left": 1}})
    assert frame.shape == (SIZE, SIZE, 3) and frame.dtype == np.uint8
