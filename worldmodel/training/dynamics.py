"""Stage `dynamics`: backbone, head and conditions together, on latents encoded once.

Shapes: B batch, T frames to predict, C latent channels, h w latent, F frames per chunk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor, nn

from worldmodel.data.clips import Clip, ClipSet
from worldmodel.data.latent_windows import LatentBatch, LatentWindows
from worldmodel.data.latents import fingerprint, source_of
from worldmodel.data.remote import is_remote
from worldmodel.data.windows import read
from worldmodel.evenly import evenly
from worldmodel.training.config import PhaseConfig
from worldmodel.training.pictures import grid
from worldmodel.training.run import Run
from worldmodel.training.schedule import in_steps
from worldmodel.world import WorldModel

SAMPLE_CONTEXT = 8  # true frames that a sample starts from
SAMPLE_FRAMES = 32  # frames that it generates after them, at most


class DynamicsStage:
    """Trains a world model on windows of latents and conditions.

    Args:
        run: the run.

    Raises:
        ValueError: if the run's autoencoder or latents are missing or do not belong together; the message has the
            command that makes them.
    """

    name = "dynamics"

    def __init__(self, run: Run) -> None:
        config = run.config.training
        self.config = config
        self.clips = run.clips()
        torch.manual_seed(config.seed)
        self.model: WorldModel = run.begin()
        self.model.autoencoder = run.autoencoder()
        phase: PhaseConfig = getattr(config, self.name)
        self.phases: dict[str, PhaseConfig] = {self.name: in_steps(phase, self.clips)}
        wanted = {id(parameter) for parameter in self.model.dynamics_parameters()}
        self._trained = {name for name, p in self.model.named_parameters() if id(p) in wanted}
        self._check_latents(run)
        self.windows = LatentWindows(
            run.latents(self.model.conditions),
            self.model.conditions,
            phase.frames,
            run.config.model.layout.chunk_frames,
            with_reference=run.config.model.layout.reference != "none",
        )
        self.order = run.order(self.windows, self.phases[self.name])

    def trained(self, phase: str) -> dict[str, nn.Parameter]:
        return {name: p for name, p in self.model.named_parameters() if name in self._trained}

    def state(self) -> dict[str, Tensor]:
        return dict(self.trained(self.name))

    def batch(self, phase: str, samples: Sequence[int]) -> LatentBatch:
        return read(self.windows, self.order, samples)

    def loss(self, phase: str, batch: LatentBatch, generators: Sequence[Generator]) -> Mapping[str, Tensor]:
        figures = self.model.loss(batch.latents, batch.prepared, generators, batch.reference)
        by_noise = {f"loss_noise_{i}": value for i, value in enumerate(figures["by_noise"].unbind())}
        return {"loss": figures["loss"], **by_noise}

    def sample(self, phase: str) -> np.ndarray:
        chunk = self.model.config.layout.chunk_frames
        rows = []
        for index in (0, len(self.clips) // 2):
            clip = self.clips.read(index, self.model.conditions)
            context = min(SAMPLE_CONTEXT, len(clip.frames) - chunk)
            count = min(SAMPLE_FRAMES, len(clip.frames) - context) // chunk * chunk
            rows += [clip.frames[: context + count], self._imagine(clip, context, count)]
        length = min(len(row) for row in rows)
        return grid([row[:length] for row in rows], columns=11)

    def compile(self) -> None:
        self.model.backbone.compile()
        self.model.head.compile()

    def export(self, folder: Path) -> None:
        starts = [self._start(index) for index in evenly(range(len(self.clips)), self.config.num_starts)]
        self.model.save_pretrained(folder, starts=starts, dtype=getattr(torch, self.config.export_dtype))

    # -- pieces -------------------------------------------------------------------------------------------------------

    def _imagine(self, clip: Clip, context: int, count: int) -> np.ndarray:
        """The clip's first `context` frames, and `count` generated after them under the clip's own conditions."""
        actions, chunk = clip.actions(), self.model.config.layout.chunk_frames
        session = self.model.session(
            first_frames=clip.frames[:context],
            first_conditions=actions[: context - 1],
            reference=None if self.model.config.layout.reference == "none" else clip.frames[0],
        )
        frames = [clip.frames[:context]]
        for at in range(context - 1, context - 1 + count, chunk):
            frames.append(session.step_chunk(actions[at : at + chunk]))
        return np.concatenate(frames)

    def _start(self, index: int) -> Clip:
        """The beginning of a clip: there, the seed alone says where the rendered world is."""
        clip, length = self.clips.read(index, self.model.conditions), self.config.start_frames
        conditions = {name: values[: length - 1] for name, values in clip.conditions.items()}
        meta = {key: value for key, value in clip.meta.items() if key in ("fps", "world", "world_kwargs", "seed")}
        return Clip(clip.key, clip.frames[:length], conditions, meta)

    def _check_latents(self, run: Run) -> None:
        for clips, place in zip(self.clips.sets, run.latents_places().values(), strict=True):
            self._check_latents_of(run, clips, place)

    def _check_latents_of(self, run: Run, clips: ClipSet, place: str) -> None:
        command, shards = run.command("latents"), {path.stem for path in clips.shards}
        if is_remote(place):
            there = {Path(shard.name).stem for shard in run.indexed("latents").shards}
        else:
            there = {path.stem for path in Path(place).glob("*.safetensors")}
        missing = shards - there
        if missing:
            raise ValueError(
                f"stage={self.name} needs the latents of all clips, {len(missing)} of {len(shards)} shards are missing "
                f"in {place}: encode them by {command}"
            )
        if is_remote(place):
            present = run.indexed("latents").autoencoder
        else:
            present = json.loads((Path(place) / "latents.json").read_text())["autoencoder"]
            self._check_sources(clips, Path(place), there - shards, command)
        if present != fingerprint(self.model.autoencoder):
            raise ValueError(
                f"the latents in {place} are of another autoencoder than the run's: delete the folder, then {command}"
            )

    def _check_sources(self, clips: ClipSet, place: Path, surplus: set[str], command: str) -> None:
        """Refuses latents of clips that are no longer there, or are others now."""
        if surplus:
            raise ValueError(
                f"{place} has latents of {len(surplus)} shards that the clips have not, {min(surplus)} for one: delete "
                "them, or the folder"
            )
        firsts: dict[str, int] = {}
        for index in range(len(clips)):
            firsts.setdefault(clips.shard_of(index).stem, index)
        for stem, index in firsts.items():
            if source_of(place / f"{stem}.safetensors") != clips.shard_digest(index):
                raise ValueError(f"the latents of {stem} in {place} are of other clips than it has now: {command}")
