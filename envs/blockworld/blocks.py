"""The blocks: names, textures, how they are drawn, whether they can be walked through, and how long they take to break.

Ids are positions in `BLOCKS`; air is 0. The compiled kernels read the arrays at the end of this file as constants.
"""

from typing import NamedTuple

import numpy as np

AIR_KIND, WATER_KIND, SPRITE_KIND, CUBE_KIND = 0, 1, 2, 3
UNBREAKABLE = 1_000_000


class Block(NamedTuple):
    """One kind of block.

    Attributes:
        name: Unique, lower case.
        top: Texture of the upper face, "" for air.
        side: Texture of the four sides; the upper one where empty.
        bottom: Texture of the lower face; the upper one where empty.
        kind: How a ray meets it: `AIR_KIND`, `WATER_KIND`, `SPRITE_KIND` (crossed pictures) or `CUBE_KIND`.
        break_ticks: Ticks of 50 ms of holding `attack` until it breaks; `instant_break` worlds ignore it.
    """

    name: str
    top: str
    side: str = ""
    bottom: str = ""
    kind: int = CUBE_KIND
    break_ticks: int = 10


BLOCKS = (
    Block("air", "", kind=AIR_KIND, break_ticks=UNBREAKABLE),
    Block("water", "water", kind=WATER_KIND, break_ticks=UNBREAKABLE),
    Block("bedrock", "bedrock", break_ticks=UNBREAKABLE),
    Block("grass", "grass", "grass_side", "dirt", break_ticks=12),
    Block("dirt", "dirt", break_ticks=10),
    Block("stone", "stone", break_ticks=24),
    Block("cobblestone", "cobblestone", break_ticks=24),
    Block("sand", "sand", break_ticks=10),
    Block("sandstone", "sandstone", break_ticks=20),
    Block("gravel", "gravel", break_ticks=12),
    Block("snow", "snow", break_ticks=8),
    Block("snowy_grass", "snow", "snowy_side", "dirt", break_ticks=12),
    Block("coal_ore", "coal_ore", break_ticks=30),
    Block("iron_ore", "iron_ore", break_ticks=30),
    Block("gold_ore", "gold_ore", break_ticks=30),
    Block("diamond_ore", "diamond_ore", break_ticks=30),
    Block("oak_log", "oak_end", "oak_log", "oak_end", break_ticks=20),
    Block("birch_log", "birch_end", "birch_log", "birch_end", break_ticks=20),
    Block("spruce_log", "spruce_end", "spruce_log", "spruce_end", break_ticks=20),
    Block("oak_leaves", "oak_leaves", break_ticks=4),
    Block("birch_leaves", "birch_leaves", break_ticks=4),
    Block("spruce_leaves", "spruce_leaves", break_ticks=4),
    Block("cherry_leaves", "cherry_leaves", break_ticks=4),
    Block("planks", "planks", break_ticks=20),
    Block("bricks", "bricks", break_ticks=24),
    Block("gold", "gold", break_ticks=24),
    Block("cactus", "cactus_top", "cactus", "cactus_top", break_ticks=8),
    Block("poppy", "poppy", kind=SPRITE_KIND, break_ticks=1),
    Block("dandelion", "dandelion", kind=SPRITE_KIND, break_ticks=1),
    Block("tall_grass", "tall_grass", kind=SPRITE_KIND, break_ticks=1),
)

IDS = {block.name: index for index, block in enumerate(BLOCKS)}

HOTBAR = ("cobblestone", "dirt", "sand", "planks", "bricks", "oak_log", "oak_leaves", "snow", "gold")
"""What `use` places after `hotbar.1` … `hotbar.9`."""

TEXTURES = tuple(dict.fromkeys(name for block in BLOCKS for name in (block.top, block.side, block.bottom) if name))

KIND = np.array([block.kind for block in BLOCKS], np.uint8)
"""[blocks] how a ray meets each block."""

SOLID = np.array([block.kind == CUBE_KIND for block in BLOCKS], np.bool_)
"""[blocks] whether a player collides with it."""

BREAK_TICKS = np.array([block.break_ticks for block in BLOCKS], np.int32)
"""[blocks] ticks of `attack` until it breaks."""


def _faces(block: Block) -> tuple[int, ...]:
    if not block.top:
        return (0,) * 6
    side, bottom = block.side or block.top, block.bottom or block.top
    return tuple(TEXTURES.index(name) for name in (side, side, bottom, block.top, side, side))


FACE_TEXTURE = np.array([_faces(block) for block in BLOCKS], np.int32)
"""[blocks, 6] texture of the faces that look to -x, +x, -y (down), +y (up), -z, +z."""
