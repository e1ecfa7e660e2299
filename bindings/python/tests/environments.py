"""Environments that the tests serve, in processes that import this module."""

from __future__ import annotations

import os
import threading

import gymnasium
import numpy as np
from gymnasium import spaces


class Sampled(gymnasium.Env):
    """Observations that the seed decides, of any space; an episode has 20 steps."""

    metadata = {"render_modes": ["rgb_array", "ansi"], "render_fps": 7}

    def __init__(self, observation_space, action_space, render_mode=None):
        self.observation_space, self.action_space = observation_space, action_space
        self.render_mode = render_mode
        self.steps = 0

    def observed(self):
        self.observation_space.seed(int(self.np_random.integers(2**31)))
        return self.observation_space.sample()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.observed(), {"options": options}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.steps += 1
        info = {"scalar": np.float32(0.1), "array": np.arange(3), "steps": self.steps}
        return self.observed(), self.np_random.random(), self.steps >= 20, False, info

    def render(self):
        return np.full((4, 5, 3), self.steps, np.uint8) if self.render_mode == "rgb_array" else "shown"


def dict_env(**arguments):
    observation = spaces.Dict(
        {
            "position": spaces.Box(-1, 1, (3,), np.float64),
            "inner": spaces.Dict({"key": spaces.Discrete(5, start=2), "many": spaces.MultiBinary((2, 3))}),
            "word": spaces.Text(5, charset="abc"),
        }
    )
    action = spaces.Dict({"move": spaces.Discrete(3), "force": spaces.Box(0, 2, (2,), np.float32)})
    return Sampled(observation, action, **arguments)


def tuple_env(**arguments):
    observation = spaces.Tuple(
        (spaces.MultiDiscrete([3, 4]), spaces.Box(0, 255, (2, 2), np.uint8), spaces.Discrete(4))
    )
    return Sampled(observation, spaces.Tuple((spaces.Discrete(2), spaces.Box(-1, 1))), **arguments)


def image_env(**arguments):
    return Sampled(spaces.Box(0, 255, (84, 84, 4), np.uint8), spaces.MultiDiscrete([3, 2]), **arguments)


class Wilful(gymnasium.Env):
    """Does what the action says."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = spaces.Text(4_096, min_length=0, charset="".join(map(chr, range(32, 127))))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.full(2, os.getpid(), np.float64), {}

    def step(self, action):
        verb, _, rest = action.partition(" ")
        info = {}
        if verb == "raise":
            raise ValueError(rest)
        if verb == "crash":
            os._exit(3)
        if verb == "formless":
            info = {"good": 1, "deep": {"bad": object(), "list": [1, 2]}}
        if verb == "gate":
            # Both wait for the other end.
            entered, left = rest.split(" ")
            open(entered, "w").close()
            open(left).close()
        if verb == "walk":
            return self.np_random.normal(size=2), self.np_random.random(), False, False, info
        return np.full(2, len(rest), np.float64), 1.0, False, False, info

    def close(self):
        super().close()


def unmade(**arguments):
    raise OSError("no such world")


def never_made(**arguments):
    threading.Event().wait()
