"""SyncNet (Chung & Zisserman 2016, "Out of time"): does what is heard belong to the lips that are seen?

Two networks map 0.2 s of sound (13 MFCC x 20 steps) and of pictures (5 frames of 224x224 at 25 a second) to vectors
that lie close where they belong together. The layout and the names are those of the published `syncnet_v2.model`.

Shapes: B batch, T frames, D = 1024 of a vector, L = 2 SHIFT + 1 lags.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad, pairwise_distance

from conditions.encoders.sound import SAMPLE_RATE
from worldmodel.evaluation.published.mfcc import mfcc

FPS = 25
SIDE, FRAMES, STEPS, WIDTH = 224, 5, 20, 1024
SHIFT = 15  # frames that the sound is moved by, either way
PER_FRAME = 4  # steps of the sound in a frame
BATCH = 20


@dataclass(frozen=True)
class Sync:
    """What SyncNet says of a clip.

    Attributes:
        distance: LSE-D, the mean distance of sound and lips at the lag where it is least.
        confidence: LSE-C, its median over the lags minus that.
        late: frames at 25 a second by which the lips come late, where the distance is least.
    """

    distance: float
    confidence: float
    late: int


class SyncNet(nn.Module):
    """The two networks; `width` is D."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.netcnnaud = nn.Sequential(
            *_block(nn.Conv2d(1, 64, 3, padding=1)),
            nn.MaxPool2d(1, 1),
            *_block(nn.Conv2d(64, 192, 3, padding=1)),
            nn.MaxPool2d(3, (1, 2)),
            *_block(nn.Conv2d(192, 384, 3, padding=1)),
            *_block(nn.Conv2d(384, 256, 3, padding=1)),
            *_block(nn.Conv2d(256, 256, 3, padding=1)),
            nn.MaxPool2d(3, 2),
            *_block(nn.Conv2d(256, 512, (5, 4))),
        )
        self.netfcaud = _vectors(width)
        self.netcnnlip = nn.Sequential(
            *_block(nn.Conv3d(3, 96, (5, 7, 7), (1, 2, 2))),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_block(nn.Conv3d(96, 256, (1, 5, 5), (1, 2, 2), (0, 1, 1))),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            *_block(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
            *_block(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
            *_block(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_block(nn.Conv3d(256, 512, (1, 6, 6))),
        )
        self.netfclip = _vectors(width)

    def hear(self, sound: Tensor) -> Tensor:
        """Maps MFCC [B, 1, 13, 20] to [B, D]."""
        return self.netfcaud(self.netcnnaud(sound).flatten(1))

    def see(self, pictures: Tensor) -> Tensor:
        """Maps pictures [B, 3, 5, 224, 224], blue green red, 0 to 255, to [B, D]."""
        return self.netfclip(self.netcnnlip(pictures).flatten(1))


@torch.inference_mode()
def measure_sync(network: SyncNet, frames: NDArray[np.uint8], sound: NDArray[np.int16], fps: float) -> Sync | None:
    """Says how well a clip's sound fits its pictures.

    Args:
        network: with its weights, in evaluation mode.
        frames: [T, H, W, 3] uint8, the face filling the picture.
        sound: [n] int16 at 16 kHz that begins with the first frame.
        fps: frames a second; below 25 a picture stands for as long as it is shown.

    Returns:
        The measures; None where the clip is shorter than 2 x SHIFT frames at 25 a second, of which nothing can be said.
    """
    device = next(network.parameters()).device
    shown = np.floor(np.arange(int(len(frames) * FPS / fps)) * fps / FPS + 1e-6).astype(int)  # of each 1/25 s
    count = min(len(shown), len(sound) * FPS // SAMPLE_RATE) - FRAMES
    if count < 2 * SHIFT:
        return None
    steps = torch.from_numpy(mfcc(sound).T).float()  # [13, m]
    heard, seen = [], []
    for first in range(0, count, BATCH):
        places = range(first, min(first + BATCH, count))
        windows = [steps[:, PER_FRAME * place : PER_FRAME * place + STEPS] for place in places]
        heard.append(network.hear(torch.stack(windows)[:, None].to(device)))
        needed = shown[places.start : places.stop + FRAMES - 1]
        # Each picture is made large once, though several windows show it.
        pictures, index = np.unique(needed, return_inverse=True)
        large = _large(torch.from_numpy(frames[pictures]).to(device))[torch.from_numpy(index).to(device)]
        seen.append(network.see(large.unfold(0, FRAMES, 1).permute(0, 1, 4, 2, 3)))  # [B, 3, 5, 224, 224]
    distances = lag_distances(torch.cat(seen), torch.cat(heard))
    best = int(distances.argmin())
    least = float(distances[best])
    return Sync(least, float(distances.median()) - least, SHIFT - best)


def lag_distances(seen: Tensor, heard: Tensor) -> Tensor:
    """Returns the mean distance of vectors [T, D] of pictures and of the sound, at each of the lags, [L].

    At place j the sound is that of j - SHIFT frames later; beyond its ends it counts as zeros, as in the release.
    """
    padded = pad(heard, (0, 0, SHIFT, SHIFT))
    return torch.stack([pairwise_distance(seen, padded[lag : lag + len(seen)]).mean() for lag in range(2 * SHIFT + 1)])


def _large(frames: Tensor) -> Tensor:
    """Turns [T, H, W, 3] uint8 into [T, 3, 224, 224], blue green red."""
    pictures = frames.flip(-1).permute(0, 3, 1, 2).float()
    return interpolate(pictures, (SIDE, SIDE), mode="bilinear", antialias=True)


def _block(convolution: nn.Conv2d | nn.Conv3d) -> tuple[nn.Module, ...]:
    norm = nn.BatchNorm2d if isinstance(convolution, nn.Conv2d) else nn.BatchNorm3d
    return convolution, norm(convolution.out_channels), nn.ReLU(inplace=True)


def _vectors(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, width))
