"""How much of a picture survives the autoencoder: the ceiling of every prediction.

Shapes: T frames, H W pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from worldmodel.evaluation.figure import Task
from worldmodel.evaluation.options import Unavailable
from worldmodel.evaluation.plots import histogram
from worldmodel.evaluation.scores import score, summary
from worldmodel.evaluation.sheets import contact_sheet
from worldmodel.evenly import evenly
from worldmodel.frames import to_frames, to_model

SHOWN = 8


def measure(task: Task) -> dict[str, Any]:
    """Encodes and decodes stretches of the held-out clips.

    Returns:
        psnr_db, psnr_mean_db, ssim, num_frames, and the fifth percentile of the frames' PSNR.
    """
    options = task.options
    run = min(options.reconstruction_run, task.held_out.longest())
    places = task.held_out.places(max(1, options.reconstruction_frames // run), run, task.rng("reconstruction"))
    if not places:
        raise Unavailable("the clips hold no frames")
    scores, shown = [], []
    for number, place in enumerate(places):
        truth = task.held_out.frames(place)
        again = reconstruct(task, truth)
        scores.append(score(again, truth))
        shown.append((truth[-1], again[-1]))
        if (number + 1) % 4 == 0:
            task.report(f"{number + 1}/{len(places)} stretches of {run} frames")
    flat = np.concatenate(scores)
    shown = evenly(shown, SHOWN)
    contact_sheet(
        task.out / "reconstruction_sheet.png",
        [("truth", [pair[0] for pair in shown]), ("decoded", [pair[1] for pair in shown])],
        [f"place {index + 1}" for index in range(len(shown))],
    )
    histogram(task.out / "reconstruction.png", flat[:, 0], "PSNR of a reconstructed frame [dB]")
    return {
        **summary(flat),
        "psnr_5th_percentile_db": float(np.percentile(flat[:, 0], 5)),
        "num_frames": len(flat),
        "num_stretches": len(places),
    }


def reconstruct(task: Task, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Encodes and decodes a stretch, [T, H, W, 3] uint8 to the same."""
    return decode(task, encode(task, frames))


def through_autoencoder(task: Task, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A clip [T, H, W, 3] uint8 as the autoencoder gives it back, in stretches that bound memory."""
    run = task.options.reconstruction_run
    return np.concatenate([reconstruct(task, frames[first : first + run]) for first in range(0, len(frames), run)])


@torch.inference_mode()
def encode(task: Task, frames: NDArray[np.uint8]) -> torch.Tensor:
    """Latents of a stretch, [1, T, C, h, w], unit variance, on the model's device."""
    parameter = next(task.world.autoencoder.parameters())
    return task.world.autoencoder.encode(to_model(frames, task.world.device).to(parameter.dtype)[None])


@torch.inference_mode()
def decode(task: Task, latents: torch.Tensor) -> NDArray[np.uint8]:
    """Pictures [T, H, W, 3] uint8 of latents [1, T, C, h, w]."""
    return to_frames(task.world.autoencoder.decode(latents))[0].cpu().numpy()
