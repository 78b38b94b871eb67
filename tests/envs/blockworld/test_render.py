"""What light and air do to a picture: shadows, corners, fog, clouds, and how much of the world it shows."""

import math

import numpy as np
import pytest

import envs  # noqa: F401  registers the ids
from envs.blockworld.blocks import IDS
from envs.blockworld.grid import measure, set_block
from envs.blockworld.render import render
from envs.blockworld.scene import build_scene, set_clouds
from envs.blockworld.styles import Style
from tests.envs.blockworld.worlds import FLOOR, make

SIDE, FOV = 48, 70.0
EYE = FLOOR + 1.62
X, Z = 200, 200


def scene_of(**changes):
    """The light of the lively worlds over blocks of one colour each."""
    return build_scene(Style(contrast=0.0)._replace(**changes))


def picture(grid, scene, x, y, z, yaw=0.0, pitch=0.0):
    """[SIDE, SIDE, 3] as numbers that can be subtracted."""
    frame, depth = np.zeros((SIDE, SIDE, 3), np.uint8), np.zeros((SIDE, SIDE), np.float32)
    colours, keys = np.zeros((SIDE, SIDE, 3), np.float32), np.zeros((SIDE, SIDE), np.int64)
    render(grid, scene, x, y, z, yaw, pitch, FOV, frame, depth, colours, keys)
    return frame.astype(float)


def light_on_the_floor(grid, scene, *points):
    """Brightness of the floor at offsets [(x, z), ...] from the middle of block (X, Z), looked at from above."""
    height = 8.0
    frame = picture(grid, scene, X + 0.5, FLOOR + height, Z + 0.5, pitch=90.0)
    pixels_per_block = 0.5 * SIDE / math.tan(math.radians(FOV / 2)) / height  # up is +z, right is -x
    return [
        frame[int(0.5 * SIDE - pixels_per_block * z), int(0.5 * SIDE - pixels_per_block * x)].mean() for x, z in points
    ]


def test_a_pillar_throws_its_shadow_away_from_the_sun(plain):
    scene = scene_of(occlusion=0.0)
    across, along = scene.sun[0] / scene.sun[1], scene.sun[2] / scene.sun[1]  # of its shadow, for a block of height
    behind = [(-k * across, -k * along) for k in (1.5, 2.5, 5.5)]
    points = [*behind, *[(-x, -z) for x, z in behind]]
    plain_light = light_on_the_floor(plain, scene, *points)
    assert np.ptp(plain_light) < 2
    for y in range(FLOOR, FLOOR + 3):
        set_block(plain, X, y, Z, IDS["stone"])
    light = np.array(light_on_the_floor(plain, scene, *points)) / plain_light
    np.testing.assert_allclose(light, [1 - scene.sunlight] * 2 + [1.0] * 4, atol=0.05)  # no longer than it is high


def test_corners_are_darker_than_open_ground(plain):
    for along in range(-1, 6):  # two walls, which meet at (-1, -1) from the point that is looked at
        for y in range(FLOOR, FLOOR + 2):
            set_block(plain, X - 1, y, Z + along, IDS["stone"])
            set_block(plain, X + along, y, Z - 1, IDS["stone"])
    points = [(-0.35, -0.35), (0.0, 0.0), (-0.35, 2.0), (3.0, 3.0)]
    corner, beside, wall, open_ground = light_on_the_floor(plain, scene_of(sunlight=0.0), *points)
    assert corner < 0.7 * open_ground and corner < beside < open_ground and corner < wall < 0.9 * open_ground
    assert np.ptp(light_on_the_floor(plain, scene_of(sunlight=0.0, occlusion=0.0), *points)) < 2


def test_what_is_far_fades_into_the_sky(plain):
    scene, middle = scene_of(), SIDE // 2

    def wall_at(distance):
        grid = plain.copy()
        grid.blocks[:, Z + distance, FLOOR : FLOOR + 12] = IDS["bricks"]
        measure(grid)
        return picture(grid, scene, X + 0.5, EYE, float(Z))[middle - 1, middle]

    sky = picture(plain, scene, X + 0.5, EYE, float(Z))[middle - 1, middle]
    np.testing.assert_allclose(sky, np.array(scene.horizon) * 255, atol=5)
    near, still_near, far, farther, last, beyond = (
        np.abs(wall_at(distance) - sky).sum() for distance in (10, 45, 75, 95, 109, 114)
    )
    assert near > 200 and still_near == pytest.approx(near, abs=3)
    assert near - 20 > far > farther + 20 and farther > last and last < 5 and beyond == 0


def test_clouds_are_there(plain):
    up = {"x": X + 0.5, "y": EYE, "z": Z + 0.5, "pitch": -80.0}
    clear = picture(plain, scene_of(), **up)
    for soft in (0.0, 0.3):
        scene = scene_of(cloud_soft=soft, cloud_scale=4.0)
        skies = []
        for seed in (1, 2):
            set_clouds(scene, seed)
            skies.append(picture(plain, scene, **up))
            whiter = skies[-1].mean(-1) - clear.mean(-1)
            assert whiter.min() > -1 and 0.05 < (whiter > 20).mean() < 0.95
        assert np.abs(skies[0] - skies[1]).mean() > 5  # every world has its own
        elsewhere = picture(plain, scene, **{**up, "x": up["x"] + 3.0})
        scene.drift = 3.0  # blocks that they have moved
        np.testing.assert_array_equal(picture(plain, scene, **up), elsewhere)
        assert (elsewhere != skies[1]).any()


@pytest.mark.parametrize(("biome", "moves"), [("plains", True), ("meadow", False)])
def test_clouds_move_as_time_goes_by(biome, moves):
    env = make(biome=biome, size=32, world_seed=7)
    first, _ = env.reset(seed=1, options={"pitch": -90.0})
    for _ in range(200):
        last, *_ = env.step({})
    assert (np.abs(last.astype(int) - first)[:24] > 10).any() == moves


def test_a_wider_view_shows_more():
    """The same block fills less of the picture, by the square of the tangent."""
    sizes = []
    for fov in (40.0, 70.0, 100.0):
        env = make(fov=fov, world_seed=7)
        _, info = env.reset(seed=1, options={"yaw": 0.0, "pitch": 0.0})
        x, y, z = (int(v) for v in np.floor(info["position"]))
        set_block(env._grid, x, y + 1, z + 4, IDS["gold"])
        frame = env.step({})[0][:50].astype(int)  # without the block in hand
        sizes.append(np.count_nonzero((frame[..., 0] > 120) & (frame[..., 2] < 80)))
    areas = [size * math.tan(math.radians(fov / 2)) ** 2 for size, fov in zip(sizes, (40, 70, 100), strict=True)]
    np.testing.assert_allclose(areas, areas[0], rtol=0.2)
    assert sizes[2] > 20
