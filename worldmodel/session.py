"""A live stream of a generated world: conditions in, frames out, one at a time.

Shapes: B streams, T frames, H W pixels, C latent channels, h w latent size, F frames per chunk.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Generator, Tensor

from conditions import Prepared
from worldmodel.embedding import to_tokens
from worldmodel.frames import to_frames, to_model
from worldmodel.streams import PARTS, Stopwatch, Streams

if TYPE_CHECKING:
    from worldmodel.world import WorldModel


class Latency:
    """Milliseconds that each part of each step took, and their total, the last 10,000 steps of them."""

    def __init__(self) -> None:
        self.parts: dict[str, deque[float]] = {part: deque(maxlen=10_000) for part in (*PARTS, "total")}

    def __getitem__(self, part: str) -> list[float]:
        return list(self.parts[part])

    def add(self, laps: Mapping[str, float]) -> None:
        """Files one step."""
        for part, ms in laps.items():
            self.parts[part].append(ms)
        self.parts["total"].append(sum(laps.values()))

    def summary(self) -> dict[str, dict[str, float]]:
        """Median and 95th percentile of each part in ms, {part: {"p50": …, "p95": …}}; empty before the first step."""
        return {
            part: {"p50": float(np.percentile(times, 50)), "p95": float(np.percentile(times, 95))}
            for part, times in self.parts.items()
            if times
        }


class Session:
    """Live streams. Made by `WorldModel.session`, whose arguments these are.

    Attributes:
        latency: ms of each part of each step.
        num_streams: B.
    """

    @torch.inference_mode()
    def __init__(
        self,
        world: WorldModel,
        seed: int = 0,
        first_frames: np.ndarray | Sequence[np.ndarray] | None = None,
        first_conditions: Sequence[Any] | None = None,
        reference: np.ndarray | None = None,
        num_streams: int = 1,
        guidance: float | None = None,
        num_steps: int | None = None,
    ) -> None:
        flow = world.config.flow
        flow = replace(
            flow,
            num_steps=flow.num_steps if num_steps is None else num_steps,
            guidance=flow.guidance if guidance is None else guidance,
        )
        if num_streams < 1:
            raise ValueError(f"num_streams must be 1 or more, got {num_streams}")
        if (reference is None) != (world.config.layout.reference == "none"):
            wants = "takes no" if reference is not None else "needs a"
            raise ValueError(
                f"this world {wants} reference picture (layout.reference={world.config.layout.reference}): "
                + ("leave reference= out" if reference is not None else "give reference=, [H, W, 3] uint8")
            )
        self.world = world.eval()
        self.num_streams = num_streams
        self.latency = Latency()
        self._guidance, self._num_steps = flow.guidance, flow.num_steps
        self._running: Iterator[np.ndarray] = iter(())  # of the chunk begun last, what was not taken yet
        self._picture = None if reference is None else self._reference_tokens(reference)  # [1, N, D]
        generators = [Generator().manual_seed(seed + row) for row in range(num_streams)]
        self._streams = self._new_streams(generators)
        frames = self._per_stream(first_frames, "first_frames", isinstance(first_frames, np.ndarray))
        conditions = self._per_stream(first_conditions, "first_conditions", num_streams == 1)
        for row in range(num_streams):
            self.reset(row, frames[row], conditions[row], seed=seed + row)

    @property
    def latents(self) -> Tensor:
        """[B, C, h, w] of each stream's newest frame, unit variance."""
        return self._streams.latents

    # -- stepping -----------------------------------------------------------------------------------------------------

    def step(self, conditions: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> np.ndarray:
        """The next frame.

        Args:
            conditions: raw values by name, as {"keyboard": {"forward": 1}}; what is left out is a placeholder. A list
                of B such for several streams.

        Returns:
            [H, W, 3] uint8, or [B, H, W, 3] for several streams.

        Raises:
            ValueError: for an unknown condition or a value outside its space, before anything has changed; or if the
                world predicts several frames per chunk.
        """
        chunk_frames = self.world.config.layout.chunk_frames
        if chunk_frames != 1:
            raise ValueError(
                f"this world predicts {chunk_frames} frames at a time (layout.chunk_frames): call step_chunk with the "
                f"conditions of {chunk_frames} frames"
            )
        if self.num_streams == 1:
            return self.step_chunk([conditions])[0]
        self._expect_streams(conditions)
        return self.step_chunk([[row] for row in conditions])[:, 0]

    def step_chunk(self, conditions: Sequence[Any]) -> np.ndarray:
        """The next chunk of F frames.

        Args:
            conditions: F mappings of raw values, one per frame; a list of B such lists for several streams.

        Returns:
            [F, H, W, 3] uint8, or [B, F, H, W, 3] for several streams.

        Raises:
            ValueError: as `step`.
        """
        return np.stack(list(self.stream_chunk(conditions)), axis=0 if self.num_streams == 1 else 1)

    def stream_chunk(self, conditions: Sequence[Any]) -> Iterator[np.ndarray]:
        """The next chunk, each frame as soon as it is there: the first can be shown while the others are made.

        Frames that are not taken are made all the same, when the next chunk begins.

        Args:
            conditions: as for `step_chunk`, checked at once.

        Returns:
            An iterator over F frames, each [H, W, 3] uint8, or [B, H, W, 3] for several streams. What is done between
            two of them does not count as latency.

        Raises:
            ValueError: as `step`.
        """
        self._finish_chunk()
        watch = Stopwatch(self.world.device)
        if self.num_streams > 1:
            self._expect_streams(conditions)
        rows = [conditions] if self.num_streams == 1 else conditions
        chunk_frames = self.world.config.layout.chunk_frames
        for values in rows:
            if isinstance(values, Mapping) or len(values) != chunk_frames:
                raise ValueError(f"a chunk takes a list of the conditions of {chunk_frames} frames, got {len(values)}")
        with torch.inference_mode():
            prepared = self._streams.prepare(rows)
        self._running = self._run(prepared, watch)
        return self._running

    @torch.inference_mode()
    def _run(self, prepared: dict[str, Prepared], watch: Stopwatch) -> Iterator[np.ndarray]:
        for latents in self._streams.chunk(prepared, watch):
            frames = to_frames(self.world.autoencoder.decode_step(latents, self._streams.decoder)).cpu().numpy()
            watch.lap("decode")
            yield frames[0] if self.num_streams == 1 else frames
            watch.skip()
        self.latency.add(watch.laps)

    def _finish_chunk(self) -> None:
        for _ in self._running:
            pass

    # -- rows ---------------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def reset(
        self,
        row: int = 0,
        first_frames: np.ndarray | None = None,
        first_conditions: Sequence[Mapping[str, Any]] | None = None,
        *,
        reference: np.ndarray | None = None,
        seed: int | None = None,
    ) -> None:
        """Starts one stream anew; the others go on untouched.

        Args:
            row: which stream.
            first_frames: [T, H, W, 3] uint8; by default one of the checkpoint's starting clips, chosen by seed.
            first_conditions: the T - 1 raw values between them; by default they are missing.
            reference: [H, W, 3] uint8; by default the picture that the session was opened with.
            seed: of the noise; by default drawn from the stream's own generator.

        Raises:
            ValueError: for pictures of another size or type, or conditions of another length; the stream then goes on.
        """
        self._check_row(row)
        self._finish_chunk()
        if seed is None:  # drawn from a copy: a stream whose reset is refused goes on as if it had not been asked for
            seed = int(torch.randint(2**31, (1,), generator=self._streams.generators[row].clone_state()))
        if first_frames is None:
            first_frames, first_conditions = self._start(seed)
        self._check_frames(first_frames, "first_frames")
        conditions = [{} for _ in first_frames[1:]] if first_conditions is None else list(first_conditions)
        if len(conditions) != len(first_frames) - 1:
            raise ValueError(
                f"first_conditions must have one value fewer than the {len(first_frames)} first frames, got "
                f"{len(conditions)}: values[t] leads from frames[t] to frames[t + 1]"
            )
        picture = None if reference is None else self._reference_tokens(reference)
        stream = self._new_streams([Generator().manual_seed(seed)], picture)
        stream.remember(self._encode(first_frames), conditions)
        self._streams.take(row, stream, 0)

    @torch.inference_mode()
    def fork(self, source: int, target: int) -> None:
        """Makes stream `target` a copy of stream `source`: the same past, and the same noise from here on."""
        self._check_row(source)
        self._check_row(target)
        self._finish_chunk()
        self._streams.take(target, self._streams, source)

    # -- pieces -------------------------------------------------------------------------------------------------------

    def _new_streams(self, generators: list[Generator], picture: Tensor | None = None) -> Streams:
        picture = self._picture if picture is None else picture
        if picture is not None:
            picture = picture.repeat(len(generators), 1, 1)
        return Streams(self.world, generators, self._guidance, self._num_steps, picture)

    def _start(self, seed: int) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """A starting clip of the checkpoint: frames and the raw values between them."""
        starts = self.world.starts()
        if not starts:
            raise ValueError(
                "this model has no starting clips: give first_frames, [T, H, W, 3] uint8, or save it with starts=[...]"
            )
        clip = starts[seed % len(starts)]
        known = self.world.conditions.names
        actions = [{name: value for name, value in action.items() if name in known} for action in clip.actions()]
        return clip.frames, actions

    def _encode(self, frames: np.ndarray) -> Tensor:
        return self.world.autoencoder.encode(to_model(frames, self.world.device)[None].to(self._dtype))

    @property
    def _dtype(self) -> torch.dtype:
        return self.world.embedding.position.dtype

    def _reference_tokens(self, reference: np.ndarray) -> Tensor:
        self._check_frames(reference[None], "reference")
        return self.world.embedding.reference(
            to_tokens(self._encode(reference[None])[:, 0], self.world.config.patch_size)
        )

    def _per_stream(self, value: Any, name: str, shared: bool) -> list[Any]:
        if value is None or shared:
            return [value] * self.num_streams
        if len(value) != self.num_streams:
            raise ValueError(f"{name} must be one per stream, {self.num_streams} of them, got {len(value)}")
        return list(value)

    def _expect_streams(self, conditions: Any) -> None:
        if isinstance(conditions, Mapping) or len(conditions) != self.num_streams:
            given = "one mapping" if isinstance(conditions, Mapping) else f"{len(conditions)}"
            raise ValueError(f"conditions must be a list, one entry per stream ({self.num_streams}), got {given}")

    def _check_row(self, row: int) -> None:
        if not 0 <= row < self.num_streams:
            raise ValueError(f"row must be 0 to {self.num_streams - 1} (num_streams={self.num_streams}), got {row}")

    def _check_frames(self, frames: Any, name: str) -> None:
        size = (self.world.config.frame.height, self.world.config.frame.width)
        if not isinstance(frames, np.ndarray) or frames.dtype != np.uint8 or frames.ndim != 4 or not len(frames):
            kind = f"{frames.dtype} {frames.shape}" if isinstance(frames, np.ndarray) else type(frames).__name__
            raise ValueError(f"{name} must be uint8 pictures [T, H, W, 3] with T >= 1, got {kind}")
        if frames.shape[1:] != (*size, 3):
            raise ValueError(
                f"{name} must be {size[0]}x{size[1]} pixels, 3 channels, got {frames.shape[1:]}: resize it, "
                "and put what is transparent on a colour"
            )
