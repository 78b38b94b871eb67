"""The loop that trains every stage.

A step depends on the seed and its number alone: windows, noise and dropout are drawn from generators seeded by the
sample's number. So a run killed at any step continues to the same losses, and N processes give the losses of one.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from accelerate import Accelerator
from accelerate.utils import recursively_apply, send_to_device
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from worldmodel.training.config import TrainingConfig
from worldmodel.training.launch import Interrupted, StopSignal, agree, check_compiler, generator_of, seed_of
from worldmodel.training.report import Report, progress_line
from worldmodel.training.schedule import check_batch, done, learning_rate, shares, wanted
from worldmodel.training.snapshot import Progress, Snapshot, load_latest
from worldmodel.training.stage import Stage
from worldmodel.training.strategy import WHOLE, Strategy, asked_strategy, begin, check_strategy


class Trainer:
    """Trains one stage from where its run folder stands to the end.

    Args:
        stage: what to train.
        config: how.
        accelerator: from `launch.start`.
        folder: of the stage, in the run's folder.
        max_minutes: of all phases together, resumed runs included; None leaves their `steps` as the only bound.
        fingerprint: plain values that a continued run must share, e.g. the model's config.

    Raises:
        ValueError: if nothing ends a phase, a batch cannot be shared evenly, the strategy that the launcher asks for
            cannot train the stage, or the folder holds a run of other settings.
        RuntimeError: if the model is to be compiled and cannot be.
    """

    def __init__(
        self,
        stage: Stage,
        config: TrainingConfig,
        accelerator: Accelerator,
        folder: Path,
        max_minutes: float | None,
        fingerprint: Mapping[str, Any],
    ) -> None:
        self.stage = stage
        self.config = config
        self.accelerator = accelerator
        self.folder = folder
        self.fingerprint = dict(fingerprint)
        self.phases = wanted(stage.phases, max_minutes)
        self.seconds = shares(self.phases, max_minutes)
        for name, phase in self.phases.items():
            check_batch(name, phase, accelerator.num_processes)
        self.strategy = asked_strategy()
        check_strategy(self.strategy, stage, accelerator.num_processes, config.compile)
        if config.compile:
            check_compiler(accelerator.device)
        self.snapshots = folder / "checkpoint"
        self.report: Report | None = None
        stage.model.to(accelerator.device)
        self.snapshot = load_latest(self.snapshots, accelerator.device)
        self.progress = Progress(next(iter(self.phases)))
        if self.snapshot is not None:
            self._restore(self.snapshot)

    def run(self) -> None:
        """Trains all phases and exports.

        Raises:
            Interrupted: if told to stop by SIGINT or SIGTERM; the state is saved.
            FloatingPointError: if the loss is no longer finite.
        """
        main = self.accelerator.is_main_process
        if self._exported_step() == self.progress.step and self._is_over():
            if main:
                print(f"{self.stage.name}: {self.folder / 'export'} is there; a larger max_minutes or steps continues")
            return
        if self.accelerator.num_processes > 1:
            for tensor in self.stage.state().values():
                torch.distributed.broadcast(tensor.detach(), src=0)
        if self.config.compile:
            self.stage.compile()
        if main:
            self.report = Report(self.folder, self.progress.step)
        try:
            with StopSignal() as stop:
                names = list(self.phases)
                for index in range(names.index(self.progress.phase), len(names)):
                    if names[index] != self.progress.phase:
                        self.progress = Progress(names[index], index, step=self.progress.step)
                        self.snapshot = None
                    self._phase(names[index], self.snapshot, stop)
            if main:
                self.stage.model.eval()
                self.stage.export(self.folder / "export")
                self._note_export()
                written = sum(file.stat().st_size for file in (self.folder / "export").rglob("*") if file.is_file())
                print(f"{self.stage.name}: wrote {self.folder / 'export'}, {written / 1e6:.1f} MB", flush=True)
            self.accelerator.wait_for_everyone()
        finally:
            if self.report is not None:
                self.report.close()

    def _restore(self, snapshot: Snapshot) -> None:
        for key, value in self.fingerprint.items():
            before = snapshot.fingerprint.get(key)
            if before != value:
                raise ValueError(
                    f"{self.folder} holds a run with {key} = {before}, got {value}: choose another run=FOLDER, or "
                    f"delete {self.folder} to begin anew"
                )
        if snapshot.progress.phase not in self.phases:
            raise ValueError(
                f"{self.folder} holds a run in its phase {snapshot.progress.phase}, which this one leaves out: give it "
                f"steps and a share again, or choose another run=FOLDER"
            )
        if (snapshot.shards is None) != (self.strategy == WHOLE):
            held = WHOLE if snapshot.shards is None else "sharded weights (FSDP2 or DeepSpeed's ZeRO-2)"
            raise ValueError(
                f"{self.folder} holds a run with {held}, the launcher asks for {self.strategy}: launch it as before, "
                f"or begin another run=FOLDER at its export by initial={self.folder / 'export'}"
            )
        if snapshot.shards is None:
            with torch.no_grad():
                for name, tensor in self.stage.state().items():
                    tensor.copy_(snapshot.weights[name])
        self.progress = snapshot.progress

    def _is_over(self) -> bool:
        """Whether the last phase has come to its end."""
        name = self.progress.phase
        passed = done(self.phases[name], self.progress.phase_step, self.progress.seconds, self.seconds.get(name))
        return passed >= 1 and name == list(self.phases)[-1]

    def _exported_step(self) -> int | None:
        """The step whose weights were exported last."""
        path = self.folder / "exported.json"
        return json.loads(path.read_text())["step"] if path.exists() else None

    def _note_export(self) -> None:
        partial = self.folder / "exported.json.tmp"
        partial.write_text(json.dumps({"step": self.progress.step}))
        os.replace(partial, self.folder / "exported.json")

    # -- one phase ----------------------------------------------------------------------------------------------------

    def _phase(self, name: str, snapshot: Snapshot | None, stop: StopSignal) -> None:
        """Trains one phase to its end and leaves the averaged weights in the model."""
        phase, weights = self.phases[name], self.stage.trained(name)
        self.stage.model.requires_grad_(False)
        for parameter in weights.values():
            parameter.requires_grad_(True)
        del weights  # where they are sharded, others take their place
        strategy = begin(self.strategy, self.stage, name, phase, self.accelerator)
        if snapshot is not None:
            strategy.load(snapshot)

        figures: dict[str, Tensor] = {}

        def save() -> None:
            if self.accelerator.is_main_process:
                self._check_finite(name, {key: float(figures[key]) for key in figures})
            strategy.save(self.snapshots, self.progress, self.fingerprint)

        begun = time.monotonic() - self.progress.seconds
        saved = sampled = time.monotonic()
        window = _Window()
        train_mode(self.stage.model)
        with ThreadPoolExecutor(1, "batches") as reader:
            pending = self._read(reader, name)
            while True:
                now = time.monotonic()
                elapsed, number, save_due, sample_due = agree(
                    self.accelerator,
                    now - begun,
                    float(stop.number),
                    float(now - saved > 60 * self.config.save_every_minutes),
                    float(now - sampled > 60 * self.config.sample_every_minutes),
                )
                passed = done(phase, self.progress.phase_step, elapsed, self.seconds.get(name))
                if passed >= 1 or number:
                    break
                batches, pending = pending.result(), self._read(reader, name, ahead=1)
                rate = learning_rate(self.progress.phase_step, passed, phase)
                figures = self._step(name, batches, strategy, rate)
                self.progress.phase_step += 1
                self.progress.step += 1
                self.progress.seconds = time.monotonic() - begun
                window.add(phase.batch_size * phase.frames)

                # the first one too, which tells that it runs
                if self.progress.phase_step % self.config.log_every_steps == 0 or self.progress.phase_step == 1:
                    self._log(name, figures, rate, window)
                every = self.config.save_every_steps
                if save_due or (every and self.progress.step % every == 0):
                    save()
                    saved = time.monotonic()
                if sample_due:
                    self._sample(name, strategy)
                    sampled = time.monotonic()
            pending.cancel()
        save()
        if self.report is not None:
            self.report.end_line()
        if number:
            if self.accelerator.is_main_process:
                print(f"stopped at step {self.progress.step}, saved; the same command continues", flush=True)
            raise Interrupted(128 + int(number))
        self._sample(name, strategy)
        strategy.finish()

    def _read(self, reader: ThreadPoolExecutor, phase: str, ahead: int = 0) -> Future[list[Any]]:
        """Begins to read this process's share of a step's batch, cut for accumulation."""
        config = self.phases[phase]
        first = (self.progress.phase_step + ahead) * config.batch_size
        share = config.batch_size // self.accelerator.num_processes
        first += self.accelerator.process_index * share
        rows = share // config.accumulation
        cuts = [range(first + i * rows, first + (i + 1) * rows) for i in range(config.accumulation)]
        return reader.submit(self._read_now, phase, cuts)

    def _read_now(self, phase: str, cuts: Sequence[range]) -> list[Any]:
        batches: list[Any] = [(samples, self.stage.batch(phase, samples)) for samples in cuts]
        if self.accelerator.device.type == "cuda":
            batches = [(samples, recursively_apply(torch.Tensor.pin_memory, batch)) for samples, batch in batches]
        return batches

    def _step(self, phase: str, batches: Sequence[Any], strategy: Strategy, rate: float) -> dict[str, Tensor]:
        """Takes one step at a learning rate; returns figures, scalars on the device."""
        device = self.accelerator.device
        total: dict[str, Tensor] = {}
        for left, (samples, batch) in zip(range(len(batches) - 1, -1, -1), batches, strict=True):
            batch = send_to_device(batch, device, non_blocking=True)
            origin = (self.config.seed, self.stage.name, phase)
            generators = [generator_of(device, *origin, sample) for sample in samples]
            torch.manual_seed(seed_of(*origin, "default", samples[0]))  # for modules that draw on their own
            with self.accelerator.autocast():
                figures = strategy.loss(partial(self.stage.loss, phase, batch, generators))
            strategy.backward(figures["loss"] / len(batches), last=not left)
            for name, value in figures.items():
                total[name] = total.get(name, 0) + value.detach().float() / len(batches)
        total["gradient_norm"] = strategy.step(rate, self.progress.phase_step)
        return total

    # -- records ------------------------------------------------------------------------------------------------------

    def _log(self, phase: str, figures: Mapping[str, Tensor], rate: float, window: _Window) -> None:
        stacked = torch.stack(list(figures.values()))
        if self.accelerator.num_processes > 1:
            torch.distributed.all_reduce(stacked)
            stacked /= self.accelerator.num_processes
        values: dict[str, float] = dict(zip(figures, stacked.tolist(), strict=True))
        self._check_finite(phase, values)
        if self.report is not None:
            speed = window.speed()
            values |= {"lr": rate, "frames_per_second": speed, "minutes": self.progress.seconds / 60}
            self.report.scalars(self.progress.step, phase, values)
            step, seconds = self.progress.phase_step, self.progress.seconds
            passed = min(done(self.phases[phase], step, seconds, self.seconds.get(phase)), 1.0)
            self.report.line(progress_line(phase, step, passed, values["loss"], speed, seconds, rate))

    def _check_finite(self, phase: str, values: Mapping[str, float]) -> None:
        if not all(math.isfinite(values.get(key, 0.0)) for key in ("loss", "gradient_norm")):
            raise FloatingPointError(
                f"{phase} is no longer finite at step {self.progress.step}: {values}; the last snapshot in "
                f"{self.snapshots} is sound, continue from it with a smaller training.{phase}.lr (now "
                f"{self.phases[phase].lr})"
            )

    def _sample(self, phase: str, strategy: Strategy) -> None:
        self.stage.model.eval()
        with torch.no_grad():
            picture = strategy.sample(partial(self.stage.sample, phase))
        train_mode(self.stage.model)
        if self.report is not None and picture is not None:
            self.report.picture(self.progress.step, phase, picture)


def train_mode(model: nn.Module) -> None:
    """Puts a model into training mode, but for batch norms: they keep the statistics that they came with.

    Those of a batch would make every frame see the others, and train the running ones of weights that are frozen.
    """
    model.train()
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.eval()


class _Window:
    """Frames per second since the last look."""

    def __init__(self) -> None:
        self._since, self._frames = time.monotonic(), 0

    def add(self, frames: int) -> None:
        self._frames += frames

    def speed(self) -> float:
        now = time.monotonic()
        speed = self._frames / max(now - self._since, 1e-9)
        self._since, self._frames = now, 0
        return speed
