"""How a biome is lit: sky, sun, fog, clouds and how lively its textures are."""

from typing import NamedTuple


class Style(NamedTuple):
    """Light and air of a world. Colours are RGB in [0, 1], distances in blocks.

    Attributes:
        far: View distance; everything beyond is fog.
        fog_start: Where fog begins.
        zenith: Colour of the sky straight up.
        horizon: Colour of the sky at the horizon and of the fog.
        sun: Unit vector to the sun.
        sunlight: Share of the light that comes from the sun, the rest is ambient.
        cloud_height: Height of the cloud plane.
        cloud_scale: Size of one cell of the cloud map.
        cloud_cells: Lumps of noise across the 256 cells of the cloud map.
        cloud_cover: Noise level above which there is cloud, -1 (all) to 1 (none).
        cloud_soft: Width of a cloud's edge in noise units; 0 draws square cells.
        cloud_drift: Blocks that the clouds move each second.
        water: Colour of deep water.
        clarity: Distance that one can see through water.
        contrast: Contrast of the textures.
        occlusion: Strength of ambient occlusion in corners.
        lamp: Light that the player carries, seen where the sky is hidden.
        turf: Whether grass covers the whole sides of its blocks.
        tint: How far the colours of single grass blocks lie apart, from deep to dry; 0 paints all alike.
    """

    far: float = 112.0
    fog_start: float = 48.0
    zenith: tuple[float, float, float] = (0.40, 0.58, 0.92)
    horizon: tuple[float, float, float] = (0.74, 0.84, 0.95)
    sun: tuple[float, float, float] = (0.42, 0.80, 0.43)
    sunlight: float = 0.42
    cloud_height: float = 84.0
    cloud_scale: float = 8.0
    cloud_cells: int = 64
    cloud_cover: float = 0.1
    cloud_soft: float = 0.0
    cloud_drift: float = 0.6
    water: tuple[float, float, float] = (0.16, 0.32, 0.66)
    clarity: float = 14.0
    contrast: float = 1.0
    occlusion: float = 0.55
    lamp: float = 0.8
    turf: bool = False
    tint: float = 0.0


STYLES = {
    "default": Style(),
    "meadow": Style(
        far=80.0,
        fog_start=24.0,
        zenith=(0.36, 0.62, 0.95),
        horizon=(0.78, 0.89, 0.98),
        cloud_scale=4.0,
        cloud_cells=16,
        cloud_cover=0.28,
        cloud_soft=0.3,
        cloud_drift=0.0,
        water=(0.20, 0.42, 0.78),
        clarity=3.0,
        contrast=0.4,
        occlusion=0.35,
        sunlight=0.32,
        lamp=0.0,
        turf=True,
        tint=0.2,
    ),
}
