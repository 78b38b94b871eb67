"""Motion by Minecraft's figures."""

import math

import numpy as np
import pytest

import envs  # noqa: F401  registers the ids
from envs.blockworld import physics
from envs.blockworld.blocks import IDS
from envs.blockworld.grid import SIZE
from tests.envs.blockworld.worlds import FLOOR


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
