"""What the world of blocks refuses."""

import pytest

import envs  # noqa: F401  registers the ids
from tests.envs.blockworld.worlds import make


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
        ([1, 2], "action must be a dict"),
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
