"""Teaches a small reader of bytes what captions of moods mean, before a talking head learns to listen to it.

    python -m envs.avatar.reading config=configs/avatar.yaml out=runs/avatar/reader         # one with random weights
    python -m envs.avatar.reading config=… codes=checkpoints/avatar out=runs/avatar/reader  # for that talking head

A reader with random weights tells captions apart, but not by what they mean: two ways to ask for the same are as far
apart as any two captions, and what it makes of a wording that the head never met is noise to it. Here every wording
learns to give what the reader, as it was at first, makes of the plainest caption that asks for the same. So a head that
knows these hears all others, too, and what asks for nothing is "neutral". `parts.conditions/text=DIR` begins a run with
what is written.

Shapes: S captions, L bytes, N tokens, F features.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from conditions.encoders.words import ByteReader
from envs.avatar.captions import draw_caption
from envs.avatar.mood import MOODS, Wish, understand
from worldmodel.checkpoint import save_part
from worldmodel.config import load_config
from worldmodel.world import WorldModel

STEPS, BATCH, LEARNING_RATE = 1000, 192, 1.5e-3
EXAMINED = 2000  # captions, worded as none was that it learned from
USUAL = Wish().mood


def plainest(wish: Wish) -> str:
    """The plainest caption that asks for a mood as lively as wished; its strength aside."""
    manner = "lively and " if wish.energy > 1 else "quietly and " if wish.energy < 1 else ""
    return f"{manner}{wish.mood}"


class Codes:
    """What readers should make of captions: what one makes, once for all, of the plainest ones.

    A mood that is wished for slightly lies half-way from the usual one; very much of it is no more than the mood.

    Args:
        reader: who gives the codes; it is copied.
    """

    def __init__(self, reader: ByteReader) -> None:
        own = copy.deepcopy(reader).eval()
        wishes = [Wish(mood, 1.0, energy) for mood in MOODS for energy in (0.5, 1.0, 1.5)]
        self._plain = dict(zip(map(plainest, wishes), read(own, list(map(plainest, wishes))), strict=True))
        self._moods = [wish.mood for wish in wishes]

    def __call__(self, captions: Sequence[str]) -> Tensor:
        """The codes of captions, [S, N, F]."""
        return torch.stack([self._code(understand(caption)) for caption in captions])

    def _code(self, wish: Wish) -> Tensor:
        code = self._plain[plainest(wish)]
        usual = self._plain[plainest(Wish(USUAL, 1.0, wish.energy))]
        mixed = usual + min(wish.strength, 1.0) * (code - usual)
        return functional.layer_norm(mixed, mixed.shape[-1:])

    def nearest(self, tokens: Tensor) -> list[str]:
        """The mood, in whatever manner, whose code is nearest to each of [S, N, F]."""
        plain = torch.stack(list(self._plain.values()))
        return [self._moods[i] for i in torch.cdist(tokens.flatten(1), plain.flatten(1)).argmin(1).tolist()]


def read(reader: ByteReader, captions: Sequence[str]) -> Tensor:
    """What a reader makes of captions, [S, N, F], without gradient."""
    with torch.no_grad():
        return reader(reader.prepare(captions)[None])[0]


def teach(
    reader: ByteReader, codes: Codes, steps: int = STEPS, seed: int = 0, report: Callable[[str], None] = print
) -> dict[str, float]:
    """Teaches a reader, in place.

    Args:
        reader: of random weights, or taught before.
        codes: what it should make of captions.
        steps: of training.
        seed: of the captions.
        report: called with lines of progress.

    Returns:
        Of captions in sentences that none was worded in: "moods", the share, of those that do not ask for only a
        little, that come nearest to the code of their mood; and "error", the mean squared difference from their own
        code (codes have unit variance).
    """
    rng = np.random.default_rng([seed, 0x2EAD])
    parameters = list(reader.parameters())
    frozen = [parameter.requires_grad for parameter in parameters]
    reader.requires_grad_(True).train()
    optimizer = torch.optim.AdamW(parameters, LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    begun = time.perf_counter()
    for step in range(1, steps + 1):
        captions = draw(rng, BATCH)
        ids = reader.prepare(captions)
        loss = functional.mse_loss(reader(ids[None, :, : int((ids != 0).sum(1).max())])[0], codes(captions))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        if step % 250 == 0:
            moods = examine(reader, codes, draw(np.random.default_rng(step), 300, held_out=True))["moods"]
            taken = f"{time.perf_counter() - begun:.0f} s"
            report(f"reader: step {step}/{steps}, error {loss.item():.4f}, moods {100 * moods:.0f} %, {taken}")
    reader.eval()
    for parameter, learns in zip(parameters, frozen, strict=True):
        parameter.requires_grad_(learns)
    return examine(reader, codes, draw(rng, EXAMINED, held_out=True))


def draw(rng: np.random.Generator, count: int, held_out: bool = False) -> list[str]:
    """Captions of all moods."""
    moods = list(MOODS)
    return [draw_caption(rng, moods[int(rng.integers(len(moods)))], held_out) for _ in range(count)]


def examine(reader: ByteReader, codes: Codes, captions: Sequence[str]) -> dict[str, float]:
    """How well a reader reads captions: as `teach` returns."""
    tokens = read(reader, captions)
    pairs = zip(codes.nearest(tokens), map(understand, captions), strict=True)
    right = [mood == wish.mood for mood, wish in pairs if wish.strength >= 1]
    return {"moods": float(np.mean(right)), "error": float((tokens - codes(captions)).square().mean())}


def _text(world: WorldModel) -> Any:
    """The condition that reads captions byte by byte."""
    text = world.conditions["text"] if "text" in world.conditions.names else None
    if not isinstance(getattr(text, "reader", None), ByteReader):
        raise ValueError("the model must have the condition text with text.encoder=bytes, got none")
    return text


def main(arguments: Sequence[str]) -> None:
    """The command line; see the top of the file."""
    settings = dict(argument.partition("=")[::2] for argument in arguments)
    out, codes, steps = settings.pop("out", ""), settings.pop("codes", ""), int(settings.pop("steps", STEPS))
    if not out:
        raise ValueError("out=DIR must say where the reader goes")
    torch.manual_seed(0)
    world = WorldModel(load_config([f"{key}={value}" for key, value in settings.items()]).model)
    text = _text(world)
    if codes:
        known = _text(WorldModel.from_pretrained(codes))
        text.projection.load_state_dict(known.projection.state_dict())
        figures = teach(text.reader, Codes(known.reader), steps)
    else:
        figures = teach(text.reader, Codes(text.reader), steps)
    save_part(world, "conditions/text", Path(out))
    print(
        f"{out}: of captions worded anew {100 * figures['moods']:.1f} % give their mood, error {figures['error']:.4f}"
    )


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ValueError as error:
        sys.exit(f"error: {error}")
