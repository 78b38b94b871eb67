"""As much of the old gym as MineRL needs, for tests where none is installed."""

from types import SimpleNamespace

from . import spaces  # noqa: F401  gym.spaces


class Env:
    @property
    def unwrapped(self):
        return self

    def seed(self, seed=None):
        return None


class TimeLimit(Env):
    """As gym's wrapper of that name."""

    def __init__(self, env, most):
        self.env, self.most = env, most
        self.action_space, self.observation_space = env.action_space, env.observation_space

    @property
    def unwrapped(self):
        return self.env

    def seed(self, seed=None):
        return self.env.seed(seed)

    def reset(self):
        self.steps = 0
        return self.env.reset()

    def step(self, action):
        observation, reward, done, info = self.env.step(action)
        self.steps += 1
        if self.steps >= self.most:
            info["TimeLimit.truncated"] = not done
            done = True
        return observation, reward, done, info


registry = SimpleNamespace(env_specs={})
envs = SimpleNamespace(registration=SimpleNamespace(registry=registry))


def register(id, entry_point, max_episode_steps=None, kwargs=None):
    registry.env_specs[id] = (entry_point, max_episode_steps, kwargs or {})


def make(id):
    entry_point, most, kwargs = registry.env_specs[id]
    env = entry_point(**kwargs)
    return env if most is None else TimeLimit(env, most)
