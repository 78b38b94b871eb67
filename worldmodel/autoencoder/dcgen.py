"""DC-AE 1.5 (arXiv 2508.00413) as its authors' DC-Gen stores it, told in AutoencoderDC's fields and keys.

It is residual blocks with root-mean-square norms alone, without a shortcut into or out of the latents. Its first and
last convolution over latents can be cut to fewer channels, in training; with all channels they are plain ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from conditions.values import nearest

_WIDTHS = [128, 256, 512, 512, 1024, 1024]
_LAYERS = [0, 5, 10, 4, 4, 4]
# name: (channels of the latents, widths, layers, the scale that DC-Gen's diffusion models give the latents)
MODELS = {
    "dc-ae-f32c128-1.5": (128, _WIDTHS, _LAYERS, 1.0),
    "dc-ae-f64c128-1.5": (128, [*_WIDTHS, 1024], [*_LAYERS, 4], 0.5935),
}

# DC-Gen wraps every convolution once, and everything beside an identity or a shortcut as its `main`.
_KEYS = (
    (r"encoder\.project_in\.conv\.conv\.", "encoder.conv_in.conv."),
    (r"encoder\.project_out\.op_list\.0\.conv\.", "encoder.conv_out."),
    (r"decoder\.project_in\.conv\.", "decoder.conv_in."),
    (r"decoder\.project_out\.op_list\.0\.", "decoder.norm_out."),
    (r"decoder\.project_out\.op_list\.2\.conv\.conv\.", "decoder.conv_out.conv."),
    (r"encoder\.stages\.(\d+)\.op_list\.(\d+)\.main\.", r"encoder.down_blocks.\1.\2."),
    (r"decoder\.stages\.(\d+)\.op_list\.(\d+)\.main\.", r"decoder.up_blocks.\1.\2."),
)
_INSIDE = (
    (r"\.conv([12])\.conv\.", r".conv\1."),
    (r"\.conv2\.norm\.", ".norm."),
    (r"(_blocks\.\d+\.\d+)\.conv\.conv\.", r"\1.conv."),
)


def is_dcgen(values: Mapping[str, Any]) -> bool:
    """Whether a config.json is DC-Gen's, which names a model and none of its sizes."""
    return "model_name" in values and "_class_name" not in values


def fields_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that AutoencoderDC would have, of DC-Gen's config.json.

    Raises:
        ValueError: if the model is none of `MODELS`.
    """
    name = values["model_name"]
    if name not in MODELS:
        raise ValueError(
            f"none of DC-Gen's autoencoders that are read is called {name!r}{nearest(name, MODELS)}. "
            "Versions 1.0 are read as diffusers stores them: fetch the folder that ends in -diffusers"
        )
    channels, widths, layers, scale = MODELS[name]
    of_all: dict[str, Any] = {
        "latent_channels": channels,
        "encoder_out_shortcut": False,
        "decoder_in_shortcut": False,
        "decoder_conv_act_fn": "silu",
        "scaling_factor": scale,
    }
    for side in ("encoder", "decoder"):
        of_all |= {f"{side}_block_out_channels": list(widths), f"{side}_layers_per_block": list(layers)}
        of_all[f"{side}_qkv_multiscales"] = [[] for _ in widths]
        of_all |= {f"{side}_block_types": "ResBlock", f"{side}_norm_types": "rms_norm", f"{side}_act_fns": "silu"}
    return of_all


def renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """DC-Gen's tensors under AutoencoderDC's keys; a key that is neither's stays as it is, for loading to refuse."""
    return {_key(name): tensor for name, tensor in weights.items()}


def _key(name: str) -> str:
    for pattern, ours in _KEYS:
        name, found = re.subn(f"^{pattern}", ours, name)
        if found:
            break
    for pattern, ours in _INSIDE:
        name = re.sub(pattern, ours, name)
    return name
