"""Land: its shape by biome, what it is made of, and the order in which a world is built."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from envs.blockworld import caves, meadow, plants
from envs.blockworld.biomes import BIOMES, MEADOW, NUMBERS, SURFACE, mix_of
from envs.blockworld.blocks import IDS
from envs.blockworld.grid import HEIGHT, SIZE, measure, new_grid
from envs.blockworld.jit import kernel
from envs.blockworld.noise import fractal2, noise2

SEA_LEVEL = 22
SNOW_LINE, ROCK_LINE = 47, 40
NUM_BIOMES = len(BIOMES)
BEDROCK, GRASS, DIRT, STONE, SAND, WATER, SNOW, SNOWY_GRASS, GRAVEL = (
    IDS[name] for name in ("bedrock", "grass", "dirt", "stone", "sand", "water", "snow", "snowy_grass", "gravel")
)


@kernel
def _shape_land(mix: Any, heights: Any, kinds: Any, seed: int) -> None:
    """Heights of all columns, and their biome: the one whose noise, raised by its share, is the highest.

    Heights blend over the borders between biomes.
    """
    shares = np.empty(NUM_BIOMES)
    for x in range(SIZE):
        for z in range(SIZE):
            total, best = 0.0, -1.0
            for biome in range(NUM_BIOMES):
                shares[biome] = 0.0
                if mix[biome] > 0.0:
                    field = noise2(x / 128, z / 128, SIZE // 128, seed + 31 * biome + 500)
                    shares[biome] = mix[biome] * math.exp(9.0 * field)
                    total += shares[biome]
                    if shares[biome] > best:
                        best, kinds[x, z] = shares[biome], biome
            base, amplitude, ridges = 0.0, 0.0, 0.0
            for biome in range(NUM_BIOMES):
                share = shares[biome] / total
                base += share * NUMBERS[biome, 0]
                amplitude += share * NUMBERS[biome, 1]
                ridges += share * NUMBERS[biome, 2]
            hills = fractal2(x / 64, z / 64, SIZE // 64, 4, seed)
            level = base + amplitude * hills
            if ridges > 0.5:
                level += (
                    ridges * max(0.0, 1.0 - 2.2 * abs(noise2(x / 64, z / 64, SIZE // 64, seed + 77))) * (0.6 + hills)
                )
            lake = fractal2(x / 128, z / 128, SIZE // 128, 2, seed + 300)
            level -= 26.0 * max(0.0, lake - 0.12)
            heights[x, z] = min(max(int(SEA_LEVEL + math.floor(max(level, -14.0) + 0.5)), 4), HEIGHT - 7)


@kernel
def _fill_columns(blocks: Any, heights: Any, kinds: Any, seed: int) -> None:
    """Bedrock, stone, earth, surface and water of every column."""
    for x in range(SIZE):
        for z in range(SIZE):
            height = heights[x, z]
            top, below = SURFACE[kinds[x, z], 0], SURFACE[kinds[x, z], 1]
            rough = 3.0 * noise2(x / 16, z / 16, SIZE // 16, seed + 41)
            steep = abs(heights[(x + 1) % SIZE, z] - height) + abs(heights[x, (z + 1) % SIZE] - height)
            if height <= SEA_LEVEL + 1 + (rough > 1.2):
                top, below = SAND, SAND
                if height < SEA_LEVEL - 5 and rough > 0.0:
                    top, below = GRAVEL, DIRT
            elif top != SAND:
                if height > SNOW_LINE + rough:
                    top, below = SNOW, STONE
                elif height > ROCK_LINE + rough or (steep >= 5 and height > SEA_LEVEL + 8):
                    top, below = STONE, STONE
            column = blocks[x, z]
            column[0] = BEDROCK
            column[1 : height - 3] = STONE
            column[height - 3 : height] = below
            column[height] = top
            column[height + 1 : SEA_LEVEL + 1] = WATER


def generate(seed: int, biome: str | Mapping[str, float]) -> Any:
    """Builds a world.

    Args:
        seed: Any integer; the same one gives the same world.
        biome: "meadow", or what `biomes.mix_of` takes.

    Returns:
        A grid, as `grid` describes.

    Raises:
        ValueError: For an unknown biome.
    """
    seed &= 0x7FFFFFFF
    grid = new_grid()
    blocks = grid.blocks
    heights = np.zeros((SIZE, SIZE), np.int64)
    if biome == MEADOW:
        meadow.shape_land(blocks, heights, seed)
        meadow.place_trees(blocks, heights, seed)
        meadow.place_boulders(blocks, heights, seed)
        meadow.place_flowers(blocks, heights, seed)
    else:
        kinds = np.zeros((SIZE, SIZE), np.uint8)
        _shape_land(mix_of(biome), heights, kinds, seed)
        _fill_columns(blocks, heights, kinds, seed)
        caves.place_ores(blocks, seed)
        caves.carve(blocks, heights, seed, SEA_LEVEL)
        plants.place_trees(blocks, heights, kinds, seed)
        plants.place_plants(blocks, heights, kinds, seed)
    measure(grid)
    return grid
