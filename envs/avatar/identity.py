"""Who an avatar is: shape, colours, hair, clothes and room, drawn from a seed."""

from __future__ import annotations

import colorsys
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

Colour = tuple[int, int, int]  # sRGB, 0 to 255

HAIR_STYLES = ("short", "quiff", "bob", "long", "curly", "bun", "spiky", "buzz", "ponytail", "waves")
CLOTHES = ("tee", "sweater", "blazer", "hoodie", "shirt")
GLASSES = ("none", "round", "square")
BACKGROUNDS = ("plain", "discs", "window", "shelf")
BEARDS = ("none", "stubble", "full")

SKINS: tuple[Colour, ...] = (
    (255, 224, 203),
    (250, 211, 183),
    (241, 194, 160),
    (226, 172, 132),
    (204, 144, 104),
    (172, 114, 78),
    (137, 87, 60),
    (103, 66, 48),
)
HAIRS: tuple[Colour, ...] = (
    (38, 30, 36),
    (58, 40, 36),
    (92, 58, 40),
    (131, 82, 49),
    (176, 98, 52),
    (214, 164, 96),
    (186, 70, 52),
    (120, 122, 134),
    (92, 74, 140),
    (44, 98, 116),
)
HAIR_WEIGHTS = (0.2, 0.17, 0.16, 0.12, 0.08, 0.1, 0.06, 0.04, 0.035, 0.035)
EYES: tuple[Colour, ...] = (
    (96, 60, 38),
    (70, 46, 36),
    (66, 118, 158),
    (72, 132, 96),
    (132, 106, 60),
    (98, 112, 132),
)


@dataclass(frozen=True)
class Identity:
    """What stays the same while an avatar moves. Lengths are in head units (see `rig.py`), factors around 1.

    Attributes:
        face_width, face_length, jaw, chin, cheek: the shape of the face.
        eye_size, eye_gap, eye_tilt, brow_weight, nose_size, mouth_width, lip: the features.
        lashes: how strong they are, 0 to 1.
        skin, hair, eyes, cloth, accent, backdrop: colours.
        hair_style, fringe, clothes, glasses, beard, background: what is drawn; `fringe` parts the hair, -1 to 1.
        voice: 0 a low voice to 1 a high one.
    """

    face_width: float
    face_length: float
    jaw: float
    chin: float
    cheek: float
    eye_size: float
    eye_gap: float
    eye_tilt: float
    brow_weight: float
    nose_size: float
    mouth_width: float
    lip: float
    lashes: float
    skin: Colour
    hair: Colour
    eyes: Colour
    cloth: Colour
    accent: Colour
    backdrop: Colour
    hair_style: str
    fringe: float
    clothes: str
    glasses: str
    beard: str
    background: str
    freckles: bool
    earrings: bool
    voice: float

    def as_dict(self) -> dict[str, Any]:
        """Returns all of it as plain numbers, strings and tuples."""
        return asdict(self)


def draw_identity(seed: int) -> Identity:
    """Returns the identity of a seed.

    Args:
        seed: a whole number, 0 or more.

    Raises:
        ValueError: for anything else.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"identity must be a whole number, 0 or more, got {seed!r}")
    rng = np.random.default_rng([int(seed), 0xFACE])
    soft = float(rng.random())  # 0 an angular face with a low voice, 1 a soft one with a high voice
    styles = {
        **dict.fromkeys(("short", "quiff", "spiky", "buzz"), 1.25 - soft),
        **dict.fromkeys(("bob", "long", "bun", "ponytail", "waves"), 0.1 + soft),
        "curly": 0.7,
    }
    weights = np.array([styles[name] for name in HAIR_STYLES])
    skin = int(rng.integers(len(SKINS)))
    hair_weights = np.array(HAIR_WEIGHTS)
    if skin >= 4:
        hair_weights = hair_weights * np.array((1, 1, 0.6, 0.2, 0.1, 0.08, 0.1, 0.6, 0.6, 0.6))
    hue = float(rng.random())
    beards = (0.5, 0.28, 0.22) if soft < 0.4 else (1.0, 0.0, 0.0)
    return Identity(
        face_width=float(rng.uniform(0.94, 1.06)),
        face_length=float(rng.uniform(0.95, 1.05)),
        jaw=float(rng.uniform(0.74, 0.82) + 0.10 * (1 - soft)),
        chin=float(rng.uniform(0.27, 0.36) + 0.10 * (1 - soft)),
        cheek=float(rng.uniform(0.95, 1.0)),
        eye_size=float(rng.uniform(0.9, 1.05) + 0.12 * soft),
        eye_gap=float(rng.uniform(0.95, 1.06)),
        eye_tilt=float(rng.uniform(-0.06, 0.16)),
        brow_weight=float(rng.uniform(0.75, 1.0) + 0.45 * (1 - soft)),
        nose_size=float(rng.uniform(0.85, 1.15)),
        mouth_width=float(rng.uniform(0.92, 1.1)),
        lip=float(rng.uniform(0.75, 1.05) + 0.35 * soft),
        lashes=float(np.clip(1.6 * soft - 0.5, 0.0, 1.0)),
        skin=SKINS[skin],
        hair=HAIRS[int(rng.choice(len(HAIRS), p=hair_weights / hair_weights.sum()))],
        eyes=EYES[int(rng.integers(2 if skin >= 5 else len(EYES)))],
        cloth=_cloth(rng, hue + rng.uniform(0.3, 0.7), SKINS[skin]),
        accent=_colour(hue + rng.uniform(0.0, 1.0), rng.uniform(0.1, 0.35), rng.uniform(0.9, 0.98)),
        backdrop=_colour(hue, rng.uniform(0.16, 0.4), rng.uniform(0.78, 0.93)),
        hair_style=HAIR_STYLES[int(rng.choice(len(HAIR_STYLES), p=weights / weights.sum()))],
        fringe=float(rng.choice((-1.0, 1.0)) * rng.uniform(0.3, 1.0)),
        clothes=CLOTHES[int(rng.integers(len(CLOTHES)))],
        glasses=GLASSES[int(rng.choice(3, p=(0.7, 0.16, 0.14)))],
        beard=BEARDS[int(rng.choice(3, p=beards))],
        background=BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))],
        freckles=bool(rng.random() < (0.25 if skin < 3 else 0.0)),
        earrings=bool(rng.random() < 0.6 * soft),
        voice=soft,
    )


def shade(colour: Colour, amount: float, towards: Colour | None = None) -> Colour:
    """Returns a colour mixed with another by `amount`; by default darker for amount < 0 and lighter for > 0."""
    target = towards or ((255, 255, 255) if amount > 0 else (40, 12, 44))
    weight = abs(amount)
    r, g, b = (round(a + (t - a) * weight) for a, t in zip(colour, target, strict=True))
    return r, g, b


def _cloth(rng: np.random.Generator, hue: float, skin: Colour) -> Colour:
    """A colour for clothes that nobody takes for skin."""
    saturation, value = rng.uniform(0.3, 0.62), rng.uniform(0.42, 0.85)
    choices = [_colour(hue + turn, saturation, value) for turn in (0.0, 0.33, 0.67)]

    def apart(colour: Colour) -> int:
        return sum(abs(a - b) for a, b in zip(colour, skin, strict=True))

    return choices[0] if apart(choices[0]) >= 110 else max(choices, key=apart)


def _colour(hue: float, saturation: float, value: float) -> Colour:
    r, g, b = (round(255 * part) for part in colorsys.hsv_to_rgb(float(hue) % 1.0, float(saturation), float(value)))
    return r, g, b
