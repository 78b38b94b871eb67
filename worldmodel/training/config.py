"""The settings of a training run: what the loop needs, and one phase per thing that is trained."""

from __future__ import annotations

from dataclasses import dataclass, field

from worldmodel.autoencoder.losses import ReconstructionLossConfig

STAGES = ("autoencoder", "latents", "dynamics", "posttraining")
OPTIMIZERS = ("muon", "adamw")
PRECISIONS = ("auto", "fp32", "bf16")
EXPORTS = ("float32", "float16", "bfloat16", "int8")


@dataclass
class PhaseConfig:
    """One optimisation: a batch, an optimiser and a schedule.

    A phase ends after `steps` or `epochs`, or when its share of the stage's `max_minutes` is used up, whichever comes
    first; the cosine runs over the progress towards that end.
    """

    steps: int | None = None  # None: bounded by epochs, or by max_minutes only
    epochs: float | None = None  # the same in passes over all windows; one of the two
    share: float = 1.0  # of the stage's max_minutes; the shares of a stage's phases are divided by their sum
    batch_size: int = 16  # windows per step, over all processes
    accumulation: int = 1  # forward passes per step and process
    frames: int = 16  # T: frames per window, one more is read where the first is only given
    optimizer: str = "muon"  # muon (matrices and dense convolutions by Muon, the rest by AdamW) or adamw
    lr: float = 1e-3  # AdamW's, and Muon's, whose updates are scaled to the size of AdamW's
    betas: list[float] = field(default_factory=lambda: [0.9, 0.99])  # AdamW
    momentum: float = 0.95  # Muon
    weight_decay: float = 0.01  # on matrices and convolutions only
    warmup_steps: int = 100  # of linear warm-up, cut off at a twentieth of the phase
    final_lr: float = 0.01  # where the cosine ends, as a share of lr
    clip: float = 1.0  # largest norm of the gradient
    ema: float = 0.999  # decay of the weights' moving average, reached gradually

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {self.optimizer!r}")
        if self.steps is not None and self.steps < 0:
            raise ValueError(f"steps must be 0 or more (0 leaves the phase out), got {self.steps}")
        if self.epochs is not None and (self.steps is not None or self.epochs <= 0):
            raise ValueError(f"epochs must be above 0 and stand in place of steps, got {self.epochs} and {self.steps}")
        for name in ("batch_size", "accumulation", "frames"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if len(self.betas) != 2:
            raise ValueError(f"betas must be AdamW's two decays, got {self.betas}")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must be at least 0 and below 1, got {self.ema}")
        if self.share < 0 or self.lr <= 0 or self.clip <= 0:
            raise ValueError(
                f"share must not be negative, lr and clip must be positive, got {self.share}, {self.lr}, {self.clip}"
            )


@dataclass
class TrainingConfig:
    """How stages are trained; `stage`, `run` and `max_minutes` stand above this section, at the top of a config."""

    seed: int = 0  # of initial weights, the order of windows and every random draw
    precision: str = "auto"  # auto: bf16 on a GPU and on a CPU that is faster with it, fp32 elsewhere
    compile: bool = False  # torch.compile the loss; needs a C++ compiler on a CPU
    threads: int = 0  # of each process on a CPU; 0 shares the cores between the processes
    num_processes: int = 0  # refuse to start with another number; 0 takes what the launcher gives
    log_every_steps: int = 10
    save_every_minutes: float = 5.0
    save_every_steps: int = 0  # in addition; 0: by minutes only
    sample_every_minutes: float = 10.0
    export_dtype: str = "float16"  # of the exported weights (worldmodel/storage.py); they are loaded as float32
    num_starts: int = 4  # starting clips shipped in the exported world
    start_frames: int = 16  # frames of each
    reconstruction: ReconstructionLossConfig = field(default_factory=ReconstructionLossConfig)
    principal_start: bool = False  # begin the autoencoder at the principal components of the clips' frames
    spatial: PhaseConfig = field(default_factory=lambda: PhaseConfig(share=0.6, frames=1))
    temporal: PhaseConfig = field(default_factory=lambda: PhaseConfig(share=0.15, frames=8))
    joint: PhaseConfig = field(default_factory=lambda: PhaseConfig(share=0.25, frames=8))
    refine: PhaseConfig = field(default_factory=lambda: PhaseConfig(steps=0, frames=8))  # off; latents stay as they are
    dynamics: PhaseConfig = field(default_factory=lambda: PhaseConfig(frames=32))
    posttraining: PhaseConfig = field(default_factory=lambda: PhaseConfig(frames=32))

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"training.precision must be one of {', '.join(PRECISIONS)}, got {self.precision!r}")
        if self.export_dtype not in EXPORTS:
            raise ValueError(f"training.export_dtype must be one of {', '.join(EXPORTS)}, got {self.export_dtype!r}")
        if self.log_every_steps < 1:
            raise ValueError(f"training.log_every_steps must be 1 or more, got {self.log_every_steps}")
