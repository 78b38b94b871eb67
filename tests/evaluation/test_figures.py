"""The figures themselves, on a tiny random model and toy clips."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.errors import GameError
from tests.evaluation.conftest import TINY
from tests.evaluation.toyworld import Toy, play
from tests.tiny import tiny_config, tiny_world
from worldmodel.evaluation import control, drift, memory, prediction, reconstruction
from worldmodel.evaluation.figure import Task
from worldmodel.evaluation.heldout import HeldOut, Place
from worldmodel.evaluation.options import Unavailable
from worldmodel.evaluation.rollout import Start, rollout, stream
from worldmodel.evaluation.scores import CEILING_DB
from worldmodel.evaluation.scripts import Action, action, idle, random_play
from worldmodel.evaluation.statistics import NAMES
from worldmodel.evaluation.worlds import RenderedWorlds, drive_all
from worldmodel.world import WorldModel


def still(task: Task, clips: Path) -> Task:
    return dataclasses.replace(task, held_out=HeldOut(clips, task.world))


def test_streams_are_what_a_session_gives(task: Task) -> None:
    place = Place(0, 0, 4)
    start = task.held_out.start(place, 4)
    script = random_play(np.random.default_rng(0), 6)
    batch = rollout(task.world, [start] * 3, [script] * 3, 2, 7, task.report)
    assert batch.shape == (3, 6, 16, 16, 3)
    alone = task.world.session(seed=7, first_frames=start.frames, first_conditions=start.actions)
    assert np.abs(batch[0].astype(int) - np.stack([alone.step(step) for step in script])).max() <= 1
    with pytest.raises(ValueError, match="all of one length"):
        next(iter(stream(task.world, [start], [script, script], 0)))


def test_names_that_the_model_does_not_know_are_left_out() -> None:
    config = tiny_config()
    config.conditions = {"keyboard": {}}
    frames = np.zeros((2, 16, 16, 3), np.uint8)
    made = rollout(WorldModel(config), [Start(frames, idle(1))], [idle(2)], 1, 0, lambda text: None)
    assert made.shape == (1, 2, 16, 16, 3)


def test_reconstruction(task: Task) -> None:
    figures = reconstruction.measure(task)
    assert figures["num_frames"] == 64 and figures["num_stretches"] == 4
    assert figures["psnr_5th_percentile_db"] <= figures["psnr_mean_db"] <= figures["psnr_db"] + 20
    assert (task.out / "reconstruction_sheet.png").stat().st_size > 1000


def test_prediction_baselines(task: Task) -> None:
    figures = prediction.measure(task)
    assert list(figures["horizons"]) == ["1", "10", "50"]
    assert "needs clips of 304 frames, the longest has 80" in figures["unavailable"]["300"]
    assert figures["horizons"]["10"]["num_starts"] == 4 + 3 and figures["horizons"]["50"]["num_starts"] == 3
    for scores in figures["horizons"].values():
        assert scores["beats_psnr"] == all(
            scores["model"]["psnr_db"] > scores[way]["psnr_db"] for way in ("copy", "shuffled")
        )
    # In a moving world a copy is worse after 50 frames than after one; a random model is worse than a copy.
    assert figures["horizons"]["1"]["copy"]["psnr_db"] > figures["horizons"]["50"]["copy"]["psnr_db"]
    assert not figures["horizons"]["1"]["beats_psnr"]


def test_a_copy_is_perfect_where_nothing_happens(task: Task, still_clips: Path) -> None:
    scores = prediction.measure(still(task, still_clips))["horizons"]["50"]
    assert scores["copy"]["psnr_db"] > 35  # but for the video's compression
    assert scores["model"] == scores["shuffled"]  # no input, whosesoever


def test_a_copy_of_equal_frames_counts_the_ceiling(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HeldOut, "frames", lambda self, place: np.full((place.frames, 16, 16, 3), 99, np.uint8))
    scores = prediction.measure(task)["horizons"]["50"]["copy"]
    assert scores == {"psnr_db": CEILING_DB, "psnr_mean_db": CEILING_DB, "ssim": pytest.approx(1.0)}


def test_shuffling_gives_nobody_its_own_actions() -> None:
    scripts = [[action("forward", float(index))] * 3 for index in range(5)]
    for index, other in enumerate(prediction.shuffle(scripts)):
        assert other is not scripts[index]
    assert prediction.shuffle([[action(yaw=1.0), action(yaw=2.0)]])[0][0]["camera"][1] == 2.0


def test_prediction_needs_long_enough_clips(task: Task) -> None:
    long = dataclasses.replace(task, options=dataclasses.replace(TINY, context_frames=75))
    with pytest.raises(Unavailable, match="at least 85 frames long, the longest has 80"):
        prediction.measure(long)


def test_control_asks_generated_and_rendered_in_the_same_windows(task: Task) -> None:
    figures = control.measure(task)
    assert figures["truth"] == {"rendered": True}
    for question in ("turn", "move"):
        asked = [np.sum(figures[source][question]["confusion"], axis=1) for source in ("generated", "rendered")]
        assert (asked[0] == asked[1]).all() and (asked[0] > 0).all()
        assert 0 <= figures["generated"][question]["accuracy"] <= 1
    assert (task.out / control.READER).is_file() and (task.out / "control.png").is_file()
    again = control.measure(dataclasses.replace(task, reader=task.out / control.READER))
    assert again["clips"] == figures["clips"] and again["reader"].startswith("loaded from")


def test_without_the_rendered_world_the_reader_learns_from_a_part_of_the_clips(task: Task) -> None:
    figures = control.measure(dataclasses.replace(task, worlds=""))
    assert not figures["truth"]["rendered"] and "rendered" not in figures
    assert figures["reader"] == "trained on 6 of the recorded clips"


def test_lessons_are_in_worlds_that_the_clips_do_not_show(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = []
    explore = RenderedWorlds.explore

    def noted(self: RenderedWorlds, meta: dict[str, Any], seed: int, script: Sequence[Action]) -> Any:
        seeds.append(seed)
        return explore(self, meta, seed, script)

    monkeypatch.setattr(RenderedWorlds, "explore", noted)
    assert control.measure(task)["reader"] == "trained in 3 rendered worlds of other seeds"
    assert len(set(seeds)) == 3 and min(seeds) >= control.NEW_SEEDS


def test_drift_tells_noise_from_the_world(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = drift.measure(task)
    assert figures["truth"] == {"rendered": True} and figures["rendered_windows"] == 8 + 4 * 4
    own = figures["rendered_streams"]
    assert set(own) == {"random play", "no input"} and all(
        0 <= share <= 1 for shares in own.values() for share in shares.values()
    )
    assert np.mean(list(own["no input"].values())) > 0.7, "the world itself is not far from itself"
    assert not figures["within"] and figures["outside"]
    assert len(figures["values"]["no input"]) == 2 and len(figures["values"]["no input"][0]) == 4

    def rendered(
        world: WorldModel, starts: Sequence[Start], actions: Sequence[Sequence[Action]], seed: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        # The world itself, as a model without a flaw.
        seen, _ = drive_all(task, task.held_out.beginnings(4, TINY.context_frames), actions)
        assert seen is not None
        frames = np.stack([part.frames[1:] for part in seen])  # [B, T, H, W, 3]
        cut = range(0, frames.shape[1], TINY.drift_window)
        latents = [
            np.concatenate([reconstruction.encode(task, row[t : t + TINY.drift_window])[0].numpy() for t in cut])
            for row in frames
        ]
        yield from zip(frames.swapaxes(0, 1), np.stack(latents, axis=1), strict=True)

    monkeypatch.setattr(drift, "stream", rendered)
    figures = drift.measure(task)
    # The change into a window's first frame is not seen within a rendered window, and is in a stream.
    assert set(figures["outside"]) <= {"change, random play"}


def test_softness_is_told_from_drift() -> None:
    low, high = np.zeros(len(NAMES)), np.ones(len(NAMES))
    ranges = drift.Ranges(np.stack([low, high]), np.stack([low - 1, high]), 5)
    values = np.full((1, 3, len(NAMES)), 0.5)
    values[0, 1, 0], values[0, 1, 1] = -0.5, 2.0
    compared = list(drift._compare(values, ranges).values())
    assert [c["within"] for c in compared[:3]] == [False, False, True]
    assert [c["within_decoded"] for c in compared[:3]] == [True, False, True]
    assert compared[0]["share_within"] == pytest.approx(2 / 3) and compared[1]["highest"] == 2.0


def test_memory(task: Task) -> None:
    figures = memory.measure(task)
    assert list(figures["angles"]) == ["60", "360"] and figures["truth"] == {"rendered": True}
    for angle in figures["angles"].values():
        assert angle["rendered"]["psnr_db"] == CEILING_DB  # the toy world does not forget
        assert angle["back"]["psnr_db"] < 60
        assert {"away", "elsewhere"} <= set(angle)
    assert figures["angles"]["60"]["frames_away"] == 4 and figures["angles"]["360"]["frames_away"] == 12


def test_a_checkpoint_without_a_camera_has_no_control(task: Task) -> None:
    config = tiny_config()
    config.conditions = {"keyboard": {}}
    blind = dataclasses.replace(task, world=WorldModel(config))
    for figure in (control, drift, memory):
        with pytest.raises(Unavailable, match="the checkpoint has no camera"):
            figure.measure(blind)


def test_the_rendered_world_is_retraced(task: Task) -> None:
    script = [action(yaw=4.0)] * 6
    with RenderedWorlds(task) as worlds:
        driven = worlds.drive(4, 20, script)
    whole = play(4, random_play(np.random.default_rng(4), 79)[:20] + script)
    assert (driven.frames == whole.frames[20:]).all()
    assert driven.track.positions is not None and driven.track.positions.shape == (7, 3)


@pytest.mark.parametrize(
    ("worlds", "why"),
    [
        ("", "no module of rendered worlds is named"),
        ("tests.no_such_module", "tests/Toy-v0 cannot be made"),
        ("tests.evaluation.toyworld", "does not retrace clip 000000"),
    ],
)
def test_worlds_that_cannot_be_driven_say_why(
    task: Task, worlds: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HeldOut, "recorded_actions", lambda self, place: idle(place.frames - 1))
    driven, truth = drive_all(dataclasses.replace(task, worlds=worlds), [Place(0, 40, 4)], [idle(3)])
    assert driven is None and not truth["rendered"] and why in truth["why"]


def test_a_world_is_retraced_by_what_was_recorded_not_by_what_the_model_reads(clips: Path, task: Task) -> None:
    config = tiny_config()
    config.conditions = {"keyboard": {"keys": ["left", "right"], "turn": 1.0}, "camera": {}}
    world = WorldModel(config)
    held_out = HeldOut(clips, world)
    assert not any("forward" in told["keyboard"] for told in held_out.actions_of(4))
    with RenderedWorlds(dataclasses.replace(task, world=world, held_out=held_out)) as worlds:
        driven = worlds.drive(4, 20, idle(3))
    assert (driven.frames == play(4, random_play(np.random.default_rng(4), 79)[:20] + idle(3)).frames[20:]).all()


@pytest.mark.parametrize(
    ("method", "error", "why"),
    [
        ("__init__", TypeError("unexpected keyword argument 'sise'"), "tests/Toy-v0 cannot be made: .*'sise'"),
        ("reset", GameError("display", "no display"), "the rendered world does not start: no display"),
        ("step", GameError("died", "the game ended"), "the rendered world ended: the game ended"),
        ("step", ImportError("no voice: pip install one"), "the rendered world ended: no voice"),
    ],
)
def test_a_world_that_fails_makes_a_figure_unavailable(
    task: Task, method: str, error: Exception, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Toy, method, fails)
    driven, truth = drive_all(task, [Place(0, 40, 4)], [idle(3)])
    assert driven is None and re.search(why, truth["why"])
    monkeypatch.setattr(Toy, "explorer", lambda self, seed, frames: Idler(), raising=False)
    with RenderedWorlds(task) as worlds:
        with pytest.raises(Unavailable, match=why):
            worlds.explore(task.held_out.meta(0), 7, idle(3))
        with pytest.raises(Unavailable, match=why):
            worlds.perform(task.held_out.meta(0), 7, 4)


class Idler:
    """A player of the world's own, who does nothing."""

    def act(self, observation: object, info: object) -> Action:
        return idle(1)[0]


def test_the_same_seed_gives_the_same_figures(clips: Path, tmp_path: Path) -> None:
    def measure(folder: str) -> dict[str, Any]:
        world = tiny_world()
        (tmp_path / folder).mkdir()
        return memory.measure(Task(world, HeldOut(clips, world), TINY, tmp_path / folder, lambda text: None))

    first = measure("a")
    assert first == measure("b")
    assert not first["truth"]["rendered"] and "rendered" not in first["angles"]["60"]
