"""Beginning from a world that is there already: public weights put together, or a model of another picture size.

Shapes: N tokens per frame, D width, h w latent, p patch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from worldmodel.checkpoint import compare
from worldmodel.world import WorldConfig, WorldModel

POSITIONS = ("embedding.position", "head.position")  # [N, width], learned per place in the frame
# [D, features]: what comes after those that there were is not listened to at first
LISTENING = re.compile(r"conditions\.conditions\.\w+\.projection\.weight")
CONDITION = re.compile(r"conditions\.conditions\.([^.]+)\.")
FREE = ("gradient_checkpointing",)  # fields that change no result


def adapt(world: WorldModel, config: WorldConfig) -> WorldModel:
    """A model of another configuration with a world's weights.

    Picture size, frame rate, chunk, window, noise and flow may differ. Learned places in the frame are interpolated to
    another size; places along the sequence are rotations, which are computed for any length; what a condition tells
    besides, after all that it told before, or of frames ahead, is not listened to at first; conditions may come, as
    they are drawn, and go; all other weights are carried over as they are, and must fit. What a condition counts by the
    frame (`audio.samples`, `pose.scale`) is the new configuration's business.

    Args:
        world: whose weights are taken.
        config: of the model to make.

    Returns:
        The model, its autoencoder the world's where the two have the same fields, random otherwise.

    Raises:
        ValueError: listing every setting and every weight that does not fit, with both values or shapes.
    """
    model = WorldModel(config)
    wrong = _differences("backbone", asdict(world.config.backbone), asdict(config.backbone))
    wrong += _differences("head", asdict(world.config.head), asdict(config.head))
    own, given = model.state_dict(), world.state_dict()
    if world.config.autoencoder != config.autoencoder:  # the run's own takes its place
        given = {key: value for key, value in given.items() if not key.startswith("autoencoder.")}
    given = _conditioned(given, world, model)
    for key in POSITIONS:
        if given[key].shape != own[key].shape and given[key].shape[1:] == own[key].shape[1:]:
            given[key] = resize_places(given[key], _grid(world), _grid(model))
    for key in filter(LISTENING.fullmatch, own.keys() & given.keys()):
        more = own[key].shape[1] - given[key].shape[1]
        if more > 0 and own[key].shape[0] == given[key].shape[0]:
            given[key] = functional.pad(given[key], (0, more))
    wanted = {key: value for key, value in own.items() if key in given or not key.startswith("autoencoder.")}
    wrong += compare(given, wanted)
    if wrong:
        raise ValueError(f"the initial world does not fit the config: {'; '.join(wrong)}: set model.… to match it")
    model.load_state_dict(given, strict=False)
    return model


def _conditioned(given: Mapping[str, Tensor], world: WorldModel, model: WorldModel) -> dict[str, Tensor]:
    """A world's weights with the conditions of a model: what is known of each, and of the others as they are drawn."""
    own, before, after = model.state_dict(), world.conditions, model.conditions
    kept = {key: value for key, value in given.items() if _condition_of(key) in (None, *after.names)}
    kept |= {key: value for key, value in own.items() if _condition_of(key) not in (None, *before.names)}
    layouts = world.config.layout, model.config.layout
    frames = [layout.chunk_frames for layout in layouts]
    key = "embedding.condition_place"  # [M, D]
    if key in own.keys() & kept.keys() and frames[0] == frames[1]:
        slots = [conditions.token_slots(frames[0]) for conditions in (before, after)]
        kept[key] = _by_slot(kept[key], slots[0], own[key], slots[1])
    key = "embedding.entry.weight"  # [D, slots D]; new ones are zero
    if key in own.keys() & kept.keys() and own[key].shape[0] == kept[key].shape[0]:
        parts = [rearrange(x, "d (s e) -> s d e", e=x.shape[0]) for x in (kept[key], own[key])]
        told = [
            conditions.frame_slots(layout.direct_ahead)
            for conditions, layout in zip((before, after), layouts, strict=True)
        ]
        kept[key] = rearrange(_by_slot(parts[0], told[0], parts[1], told[1]), "s d e -> d (s e)")
    return kept


def _condition_of(key: str) -> str | None:
    """The condition that a weight is of, if any."""
    match = CONDITION.match(key)
    return None if match is None else match[1]


def _by_slot(given: Tensor, slots: Sequence[Any], own: Tensor, wanted: Sequence[Any]) -> Tensor:
    """Rows of `own` [wanted, ...], in place of each that of the same slot in `given` [slots, ...], where it has one."""
    at = {slot: row for row, slot in enumerate(slots)}
    rows = [given[at[slot]] if slot in at else own[row] for row, slot in enumerate(wanted)]
    return torch.stack(rows) if rows else own


def resize_places(places: Tensor, before: tuple[int, int], after: tuple[int, int]) -> Tensor:
    """Interpolates what is learned per place in the frame: [N, D] of a grid `before`, bilinearly, to [N', D]."""
    grid = rearrange(places.float(), "(h w) d -> 1 d h w", h=before[0])
    grid = functional.interpolate(grid, after, mode="bilinear", align_corners=False)
    return rearrange(grid, "1 d h w -> (h w) d").to(places.dtype)


def _grid(world: WorldModel) -> tuple[int, int]:
    height, width = world.latent_size
    return height // world.config.patch_size, width // world.config.patch_size


def _differences(part: str, given: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    return [
        f"{part}.{name} must be {value}, got {given[name]}"
        for name, value in wanted.items()
        if name not in FREE and given[name] != value
    ]
