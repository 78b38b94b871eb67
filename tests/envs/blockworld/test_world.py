"""The world as an environment: frames, what follows from what, determinism, breaking and placing."""

import subprocess
import sys
import zlib

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import envs  # noqa: F401  registers the ids
from envs.blockworld.blocks import HOTBAR, IDS
from envs.blockworld.grid import SIZE, measure, set_block
from tests.envs.blockworld.worlds import make


def test_check_env():
    check_env(make(size=32, depth=True), skip_render_check=False)


def test_registered_lazily():
    code = "import sys, envs; sys.exit('numba' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def run(env, seed, steps=40):
    """Checksum of all frames of a random walk, and its last info."""
    env.reset(seed=seed)
    env.action_space.seed(seed)
    checksum = 0
    for _ in range(steps):
        action = env.action_space.sample()
        action["camera"] = action["camera"] / 10
        frame, _, _, _, info = env.step(action)
        checksum = zlib.crc32(frame.tobytes(), checksum)
    return checksum, info


def test_same_seed_same_frames():
    first, second = run(make(), 5), run(make(), 5)
    assert first[0] == second[0] and (first[1]["position"] == second[1]["position"]).all()
    assert run(make(), 6)[0] != first[0]


def test_world_seed_fixes_the_terrain_only():
    a, b, c = make(world_seed=1), make(world_seed=1), make(world_seed=2)
    (_, at_a), (_, at_b), _ = a.reset(seed=1), b.reset(seed=2), c.reset(seed=1)
    assert (a._grid.blocks == b._grid.blocks).all() and not (a._grid.blocks == c._grid.blocks).all()
    assert not (at_a["position"] == at_b["position"]).all()


def test_camera(meadow):
    _, before = meadow.reset(seed=1, options={"yaw": 10.0, "pitch": 0.0})
    *_, after = meadow.step({"camera": [5.0, 7.5]})
    assert after["yaw"] == pytest.approx(17.5) and after["pitch"] == pytest.approx(5.0)
    for _ in range(3):
        *_, after = meadow.step({"camera": [80.0, 100.0]})
    assert after["pitch"] == 90.0 and -180 <= after["yaw"] < 180
    *_, after = meadow.step({"camera": [-180.0, 0.0]})
    assert after["pitch"] == -90.0


def test_positive_yaw_turns_right(meadow):
    """A block that stands straight ahead moves to the left half of the picture."""
    _, info = meadow.reset(seed=1, options={"yaw": 0.0, "pitch": 0.0})
    x, y, z = (int(v) for v in np.floor(info["position"]))
    set_block(meadow._grid, x, y + 1, z + 3, IDS["gold"])
    columns = []
    for _ in range(3):
        frame, *_ = meadow.step({"camera": [0.0, 8.0]})
        frame = frame[:40].astype(int)  # without the block in hand
        columns.append(np.argwhere((frame[..., 0] > 120) & (frame[..., 2] < 80))[:, 1].mean())
    assert columns[0] > columns[1] > columns[2] and columns[2] < 32


def test_positive_pitch_looks_down(meadow):
    meadow.reset(seed=1, options={"pitch": 0.0})
    down, *_ = meadow.step({"camera": [80.0, 0.0]})
    up, *_ = meadow.step({"camera": [-170.0, 0.0]})
    assert up[:32, :, 2].mean() > down[:32, :, 2].mean() + 60  # sky is blue, ground is not


def test_a_step_over_open_grass_can_be_seen(meadow):
    """Blocks differ in tint, each for good: what moves on the ground tells a step, and rests without one."""

    def moved(tint):
        _, info = meadow.reset(seed=1, options={"pitch": 50.0, "yaw": 20.0})
        grid, floor = meadow._grid, round(info["position"][1])
        grid.blocks[:, :, 1:floor], grid.blocks[:, :, floor:] = IDS["grass"], 0
        measure(grid)
        meadow._scene.tint = tint
        frames = [meadow.step({})[0].astype(float) for _ in range(2)]
        frames += [meadow.step({"keyboard": {"forward": 1}})[0].astype(float) for _ in range(3)]
        assert np.array_equal(frames[0], frames[1])
        return np.abs(frames[4] - frames[1])[:40].mean()

    tint = meadow._scene.tint
    try:
        plain = moved(0.0)
    finally:
        meadow._scene.tint = tint
    assert moved(tint) > 2 * plain


def test_action_changes_the_very_next_frame(meadow):
    still, _ = meadow.reset(seed=2, options={"pitch": 40.0})
    for action in (
        {"camera": [0.0, 5.0]},
        {"keyboard": {"forward": 1}},
        {"keyboard": {"jump": 1}},
        {"keyboard": {"sneak": 1}},
        {"keyboard": {"attack": 1}},
        {"keyboard": {"hotbar.5": 1}},
    ):
        meadow.reset(seed=2, options={"pitch": 40.0})
        frame, *_ = meadow.step(action)
        assert (np.abs(frame.astype(int) - still).sum(-1) > 12).mean() > 0.005, action
    meadow.reset(seed=2, options={"pitch": 40.0})
    frame, *_ = meadow.step({})
    assert (frame == still).all()


def test_breaks_and_places(meadow):
    _, info = meadow.reset(seed=2, options={"pitch": 45.0, "yaw": 0.0})
    blocks, before = meadow._grid.blocks, meadow._grid.blocks.copy()
    meadow.step({"keyboard": {"attack": 1}})
    changed = np.argwhere(blocks != before)
    assert len(changed) == 1 and blocks[tuple(changed[0])] == 0
    meadow.step({})
    meadow.reset(seed=2, options={"pitch": 45.0, "yaw": 0.0})
    blocks, before = meadow._grid.blocks, meadow._grid.blocks.copy()
    for slot, name in enumerate(HOTBAR, 1):
        meadow.step({"camera": [0.0, 40.0]})
        meadow.step({"keyboard": {f"hotbar.{slot}": 1, "use": 1}})
        assert IDS[name] in blocks[blocks != before]
        before = blocks.copy()
    meadow.reset(seed=2, options={"pitch": 90.0})
    before = meadow._grid.blocks.copy()
    meadow.step({"keyboard": {"use": 1}})
    assert (meadow._grid.blocks == before).all()  # not where the player stands


def test_holding_attack_digs_every_fifth_tick(meadow):
    meadow.reset(seed=2, options={"pitch": 90.0})
    before = meadow._grid.blocks.copy()
    counts = []
    for _ in range(11):
        meadow.step({"keyboard": {"attack": 1}})
        counts.append(int((meadow._grid.blocks != before).sum()))
    assert counts == [1] * 5 + [2] * 5 + [3]


def test_slow_breaking_shows_cracks_first():
    env = make(instant_break=False, world_seed=7)
    env.reset(seed=2, options={"pitch": 45.0})
    before = env._grid.blocks.copy()
    frames = [env.step({"keyboard": {"attack": 1}})[0] for _ in range(11)]
    assert (env._grid.blocks == before).all() and (frames[9] != frames[2]).any()
    env.step({"keyboard": {"attack": 1}})
    assert (env._grid.blocks != before).sum() == 1  # grass takes 12 ticks


def test_bedrock_stays(meadow):
    meadow.reset(seed=2, options={"pitch": 90.0})
    for _ in range(400):
        *_, info = meadow.step({"keyboard": {"attack": 1}})
    assert info["position"][1] == 1.0 and (meadow._grid.blocks[:, :, 0] == IDS["bedrock"]).all()


def test_depth():
    env = make(depth=True, size=(32, 48), world_seed=7)
    _, info = env.reset(seed=2, options={"pitch": 90.0})
    assert info["depth"].shape == (32, 48) and info["depth"].dtype == np.float32
    assert info["depth"][15:17, 23:25].mean() == pytest.approx(1.62, abs=0.01)
    _, info = env.reset(seed=2, options={"pitch": -90.0})
    assert (info["depth"][15:17, 23:25] == 80.0).all()  # nothing but sky straight above


def test_reset_puts_the_player_where_asked(meadow):
    _, there = meadow.reset(seed=3)
    for _ in range(30):
        _, _, _, _, there = meadow.step({"keyboard": {"forward": 1, "jump": 1}, "camera": [0.5, 3.0]})
    options = {"position": there["position"], "yaw": there["yaw"], "pitch": there["pitch"]}
    _, here = meadow.reset(seed=9, options=options)
    assert (here["position"] == there["position"]).all() and here["yaw"] == there["yaw"]


def test_far_from_the_start_looks_the_same(meadow):
    near, info = meadow.reset(seed=3, options={"yaw": 30.0})
    x, y, z = info["position"]
    far, _ = meadow.reset(seed=3, options={"position": [x - 40 * SIZE, y, z + 8 * SIZE], "yaw": 30.0})
    assert np.abs(far.astype(int) - near)[:, :40].max() <= 2
