"""Training on clips and latents behind a URL: killed, doubled, and refused when what is behind it has changed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data.web import Web
from tests.training.small import launch, losses, write_clips, write_config
from worldmodel.data import index
from worldmodel.training.__main__ import main
from worldmodel.training.autoencoder import AutoencoderStage

PHASES = ["training.temporal.steps=0", "training.joint.optimizer=adamw", "training.spatial.optimizer=adamw"]


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """Eight shards of a clip each, with their index."""
    folder = write_clips(tmp_path_factory.mktemp("served"), num_clips=8, clips_per_shard=1)
    assert index.main([str(folder), "--workers", "1"]) == 0
    with Web(folder) as web:
        yield web


@pytest.fixture
def settings(web: Web, tmp_path: Path) -> list[str]:
    config = write_config(tmp_path / "small.yaml", Path("nowhere"))
    return [f"config={config}", f"data.clips={web.url}/shard-{{000000..000007}}.tar", *PHASES]


def test_processes_and_a_kill_change_nothing(
    settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Phases of more than an epoch: one process, two of them, and one that is killed and begins with an empty cache."""
    settings = [*settings, "stage=autoencoder", "training.joint.steps=9"]
    alone = [*settings, f"run={tmp_path / 'alone'}", f"data.stream.cache={tmp_path / 'cache'}"]
    main(alone)
    expected = losses(tmp_path / "alone" / "autoencoder")
    assert len(expected) == 4 + 9

    two = [*settings, f"run={tmp_path / 'two'}", f"data.stream.cache={tmp_path / 'shared'}"]
    launch(*two, "training.num_processes=2", processes=2)
    assert losses(tmp_path / "two" / "autoencoder") == pytest.approx(expected, abs=1e-6)

    plain, calls = AutoencoderStage.loss, []

    def dying(self: AutoencoderStage, phase: str, *rest: object) -> object:
        calls.append(phase)
        if calls.count("joint") == 6:
            raise RuntimeError("killed")
        return plain(self, phase, *rest)  # type: ignore[arg-type]

    killed = [*settings, f"run={tmp_path / 'killed'}", "training.save_every_steps=1"]
    with monkeypatch.context() as patch:
        patch.setattr(AutoencoderStage, "loss", dying)
        with pytest.raises(RuntimeError, match="killed"):
            main([*killed, f"data.stream.cache={tmp_path / 'killed-cache'}"])
    shutil.rmtree(tmp_path / "killed-cache")
    main([*killed, f"data.stream.cache={tmp_path / 'new-cache'}"])
    assert losses(tmp_path / "killed" / "autoencoder") == expected


def test_every_stage_from_a_url(settings: list[str], web: Web, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = [*settings, f"run={run}", f"data.stream.cache={tmp_path / 'cache'}", "data.stream.buffer_shards=2"]
    for stage in ("autoencoder", "latents", "dynamics"):
        main([*settings, f"stage={stage}"])
    assert (run / "dynamics" / "export" / "model_index.json").exists()

    latents = run / "latents"
    with Web(latents) as far, pytest.raises(SystemExit, match="must have an index.*python -m worldmodel.data.index"):
        main([*settings, "stage=dynamics", f"data.latents={far.url}", f"run={shutil.copytree(run, tmp_path / 'no')}"])
    assert index.main([str(latents), "--workers", "1"]) == 0
    shutil.rmtree(run / "dynamics")
    with Web(shutil.move(latents, tmp_path / "far")) as far:
        settings.append(f"data.latents={far.url}")
        main([*settings, "stage=dynamics"])
        assert len(losses(run / "dynamics")) == 4
        assert all(far.asked[f"shard-{shard:06d}.safetensors"] == 1 for shard in range(8))
        with pytest.raises(SystemExit, match="latents are encoded into a folder, data.latents is http"):
            main([*settings, "stage=latents"])
        with pytest.raises(SystemExit, match=r"holds a run with data.stream.buffer_shards = 2, got 3"):
            main([*settings, "stage=dynamics", "data.stream.buffer_shards=3"])


def test_what_cannot_work_is_named(settings: list[str], web: Web, tmp_path: Path) -> None:
    settings = [*settings, "stage=autoencoder", f"run={tmp_path / 'run'}", f"data.stream.cache={tmp_path / 'cache'}"]
    two_shards = 2.5 * max(path.stat().st_size for path in web.folder.glob("*.tar")) / 1e9
    with pytest.raises(SystemExit, match="cache_gb must hold the shards that are in use at a time"):
        main([*settings, f"data.stream.cache_gb={two_shards}"])
    with pytest.raises(SystemExit, match="there is no room for .*shard-000000.tar"):
        main([*settings, "data.stream.cache_gb=0.000001", f"data.stream.cache={tmp_path / 'small'}"])
    with pytest.raises(SystemExit, match="must be 32x32 pixels"):
        main([*settings, "model.frame.height=32", "model.frame.width=32"])
    with pytest.raises(SystemExit, match=r"lacks 1 of the 2 shards"):
        main([*settings, f"data.clips={web.url}/shard-{{000007..000008}}.tar"])
    with pytest.raises(SystemExit, match="data.stream.buffer_shards must be 1 or more, got 0"):
        main([*settings, "data.stream.buffer_shards=0"])
