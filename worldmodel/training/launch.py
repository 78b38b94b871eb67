"""The processes of a run: how many, on which device, in which precision; and how they are told to stop."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch
import torch.distributed
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import Generator

from worldmodel.training.bf16 import cpu_is_faster_with_bf16
from worldmodel.training.config import TrainingConfig
from worldmodel.training.strategy import LAUNCHERS, asked_strategy

DISTRIBUTED = "ACCELERATE_USE_CPU=true torchrun --nproc_per_node {count} -m worldmodel.training …"


class Interrupted(SystemExit):
    """Raised after a run that was told to stop has saved its state; exits with 128 + the signal's number."""


class StopSignal:
    """Notes SIGINT and SIGTERM so that the step in flight can be finished; a second one stops at once.

    `accelerate launch`, when it starts a single process, does not pass SIGTERM on; its end is taken for one.
    Used as a context manager; elsewhere than on the main thread it notes no signals.
    """

    def __init__(self) -> None:
        self._noted = 0
        self._launcher = os.getppid() if "ACCELERATE_MIXED_PRECISION" in os.environ else None
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @property
    def number(self) -> int:
        """The signal that asks to stop, or 0."""
        if self._launcher is not None and os.getppid() != self._launcher:
            return signal.SIGTERM
        return self._noted

    def _note(self, number: int, _: FrameType | None) -> None:
        if self._noted:
            raise SystemExit(128 + number)
        self._noted = number


def start(config: TrainingConfig) -> Accelerator:
    """Joins the processes that the launcher started.

    Args:
        config: precision, threads and the number of processes expected.

    Returns:
        The accelerator: device, rank and autocast.

    Raises:
        RuntimeError: if fewer processes came up than were asked for, the launcher was asked for another precision, or
            for a way of sharing that cannot be had (see `strategy.asked_strategy`).
    """
    precision = config.precision
    if precision == "auto":
        on_cuda = torch.cuda.is_available() and os.environ.get("ACCELERATE_USE_CPU", "false").lower() != "true"
        precision = "bf16" if on_cuda or cpu_is_faster_with_bf16() else "fp32"
    asked = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if asked not in ("no", precision):
        raise RuntimeError(
            f"the launcher was asked for {asked}, this run for {precision} (training.precision={config.precision}): "
            f"set training.precision={asked if asked == 'bf16' else 'fp32'}, or the launcher's mixed_precision"
        )
    asked_strategy()
    with _unseen(LAUNCHERS):  # accelerate would wrap the model its own way; here worldmodel.training.strategy does
        accelerator = Accelerator(mixed_precision="bf16" if precision == "bf16" else "no")
    count = accelerator.num_processes
    # With --cpu, `accelerate launch --num_processes N` announces N processes by MASTER_ADDR and then starts one.
    lonely = "ACCELERATE_MIXED_PRECISION" in os.environ and "MASTER_ADDR" in os.environ and count == 1
    if lonely and "WORLD_SIZE" not in os.environ:
        raise RuntimeError(
            "accelerate was asked for several processes and started one: on a CPU it does not distribute. Start them "
            f"by {DISTRIBUTED.format(count='N')}"
        )
    if config.num_processes and config.num_processes != count:
        raise RuntimeError(
            f"training.num_processes is {config.num_processes}, got {count}: start them by accelerate launch "
            f"--multi_gpu --num_processes {config.num_processes} -m worldmodel.training … or, on CPUs, by "
            f"{DISTRIBUTED.format(count=config.num_processes)}"
        )
    if accelerator.distributed_type not in (
        DistributedType.NO,
        DistributedType.MULTI_CPU,
        DistributedType.MULTI_GPU,
    ):
        raise RuntimeError(
            f"training cannot share by {accelerator.distributed_type}: launch by a file of configs/accelerate"
        )
    if accelerator.device.type == "cpu":
        local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        torch.set_num_threads(config.threads or max(1, len(os.sched_getaffinity(0)) // local))
    else:
        torch.set_float32_matmul_precision("high")
    return accelerator


@contextmanager
def leaving(accelerator: Accelerator) -> Iterator[None]:
    """Leaves the other processes where all come to their end together.

    Python must not end before: a thread of the process group may still hold a tensor, and dropping it then aborts. A
    process that fails just ends, since the others may be waiting for it.
    """
    try:
        yield
    except Interrupted:
        accelerator.end_training()
        raise
    accelerator.end_training()


@contextmanager
def _unseen(names: tuple[str, ...]) -> Iterator[None]:
    """Hides environment variables."""
    held = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(held)


def check_compiler(device: torch.device) -> None:
    """Compiles something small.

    Raises:
        RuntimeError: if torch.compile does not work here, with its reason.
    """
    try:
        torch.compile(lambda x: (x * 2 + 1).relu())(torch.ones(8, device=device))
    except RuntimeError as error:  # all errors of torch's compilers are
        raise RuntimeError(
            f"training.compile=true needs a C++ compiler on a CPU, Triton on a GPU, and torch.compile fails here: "
            f"{str(error).splitlines()[0]}; install one, or set training.compile=false"
        ) from error


def agree(accelerator: Accelerator, *values: float) -> list[float]:
    """The largest of each value among the processes."""
    if accelerator.num_processes == 1:
        return list(values)
    tensor = torch.tensor(values, dtype=torch.float64, device=accelerator.device)
    torch.distributed.all_reduce(tensor, op=torch.distributed.ReduceOp.MAX)
    return tensor.tolist()


def seed_of(*parts: object) -> int:
    """A seed that depends on all parts and is the same on every machine and in every process."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator_of(device: torch.device, *parts: object) -> Generator:
    """A generator on a device, seeded by `seed_of`."""
    return Generator(device=device).manual_seed(seed_of(*parts))
