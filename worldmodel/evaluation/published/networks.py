"""The networks that published measures look through, from files given by path.

TorchScript files run in TorchScript's own interpreter, and SyncNet's file is read as tensors alone: a file from
elsewhere cannot run Python here. Each is tried on noise before anything is generated, so that a wrong one is said at
once.

Shapes: B batch, T frames, H W pixels, D features.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodel.evaluation.published.syncnet import SyncNet

VIDEO_FRAMES = 16  # of a stretch that FVD looks at
FACE = 112  # pixels a side of a face
FILES = {  # what each measure's file is
    "fid": "the TorchScript Inception inception-2015-12-05.pt",
    "fvd": "the TorchScript I3D i3d_torchscript.pt",
    "syncnet": "SyncNet's syncnet_v2.model",
    "identity": f"a TorchScript face embedder (pictures [B, 3, {FACE}, {FACE}] in [-1, 1] -> [B, D])",
}
ARGUMENTS: dict[str, dict[str, bool]] = {
    "fid": {"return_features": True},
    "fvd": {"rescale": True, "resize": True, "return_features": True},
    "identity": {},
}


class Extractor:
    """A TorchScript network that turns pictures or videos into features.

    Args:
        module: the network.
        arguments: that it is called with.
        device: where it runs.
    """

    def __init__(self, module: torch.jit.ScriptModule, arguments: Mapping[str, bool], device: torch.device) -> None:
        self._module, self._arguments, self._device = module, dict(arguments), device

    @torch.inference_mode()
    def __call__(self, x: Tensor) -> NDArray[np.float32]:
        """Returns features [B, D] of a batch: images [B, 3, H, W], or videos [B, 3, T, H, W].

        Raises:
            ValueError: if the network does not take that, or gives anything else.
        """
        try:
            found: Any = self._module(x.to(self._device), **self._arguments)
        except (RuntimeError, TypeError) as error:
            lines = [line for line in str(error).splitlines() if line.strip()]
            raise ValueError(f"it does not take {tuple(x.shape)} with {self._arguments}: {lines[-1]}") from error
        if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(x):
            got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(f"it must give features [{len(x)}, D], got {got}")
        if not torch.isfinite(found).all():
            raise ValueError("its features are not finite")
        return found.float().cpu().numpy()


@dataclass(frozen=True)
class Networks:
    """What was loaded; None where no file was given.

    Attributes:
        fid: of uint8 images.
        fvd: of uint8 videos.
        identity: of faces in [-1, 1].
        syncnet: of sound and lips.
        about: of each that is there, its file's name and SHA-256, and the width of its features.
    """

    fid: Extractor | None = None
    fvd: Extractor | None = None
    identity: Extractor | None = None
    syncnet: SyncNet | None = None
    about: dict[str, dict[str, str | int]] = field(default_factory=dict)


def load_networks(weights: Mapping[str, Path], device: torch.device | str | None = None) -> Networks:
    """Loads the networks whose files are given, and tries each.

    Args:
        weights: "fid", "fvd", "syncnet" or "identity" -> file.
        device: where they run; the CPU by default.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not such a network.
    """
    place = torch.device(device or "cpu")
    loaded: dict[str, Any] = {}
    about: dict[str, dict[str, str | int]] = {}
    for name, path in weights.items():
        if not path.is_file():
            raise FileNotFoundError(f"no weights at {path}: check --{name}-weights")
        try:
            loaded[name], width = _load_syncnet(path, place) if name == "syncnet" else _load_script(name, path, place)
        except ValueError as error:
            raise ValueError(f"{path} is not {FILES[name]}, which --{name}-weights wants: {error}") from error
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        about[name] = {"file": path.name, "sha256": digest, "features": width}
    return Networks(**loaded, about=about)


def _load_script(name: str, path: Path, device: torch.device) -> tuple[Extractor, int]:
    try:
        module = torch.jit.load(str(path), map_location=device).eval()
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"torch cannot read it as TorchScript: {str(error).splitlines()[0][:200]}") from error
    extractor = Extractor(module, ARGUMENTS[name], device)
    noise = torch.Generator().manual_seed(0)
    if name == "identity":
        tried = torch.rand(2, 3, FACE, FACE, generator=noise) * 2 - 1
    else:
        shape = (2, 3, 64, 64) if name == "fid" else (1, 3, VIDEO_FRAMES, 64, 64)
        tried = torch.randint(0, 256, shape, generator=noise, dtype=torch.uint8)
    return extractor, extractor(tried).shape[1]


def _load_syncnet(path: Path, device: torch.device) -> tuple[SyncNet, int]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        raise ValueError(f"it cannot be read as tensors alone: {str(error).splitlines()[0][:200]}") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError("it must hold tensors by name, and nothing else")
    last = state.get("netfcaud.3.weight")
    network = SyncNet(len(last)) if last is not None and last.ndim == 2 else SyncNet()
    try:
        network.load_state_dict(dict(state))
    except RuntimeError as error:
        raise ValueError(" ".join(str(error).split())[:300]) from error
    width = network.netfcaud[-1].out_features
    assert isinstance(width, int)
    return network.to(device).eval(), width
