"""Environments of PettingZoo that the tests serve, in processes that import this module."""

from __future__ import annotations

import os

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils import AgentSelector


def pass_gate(entered, left):
    """Says at one named pipe that it is here, and waits at another one until somebody lets it go on."""
    open(entered, "w").close()
    open(left).close()


class Shifts(ParallelEnv):
    """Agents come and go: each lives for as many steps as its number says, from a step on."""

    metadata = {"name": "shifts_v0", "render_modes": ["rgb_array", "ansi"], "is_parallelizable": True}
    LIVES = {"early": (0, 3), "late": (2, 6), "always": (0, 7)}

    def __init__(self, render_mode=None, max_cycles=100, strange=None, hides_dead=False):
        self.possible_agents = list(self.LIVES)
        self.render_mode, self.max_cycles, self.strange = render_mode, max_cycles, strange
        self.hides_dead = hides_dead
        self.spaces = {
            agent: (spaces.Box(0, 255, (6, 5, 3), np.uint8), spaces.Discrete(3, start=1))
            for agent in self.possible_agents
        }
        self.state_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)

    def observation_space(self, agent):
        return self.spaces[agent][0]

    def action_space(self, agent):
        return self.spaces[agent][1]

    def observed(self):
        return {
            agent: self.random.integers(0, 256, (6, 5, 3)).astype(np.uint8) for agent in self.agents
        }

    def alive(self):
        return [agent for agent, (born, dies) in self.LIVES.items() if born <= self.now < dies]

    def reset(self, seed=None, options=None):
        self.random, _ = seeding.np_random(seed)
        self.now, self.seen = 0, []
        self.gate = (options or {}).get("gate")
        self.agents = self.alive()
        return self.observed(), {agent: {"options": options} for agent in self.agents}

    def step(self, actions):
        assert set(actions) == set(self.agents), actions
        if self.gate:
            pass_gate(*self.gate)
        for agent, action in actions.items():
            assert self.action_space(agent).contains(action), action
        self.seen.append({agent: int(action) for agent, action in actions.items()})
        self.now += 1
        if self.strange is not None and self.now == 2:
            raise ZeroDivisionError(self.strange)
        before, alive = self.agents, self.alive()
        is_over = self.now >= self.max_cycles
        self.agents = list(dict.fromkeys([*before, *alive]))
        result = (
            self.observed(),
            {agent: np.float32(self.now / 10) for agent in self.agents},
            {agent: agent not in alive for agent in self.agents},
            {agent: is_over for agent in self.agents},
            {agent: {"now": np.int64(self.now)} for agent in self.agents},
        )
        self.agents = [] if is_over else alive
        if self.hides_dead:
            result = ({agent: one for agent, one in result[0].items() if agent in alive}, *result[1:])
        return result

    def state(self):
        return np.array([self.now, 0.5])

    def render(self):
        return np.full((2, 3, 3), self.now, np.uint8) if self.render_mode == "rgb_array" else f"step {self.now}"

    def close(self):
        pass


class Counter(AECEnv):
    """Two agents count, one after the other, for as long as they are told. An action is what is to happen."""

    metadata = {"name": "counter_v0", "render_modes": []}
    render_mode = None

    def __init__(self, length=4, renames=False):
        self.possible_agents = ["odd", "even"]
        self.length, self.renames = length, renames
        self.actions = spaces.Text(64, min_length=0, charset="".join(map(chr, range(32, 127))))
        self.observations = spaces.Discrete(1_000)

    def observation_space(self, agent):
        return self.observations

    def action_space(self, agent):
        return self.actions

    def reset(self, seed=None, options=None):
        self.agents = self.possible_agents[:]
        self.selector = AgentSelector(self.agents)
        self.agent_selection = self.selector.reset()
        self.count = 0
        self.rewards, self._cumulative_rewards = (dict.fromkeys(self.agents, 0) for _ in range(2))
        self.terminations, self.truncations = (dict.fromkeys(self.agents, False) for _ in range(2))
        self.infos = {agent: {} for agent in self.agents}

    def observe(self, agent):
        _ = self.infos[agent]
        return np.int64(self.count)

    def step(self, action):
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            return self._was_dead_step(action)
        verb, _, rest = action.partition(" ")
        if verb == "raise":
            raise ValueError(rest)
        if verb == "crash":
            os._exit(3)
        if verb == "formless":
            self.infos = {name: {"bad": object(), "good": 1} for name in self.agents}
        if verb == "gate":
            pass_gate(*rest.split(" "))
        self._cumulative_rewards[agent] = 0
        self.count += 1
        self.rewards = dict.fromkeys(self.agents, 0)
        self.rewards[agent] = self.count
        if self.count >= self.length:
            self.terminations = dict.fromkeys(self.agents, True)
        self._accumulate_rewards()
        self.agent_selection = self.selector.next()
        if self.renames:
            self.agents = ["odd", "renamed"]
            self.agent_selection = "renamed"
            for told in (self.rewards, self._cumulative_rewards, self.terminations, self.truncations, self.infos):
                told["renamed"] = told.pop("even", None)

    def close(self):
        pass
