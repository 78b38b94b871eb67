"""The biomes that a world can be mixed from, and how a mix is written."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from conditions.values import nearest
from envs.blockworld.blocks import IDS

MEADOW = "meadow"


class Biome(NamedTuple):
    """Land of one kind. Heights in blocks above the sea.

    Attributes:
        base: Mean height.
        amplitude: Height of the hills.
        ridges: Height of the sharp crests.
        top: Block of the surface.
        below: Block of the three layers under it.
        trees: Chance of a tree, or of a cactus in sand, in every 8x8 columns.
        plants: Chance of grass or a flower on every column.
    """

    base: float
    amplitude: float
    ridges: float
    top: str
    below: str
    trees: float
    plants: float


BIOMES = {
    "plains": Biome(3.0, 5.0, 0.0, "grass", "dirt", 0.10, 0.07),
    "forest": Biome(5.0, 9.0, 0.0, "grass", "dirt", 0.62, 0.04),
    "desert": Biome(3.5, 6.0, 2.0, "sand", "sandstone", 0.12, 0.0),
    "taiga": Biome(6.0, 10.0, 0.0, "snowy_grass", "dirt", 0.40, 0.0),
    "mountains": Biome(10.0, 12.0, 18.0, "grass", "dirt", 0.22, 0.02),
}

NUMBERS = np.array([[b.base, b.amplitude, b.ridges, b.trees, b.plants] for b in BIOMES.values()], np.float64)
SURFACE = np.array([[IDS[b.top], IDS[b.below]] for b in BIOMES.values()], np.uint8)
DEFAULT_MIX = {"plains": 1.0, "forest": 1.4, "desert": 0.5, "taiga": 0.6, "mountains": 1.0}


def mix_of(biome: str | Mapping[str, float]) -> NDArray[np.float64]:
    """Reads how much of each biome a world has.

    Args:
        biome: "default" (some of each), one name of `BIOMES`, or a dict of names and relative weights.

    Returns:
        [biomes] float64 shares that sum to 1, in the order of `BIOMES`.

    Raises:
        ValueError: For an unknown biome, or weights that are not numbers >= 0 with a positive sum.
    """
    if isinstance(biome, str):
        if biome not in ("default", *BIOMES):
            raise ValueError(f"unknown biome {biome!r}{nearest(biome, ('default', MEADOW, *BIOMES))}")
        weights: Mapping[str, float] = DEFAULT_MIX if biome == "default" else {biome: 1.0}
    elif isinstance(biome, Mapping):
        weights = biome
    else:
        raise ValueError(f"biome must be a name or a dict of names and weights, got {type(biome).__name__} {biome!r}")
    for name, weight in weights.items():
        if name == MEADOW:
            raise ValueError(f"the meadow is a world of its own and cannot be mixed, got {dict(weights)}")
        if name not in BIOMES:
            raise ValueError(f"unknown biome {name!r}{nearest(name, BIOMES)}")
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight < float("inf"):
            raise ValueError(f"weight of biome {name!r} must be a number >= 0, got {weight!r}")
    shares = np.array([float(weights.get(name, 0.0)) for name in BIOMES])
    if shares.sum() <= 0:
        raise ValueError(f"a mix of biomes needs at least one weight above 0, got {dict(weights)}")
    return shares / shares.sum()
