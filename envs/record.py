"""Records clips of a world:

    python -m envs.record --world worldmodel/BlockWorld-v0 --clips 1000 --frames 256 --out data/train

Kill it at any moment and run the same command again: it continues, and the shards are those of an uninterrupted run.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from omegaconf import OmegaConf
from tqdm import tqdm

from conditions import Condition
from envs.explorer import EXPLORERS, make_explorer
from envs.opening import make_world, missing_package
from worldmodel.data.clip_writer import ClipWriter
from worldmodel.data.clips import Clip, codec
from worldmodel.data.resume import claimed, in_processes, shard_path


@dataclass(frozen=True)
class Recording:
    """All that the content of the shards depends on.

    Attributes:
        world: a Gymnasium id; "module:Id-v0" imports the module first.
        world_kwargs: arguments of the world's constructor.
        clips: how many.
        frames: T, frames a clip.
        seed: clip i is of the world with seed `seed + i`.
        clips_per_shard: clips in a tar file.
        explorer: who plays, one of EXPLORERS.
    """

    world: str
    world_kwargs: dict[str, Any]
    clips: int
    frames: int
    seed: int
    clips_per_shard: int
    explorer: str

    def shard_clips(self, shard: int) -> range:
        """Returns the numbers of the clips in a shard."""
        return range(shard * self.clips_per_shard, min((shard + 1) * self.clips_per_shard, self.clips))

    def continues(self, begun: Mapping[str, Any]) -> bool:
        """Returns whether this is a recording that was begun, with more clips; only whole shards can be added to."""
        same = {**asdict(self), "clips": begun["clips"]} == begun
        return same and begun["clips"] < self.clips and begun["clips"] % self.clips_per_shard == 0

    @property
    def num_shards(self) -> int:
        """How many tar files hold all clips."""
        return -(-self.clips // self.clips_per_shard)


def record(recording: Recording, out: str | Path, workers: int = 1, progress: bool = True) -> int:
    """Records what is not there yet.

    Args:
        recording: what to record.
        out: the folder for the shards; one that holds part of the same recording is completed, and one of fewer clips
            that fill its shards is added to.
        workers: how many processes.
        progress: whether to draw a progress bar on stderr.

    Returns:
        How many clips were recorded now.

    Raises:
        ValueError: if the folder holds another recording, another run writes to it, or the world cannot be made or
            recorded.
        ImportError: if what the world needs to play is not installed.
        OSError: if the folder cannot be written.
    """
    out = Path(out)
    with claimed(out, "recording", "recording", asdict(recording), recording.continues):
        missing = [shard for shard in range(recording.num_shards) if not shard_path(out, shard).exists()]
        done = recording.clips - sum(len(recording.shard_clips(shard)) for shard in missing)
        count = 0
        with tqdm(total=recording.clips, initial=done, unit="clip", desc=str(out), disable=not progress) as bar:
            for clips, new in in_processes(record_shard, [(recording, out, shard) for shard in missing], workers):
                bar.update(clips)
                count += new
    return count


def record_shard(recording: Recording, out: Path, shard: int) -> tuple[int, int]:
    """Records one shard, which appears when it is whole; clips of a run that was stopped in its middle are kept.

    Returns:
        How many clips it holds, and how many of them were recorded now.
    """
    env = make_world(recording.world, recording.world_kwargs)
    try:
        conditions = env_conditions(env)
        with ClipWriter(shard_path(out, shard), conditions, resume=True) as writer:
            missing = [clip for clip in recording.shard_clips(shard) if clip_key(clip) not in writer.keys]
            for clip in missing:
                writer.write(record_clip(env, recording, clip, conditions))
    finally:
        env.close()
    return len(recording.shard_clips(shard)), len(missing)


def clip_key(number: int) -> str:
    """Returns the key of a clip by its number."""
    return f"{number:06d}"


def record_clip(env: gymnasium.Env, recording: Recording, number: int, conditions: list[Condition]) -> Clip:
    """Plays one clip: the action at step t leads from frames[t] to frames[t+1].

    A world that ends its episode early gives a shorter clip.
    """
    seed = recording.seed + number
    assert isinstance(env.action_space, spaces.Dict)
    own = getattr(env.unwrapped, "explorer", None)  # a world may bring its own player for "mix"
    if own is not None and recording.explorer == "mix":
        explorer = own(seed, recording.frames)
    else:
        explorer = make_explorer(recording.explorer, env.action_space, seed)
    observation, info = env.reset(seed=seed, options=getattr(explorer, "reset_options", None))
    frames, infos, actions = [observation], [info], []
    while len(frames) < recording.frames:
        action = explorer.act(observation, info)
        observation, _, terminated, truncated, info = env.step(action)
        actions.append(action)
        frames.append(observation)
        infos.append(info)
        if terminated or truncated:
            break
    meta = {
        "fps": float(env.metadata["render_fps"]),
        "world": recording.world,
        "world_kwargs": recording.world_kwargs,
        "seed": seed,
        "explorer": recording.explorer,
        **getattr(explorer, "about", {}),  # what a world's own player says of what it plays
        "info": _small_numbers(infos),
    }
    columns = {
        condition.name: [
            condition.observe(action[condition.name], after) for action, after in zip(actions, infos[1:], strict=True)
        ]
        for condition in conditions
    }
    return Clip(clip_key(number), np.stack(frames), columns, meta)


def env_conditions(env: gymnasium.Env) -> list[Condition]:
    """Returns the conditions that an env's actions are made of.

    An env whose spaces are not those of the default configs says which they are by an attribute `condition_configs`,
    name -> config.

    Raises:
        ValueError: if the env is not one whose action is a dict of conditions and whose observation is a frame.
    """
    frame = env.observation_space
    if not isinstance(frame, spaces.Box) or frame.dtype != np.uint8 or len(frame.shape) != 3 or frame.shape[-1] != 3:
        raise ValueError(f"a world's observation must be a frame, Box [H, W, 3] uint8, got {frame}")
    if not isinstance(env.action_space, spaces.Dict):
        raise ValueError(f"a world's action must be a Dict of conditions, got {env.action_space}")
    if "render_fps" not in env.metadata:
        raise ValueError(f"a world's metadata must have render_fps, got {env.metadata}")
    configs = getattr(env.unwrapped, "condition_configs", {})
    conditions = []
    for name, space in env.action_space.spaces.items():
        condition = codec(name, configs.get(name))
        if condition.space != space:
            raise ValueError(
                f"the world's space of {name!r} must be {condition.space}, got {space}: give the env an attribute "
                "condition_configs that says with which config it is"
            )
        conditions.append(condition)
    return conditions


def _small_numbers(infos: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Keeps, frame by frame, the numbers and short vectors that every info has, such as a position."""
    result = {}
    for key in infos[0]:
        values = [np.asarray(info[key]) if key in info else None for info in infos]
        if all(value is not None and value.dtype.kind in "iuf" and value.size <= 32 for value in values):
            result[key] = [value.tolist() for value in values if value is not None]
    return result


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line; `world_kwargs` becomes a dict of numbers, booleans, lists and strings."""
    parser = argparse.ArgumentParser(
        prog="python -m envs.record",
        description="Records clips of a world, played by a scripted explorer, as WebDataset tar shards: "
        "KEY.mp4, KEY.json, and a member per condition such as KEY.keyboard.npy.",
        epilog="Kill it at any moment and run the same command again: it continues, and the shards are those of an "
        "uninterrupted run; with more --clips it adds to them. Clip i is of the world with seed SEED + i; keep "
        "held-out worlds apart by another range, for example --seed 1000000.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--world", default="worldmodel/BlockWorld-v0", help="Gymnasium id, or module:id")
    parser.add_argument("--clips", type=_positive, required=True, help="how many clips")
    parser.add_argument("--frames", type=_positive, default=256, help="frames a clip, at least 2")
    parser.add_argument("--out", type=Path, required=True, help="folder for the shards")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first clip's world")
    parser.add_argument("--workers", type=_positive, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--clips-per-shard", type=_positive, default=16, help="clips in a tar file")
    parser.add_argument(
        "--world-kwargs",
        nargs="*",
        default=[],
        metavar="KEY=VALUE",
        help="arguments of the world: size=128 biome=meadow",
    )
    parser.add_argument(
        "--explorer",
        choices=EXPLORERS,
        default="mix",
        help="who plays: mix does everything (a world may bring its own player for it), walk only moves and looks, "
        "random samples the space at every step",
    )
    arguments = parser.parse_args(argv)
    if arguments.frames < 2:
        parser.error(f"--frames must be at least 2, got {arguments.frames}")
    pairs = [pair for text in arguments.world_kwargs for pair in shlex.split(text)]
    for pair in pairs:
        if "=" not in pair:
            parser.error(f"--world-kwargs must be KEY=VALUE, got {pair!r}")
    arguments.world_kwargs = OmegaConf.to_container(OmegaConf.from_dotlist(pairs))
    return arguments


def main(argv: list[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    arguments = parse_arguments(argv)
    fields = {key: value for key, value in vars(arguments).items() if key not in ("out", "workers")}
    try:
        count = record(Recording(**fields), arguments.out, arguments.workers)
    except (ValueError, gymnasium.error.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except ImportError as error:  # what a world loads only once it plays, as the avatar its voice
        print(f"error: world {arguments.world} cannot be played: {missing_package(error)}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: --out {arguments.out} must be a folder that can be written: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: run the same command again to continue", file=sys.stderr)
        return 130
    print(f"{arguments.out}: {arguments.clips} clips of {arguments.frames} frames, {count} of them recorded now")
    return 0


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


if __name__ == "__main__":
    sys.exit(main())
