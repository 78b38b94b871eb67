"""16x16 pictures for every block face, painted by code, with their mipmaps.

A texture is a colour plus a few deterministic marks. `contrast` scales the marks about the colour, so that one
painter serves the lively worlds and the calm one.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from envs.blockworld.blocks import TEXTURES

SIZE = 16
LEVEL_OFFSET = np.array([0, 256, 320, 336, 340], np.int64)
"""Where each mip level (16, 8, 4, 2, 1 texels wide) starts in a texture's 341 texels."""
TEXELS = 341

Picture = NDArray[np.float32]
Painter = Callable[[np.random.Generator], Picture]


def _speckle(colour: tuple[int, int, int], amount: float, blobs: float = 0.0) -> Painter:
    """A colour with brightness noise: `amount` per texel, `blobs` in patches of 4x4 that wrap around."""

    def paint(generator: np.random.Generator) -> Picture:
        fine = generator.uniform(-1, 1, (SIZE, SIZE))
        coarse = np.kron(generator.uniform(-1, 1, (4, 4)), np.ones((4, 4)))
        coarse = (coarse + np.roll(coarse, 2, 0) + np.roll(coarse, 2, 1)) / 2
        return (np.array(colour) * (1 + amount * fine + blobs * coarse)[..., None]).astype(np.float32)

    return paint


def _over(base: Painter, marks: Callable[[Picture, np.random.Generator], None]) -> Painter:
    """`base` with `marks` drawn into it in place."""

    def paint(generator: np.random.Generator) -> Picture:
        picture = base(generator)
        marks(picture, generator)
        return picture

    return paint


def _fringe(colour: tuple[int, int, int], depth: int) -> Callable[[Picture, np.random.Generator], None]:
    """A ragged band of `colour` along the upper edge, as grass and snow have on their sides."""

    def draw(picture: Picture, generator: np.random.Generator) -> None:
        cover = _speckle(colour, 0.06)(generator)
        for column in range(SIZE):
            length = depth + int(generator.integers(0, 3))
            picture[:length, column] = cover[:length, column]

    return draw


def _ore(colour: tuple[int, int, int]) -> Callable[[Picture, np.random.Generator], None]:
    def draw(picture: Picture, generator: np.random.Generator) -> None:
        for row, column in ((2, 3), (4, 10), (8, 6), (10, 12), (12, 2)):
            row, column = row + int(generator.integers(0, 2)), column + int(generator.integers(0, 2))
            picture[row : row + 2, column : column + 3] = colour
            picture[row + 1, column + 1] = np.array(colour) * 0.75

    return draw


def _bark(dark: float) -> Callable[[Picture, np.random.Generator], None]:
    def draw(picture: Picture, generator: np.random.Generator) -> None:
        for column in (1, 4, 7, 10, 13):
            picture[:, column] *= dark
            start = int(generator.integers(0, SIZE))
            picture[start : start + 4, column] /= dark

    return draw


def _dashes(picture: Picture, generator: np.random.Generator) -> None:
    for row in (1, 5, 8, 12):
        column = int(generator.integers(0, 11))
        picture[row : row + 2, column : column + 5] = (62, 60, 56)


def _rings(picture: Picture, generator: np.random.Generator) -> None:
    rows, columns = np.mgrid[:SIZE, :SIZE]
    distance = np.maximum(abs(rows - 7.5), abs(columns - 7.5)).astype(int)
    picture[distance % 2 == 1] *= 0.84
    picture[distance == 7] *= 0.62


def _boards(picture: Picture, generator: np.random.Generator) -> None:
    picture[3::4] *= 0.72
    for board in range(4):
        picture[board * 4 : board * 4 + 3, (board * 7 + 3) % SIZE] *= 0.78


def _mortar(picture: Picture, generator: np.random.Generator) -> None:
    picture[3::4] = (186, 178, 168)
    for course in range(4):
        picture[course * 4 : course * 4 + 3, course % 2 * 4 :: 8] = (186, 178, 168)


def _pebbles(picture: Picture, generator: np.random.Generator) -> None:
    seeds = generator.uniform(0, SIZE, (14, 2))
    rows, columns = np.mgrid[:SIZE, :SIZE]
    offset = np.abs(np.stack([rows, columns], -1)[:, :, None] - seeds)
    distance = np.sort(np.hypot(*np.moveaxis(np.minimum(offset, SIZE - offset), -1, 0)), -1)
    picture[distance[..., 1] - distance[..., 0] < 0.9] *= 0.74


def _layers(picture: Picture, generator: np.random.Generator) -> None:
    picture[5] *= 0.88
    picture[10] *= 0.9
    picture[15] *= 0.82


def _ribs(picture: Picture, generator: np.random.Generator) -> None:
    picture[:, 2::4] *= 0.7


def _rim(picture: Picture, generator: np.random.Generator) -> None:
    border = np.ones((SIZE, SIZE), bool)
    border[1:-1, 1:-1] = False
    picture[border] *= 0.8


def _gaps(picture: Picture, generator: np.random.Generator) -> None:
    """Darker clumps between leaves."""
    holes = generator.uniform(0, 1, (8, 8)) < 0.3
    picture[np.kron(holes, np.ones((2, 2))).astype(bool)] *= 0.78


GRASS, DIRT, STONE, SNOW = (104, 172, 66), (148, 110, 78), (132, 132, 134), (242, 246, 250)

PAINTERS: dict[str, Painter] = {
    "water": _speckle((58, 104, 190), 0.02),
    "bedrock": _speckle((70, 70, 72), 0.3, 0.2),
    "grass": _speckle(GRASS, 0.1, 0.05),
    "grass_side": _over(_speckle(DIRT, 0.1, 0.06), _fringe(GRASS, 3)),
    "dirt": _speckle(DIRT, 0.12, 0.06),
    "stone": _speckle(STONE, 0.05, 0.07),
    "cobblestone": _over(_speckle((142, 142, 144), 0.07), _pebbles),
    "sand": _speckle((226, 212, 160), 0.05, 0.02),
    "sandstone": _over(_speckle((218, 202, 150), 0.03), _layers),
    "gravel": _over(_speckle((138, 130, 126), 0.14), _pebbles),
    "snow": _speckle(SNOW, 0.015),
    "snowy_side": _over(_speckle(DIRT, 0.1, 0.06), _fringe(SNOW, 4)),
    "coal_ore": _over(_speckle(STONE, 0.05, 0.06), _ore((44, 44, 46))),
    "iron_ore": _over(_speckle(STONE, 0.05, 0.06), _ore((216, 172, 142))),
    "gold_ore": _over(_speckle(STONE, 0.05, 0.06), _ore((250, 214, 62))),
    "diamond_ore": _over(_speckle(STONE, 0.05, 0.06), _ore((92, 226, 220))),
    "oak_log": _over(_speckle((122, 92, 58), 0.06), _bark(0.78)),
    "oak_end": _over(_speckle((176, 142, 88), 0.04), _rings),
    "birch_log": _over(_speckle((216, 214, 206), 0.03), _dashes),
    "birch_end": _over(_speckle((206, 186, 140), 0.04), _rings),
    "spruce_log": _over(_speckle((74, 52, 32), 0.06), _bark(0.78)),
    "spruce_end": _over(_speckle((136, 104, 62), 0.04), _rings),
    "oak_leaves": _over(_speckle((76, 150, 58), 0.12, 0.05), _gaps),
    "birch_leaves": _over(_speckle((116, 158, 70), 0.1, 0.05), _gaps),
    "spruce_leaves": _over(_speckle((52, 92, 62), 0.12, 0.05), _gaps),
    "cherry_leaves": _over(_speckle((240, 168, 200), 0.06, 0.04), _gaps),
    "planks": _over(_speckle((184, 146, 90), 0.05), _boards),
    "bricks": _over(_speckle((164, 84, 66), 0.07), _mortar),
    "gold": _over(_speckle((250, 212, 72), 0.03), _rim),
    "cactus": _over(_speckle((74, 138, 58), 0.06), _ribs),
    "cactus_top": _over(_speckle((96, 156, 72), 0.05), _rim),
    "poppy": _speckle((214, 44, 36), 0.05),
    "dandelion": _speckle((250, 216, 50), 0.05),
    "tall_grass": _speckle((92, 160, 58), 0.1),
}


def _mipmap(picture: Picture) -> Picture:
    levels = [picture.reshape(-1, 3)]
    while picture.shape[0] > 1:
        half = picture.shape[0] // 2
        picture = picture.reshape(half, 2, half, 2, 3).mean((1, 3))
        levels.append(picture.reshape(-1, 3))
    return np.concatenate(levels)


def build_textures(contrast: float = 1.0, turf: bool = False) -> NDArray[np.float32]:
    """Paints every texture of `blocks.TEXTURES`.

    Args:
        contrast: How strongly the marks stand out from a texture's mean colour; 1 as painted, 0 flat.
        turf: Whether grass covers the whole of its block's sides.

    Returns:
        [textures, 341, 3] float32 colours in [0, 1], each texture's mip levels one after another
        (`LEVEL_OFFSET`).
    """
    pictures = []
    for index, name in enumerate(TEXTURES):
        source = "grass" if turf and name == "grass_side" else name
        picture = PAINTERS[source](np.random.default_rng([16, index]))
        mean = picture.mean((0, 1))
        if source.endswith("_side"):  # the band and the earth keep their own colours; only the grain is calmed
            mean = np.where((np.arange(SIZE) < 4)[:, None, None], picture[:3].mean((0, 1)), picture[6:].mean((0, 1)))
        picture = np.clip(mean + contrast * (picture - mean), 0, 255) / 255
        pictures.append(_mipmap(picture.astype(np.float32)))
    return np.stack(pictures)


def build_sprites() -> NDArray[np.float32]:
    """Cut-outs of plants.

    Returns:
        [textures, 16, 16] float32: 0 where a plant's picture is empty, 1 for its bloom, 0.5 for a blade, -1 for its
        stem. Row 0 is the top. Textures of cubes stay 0.
    """
    sprites = np.zeros((len(TEXTURES), SIZE, SIZE), np.float32)
    for name in ("poppy", "dandelion"):
        sprite = sprites[TEXTURES.index(name)]
        sprite[8:, 7:9] = -1
        sprite[11:13, 5:7] = -1
        sprite[3:9, 5:11] = 1
        sprite[4:8, 4:12] = 1
    grass = sprites[TEXTURES.index("tall_grass")]
    for column, top, lean in ((1, 8, -1), (3, 4, 1), (5, 7, -1), (7, 2, 1), (9, 6, -1), (11, 3, 1), (13, 7, 1)):
        grass[top:, column] = 0.5
        grass[max(0, top - 2) : top + 2, column + lean] = 0.5
    return sprites


def build_cracks() -> NDArray[np.float32]:
    """When each texel of a block's face cracks as the block is broken.

    Returns:
        [16, 16] float32: the share of the breaking time, 2 for texels that never do.
    """
    cracks = np.full((SIZE, SIZE), 2.0, np.float32)
    generator = np.random.default_rng(11)
    for branch in range(9):
        row, column = 7.5, 7.5
        angle = 2 * np.pi * (branch + generator.uniform(0, 0.8)) / 9
        for reached in np.linspace(0.0, 0.95, 13):
            i, j = int(np.clip(row, 0, SIZE - 1)), int(np.clip(column, 0, SIZE - 1))
            cracks[i, j] = min(cracks[i, j], reached)
            angle += generator.uniform(-0.7, 0.7)
            row, column = row + 0.75 * np.sin(angle), column + 0.75 * np.cos(angle)
    return cracks
