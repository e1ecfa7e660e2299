"""The server's side of one environment: requests, and what it answers to them."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import gymnasium
from numpy import ndarray

from .. import _masep
from .._environments.requests import Requests
from .._environments.spaces import space_to_json
from .._environments.values import caster, to_wire, without_formless

def description(env: gymnasium.Env[Any, Any]) -> dict[str, Any]:
    """The environment, as the client is told of it."""
    spec = env.spec
    told = ("id", "max_episode_steps", "reward_threshold", "nondeterministic")
    return {
        "kind": "gymnasium",
        "observation_space": space_to_json(env.observation_space),
        "action_space": space_to_json(env.action_space),
        "metadata": without_formless(to_wire(dict(env.metadata or {}))),
        "spec": None if spec is None else {key: getattr(spec, key) for key in told},
        "render_mode": env.render_mode,
    }


class Steps(Requests):
    """One environment of Gymnasium under its client's requests."""

    def __init__(
        self,
        connection: _masep.Connection,
        env: gymnasium.Env[Any, Any],
        id: str,
        autoreset: str,
        drop_formless: bool,
    ) -> None:
        super().__init__(connection, env, id, drop_formless)
        self.autoreset = autoreset
        self.cast = caster(env.action_space, outwards=False)
        #: The next step is a reset.
        self.is_done = False

    def reset(self, params: dict[str, Any]) -> dict[str, Any]:
        observation, info = self.env.reset(seed=params.get("seed"), options=params.get("options"))
        self.is_done = False
        return {"observation": to_wire(observation), "info": self.info(info)}

    def step(self, action: Any, number: int) -> None:
        if self.is_done:
            answer = self.reset({})
            observation, info = answer["observation"], answer["info"]
            reward, terminated, truncated = 0.0, False, False
        else:
            observation, got, terminated, truncated, info = self.env.step(self.cast(action))
            reward = float(got)
            if type(observation) is not ndarray:
                observation = to_wire(observation)
            if info:
                info = self.info(info)
            if (terminated or truncated) and self.autoreset != "disabled":
                if self.autoreset == "same_step":
                    self.step_and_reset(number, observation, reward, terminated, truncated, info)
                    return
                self.is_done = True
        _masep.answer_step(
            self.connection, self.id, number, observation, reward, bool(terminated), bool(truncated), info
        )

    def step_and_reset(
        self,
        number: int,
        observation: Any,
        reward: float,
        terminated: bool,
        truncated: bool,
        info: dict[str, Any],
    ) -> None:
        # An environment may write into the array that it gave.
        final = deepcopy({"final_observation": observation, "final_info": info})
        flags = {"reward": reward, "terminated": bool(terminated), "truncated": bool(truncated)}
        answer = {**flags, **final, **self.reset({}), "request": number}
        self.connection.send_message("step", answer, self.id)
