"""VPT's contractor recordings: aligned, menus, the stuck button, the wheel; what is broken is named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.convert.films import asked, assert_aligned, film, mp4, steps, truncated, write
from worldmodel.data.clips import Clip, ClipSet
from worldmodel.data.convert.common import Options
from worldmodel.data.convert.run import complaints, convert
from worldmodel.data.video import encode_video

LENGTH = 60
Lines = list[dict[str, Any]]


def lines_of(moves: np.ndarray) -> Lines:
    """One line a frame: that of frame t says what leads to frame t + 1; the last one's frame is not there."""
    return [line(turn, forward) for turn, forward in [*moves.tolist(), (0, 0)]]


def line(turn: int = 0, forward: int = 0) -> dict[str, Any]:
    mouse = {"x": 640.0, "y": 360.0, "dx": 20.0 * turn, "dy": 0.0, "dwheel": 0.0, "buttons": [], "newButtons": []}
    keys = ["key.keyboard.w"] * forward
    return {
        **{"mouse": mouse, "keyboard": {"keys": keys, "newKeys": [], "chars": ""}},
        **{"isGuiOpen": False, "hotbar": 0, "yaw": 0.0, "pitch": 0.0, "tick": 0},
    }


def dump(lines: Lines) -> bytes:
    return b"".join(json.dumps(entry).encode() + b"\n" for entry in lines)


def converted(
    folder: Path, change: Callable[[Lines], Any], name: str = "7.6/a-b-20220101-120000", **options: Any
) -> tuple[Clip, dict[str, Any]]:
    """Converts one recording whose lines were changed."""
    moves = steps(LENGTH - 1)
    lines = lines_of(moves)
    change(lines)
    write(folder / f"in/{name}.mp4", mp4(moves))
    write(folder / f"in/{name}.jsonl", dump(lines))
    report = convert("vpt", folder / "in", folder / "out", Options(**options), progress=False)
    return ClipSet(folder / "out")[0], report


@pytest.mark.parametrize("difference", [-1, 0, 1])
def test_aligned(tmp_path: Path, difference: int) -> None:
    def change(lines: Lines) -> None:
        if difference < 0:
            lines.pop()
        lines.extend([line(1)] * difference)

    clip, report = converted(tmp_path, change)
    assert len(clip.frames) == LENGTH + min(difference, 0)
    assert_aligned(clip)
    assert report["lags"] == {"0": 1} and not complaints(report, 0.05)
    assert {abs(float(action["camera"][1])) for action in clip.actions()} == {0.0, 3.0}  # 20 pixels x 360 / 2400


def test_every_key_and_button(tmp_path: Path) -> None:
    names = {"w": "forward", "s": "back", "a": "left", "d": "right", "space": "jump", "left.shift": "sneak"}
    names |= {"left.control": "sprint", "9": "hotbar.9"}

    def change(lines: Lines) -> None:
        for number, key in enumerate(names):
            lines[number + 1]["keyboard"]["keys"] = [f"key.keyboard.{key}", "key.keyboard.e"]
            lines[number + 1]["mouse"] |= {"dx": 0.0, "dy": 8.0}
        lines[20]["mouse"]["buttons"] = [0, 1, 2]

    clip, report = converted(tmp_path, change)
    for number, name in enumerate(names.values()):
        action = clip.actions()[number + 1]
        assert [key for key, down in action["keyboard"].items() if down] == [name]
        np.testing.assert_allclose(action["camera"], [1.2, 0.0], rtol=1e-6)
    held = clip.actions()[20]["keyboard"]
    assert held["attack"] == held["use"] == 1
    assert report["notes"]["key without a name here: e"] == len(names)
    assert report["notes"]["mouse button without a name here"] == 1


def test_the_attack_button_that_is_stuck_counts_from_its_first_press(tmp_path: Path) -> None:
    def change(lines: Lines) -> None:
        for entry in lines:
            entry["mouse"]["buttons"] = [0]
        lines[0]["mouse"]["newButtons"] = [0]
        lines[30]["mouse"]["newButtons"] = [0]

    clip, report = converted(tmp_path, change)
    attack = [action["keyboard"]["attack"] for action in clip.actions()]
    assert attack == [0] * 30 + [1] * (LENGTH - 31) and report["notes"]["frames with a stuck attack button"] == 30


def test_a_slot_chosen_by_the_wheel_counts_as_its_key(tmp_path: Path) -> None:
    def change(lines: Lines) -> None:
        for entry in lines[10:]:
            entry["hotbar"] = 4
        for entry in lines[30:]:
            entry["hotbar"] = 2
        lines[29]["keyboard"]["keys"].append("key.keyboard.3")

    clip, report = converted(tmp_path, change)
    fifth = [number for number, action in enumerate(clip.actions()) if action["keyboard"]["hotbar.5"]]
    third = [number for number, action in enumerate(clip.actions()) if action["keyboard"]["hotbar.3"]]
    assert fifth == [9] and third == [29]  # frame 10 is the first that shows the fifth slot
    assert report["notes"]["slots chosen by the wheel"] == 1


def menu(lines: Lines) -> None:
    for entry in lines[20:26]:
        entry["isGuiOpen"] = True
        entry["mouse"] |= {"dx": 10.0, "dy": 0.0, "x": 320.0, "y": 180.0}
        entry["keyboard"]["keys"] = []


def test_the_cursor_is_drawn_where_a_menu_is_open(tmp_path: Path) -> None:
    clip, report = converted(tmp_path, menu)
    pure = film(steps(LENGTH - 1))
    changed = np.abs(clip.frames.astype(int) - pure).max(axis=-1) > 60  # [T, H, W]
    assert sorted(set(np.nonzero(changed)[0])) == list(range(20, 26))
    rows, columns = np.nonzero(changed[20])
    assert rows.min() >= 180 * 32 // 720 and columns.min() >= 320 * 32 // 720  # the window is 720 pixels high
    assert clip.meta["menu"] == [[20, 26]] and report["notes"]["frames with an open menu"] == 6
    assert clip.actions()[20]["camera"].tolist() == [0.0, 1.5]


def test_older_recorders_moved_the_cursor_by_another_measure(tmp_path: Path) -> None:
    clip, _ = converted(tmp_path, menu, name="6.9/x")
    assert clip.actions()[20]["camera"].tolist() == [0.0, 3.0]
    assert {abs(float(action["camera"][1])) for action in clip.actions()[:20]} == {0.0, 3.0}


def test_menus_can_be_cut_out(tmp_path: Path) -> None:
    _, report = converted(tmp_path, menu, gui="cut")
    clips = ClipSet(tmp_path / "out")
    assert [(clip.meta["first_frame"], len(clip.frames)) for clip in clips] == [(0, 20), (26, LENGTH - 26)]
    for clip in clips:
        assert_aligned(clip)
    assert report["notes"]["frames left out"] == 6


def test_a_turn_that_cannot_be_is_missing(tmp_path: Path) -> None:
    clip, report = converted(tmp_path, lambda lines: lines[7]["mouse"].update(dx=1e5))
    assert "camera" not in clip.actions()[7] and "camera" in clip.actions()[8]
    assert report["notes"]["turns of more than 180 degrees, taken as missing"] == 1


def test_what_follows_a_broken_line_is_left_out(tmp_path: Path) -> None:
    moves = steps(LENGTH - 1)
    texts = dump(lines_of(moves)).split(b"\n")
    texts[40:42] = [texts[40][:20] + texts[41]]  # one line was lost: nobody can tell which
    write(tmp_path / "in/x.mp4", mp4(moves))
    write(tmp_path / "in/x.jsonl", b"\n".join(texts))
    report = convert("vpt", tmp_path / "in", tmp_path / "out", Options(), progress=False)
    clip = ClipSet(tmp_path / "out")[0]
    assert len(clip.frames) == 40 and report["notes"]["frames after a broken line"] == LENGTH - 40
    assert_aligned(clip)


def test_a_video_that_breaks_off_keeps_what_lies_before(tmp_path: Path) -> None:
    moves = steps(4 * LENGTH - 1)
    frames = film(moves)
    frames[..., 1] = np.random.default_rng(0).integers(0, 60, frames.shape[:3])  # large enough to break in the middle
    data = bytearray(encode_video(frames, 20.0))
    middle = int(len(data) * 0.6)
    data[middle : middle + 3000] = bytes(3000)
    write(tmp_path / "in/x.mp4", bytes(data))
    write(tmp_path / "in/x.jsonl", dump(lines_of(moves)))
    report = convert("vpt", tmp_path / "in", tmp_path / "out", Options(frames=LENGTH), progress=False)
    assert report["cut_by_reason"] == {"broken frame": 1} and 0 < report["clips"] < 5
    for clip in ClipSet(tmp_path / "out"):
        assert_aligned(clip)


def test_each_fault_is_named(tmp_path: Path) -> None:
    moves = steps(LENGTH - 1)
    video, whole = mp4(moves), lines_of(moves)
    bad = [
        ("truncated", truncated(video), dump(whole), "truncated mp4"),
        ("short", video, dump(whole[:-2]), "lengths disagree"),
        ("long", video, dump([*whole, line(), line()]), "lengths disagree"),
        ("first", video, b"{broken\n" + dump(whole[1:]), "broken jsonl"),
        ("empty", video, b"", "broken jsonl"),
        ("alone", video, None, "no .jsonl"),
        ("unseen", None, dump(whole), "no .mp4"),
    ]
    mouse = whole[0]["mouse"]
    odd: dict[str, tuple[str, Any]] = {
        "mouse": ("mouse", None),
        "keyboard": ("keyboard", {"keys": [3]}),
        "isGuiOpen": ("isGuiOpen", "no"),
        "buttons": ("mouse", {**mouse, "buttons": [[0]]}),
        "newButtons": ("mouse", {**mouse, "newButtons": [{}]}),
        "huge": ("mouse", {**mouse, "dx": 10**30}),
        "huger": ("mouse", {**mouse, "dy": 10**400}),
        "cursor": ("mouse", {**mouse, "x": 1e300}),
        "nan": ("mouse", {**mouse, "dx": float("nan")}),
    }
    for name, (field, value) in odd.items():
        bad.append((name, video, dump([{**whole[0], field: value}, *whole[1:]]), "broken jsonl"))
    for name, film_bytes, text, _ in bad:
        for suffix, data in ((".mp4", film_bytes), (".jsonl", text)):
            if data is not None:
                write(tmp_path / f"in/{name}{suffix}", data)
    report = convert("vpt", tmp_path / "in", tmp_path / "out", Options(), progress=False)
    assert {entry["recording"]: entry["reason"] for entry in report["skipped"]} == {
        n: reason for n, _, _, reason in bad
    }
    assert report["skipped_by_reason"]["broken jsonl"] == 2 + len(odd)
    details = {entry["recording"]: entry["detail"] for entry in report["skipped"]}
    assert "mouse.buttons must be a list of numbers, got [[0]]" in details["buttons"]
    assert "mouse.dx must be a number of pixels, got 1000000000" in details["huge"]
    assert not report["clips"] and not list((tmp_path / "out").glob("*.tar"))


def test_an_odd_line_later_on_keeps_what_lies_before(tmp_path: Path) -> None:
    clip, report = converted(tmp_path, lambda lines: lines[40]["mouse"].update(buttons=[[0]]))
    assert len(clip.frames) == 40 and report["notes"]["frames after a broken line"] == LENGTH - 40


def test_lines_without_any_action_are_counted(tmp_path: Path) -> None:
    def change(lines: Lines) -> None:
        for entry in lines:
            entry["mouse"] |= {"dx": 0.0, "buttons": []}
            entry["keyboard"]["keys"] = ["key.keyboard.e"]  # a key without a name here is none
        lines[3]["mouse"]["dy"] = -1.0
        lines[4]["mouse"]["buttons"] = [1]
        lines[5]["keyboard"]["keys"] = ["key.keyboard.space"]
        lines[6]["mouse"]["dx"] = 1e5  # missing is not nothing

    _, report = converted(tmp_path, change)
    assert report["notes"]["frames without any action"] == LENGTH - 4


def test_lines_that_are_a_step_late_are_complained_about(tmp_path: Path) -> None:
    for seed in range(5):
        moves = steps(LENGTH - 1, seed)
        write(tmp_path / f"in/{seed}.mp4", mp4(moves))
        write(tmp_path / f"in/{seed}.jsonl", dump([line(), *lines_of(moves)[:-1]]))
    report = convert("vpt", tmp_path / "in", tmp_path / "out", Options(), progress=False)
    assert report["lags"] == {"-1": 5} and complaints(report, 0.05)
    clip = ClipSet(tmp_path / "out")[0]
    assert (asked(clip)[1:] == steps(LENGTH - 1, 0)[:-1]).all()
    with pytest.raises(AssertionError):
        assert_aligned(clip)
