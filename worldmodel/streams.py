"""The state of live streams, and the three steps that make a frame: conditions, backbone, head; then the decoder.

Several streams run as rows of one batch. A row draws its noise from a generator of its own, so what happens in one row
never changes another.

Shapes: B streams, T frames, C latent channels, h w latent size, N tokens per frame, M condition tokens per chunk,
D width, F frames per chunk.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Generator, Tensor

from conditions import Prepared, collate
from worldmodel.embedding import corrupt, to_latents, to_tokens
from worldmodel.flow import draw_normal, guided_velocity, solve, solver_timesteps

if TYPE_CHECKING:
    from worldmodel.world import WorldModel

PARTS = ("conditions", "backbone", "head", "decode")


class Stopwatch:
    """Milliseconds of each part of one step, waiting for an accelerator to finish before it reads the time."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.laps: dict[str, float] = dict.fromkeys(PARTS, 0.0)
        self.last = time.perf_counter()

    def lap(self, part: str) -> None:
        """Counts the time since the last lap towards `part`."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        self.laps[part] += 1000 * (now - self.last)
        self.last = now

    def skip(self) -> None:
        """Counts the time since the last lap towards nothing."""
        self.last = time.perf_counter()


class Streams:
    """B live streams of one world.

    Args:
        world: the model.
        generators: of each stream's noise; B is their number.
        guidance: how far to follow the conditions; other than 1 runs a second row per stream that sees none.
        num_steps: solver steps per frame.
        reference: [B, N, D] tokens of each stream's reference picture, where the layout has one.

    Attributes:
        latents: [B, C, h, w] of each stream's newest frame.
        before: [B, C, h, w] of the frame that its next chunk follows; an older one where it is at rest.
        quiet: frames since anything was asked of each stream.
    """

    def __init__(
        self,
        world: WorldModel,
        generators: Sequence[Generator],
        guidance: float,
        num_steps: int,
        reference: Tensor | None,
    ) -> None:
        self.world = world
        self.generators = list(generators)
        self.guidance = guidance
        self.num_steps = num_steps
        self.reference = reference
        self.num_streams = len(self.generators)
        self.copies = 1 if guidance == 1 else 2  # with guidance, rows B to 2 B see no condition
        self.past: list[list[dict[str, Any]]] = [[] for _ in self.generators]  # raw values that conditions look back at
        self.quiet = [0 for _ in self.generators]
        self.cache = world.backbone.new_cache(self.num_streams * self.copies, world.layout)
        self.decoder = world.autoencoder.init_cache(
            self.num_streams, world.config.frame.height, world.config.frame.width
        )
        dtype = world.embedding.position.dtype
        self.latents = torch.zeros(self.num_streams, *world.latent_shape, dtype=dtype, device=world.device)
        self.before = self.latents
        if world.layout.sink_tokens and reference is not None:
            world.backbone.sinks(reference.repeat(self.copies, 1, 1), world.layout, self.cache)

    def prepare(self, rows: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, Prepared]:
        """The next chunk's raw values, F mappings a stream, as the tensors that `chunk` takes; they become the past."""
        conditions, chunk_frames = self.world.conditions, self.world.config.layout.chunk_frames
        pairs = list(zip(rows, self.past, strict=True))
        prepared = collate([conditions.prepare(values, chunk_frames, past=past) for values, past in pairs])
        self.past = [conditions.recall(past, values) for values, past in pairs]
        if self.world.config.noise.rests:
            for row, values in enumerate(rows):
                asked = any(conditions.asks(frame) for frame in values)
                self.quiet[row] = 0 if asked else self.quiet[row] + chunk_frames
        if self.copies == 2:
            null = {name: Prepared(x, torch.zeros_like(present)) for name, (x, present) in prepared.items()}
            prepared = collate([prepared, null])
        return prepared

    def chunk(
        self, prepared: Mapping[str, Prepared], watch: Stopwatch | None = None, known: Tensor | None = None
    ) -> Iterator[Tensor]:
        """Streams one chunk, frame by frame.

        Args:
            prepared: from `prepare`.
            watch: where the time of each part is counted.
            known: [B, F, C, h, w] latents that really came, where the chunk is a memory and not imagined.

        Yields:
            [B, C, h, w] latents of each of the F frames.
        """
        world, copies = self.world, self.copies
        watch = watch or Stopwatch(world.device)
        conditions = world.conditions(prepared, world.config.layout.chunk_frames)  # [copies B, 1, M, D]
        direct = world.embedding.entering(conditions)  # [copies B, F, 1, D]
        entering = world.embedding.conditions(conditions[:, 0])
        if world.layout.reference_tokens and self.reference is not None:
            entering = torch.cat([entering, self.reference.repeat(copies, 1, 1)], dim=1)
        watch.lap("conditions")
        rest = self._rest()
        bucket = self._bucket(rest)
        kept = self._kept(memory=known is not None)
        before = self.before
        for index, step in enumerate(world.layout.steps):
            context = corrupt(before[:, None], bucket, world.config.noise, self.generators)
            inputs = to_tokens(context, world.config.patch_size)
            tokens = world.embedding(inputs, bucket, index)[:, 0].repeat(copies, 1, 1)
            if isinstance(direct, Tensor):
                tokens = tokens + direct[:, index]
            if index == 0:
                tokens = torch.cat([entering, tokens], dim=1)
            hidden = world.backbone.step(tokens, world.layout, step, self.cache)[:, -world.frame_tokens :]
            hidden = hidden + world.embedding.past(inputs[:, 0].repeat(copies, 1, 1))
            watch.lap("backbone")
            self.latents = self._imagine(hidden, rest) if known is None else known[:, index]
            watch.lap("head")
            before = self.latents
            yield before
        self.before = torch.where(kept.view(-1, 1, 1, 1), before, self.before)
        self.cache.num_chunks += kept.repeat(copies)

    def _kept(self, memory: bool) -> Tensor:
        """Whether each stream's next chunk becomes its past: [B] bool; at rest one in so many does, a memory always."""
        noise = self.world.config.noise
        over = [(quiet - noise.rest_frames) // self.world.config.layout.chunk_frames for quiet in self.quiet]
        kept = [memory or chunks < 0 or chunks % noise.rest_every == 0 for chunks in over]
        return torch.tensor(kept, device=self.world.device)

    def _rest(self) -> Tensor:
        """How much each stream is at rest, 0 to 1: [B]."""
        quiet = torch.tensor(self.quiet, dtype=self.latents.dtype, device=self.world.device)
        return (quiet / self.world.config.noise.rest_frames).clamp(max=1)

    def _bucket(self, rest: Tensor) -> Tensor:
        """The noise bucket of each stream's own frames, [B, 1], where they are at rest by [B]."""
        noise = self.world.config.noise
        more = 0 if noise.rest_bucket is None else noise.rest_bucket - noise.stream_bucket
        return (noise.stream_bucket + more * rest).round().long()[:, None]

    def _imagine(self, hidden: Tensor, rest: Tensor) -> Tensor:
        """Solves the flow from noise to the next frame: hidden [copies B, N, D], rest [B] to latents [B, C, h, w]."""
        world = self.world
        guide = world.head.guide(hidden)
        # Guidance in a limited interval (Kynkaanniemi et al. 2024): over thousands of frames, guidance in every step
        # would exaggerate its own exaggerations. Timesteps are those of the solver, the same for all rows.
        flow = world.config.flow
        steps = solver_timesteps(self.num_steps, flow.shift)[:-1] > flow.guidance_until
        scale = 1 + (self.guidance - 1) * (1 - rest).view(-1, 1, 1)
        guided = iter(steps.tolist() if self.copies == 2 else [False] * self.num_steps)

        def field(x: Tensor, timestep: Tensor) -> Tensor:
            if not next(guided):
                return world.head(x, timestep, guide[: self.num_streams])
            seen, null = world.head(x.repeat(2, 1, 1), timestep.repeat(2), guide).chunk(2)
            return guided_velocity(x, timestep, seen, null, scale, flow.guidance_parallel)

        noise = flow.temperature * draw_normal(self.latents.shape, self.generators, self.latents)
        noise = to_tokens(noise, world.config.patch_size)
        drawn = solve(field, noise, self.num_steps, order=flow.order, shift=flow.shift)
        return to_latents(drawn, world.config.patch_size, world.latent_size[0])

    def remember(self, latents: Tensor, conditions: Sequence[Mapping[str, Any]]) -> None:
        """Gives a single stream a past: what came before its first imagined frame.

        Args:
            latents: [1, T, C, h, w] of the frames that really came.
            conditions: the T - 1 raw values between them.
        """
        layout = self.world.config.layout
        last = latents.shape[1] - 1
        num_chunks = min(last // layout.chunk_frames, layout.window_chunks)
        first = last - num_chunks * layout.chunk_frames
        self.latents = self.before = latents[:, first]
        self.past = [self.world.conditions.recall([], conditions[:first])]
        for start in range(first, last, layout.chunk_frames):
            stop = start + layout.chunk_frames
            for _ in self.chunk(self.prepare([conditions[start:stop]]), known=latents[:, start + 1 : stop + 1]):
                pass
        for index in range(max(0, last - self.world.autoencoder.decoder_history), last + 1):
            self.world.autoencoder.decode_step(latents[:, index], self.decoder)

    def take(self, row: int, other: Streams, source: int) -> None:
        """Makes stream `row` the same as stream `source` of `other`, leaving the others as they are."""
        for copy in range(self.copies):
            self.cache.copy_row(row + copy * self.num_streams, other.cache, source + copy * other.num_streams)
        self.decoder.copy_row(source, row, other.decoder)
        self.past[row] = list(other.past[source])
        self.quiet[row] = other.quiet[source]
        self.latents, self.before = self.latents.clone(), self.before.clone()
        self.latents[row], self.before[row] = other.latents[source], other.before[source]
        if self.reference is not None and other.reference is not None:
            self.reference = self.reference.clone()
            self.reference[row] = other.reference[source]
        self.generators[row].set_state(other.generators[source].get_state())
