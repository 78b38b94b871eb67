"""The reader of faces: where the joints are, how far the mouth is open, which mood is shown, and who it is.

One network finds the joints in the whole picture, another looks at the face, cut out upright by these joints, so that
a turned head reads like one that looks straight ahead. It also says more exactly where the joints of the head are.

Shapes: N pictures, H W pixels, K joints, M moods, E numbers that tell who it is, S side of a cut-out face.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from worldmodel.frames import to_model

SIDE = 128  # pixels of a side, as pictures are looked at
MARGIN = 16  # pixels around them, so that joints just outside can be placed
CELLS = (SIDE + 2 * MARGIN) // 8  # along a side of the maps that place the joints
FACE = 64  # S
MIRRORED = (0, 1, 3, 2, 4, 6, 5, 7, 9, 8)  # the joints of a picture seen in a mirror, in that order
NUM_HEAD = 7  # joints of the head come first there; the others are neck and shoulders
REACH = 1.55  # half a side of the cut-out, in distances from eyes to mouth
EYES, MOUTH = (2, 3), (5, 6)  # left and right, in the order of conditions.pose.JOINTS
WHO = 48  # E
PART = 64  # pictures read at once, to bound memory


@dataclass(frozen=True)
class Reading:
    """What was read from T pictures.

    Attributes:
        aperture: [T] how far the lips are apart, 0 to 1.
        key_points: [T, K, 2] joints in picture widths, x then y.
        mood: [T, M] probabilities.
        who: [T, E] a direction: the closer two are, the more alike the persons.
    """

    aperture: NDArray[np.float32]
    key_points: NDArray[np.float32]
    mood: NDArray[np.float32]
    who: NDArray[np.float32]

    def __getitem__(self, part: slice | NDArray[np.bool_] | NDArray[np.int64]) -> Reading:
        return Reading(self.aperture[part], self.key_points[part], self.mood[part], self.who[part])

    @classmethod
    def join(cls, parts: list[Reading]) -> Reading:
        """All pictures of several readings."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])))


class HeadReader(nn.Module):
    """Reads pictures of heads.

    Args:
        num_joints: K.
        num_moods: M.
    """

    def __init__(self, num_joints: int, num_moods: int) -> None:
        super().__init__()
        self.num_joints, self.num_moods = num_joints, num_moods
        self.down = nn.ModuleList([_conv(3, 24), _conv(24, 48), _conv(48, 64), _conv(64, 96)])
        self.across = nn.ModuleList([nn.Conv2d(64, 48, 1), nn.Conv2d(48, 32, 1)])
        self.up = nn.ModuleList([nn.Conv2d(96, 48, 1), nn.Conv2d(48, 32, 1)])
        self.merge = nn.ModuleList([_conv(48, 48, 1), _conv(32, 32, 1)])
        self.maps = nn.Conv2d(32, num_joints, 1)
        self.look = nn.Sequential(_conv(3, 24), _conv(24, 48), _conv(48, 96), _conv(96, 96), nn.Flatten())
        seen = 96 * (FACE // 16) ** 2
        self.mouth = nn.Sequential(nn.Linear(seen, 96), nn.GELU(), nn.Linear(96, 1))
        self.mood = nn.Sequential(nn.Dropout(0.2), nn.Linear(seen, 96), nn.GELU(), nn.Linear(96, num_moods))
        self.points = nn.Sequential(nn.Linear(seen, 96), nn.GELU(), nn.Linear(96, 2 * NUM_HEAD))
        self.who = nn.Linear(seen + 96 * 25, WHO)

    def place(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Finds the joints in pictures [N, 3, SIDE, SIDE]: [N, K, 2] in widths, and what was seen [N, ...]."""
        x = F.pad(F.avg_pool2d(x, 2), (MARGIN // 2,) * 4, mode="replicate")
        seen = []
        for layer in self.down:
            x = layer(x)
            seen.append(x)  # 40, 20, 10 and 5 cells a side
        for up, across, merge, other in zip(self.up, self.across, self.merge, (seen[2], seen[1]), strict=True):
            x = merge(F.interpolate(up(x), scale_factor=2, mode="nearest") + across(other))
        weights = self.maps(x).flatten(2).softmax(-1).unflatten(-1, (CELLS, CELLS))  # [N, K, CELLS, CELLS]
        centres = ((torch.arange(CELLS, device=x.device) + 0.5) * 8 - MARGIN) / SIDE
        points = torch.stack([weights.sum(2) @ centres, weights.sum(3) @ centres], dim=-1)
        return points, F.adaptive_avg_pool2d(seen[3], 5).flatten(1)

    def forward(self, x: Tensor, points: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Reads pictures.

        Args:
            x: [N, 3, SIDE, SIDE] in [-1, 1].
            points: [N, K, 2] where the joints are, to cut out the face by; by default where they are found.

        Returns:
            Joints [N, K, 2] as found at first, the same more exactly, aperture [N], mood logits [N, M] and who [N, E]
            of length 1.
        """
        found, around = self.place(x)
        frame = face_frame(found.detach() if points is None else points)
        face = self.look(cut_out(x, frame))
        inner = F.pad(self.points(face).unflatten(1, (NUM_HEAD, 2)), (0, 1), value=1.0)  # [N, NUM_HEAD, 3]
        placed = torch.cat([inner @ frame.mT, found[:, NUM_HEAD:]], dim=1)
        who = F.normalize(self.who(torch.cat([face, around], dim=1)), dim=1)
        return found, placed, self.mouth(face)[:, 0], self.mood(face), who

    @torch.inference_mode()
    def read(self, frames: NDArray[np.uint8]) -> Reading:
        """Reads pictures [T, H, W, 3] uint8."""
        parts = []
        stretch = np.array((1.0, frames.shape[1] / frames.shape[2]), np.float32)  # widths, of y too
        for x in shrink(frames):
            _, points, aperture, mood, who = (y.numpy() for y in self(x))
            parts.append(Reading(aperture.clip(0, 1), points * stretch, _softmax(mood), who))
        return Reading.join(parts)

    def save(self, path: Path) -> None:
        """Writes the weights as safetensors."""
        save_file(self.state_dict(), path)

    @classmethod
    def load(cls, path: Path) -> HeadReader:
        """Reads weights that `save` wrote.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the file is of another kind of reader.
        """
        if not path.is_file():
            raise FileNotFoundError(f"no reader of heads at {path}: leave out --reader to train one")
        weights = load_file(path)
        if "maps.bias" not in weights:
            raise ValueError(f"{path} is no reader of heads: it holds {', '.join(sorted(weights)[:3])}, …")
        model = cls(len(weights["maps.bias"]), len(weights["mood.3.bias"]))
        model.load_state_dict(weights)
        return model.eval()


def shrink(frames: NDArray[np.uint8]) -> Iterator[Tensor]:
    """Pictures [T, H, W, 3] uint8 as they are looked at, [at most PART, 3, SIDE, SIDE] at a time."""
    for first in range(0, len(frames), PART):
        x = to_model(frames[first : first + PART])
        if x.shape[-2:] != (SIDE, SIDE):
            x = F.interpolate(x, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)
        yield x


def face_frame(points: Tensor) -> Tensor:
    """Where faces are, upright and equally large.

    Args:
        points: [N, K, 2] joints in widths.

    Returns:
        [N, 2, 3] right, down and middle: it takes (u, v, 1), of a cut-out whose sides are at -1 and 1, to widths.
    """
    eyes, mouth = points[:, EYES].mean(1), points[:, MOUTH].mean(1)
    down = mouth - eyes  # [N, 2], from the eyes to the mouth
    right = points[:, EYES[1]] - points[:, EYES[0]]
    # A nod shortens the one and a turn the other: the longer one tells how large the face is.
    size = torch.maximum(down.norm(dim=1), 0.8 * right.norm(dim=1)).clamp(0.06, 0.4)[:, None]
    down = down / down.norm(dim=1, keepdim=True).clamp(min=1e-4) * size * REACH
    right = torch.stack([down[:, 1], -down[:, 0]], dim=1)
    centre = eyes + 0.6 * (mouth - eyes)
    return torch.stack([right, down, centre], dim=2)


def cut_out(x: Tensor, frame: Tensor) -> Tensor:
    """Cuts faces out of pictures [N, 3, SIDE, SIDE] by `face_frame`: [N, 3, S, S], the eyes above the mouth."""
    affine = 2 * frame - F.pad(torch.ones(2, 1, device=x.device), (2, 0))  # grid_sample counts from -1 to 1
    grid = F.affine_grid(affine, [len(x), 3, FACE, FACE], align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def _conv(inputs: int, outputs: int, stride: int = 2) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.BatchNorm2d(outputs), nn.ReLU())


def _softmax(x: NDArray[np.float32]) -> NDArray[np.float32]:
    weights = np.exp(x - x.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)
