"""Training the reader of faces.

Shapes: N pictures, H W pixels, K joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from worldmodel.evaluation.heads.network import MIRRORED, WHO, HeadReader, shrink
from worldmodel.evaluation.rollout import Report

UNSURE = -1
JITTER = 0.012  # widths that the joints are moved by, which a face is cut out by: they will not be found exactly
SHARPNESS = 12.0  # of the choice between persons
NOISE = 0.03  # of the brightness, of a part of the pictures


@dataclass(frozen=True)
class Lessons:
    """Pictures, and what they show.

    Attributes:
        frames: [N, H, W, 3] uint8.
        aperture: [N] 0 to 1.
        key_points: [N, K, 2] in picture widths.
        mood: [N] int64, UNSURE where the face does not show it yet.
        who: [N] int64, the number of the person.
    """

    frames: NDArray[np.uint8]
    aperture: NDArray[np.float32]
    key_points: NDArray[np.float32]
    mood: NDArray[np.int64]
    who: NDArray[np.int64]

    @classmethod
    def join(cls, parts: Sequence[Lessons]) -> Lessons:
        """All pictures of several lessons; who is who must be told apart already."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])))


def train_reader(
    lessons: Lessons, num_moods: int, steps: int, seed: int, report: Report, batch_size: int = 48
) -> HeadReader:
    """Trains a reader.

    Args:
        lessons: what to learn from, of many persons; half of it is seen in a mirror.
        num_moods: M.
        steps: optimiser steps.
        seed: of weights, order and noise.
        report: called with lines of progress.
        batch_size: pictures in a step.

    Returns:
        The trained reader, in evaluation mode.
    """
    rng = np.random.default_rng(seed)
    stretch = lessons.frames.shape[1] / lessons.frames.shape[2]
    points = torch.from_numpy(lessons.key_points / np.array((1.0, stretch), np.float32)).float()
    aperture, mood, who = (torch.from_numpy(x) for x in (lessons.aperture, lessons.mood, lessons.who))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = HeadReader(points.shape[1], num_moods)
        persons = nn.Parameter(torch.randn(int(who.max()) + 1, WHO))
        optimizer = torch.optim.AdamW([*model.parameters(), persons], weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
        order = np.concatenate([rng.permutation(len(who)) for _ in range(-(-steps * batch_size // len(who)))])
        for step in range(steps):
            picked = order[step * batch_size : (step + 1) * batch_size]
            # Channels first in memory, too: random numbers are then drawn several times faster.
            x = _disturb(torch.cat(list(shrink(lessons.frames[picked]))).contiguous())
            right = points[picked].clone()
            half = len(picked) // 2  # of every batch, as in a mirror
            x[:half] = x[:half].flip(3)
            right[:half] = (right[:half] * torch.tensor((-1.0, 1.0)) + torch.tensor((1.0, 0.0)))[:, MIRRORED]
            near = right + JITTER * torch.randn(len(picked), 1, 2)  # the whole face, and each joint a little
            near = near + 0.5 * JITTER * torch.randn_like(near)
            found, placed, opened, felt, told = model(x, near)
            inside = ((right > -0.1) & (right < 1.1)).all(-1, keepdim=True)
            away, further = (F.smooth_l1_loss(y, right, reduction="none", beta=0.02) for y in (found, placed))
            alike = SHARPNESS * told @ F.normalize(persons, dim=1).T
            loss = (
                20 * ((away + further) * inside).mean()
                + 10 * F.smooth_l1_loss(opened, aperture[picked], beta=0.1)
                + 0.4 * F.cross_entropy(felt, mood[picked], ignore_index=UNSURE, label_smoothing=0.05)
                + 0.2 * F.cross_entropy(alike, who[picked])
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if (step + 1) % 100 == 0:
                report(f"reader: step {step + 1}/{steps}, loss {float(loss.detach()):.3f}")
    return model.eval()


def _disturb(x: Tensor) -> Tensor:
    """Other brightness and contrast, a share of the pictures softer, and noise: generated pictures have all of it."""
    scale = 1 + 0.12 * torch.randn(len(x), 3, 1, 1)
    shift = 0.08 * torch.randn(len(x), 3, 1, 1)
    soft = (torch.rand(len(x), 1, 1, 1) < 0.3).float() * torch.rand(len(x), 1, 1, 1)
    x = torch.lerp(x, F.avg_pool2d(x, 3, 1, 1, count_include_pad=False), soft)
    return x * scale + shift + NOISE * torch.rand(len(x), 1, 1, 1) * torch.randn_like(x)
