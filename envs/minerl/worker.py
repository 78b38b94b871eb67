"""What runs in MineRL's own interpreter: makes the environment, and steps it as it is told through a pipe.

    python worker.py REQUESTS REPLIES PICTURE     # two descriptors, and the file that pictures are put into

One line of JSON a request and one a reply; the picture is in the file, mapped into memory, when the reply comes. On its
own this file has to run in Python 3.7 beside a gym of 2021, so it keeps to that syntax and imports nothing of ours.
"""

from __future__ import annotations

import importlib
import json
import mmap
import os
import sys
import traceback
from typing import Any, TextIO

PROTOCOL = 1
LARGE = 100  # of a longer mapping, as the counts of every item there is, only what is not 0 is told


class Refused(Exception):
    """A request that cannot be met: a kind for the other side to tell apart, and what to say."""

    def __init__(self, kind: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.reply = dict(kind=kind, error=message, **more)


class Worker:
    """One environment and the picture that it shows."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.env: Any = None

    def make(self, environment: str) -> dict[str, Any]:
        """Makes the environment, `ID` or `module:ID`, and tells what it takes and shows."""
        try:
            import gym
        except ImportError as error:
            raise Refused("missing", f"gym cannot be imported ({type(error).__name__}: {error})") from error
        others = set(registered(gym))
        module, _, name = environment.rpartition(":")
        for package in ["minerl"] + ([module] if module else []):
            try:
                importlib.import_module(package)
            except Exception as error:  # of a package that is there and does not load, anything may come
                traceback.print_exc()
                what = f"{package} cannot be imported ({type(error).__name__}: {error})"
                raise Refused("missing", what) from error
        known = registered(gym)
        if name not in known:
            raise Refused("unknown", name, known=sorted(set(known) - others))
        self.env = gym.make(name)
        observed = getattr(self.env.observation_space, "spaces", {})
        shape = getattr(observed.get("pov"), "shape", None)
        if shape is None or len(shape) != 3 or shape[2] < 3:
            what = f"it must show a picture [H, W, 3] called pov, it shows {brief(self.env.observation_space)}"
            raise Refused("unfit", what)
        self.shape = tuple(int(size) for size in shape[:2]) + (3,)
        size = self.shape[0] * self.shape[1] * 3
        with open(self.path, "w+b") as file:
            file.truncate(size)
            self.memory = mmap.mmap(file.fileno(), size)
        taken = getattr(self.env.action_space, "spaces", {})
        camera = taken.get("camera")
        # An enumeration, as of what to craft, is a Discrete too; it has values.
        buttons = [key for key, space in taken.items() if getattr(space, "n", 0) == 2 and not hasattr(space, "values")]
        return {
            "shape": list(self.shape),
            "buttons": buttons,
            "camera": None
            if camera is None
            else [list(camera.shape), float(camera.low.min()), float(camera.high.max())],
            "actions": list(taken) or [brief(self.env.action_space)],
            "noop": any(hasattr(self.env.action_space, name) for name in ("no_op", "noop")),
            "seeds": type(self.env.unwrapped).seed is not gym.Env.seed if hasattr(gym.Env, "seed") else False,
        }

    def reset(self, seed: int | None) -> dict[str, Any]:
        """Begins an episode."""
        if seed is not None:
            self.env.seed(seed)
        result = self.env.reset()
        observation, info = result if isinstance(result, tuple) else (result, {})
        return self.told(observation, info)

    def step(self, keys: list[str], camera: list[float]) -> dict[str, Any]:
        """Does nothing but press these keys and turn by [pitch, yaw] degrees."""
        import numpy as np

        space = self.env.action_space
        action = space.no_op() if hasattr(space, "no_op") else space.noop()
        for key in keys:
            action[key] = np.array(1)
        action["camera"] = np.array(camera, np.float32)
        result = self.env.step(action)
        observation, reward, done, info = result[0], result[1], result[2], result[-1]
        cut = result[3] if len(result) == 5 else info.get("TimeLimit.truncated", False)
        reply = self.told(observation, info)
        ended = bool(done) and not (len(result) == 4 and cut)
        reply.update(reward=float(reward), terminated=ended, truncated=bool(cut))
        return reply

    def told(self, observation: Any, info: Any) -> dict[str, Any]:
        """Puts the picture into the file, and returns the rest that the game tells."""
        import numpy as np

        if "error" in info:  # MineRL answers for a game that it has lost, with a random picture
            raise Refused("died", f"MineRL lost its game: {info['error']}")
        picture = np.asarray(observation["pov"])[:, :, :3]
        if picture.shape != self.shape or picture.dtype != np.uint8:
            what = f"pictures must be {self.shape} uint8, got {picture.shape} {picture.dtype}"
            raise Refused("refused", what)
        self.memory[:] = picture.tobytes()
        told = {str(name): plain(value) for name, value in info.items() if not str(name).startswith("TimeLimit")}
        told.update((name, plain(value)) for name, value in observation.items() if name != "pov")
        return {"told": told}


def registered(gym: Any) -> list[str]:
    """The ids of all environments; the registry has been a class, and a dict."""
    registry = gym.envs.registration.registry
    return list(getattr(registry, "env_specs", registry))


def plain(value: Any) -> Any:
    """A value of an observation as JSON has it."""
    if isinstance(value, dict) or hasattr(value, "items"):
        entries = {str(name): plain(part) for name, part in value.items()}
        return {name: part for name, part in entries.items() if part != 0} if len(entries) > LARGE else entries
    if hasattr(value, "tolist"):  # numpy's arrays and scalars
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value if isinstance(value, (bool, int, float, str)) or value is None else str(value)


def brief(space: Any) -> str:
    """A space in few words."""
    text = " ".join(str(space).split())
    return text if len(text) <= 200 else text[:197] + "..."


def main(requests: TextIO, replies: TextIO, path: str) -> None:
    """Answers requests until there are no more."""
    worker = Worker(path)
    reply: dict[str, Any] = {"protocol": PROTOCOL, "python": sys.version.split()[0]}
    while True:
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
        line = requests.readline()
        if not line:
            return
        request = json.loads(line)
        try:
            reply = getattr(worker, request.pop("do"))(**request)
        except Refused as error:
            reply = error.reply
        except Exception as error:  # whatever a game comes up with ends it, not us: the other side says what it was
            traceback.print_exc()
            reply = {"kind": "died", "error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    own = os.path.dirname(os.path.abspath(__file__))  # whose files are not to be taken for packages
    sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder) != own]
    streams = os.fdopen(int(sys.argv[1]), "r"), os.fdopen(int(sys.argv[2]), "w")
    main(streams[0], streams[1], sys.argv[3])
