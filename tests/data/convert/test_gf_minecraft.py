"""GF-Minecraft: aligned, with its prompts; what is broken is named."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.convert.films import assert_aligned, mp4, steps, truncated, write
from worldmodel.data.clips import ClipSet
from worldmodel.data.convert.__main__ import main
from worldmodel.data.convert.common import Options, has_text
from worldmodel.data.convert.run import complaints, convert

LENGTH = 48
REST = {"ws": 0, "ad": 0, "scs": 0, "pitch": 0.0, "yaw": 0.0, "pitch_delta": 0.0, "yaw_delta": 0.0}
NAME = "seed_1_part_1"


def metadata(moves: np.ndarray, extra: int = 0) -> dict[str, Any]:
    """Entry k led to frame k; "0" holds something that must not be believed."""
    entries: list[dict[str, Any]] = [{**REST, "ws": 2, "yaw_delta": 5.0}]
    entries += [{**REST, "ws": forward, "yaw_delta": 0.2 * turn} for turn, forward in moves.tolist()]
    entries += [dict(REST) for _ in range(extra)]
    return {"biome": "forest", "initial_weather": "rain", "actions": {str(k): entry for k, entry in enumerate(entries)}}


def save(folder: Path, content: Any, name: str = NAME, video: bytes | None = None) -> None:
    write(folder / f"data_2003/video/{name}.mp4", mp4(steps(LENGTH - 1), 16.0) if video is None else video)
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    write(folder / f"data_2003/metadata/{name}.json", text)


def annotate(folder: Path, rows: list[tuple[str, int, int, str]]) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerows([("Original video name", "Start frame index", "End frame index", "Prompt"), *rows])
    write(folder / "data_2003/annotation.csv", stream.getvalue().encode())


def test_another_rate_is_another_name_for_the_same_frames(tmp_path: Path) -> None:
    save(tmp_path / "in", metadata(steps(LENGTH - 1)))
    convert("gf-minecraft", tmp_path / "in", tmp_path / "slow", Options(), progress=False)
    assert main(["gf-minecraft", str(tmp_path / "in"), str(tmp_path / "fast"), "--fps", "20"]) == 0
    (slow,), (fast,) = ClipSet(tmp_path / "slow"), ClipSet(tmp_path / "fast")
    assert (slow.meta["fps"], fast.meta["fps"]) == (16, 20)
    assert slow.frames.shape == fast.frames.shape and slow.conditions["keyboard"] == fast.conditions["keyboard"]
    np.testing.assert_array_equal(slow.conditions["camera"], fast.conditions["camera"])
    assert np.abs(slow.frames.astype(int) - fast.frames).mean() < 1.0
    assert "fps" not in json.loads((tmp_path / "slow" / "conversion.json").read_text())["options"]
    for wrong in (["gf-minecraft", "--fps", "0"], ["minerl-export", "--fps", "20"]):
        with pytest.raises(SystemExit):
            main([wrong[0], str(tmp_path / "in"), str(tmp_path / "no"), *wrong[1:]])


@pytest.mark.parametrize("extra", [0, 1])
def test_aligned(tmp_path: Path, extra: int) -> None:
    content = metadata(steps(LENGTH - 1), extra)
    content["actions"]["5"] |= {"ad": 1, "scs": 3, "pitch_delta": -0.4}
    content["actions"]["6"] |= {"ad": 2, "scs": 1}
    content["actions"]["7"] |= {"ws": 2, "scs": 2, "yaw_delta": 0.2}
    save(tmp_path / "in", content)
    report = convert("gf-minecraft", tmp_path / "in", tmp_path / "out", Options(), progress=False)
    clip = ClipSet(tmp_path / "out")[0]
    actions = clip.actions()
    down = [{key for key, held in action["keyboard"].items() if held} - {"forward"} for action in actions]
    assert down[4:7] == [{"left", "sprint"}, {"right", "jump"}, {"back", "sneak"}]
    np.testing.assert_allclose(actions[4]["camera"][0], -6.0, rtol=1e-6)
    np.testing.assert_allclose(actions[6]["camera"], [0.0, 3.0], rtol=1e-6)
    clip.frames, rest = clip.frames[8:], clip.frames
    clip.conditions = {name: values[8:] for name, values in clip.conditions.items()}
    assert_aligned(clip)
    assert len(rest) == LENGTH and clip.meta["fps"] == 16 and clip.meta["biome"] == "forest"
    assert "text" not in clip.conditions and report["notes"]["frames without a prompt"] == LENGTH - 1
    assert report["lags"] == {"0": 1} and not complaints(report, 0.05)


def test_prompts(tmp_path: Path) -> None:
    save(tmp_path / "in", metadata(steps(LENGTH - 1)))
    rows = [
        (f"{NAME}.mp4", 0, 9, "A forest,\nin the rain."),
        (f"{NAME}.mp4", 20, LENGTH, "A plain."),
        ("x", 0, 99, "no"),
    ]
    annotate(tmp_path / "in", rows)
    convert("gf-minecraft", tmp_path / "in", tmp_path / "out", Options(), progress=False)
    clip = ClipSet(tmp_path / "out")[0]
    if has_text():
        texts = [action.get("text") for action in clip.actions()]
        assert texts == ["A forest, in the rain."] * 9 + [None] * 10 + ["A plain."] * (LENGTH - 20)
    assert clip.meta["prompts"] == ["A forest, in the rain.", "A plain."]


@pytest.mark.parametrize(
    "text", ["a,b\n1,2\n", f"video,start,end,prompt\n{NAME},x,2,y\n", f"video,start,end,prompt\n{NAME}\n"]
)
def test_a_table_of_prompts_that_is_none(tmp_path: Path, text: str) -> None:
    save(tmp_path / "in", metadata(steps(LENGTH - 1)))
    write(tmp_path / "in/data_2003/annotation.csv", text.encode())
    with pytest.raises(ValueError, match="annotation.csv must be a table"):
        convert("gf-minecraft", tmp_path / "in", tmp_path / "out", Options(), progress=False)


def test_each_fault_is_named(tmp_path: Path) -> None:
    moves = steps(LENGTH - 1)

    def changed(**fields: Any) -> dict[str, Any]:
        content = metadata(moves)
        content["actions"]["3"] |= fields
        return content

    gap = metadata(moves, 1)
    del gap["actions"]["3"]
    bad: dict[str, tuple[Any, str]] = {
        "short": (metadata(moves[:-1]), "lengths disagree"),
        "long": (metadata(moves, 2), "lengths disagree"),
        "gap": (gap, "broken json"),
        "broken": (b'{"actions": {', "broken json"),
        "none": ({"biome": "plains"}, "broken json"),
        "list": ([1], "broken json"),
        "ws": (changed(ws=3), "unknown action"),
        "scs": (changed(scs=-1), "unknown action"),
        "ad": (changed(ad="left"), "unknown action"),
        "turn": (changed(yaw_delta=13), "unknown action"),
        "nan": (changed(pitch_delta=float("nan")), "unknown action"),
    }
    for name, (content, _) in bad.items():
        save(tmp_path / "in", content, name)
    save(tmp_path / "in", metadata(moves), "truncated", truncated(mp4(moves)))
    save(tmp_path / "in", metadata(moves), "alone")
    (tmp_path / "in/data_2003/metadata/alone.json").unlink()
    report = convert("gf-minecraft", tmp_path / "in", tmp_path / "out", Options(), progress=False)
    expected = {name: reason for name, (_, reason) in bad.items()} | {"truncated": "truncated mp4", "alone": "no .json"}
    assert {entry["recording"].removeprefix("data_2003/"): entry["reason"] for entry in report["skipped"]} == expected
    assert not report["clips"]


@pytest.mark.parametrize("shift", [-1, 1])
def test_entries_that_are_out_of_step_are_complained_about(tmp_path: Path, shift: int) -> None:
    for seed in range(5):
        moves = steps(LENGTH - 1, seed)
        video = mp4(moves)
        save(tmp_path / "in", metadata(np.roll(moves, shift, axis=0)), f"seed_{seed}_part_0", video)
    report = convert("gf-minecraft", tmp_path / "in", tmp_path / "out", Options(), progress=False)
    assert report["lags"] == {str(-shift): 5} and complaints(report, 0.05)
    with pytest.raises(AssertionError):
        assert_aligned(ClipSet(tmp_path / "out")[0])
