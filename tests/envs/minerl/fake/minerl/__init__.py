"""Stands for MineRL where that is not installed: its spaces and its manners, with no game behind them.

What it was told is in the info of each step as "heard". The picture depends on the seed, its upper half on the keys.
Runs in Python 3.7, on any gym from 0.19 to 0.23 or on the one beside it.
"""

import os
import subprocess
import sys
import time

import gym
import numpy as np
from gym import spaces

SIMPLE = ["attack", "back", "forward", "jump", "left", "right", "sneak", "sprint"]
FULL = SIMPLE + ["use", "drop", "inventory", "ESC", "pickItem", "swapHands"]
FULL += [f"hotbar.{slot}" for slot in range(1, 10)]
MANY = [f"item_{number}" for number in range(300)]


class Enum(spaces.Discrete):
    def __init__(self, *values):
        super().__init__(len(values))
        self.values = np.array(values)

    def no_op(self):
        return "none"


class Dict(spaces.Dict):
    def no_op(self):
        return {name: noop(space) for name, space in self.spaces.items()}


class OldDict(spaces.Dict):
    noop = Dict.no_op


def noop(space):
    if hasattr(space, "no_op"):
        return space.no_op()
    return 0 if isinstance(space, spaces.Discrete) else np.zeros(space.shape, space.dtype)


def actions(keys=SIMPLE, turn=180.0, kind=Dict, **others):
    entries = {key: spaces.Discrete(2) for key in keys}
    entries["camera"] = spaces.Box(-turn, turn, (2,), np.float32)
    entries.update(others)
    return kind(entries)


def counts(names):
    return Dict({name: spaces.Box(0, 2304, (), np.int64) for name in names})


class Fake(gym.Env):
    def __init__(self, size=(64, 64), action_space=None, many=False, manner="", **observed):
        self.action_space = actions() if action_space is None else action_space
        pov = spaces.Box(0, 255, size + (3,), np.uint8)
        self.observation_space = Dict(dict(observed, pov=pov))
        self.many, self.manner = many, manner
        self.seeded, self.pids = None, []

    def reset(self):
        if self.manner == "hangs at reset":
            time.sleep(1000)
        if self.manner == "dies at reset":
            sys.stderr.write("java: no such luck\n")
            os._exit(7)
        if not self.pids:  # a game, in a session of its own, and a daemon that nobody waits for
            game = subprocess.Popen(["sleep", "1000"], start_new_session=True)
            daemon = subprocess.Popen(
                ["sh", "-c", "sleep 1000 & echo $!"], stdout=subprocess.PIPE, start_new_session=True
            )
            self.pids = [os.getpid(), game.pid, int(daemon.stdout.readline())]
        rng = np.random.RandomState(self.seeded)
        self.seeded = None  # MineRL's too is for the next episode only
        shape = self.observation_space.spaces["pov"].shape
        self.land = rng.randint(0, 256, shape).astype(np.uint8)
        self.turned, self.steps = np.zeros(2), 0
        return self.observed(self.action_space.no_op() if hasattr(self.action_space, "no_op") else {})

    def step(self, action):
        self.steps += 1
        if self.manner == "hangs":
            time.sleep(1000)
        if self.manner == "dies":
            os.kill(os.getpid(), 9)
        if self.manner == "raises":
            raise RuntimeError("Attempted to step an environment server with done=True")
        if self.manner == "lost":
            return self.observation_space.spaces["pov"], 0, True, {"error": "Connection timed out!"}
        self.turned = self.turned + action["camera"]
        heard = {name: np.asarray(value).tolist() for name, value in action.items()}
        observation = self.observed(action)
        return observation, 0.5, self.steps == 30, {"heard": heard, "pids": self.pids, "isGuiOpen": False}

    def observed(self, action):
        picture = self.land.copy()
        picture[: len(picture) // 2] = 128 * int(action.get("forward", 0)) + 64 * int(action.get("jump", 0))
        if self.manner == "blank" or (self.manner == "slow" and self.steps < 3):
            picture[:] = 0
        if self.manner == "resizes" and self.steps:
            picture = picture[:32]
        told = {"pov": picture}
        told.update((name, told_by(name, self)) for name in self.observation_space.spaces if name != "pov")
        return told


class Seeded(Fake):
    def seed(self, seed=None):
        self.seeded = seed


def told_by(name, env):
    if name == "inventory":
        items = MANY if env.many else ["dirt", "log"]
        return {item: np.array(3 if item in ("log", "item_7") else 0) for item in items}
    if name == "compass":
        return {"angle": np.array(12.5)}
    if name == "equipped_items":
        return {"mainhand": {"damage": np.array(0), "maxDamage": np.array(0), "type": "air"}}
    place = {"xpos": 1.5, "ypos": 64.0, "zpos": -7.25, "pitch": env.turned[0], "yaw": env.turned[1], "biome_id": 0}
    return {key: np.array(value) for key, value in place.items()}


def register(name, most=None, entry_point=Seeded, **kwargs):
    gym.register(id=name, entry_point=entry_point, max_episode_steps=most, kwargs=kwargs)


craft = {"craft": Enum("none", "planks"), "place": Enum("none", "dirt"), "equip": Enum("none", "air", "iron_axe")}
compass = Dict({"angle": spaces.Box(-180, 180, (), np.float32)})
place = actions(place=Enum("dirt", "none"))
items = counts(["dirt", "log"])
register("MineRLTreechop-v0", most=20)
register("MineRLNavigate-v0", inventory=items, compass=compass, action_space=place)
register("MineRLObtainDiamond-v0", inventory=items, equipped_items=Dict({}), action_space=actions(**craft))
register("MineRLTreechopVectorObf-v0", action_space=Dict({"vector": spaces.Box(-1.05, 1.05, (64,), np.float32)}))
survival = {"inventory": counts(MANY), "location_stats": Dict({}), "action_space": actions(FULL)}
register("MineRLHumanSurvival-v0", size=(360, 640), many=True, **survival)
register("MineRLOldNoop-v0", action_space=actions(kind=OldDict))
register("MineRLNoNoop-v0", action_space=actions(kind=spaces.Dict))
register("MineRLNarrow-v0", action_space=actions(turn=10.0))
register("MineRLNoJump-v0", action_space=actions([key for key in SIMPLE if key != "jump"]))
register("MineRLUnseeded-v0", entry_point=Fake)
for manner in ("hangs", "dies", "raises", "lost", "blank", "slow", "resizes", "hangs at reset", "dies at reset"):
    register("MineRL" + manner.title().replace(" ", "") + "-v0", manner=manner)
