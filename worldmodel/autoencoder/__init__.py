"""DC-AE: frames to latents and back."""

from worldmodel.autoencoder.config import AutoencoderConfig
from worldmodel.autoencoder.dcae import Autoencoder, AutoencoderCache
from worldmodel.autoencoder.initialization import initialize_linear
from worldmodel.autoencoder.losses import ReconstructionLossConfig, reconstruction_loss, texture_loss

__all__ = [
    "Autoencoder",
    "AutoencoderCache",
    "AutoencoderConfig",
    "ReconstructionLossConfig",
    "initialize_linear",
    "reconstruction_loss",
    "texture_loss",
]
