"""The world of blocks: motion by Minecraft's figures, blocks, frames, determinism and what it refuses."""

import math
import subprocess
import sys
import zlib

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import envs  # noqa: F401  registers the ids
from envs.blockworld import physics
from envs.blockworld.biomes import BIOMES, mix_of
from envs.blockworld.blocks import HOTBAR, IDS
from envs.blockworld.grid import SIZE, measure, new_grid, set_block
from envs.blockworld.terrain import generate

WORLD = "worldmodel/BlockWorld-v0"
FLOOR = 10


def make(**kwargs):
    return gymnasium.make(WORLD, **{"size": 64, "biome": "meadow", **kwargs}).unwrapped


@pytest.fixture(scope="module")
def meadow():
    return make(world_seed=7)


@pytest.fixture
def plain():
    """A floor of stone whose upper face is at y = FLOOR."""
    grid = new_grid()
    grid.blocks[:, :, :FLOOR] = IDS["stone"]
    measure(grid)
    return grid


def move(grid, body, ticks, yaw=0.0, ahead=0, aside=0, jump=False, sneak=False, sprint=False):
    """Positions [ticks + 1, 3] over some ticks of the same keys."""
    path = [body[:3].copy()]
    for _ in range(ticks):
        physics.tick(grid.blocks, body, yaw, ahead, aside, jump, sneak, sprint)
        path.append(body[:3].copy())
    return np.array(path)


def stand(grid, x=20.5, y=float(FLOOR), z=20.5):
    body = physics.new_body(x, y, z)
    move(grid, body, 3)
    return body


def test_falls_and_lands(plain):
    body = physics.new_body(20.5, FLOOR + 6.0, 20.5)
    heights = move(plain, body, 40)[:, 1]
    assert heights[2] - heights[1] == pytest.approx(-0.0784)  # Minecraft's first tick of falling
    assert heights[-1] == FLOOR and body[physics.ON_GROUND] == 1.0
    assert (np.diff(heights) <= 0).all()


@pytest.mark.parametrize(("keys", "speed"), [({}, 4.317), ({"sprint": True}, 5.612), ({"sneak": True}, 1.295)])
def test_speed_on_the_ground(plain, keys, speed):
    path = move(plain, stand(plain), 40, ahead=1, **keys)
    assert (path[-1, 2] - path[-2, 2]) * 20 == pytest.approx(speed, abs=0.002)
    assert abs(path[-1, 0] - path[0, 0]) < 1e-9


def test_diagonal_is_no_faster(plain):
    step = np.diff(move(plain, stand(plain), 40, ahead=1, aside=1), axis=0)[-1]
    assert math.hypot(step[0], step[2]) * 20 == pytest.approx(4.317 / 0.98, abs=0.002)


def test_keys_and_yaw_agree(plain):
    """Yaw 0 looks to +z, 90 to -x; right is clockwise of forward."""
    for yaw, ahead, aside, direction in (
        (0, 1, 0, (0, 1)),
        (90, 1, 0, (-1, 0)),
        (0, -1, 0, (0, -1)),
        (0, 0, 1, (-1, 0)),
        (0, 0, -1, (1, 0)),
    ):
        path = move(plain, stand(plain), 20, yaw=yaw, ahead=ahead, aside=aside)
        way = (path[-1] - path[0])[[0, 2]]
        assert np.dot(way, direction) == pytest.approx(np.linalg.norm(way)) and np.linalg.norm(way) > 3


def test_jump_height(plain):
    heights = move(plain, stand(plain), 12, jump=True)[:, 1]
    assert heights.max() - FLOOR == pytest.approx(1.2522, abs=0.001)


def test_walls_stop_and_can_be_jumped(plain):
    plain.blocks[:, 24, FLOOR] = IDS["stone"]
    body = stand(plain)
    path = move(plain, body, 40, ahead=1)
    assert path[-1, 2] == pytest.approx(24 - physics.HALF_WIDTH, abs=1e-6) and path[-1, 1] == FLOOR
    assert move(plain, body, 12, ahead=1, jump=True)[:, 2].max() > 24  # one block high is not too high
    plain.blocks[:, 30, FLOOR + 1 : FLOOR + 3] = IDS["stone"]
    plain.blocks[:, 30, FLOOR] = IDS["stone"]
    assert move(plain, body, 100, ahead=1, jump=True)[-1, 2] <= 30 - physics.HALF_WIDTH + 1e-6


def test_never_inside_blocks(plain):
    generator = np.random.default_rng(0)
    plain.blocks[:, :, FLOOR][generator.random((SIZE, SIZE)) < 0.25] = IDS["stone"]
    plain.blocks[:, :, FLOOR + 2][generator.random((SIZE, SIZE)) < 0.15] = IDS["stone"]
    plain.blocks[19:22, 19:22, FLOOR : FLOOR + 4] = 0
    body = stand(plain)
    for _ in range(600):
        yaw, keys = float(generator.uniform(-180, 180)), generator.random(4) < 0.5
        ahead = int(generator.integers(-1, 2))
        move(plain, body, 3, yaw, ahead, 0, bool(keys[0]), bool(keys[1]), bool(keys[2]))
        assert physics.is_free(plain.blocks, body[0], body[1], body[2], physics.TALL_SNEAKING)
    assert abs(body[0] - 20.5) + abs(body[2] - 20.5) > 3  # it did get about


def test_sneaking_stops_at_an_edge(plain):
    plain.blocks[:, 24:, :FLOOR] = 0
    careful = move(plain, stand(plain), 200, ahead=1, sneak=True)
    assert careful[-1, 1] == FLOOR and 24 < careful[-1, 2] < 24 + physics.HALF_WIDTH
    assert move(plain, stand(plain), 60, ahead=1)[-1, 1] < FLOOR


def test_sneaking_lowers_the_eye_and_needs_room_to_rise(plain):
    body = stand(plain)
    move(plain, body, 10, sneak=True)
    assert body[physics.EYE] == pytest.approx(physics.EYE_SNEAKING, abs=0.01)
    plain.blocks[20, 20, FLOOR + 1] = 0
    assert not physics.is_free(plain.blocks, 20.5, FLOOR - 0.5, 20.5, physics.TALL)
    move(plain, body, 10)
    assert body[physics.EYE] == pytest.approx(physics.EYE_STANDING, abs=0.01)


def test_swims_up_sinks_and_climbs_out(plain):
    plain.blocks[16:26, 16:26, 3:FLOOR] = IDS["water"]
    body = stand(plain, y=4.0)
    assert move(plain, body, 20)[-1, 1] == pytest.approx(3.0)
    assert body[physics.IN_WATER] == 1.0
    rise = move(plain, body, 110, jump=True)[:, 1]
    assert rise[30] > rise[10] > 3.2 and rise[80:].min() > FLOOR - 1.2
    slow = np.diff(move(plain, stand(plain, y=4.0), 30, ahead=1), axis=0)[-1, 2] * 20
    assert 0.5 < slow < 2.5
    assert move(plain, body, 100, ahead=1, jump=True)[-1, 1] >= FLOOR  # over the bank


def test_world_wraps_without_a_seam():
    for biome in ("meadow", "default"):
        tops = generate(3, biome).tops.astype(int)
        inside = np.abs(np.diff(tops, axis=0)).mean()
        assert np.abs(tops[0] - tops[-1]).mean() < 2 * inside + 0.5
        assert np.abs(tops[:, 0] - tops[:, -1]).mean() < 2 * inside + 0.5


def test_tops_and_tiles_follow_edits():
    grid = generate(3, "meadow")
    generator = np.random.default_rng(1)
    for _ in range(200):
        x, z, y = (int(v) for v in generator.integers((-SIZE, -SIZE, 1), (SIZE, SIZE, 64)))
        set_block(grid, x, y, z, int(generator.integers(2) * IDS["stone"]))
    tops, tiles, ceiling = grid.tops.copy(), grid.tiles.copy(), grid.ceiling
    measure(grid)
    assert (tops == grid.tops).all() and (tiles == grid.tiles).all() and ceiling >= grid.ceiling


def test_default_world_has_what_it_promises():
    blocks = generate(1, "default").blocks
    present = set(np.unique(blocks))
    wanted = "water sand grass snowy_grass snow stone oak_log oak_leaves spruce_leaves cactus coal_ore diamond_ore"
    assert {IDS[name] for name in wanted.split()} <= present
    below = blocks[:, :, 3:15]
    assert 0.01 < (below == 0).mean() < 0.3  # caves
    wet = blocks == IDS["water"]
    assert not (wet[:, :, 1:] & (blocks[:, :, :-1] == 0)).any()  # no water hangs in the air


@pytest.mark.parametrize("biome", [*BIOMES, {"desert": 1, "forest": 3.0}])
def test_biomes_give_a_start_on_open_ground(biome):
    env = make(biome=biome, size=32)
    for seed in range(2):
        _, info = env.reset(seed=seed)
        x, y, z = (int(v) for v in np.floor(info["position"]))
        column = env._grid.blocks[x % SIZE, z % SIZE]
        assert column[y - 1] in (IDS["grass"], IDS["sand"], IDS["snowy_grass"]) and (column[y:] == 0).all()


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


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"biome": "medow"}, "'meadow'"),
        ({"biome": {"forrest": 1}}, "'forest'"),
        ({"biome": {"meadow": 1}}, "cannot be mixed"),
        ({"biome": {"forest": -1}}, "forest"),
        ({"biome": {"forest": 0}}, "above 0"),
        ({"biome": 3}, "biome must be"),
        ({"size": 8}, "size must be"),
        ({"size": (64, 64, 3)}, "size must be"),
        ({"fov": 0}, "fov must be"),
        ({"world_seed": 1.5}, "world_seed must be"),
        ({"render_mode": "ansi"}, "render_mode must be"),
    ],
)
def test_bad_arguments(kwargs, words):
    with pytest.raises(ValueError, match=words):
        make(**kwargs)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ({"keyboard": {"foward": 1}}, "'forward'"),
        ({"keybord": {}}, "'keyboard'"),
        ({"keyboard": {"forward": 2}}, "keyboard.forward"),
        ({"camera": [0.0, float("nan")]}, "camera"),
        ({"camera": [0.0]}, "camera"),
        ({"camera": [0.0, 500.0]}, "camera"),
    ],
)
def test_bad_actions(meadow, action, words):
    meadow.reset(seed=0)
    with pytest.raises(ValueError, match=words):
        meadow.step(action)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"postion": [0, 40, 0]}, "'position'"),
        ({"position": [0, 5, 0]}, "inside blocks"),
        ({"position": [0, 5]}, "position must be"),
        ({"pitch": 100}, "pitch must be"),
    ],
)
def test_bad_options(meadow, options, words):
    with pytest.raises(ValueError, match=words):
        meadow.reset(seed=0, options=options)


def test_mix_is_shares():
    assert mix_of({"desert": 1, "forest": 3.0}).tolist() == [0.0, 0.75, 0.25, 0.0, 0.0]
    assert mix_of("default").sum() == pytest.approx(1.0)
