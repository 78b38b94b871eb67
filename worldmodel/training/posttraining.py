"""Stage `posttraining`: a trained world goes on at another picture size, rate or window, on a set of its own.

The paper's last phase, for long streams: one person, at a higher resolution and twice the frame rate (MIDAS). It is
`dynamics` with a phase of its own, `training.posttraining`, and it always begins from a world;
`worldmodel.training.initial.adapt` says what is carried over.
"""

from __future__ import annotations

from worldmodel.training.dynamics import DynamicsStage
from worldmodel.training.run import Run


class PostTrainingStage(DynamicsStage):
    """Trains a world model further, in a run of its own.

    Args:
        run: the run; its `initial` is the world to begin from.

    Raises:
        ValueError: if no world is given to begin from, or as `DynamicsStage`.
    """

    name = "posttraining"

    def __init__(self, run: Run) -> None:
        if run.config.initial is None:
            raise ValueError(
                "stage=posttraining begins from a trained world, got none: add initial=RUN/dynamics/export, and a "
                "run=… of its own, since its clips and latents are others"
            )
        super().__init__(run)
