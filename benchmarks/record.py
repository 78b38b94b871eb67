"""How fast a rendered world draws on one core, and how fast its clips are recorded.

    python -m benchmarks.record --world worldmodel/BlockWorld-v0 --world-kwargs size=128 biome=meadow --append

*Drawn* is stepping the world under the scripted explorer, in one process on one core. *Recorded* includes encoding the
video and writing the shards, with one process and with several (their start included, as a user would wait for it).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium import spaces
from omegaconf import OmegaConf

from benchmarks import results
from envs.explorer import make_explorer
from envs.record import Recording, record


def drawn_fps(world: str, world_kwargs: Mapping[str, Any], frames: int, seed: int = 0) -> float:
    """Frames per second of stepping a world in this process, compiled before the clock starts.

    Args:
        world: a Gymnasium id.
        world_kwargs: arguments of the world's constructor.
        frames: how many.
        seed: of the world and of the explorer.
    """
    env = gymnasium.make(world, **world_kwargs)
    assert isinstance(env.action_space, spaces.Dict)
    explorer = make_explorer("mix", env.action_space, seed)
    observation, info = env.reset(seed=seed)
    begun = 0.0
    for number in range(20 + frames):
        if number == 20:
            begun = time.perf_counter()
        observation, _, terminated, truncated, info = env.step(explorer.act(observation, info))
        if terminated or truncated:
            observation, info = env.reset()
    seconds = time.perf_counter() - begun
    env.close()
    return frames / seconds


def recorded_fps(world: str, world_kwargs: Mapping[str, Any], clips: int, frames: int, workers: int) -> float:
    """Frames per second of recording clips to disk."""
    # Shards small enough that every worker has some.
    recording = Recording(world, dict(world_kwargs), clips, frames, 0, max(1, clips // (2 * workers)), "mix")
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        record(recording, Path(folder), workers, progress=False)
        return clips * frames / (time.perf_counter() - begun)


def main(argv: list[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.record",
        description="Measures how fast a rendered world draws and is recorded.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--world", default="worldmodel/BlockWorld-v0", help="Gymnasium id, or module:id")
    parser.add_argument(
        "--world-kwargs", nargs="*", default=["size=128", "biome=meadow"], metavar="KEY=VALUE", help="of the world"
    )
    parser.add_argument("--frames", type=int, default=2000, help="frames drawn")
    parser.add_argument("--clips", type=int, default=16, help="clips recorded")
    parser.add_argument("--clip-frames", type=int, default=256, help="frames of each")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes of the second recording")
    parser.add_argument("--append", action="store_true", help="add a dated row to RESULTS.md")
    arguments = parser.parse_args(argv)
    if min(arguments.frames, arguments.clips, arguments.workers) < 1 or arguments.clip_frames < 2:
        parser.error("--frames, --clips and --workers must be at least 1, --clip-frames at least 2")
    if any("=" not in pair for pair in arguments.world_kwargs):
        parser.error(f"--world-kwargs must be KEY=VALUE, got {' '.join(arguments.world_kwargs)}")
    kwargs: Any = OmegaConf.to_container(OmegaConf.from_dotlist(arguments.world_kwargs))
    busy = results.load()
    try:
        drawn = drawn_fps(arguments.world, kwargs, arguments.frames)
        alone, together = (
            recorded_fps(arguments.world, kwargs, arguments.clips, arguments.clip_frames, workers)
            for workers in (1, arguments.workers)
        )
    except (ValueError, TypeError, gymnasium.error.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    row = {
        "load": busy,
        "world": arguments.world,
        "arguments": " ".join(arguments.world_kwargs) or "none",
        "drawn, one core [FPS]": f"{drawn:.0f}",
        "recorded, 1 process [FPS]": f"{alone:.0f}",
        "processes": str(arguments.workers),
        "recorded by them [FPS]": f"{together:.0f}",
    }
    results.show("recording", [row])
    if arguments.append:
        results.append("record", [row])
        print(f"\n  added to {results.RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
