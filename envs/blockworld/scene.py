"""What a frame needs besides the blocks, in one NumPy record that kernels take as one pointer.

It holds every number of a `Style` under its own name, and

- `textures` [textures, 341, 3] float32 from `textures.build_textures`;
- `cracks` [16, 16] float32 from `textures.build_cracks`;
- `clouds` [256, 256] float32, how much cloud hides the sky at each cell of the cloud plane, 0 to 1; wraps around;
- `drift` float64, blocks that the clouds have moved;
- `target` [3] int64 and `progress` float64, the block that is being broken and how far it is, 0 (not) to 1.
"""

from typing import Any

import numpy as np

from envs.blockworld.blocks import TEXTURES
from envs.blockworld.jit import kernel
from envs.blockworld.noise import fractal2
from envs.blockworld.styles import Style
from envs.blockworld.textures import SIZE, TEXELS, build_cracks, build_textures

CLOUD_TEXELS = 256

SCENE = np.dtype(
    [
        ("textures", np.float32, (len(TEXTURES), TEXELS, 3)),
        ("cracks", np.float32, (SIZE, SIZE)),
        ("clouds", np.float32, (CLOUD_TEXELS, CLOUD_TEXELS)),
        ("drift", np.float64),
        ("target", np.int64, (3,)),
        ("progress", np.float64),
        *[(name, np.float64, (3,) if isinstance(value, tuple) else ()) for name, value in Style()._asdict().items()],
    ]
)


@kernel
def _draw_clouds(scene: Any, seed: int) -> None:
    cells = int(scene.cloud_cells)
    for i in range(CLOUD_TEXELS):
        for j in range(CLOUD_TEXELS):
            noise = fractal2(i * cells / CLOUD_TEXELS, j * cells / CLOUD_TEXELS, cells, 2, seed)
            if scene.cloud_soft == 0.0:
                scene.clouds[i, j] = 0.88 if noise > scene.cloud_cover else 0.0
            else:
                level = min(max((noise - scene.cloud_cover) / scene.cloud_soft, 0.0), 1.0)
                scene.clouds[i, j] = 0.95 * level * level * (3.0 - 2.0 * level)


def build_scene(style: Style) -> Any:
    """A scene of this style, without clouds yet."""
    scene = np.zeros(1, SCENE).view(np.recarray)[0]
    scene.textures = build_textures(style.contrast, style.turf)
    scene.cracks = build_cracks()
    for name, value in style._asdict().items():
        scene[name] = value
    return scene


def set_clouds(scene: Any, seed: int) -> None:
    """Draws the clouds of a world's seed."""
    _draw_clouds(scene, seed & 0x7FFFFFFF)
