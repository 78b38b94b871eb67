"""A run: its configuration, its folder, and the commands of its stages."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from conditions import ConditionSet
from worldmodel.autoencoder import Autoencoder
from worldmodel.checkpoint import load_part, resolve
from worldmodel.config import Config, SetConfig
from worldmodel.data.cache import ShardCache
from worldmodel.data.clips import ClipSet
from worldmodel.data.index import Index, load_index
from worldmodel.data.latent_windows import LatentSet
from worldmodel.data.mix import MixedClips
from worldmodel.data.order import make_order
from worldmodel.data.remote import Remote, is_remote
from worldmodel.data.stream import StreamedClips
from worldmodel.data.windows import FrameWindows, Order, Windows
from worldmodel.training.config import PhaseConfig
from worldmodel.training.initial import adapt
from worldmodel.world import WorldConfig, WorldModel


@dataclass
class Run:
    """One stage of a run about to be trained.

    Attributes:
        config: the whole configuration.
        arguments: the command line that it came from.
        accelerator: this process among the run's.
    """

    config: Config
    arguments: Sequence[str]
    accelerator: Accelerator
    _indexes: dict[str, Index] = field(default_factory=dict, init=False, repr=False)

    def folder(self, stage: str) -> Path:
        """Where a stage keeps what it writes."""
        return Path(self.config.run) / stage

    def command(self, stage: str) -> str:
        """The command that runs another stage of this run."""
        others = [argument for argument in self.arguments if not argument.startswith(("stage=", "max_minutes="))]
        return " ".join(["python -m worldmodel.training", f"stage={stage}", *others])

    @property
    def mix(self) -> dict[str, SetConfig]:
        """The sets that are trained on together, by name, those of weight 0 aside; empty where there is one set."""
        return {name: part for name, part in (self.config.data.mix or {}).items() if part.weight}

    def clips(self) -> ClipSet:
        """The recorded clips, of all sets.

        Raises:
            ValueError: if there are none, with the command that records some; or if they are of another size or
                rate than the model.
        """
        folder, frame = self.config.data.clips, self.config.model.frame
        if self.mix:
            sets = {name: self._clips_of(name, part) for name, part in self.mix.items()}
            return MixedClips(sets, {name: part.weight for name, part in self.mix.items()})
        if not is_remote(folder) and not any(Path(folder).glob("*.tar")):
            raise ValueError(
                f"there are no clips in {folder} (data.clips): record some by python -m envs.record --world "
                f"worldmodel/BlockWorld-v0 --clips 256 --frames 256 --out {folder} --world-kwargs "
                f"'size={frame.height} biome=meadow'"
            )
        clips = self._streamed_clips() if is_remote(folder) else ClipSet(folder)
        size = clips.size(0)
        if size != (frame.height, frame.width):
            raise ValueError(
                f"clips in {folder} must be {frame.height}x{frame.width} pixels (model.frame.height, width), "
                f"got {size[0]}x{size[1]}: record them anew, or set model.frame to theirs"
            )
        if not math.isclose(clips.meta(0)["fps"], frame.fps, rel_tol=1e-3):
            raise ValueError(
                f"clips in {folder} must be of {frame.fps:g} frames a second (model.frame.fps), got "
                f"{clips.meta(0)['fps']:g}: record them anew, or set model.frame.fps to theirs"
            )
        return clips

    def _clips_of(self, name: str, part: SetConfig) -> ClipSet:
        """The clips of one of several sets."""
        frame, leave = self.config.model.frame, f"leave the set out by data.mix.{name}.weight=0"
        if not any(Path(part.clips).glob("*.tar")):
            raise ValueError(
                f"there are no clips in {part.clips} (data.mix.{name}.clips): record or convert some "
                f"(docs/data/README.md), or {leave}"
            )
        clips = ClipSet(part.clips)
        for index in range(len(clips)):
            height, width = clips.size(index)
            if (height, width) != (frame.height, frame.width):
                raise ValueError(
                    f"clips of every set in data.mix must be {frame.height}x{frame.width} pixels (model.frame), got "
                    f"{height}x{width} in {part.clips} ({name!r}): convert them anew by python -m "
                    f"worldmodel.data.convert … --size {frame.height}x{frame.width}, record them anew by "
                    f"--world-kwargs size=[{frame.height},{frame.width}], or {leave}"
                )
            fps = clips.meta(index)["fps"]
            if not math.isclose(fps, frame.fps, rel_tol=1e-3):
                raise ValueError(
                    f"clips of every set in data.mix must be of {frame.fps:g} frames a second (model.frame.fps), got "
                    f"{fps:g} in {part.clips} ({name!r}): where one frame is one step of the game whatever its video "
                    f"says, convert them anew by python -m worldmodel.data.convert … --fps {frame.fps:g}, or {leave}"
                )
        return clips

    @property
    def latents_place(self) -> str:
        """Where the clips' latents lie, a folder or a URL; of several sets, in folders below it."""
        return self.config.data.latents or str(self.folder("latents"))

    def latents_places(self) -> dict[str, str]:
        """Where the latents of each set lie, by name; of the only one, whose name is "", too."""
        if not self.mix:
            return {"": self.latents_place}
        return {name: part.latents or str(self.folder("latents") / name) for name, part in self.mix.items()}

    def latents(self, conditions: ConditionSet) -> LatentSet:
        """The clips' latents.

        Args:
            conditions: to read with them.

        Raises:
            ValueError: if there are none.
        """
        if not is_remote(self.latents_place):
            return LatentSet.of_folders(list(self.latents_places().values()), conditions)
        remote, downloads = Remote(self.latents_place), self.config.data.stream.downloads
        index, share = self.indexed("latents"), self._share_bytes("latents")
        return LatentSet.streamed(index, remote, self._cache(), conditions, downloads, share)

    def indexed(self, kind: str) -> Index:
        """The index of `data.clips` or `data.latents` behind a URL; read once.

        Raises:
            ValueError: if it cannot be had, with the command that makes it.
        """
        if kind not in self._indexes:
            data = self.config.data
            place, own = (data.clips, data.index) if kind == "clips" else (self.latents_place, None)
            self._indexes[kind] = load_index(Remote(place), kind, own)
        return self._indexes[kind]

    def order(self, windows: Windows[Any], phase: PhaseConfig) -> Order:
        """Which of these windows each sample of a phase stands for; says so where clips are too short for any.

        Raises:
            ValueError: if the cache is too small for what a step reads of a set behind a URL.
        """
        stream = self.config.data.stream
        short = sum(length < windows.length for length in windows.lengths)
        if short and self.accelerator.is_main_process:
            print(
                f"{short} of {len(windows.lengths)} clips have fewer than the {windows.length} frames of a window, and "
                "are left out: record or convert longer ones, or lower training.PHASE.frames",
                flush=True,
            )
        if windows.shard_numbers is not None:
            kind = "clips" if isinstance(windows, FrameWindows) else "latents"
            sizes = [shard.bytes for shard in self.indexed(kind).shards]
            rows, share = phase.batch_size // self.accelerator.num_processes, self._share_bytes(kind)
            needed = min(sum(sizes), max(sizes) * stream.buffer_shards * rows)
            if needed > share:
                raise ValueError(
                    f"data.stream.cache_gb must hold the shards that are in use at a time: {needed / 1e9:.3g} GB for "
                    f"each process ({stream.buffer_shards} shards of {max(sizes) / 1e6:.3g} MB for each of {rows} "
                    f"rows), whose share of {stream.cache_gb:g} GB is {share / 1e9:.3g}: raise it, lower "
                    f"data.stream.buffer_shards, or make smaller shards"
                )
        weights = {name: part.weight for name, part in self.mix.items()} or None
        return make_order(windows, self.config.training.seed, phase.batch_size, stream, weights)

    def _streamed_clips(self) -> StreamedClips:
        place, downloads = self.config.data.clips, self.config.data.stream.downloads
        index = self.indexed("clips")
        return StreamedClips(index, Remote(place), self._cache(), downloads, self._share_bytes("clips"))

    def _cache(self) -> ShardCache:
        stream = self.config.data.stream
        return ShardCache(stream.cache, int(stream.cache_gb * 1e9))

    def _share_bytes(self, kind: str) -> int:
        """What this process may keep in the machine's cache, of clips or latents."""
        limit = int(self.config.data.stream.cache_gb * 1e9)
        if is_remote(self.config.data.clips) and is_remote(self.latents_place):
            limit //= 2
        if sum(shard.bytes for shard in self.indexed(kind).shards) <= limit:
            return limit  # the processes of a machine may all keep the whole set: the same files
        return limit // int(os.environ.get("LOCAL_WORLD_SIZE", 1))

    def autoencoder(self) -> Autoencoder:
        """The autoencoder that this run has trained, or the initial world's where it trained none.

        Raises:
            ValueError: if its stage is not done, or trained another model than is configured.
        """
        folder = self.folder("autoencoder") / "export"
        if folder.is_dir():
            return self._read_autoencoder(folder)
        begun = self.initial_autoencoder() if not self.folder("autoencoder").is_dir() else None
        if begun is None:
            raise ValueError(
                f"stage={self.config.stage} needs this run's autoencoder, and {folder} is missing: train it by "
                f"{self.command('autoencoder')}"
            )
        return begun

    def _read_autoencoder(self, folder: Path) -> Autoencoder:
        autoencoder = Autoencoder.from_pretrained(folder)
        wanted = flatten(asdict(self.config.model.autoencoder))
        for name, value in flatten(asdict(autoencoder.config)).items():
            if wanted[name] != value:
                raise ValueError(
                    f"the autoencoder in {folder} has {name} = {value}, the config asks for {wanted[name]}: set "
                    f"model.autoencoder.{name}={value}, or train another by {self.command('autoencoder')}"
                )
        return autoencoder

    def initial(self) -> WorldModel | None:
        """The world that the dynamics begin from; None where the config names none.

        Raises:
            ValueError: if it does not fit the configured model.
        """
        if self.config.initial is None:
            return None
        world = WorldModel.from_pretrained(self.config.initial)
        if self.accelerator.is_main_process:
            changed = changes(world.config, self.config.model)
            print(f"{self.config.stage}: begins from {self.config.initial}; changed: {changed}", flush=True)
        return adapt(world, self.config.model)

    def begin(self) -> WorldModel:
        """The model as its dynamics begin: the initial world or random weights, with `parts` in their places.

        Raises:
            ValueError: if one of them does not fit the configured model.
        """
        world = self.initial() or WorldModel(self.config.model)
        for name, folder in self.config.parts.items():
            load_part(world, name, Path(folder))
        return world

    def initial_autoencoder(self) -> Autoencoder | None:
        """The autoencoder of that world; None where the config names none.

        Raises:
            ValueError: if it is another than is configured.
        """
        if self.config.initial is None:
            return None
        return self._read_autoencoder(resolve(self.config.initial) / "autoencoder").float()

    def fingerprint(self, model: Mapping[str, Any], phases: Mapping[str, PhaseConfig]) -> dict[str, Any]:
        """What a snapshot and its continuation must share, by dotted name.

        Args:
            model: config of the model that is trained.
            phases: by name.

        Returns:
            Plain values.
        """
        training: dict[str, Any] = {"seed": self.config.training.seed}
        for name, phase in phases.items():
            training[name] = {key: getattr(phase, key) for key in ("batch_size", "frames", "optimizer")}
        data: dict[str, Any] = {kind: f"a set with the index {i.digest}" for kind, i in self._indexes.items()}
        if data:  # what a sample's number stands for depends on these too
            data["stream"] = {"buffer_shards": self.config.data.stream.buffer_shards}
        if self.mix:
            data["mix"] = {name: part.weight for name, part in self.mix.items()}
        return flatten({"model": model, "training": training, **({"data": data} if data else {})})


def changes(before: WorldConfig, after: WorldConfig) -> str:
    """What differs between a world and the model that begins from it, in words."""
    old, new = flatten(asdict(before)), flatten(asdict(after))
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    return ", ".join(f"{name} {old.get(name, 'default')} -> {new.get(name, 'default')}" for name in names) or "nothing"


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping by dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
