"""The server's side of one environment: requests, and what it answers to them."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import gymnasium
from numpy import ndarray

from .. import _masep
from .._exceptions import CallerError, TransportError
from .._environments.spaces import space_to_json
from .._environments.values import caster, to_wire, without_formless

TRACEBACK_CHARACTERS = 32_768
"""Of a longer traceback the end counts."""


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


def failure(error: BaseException) -> dict[str, Any]:
    """An exception of an environment, as the client is told."""
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ != "builtins":
        name = f"{kind.__module__}.{name}"
    shown = "".join(traceback.format_exception(error))[-TRACEBACK_CHARACTERS:]
    # A text can hold halves of characters.
    parts = (part.encode(errors="replace").decode() for part in (name, str(error), shown))
    return dict(zip(("type", "text", "traceback"), parts))


class Steps:
    """One environment under its client's requests, one after the other, until the connection has ended.

    :param drop_formless: whether what cannot be sent of an info is left out; else it is an error
    """

    def __init__(
        self,
        connection: _masep.Connection,
        env: gymnasium.Env[Any, Any],
        id: str,
        autoreset: str,
        drop_formless: bool,
    ) -> None:
        self.connection = connection
        self.env = env
        self.id = id
        self.autoreset = autoreset
        self.drop_formless = drop_formless
        self.cast = caster(env.action_space, outwards=False)
        #: The next step is a reset.
        self.is_done = False
        self.is_closed = False
        self.answers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "reset": self.reset,
            "render": self.render,
            "close": self.close,
        }

    def run(self) -> None:
        connection = self.connection
        _masep.wait_in_reads(connection)
        next_request = _masep.next_request
        while (request := next_request(connection)) is not None:
            kind, number, params = request
            if number is None:
                connection.close("bad_request", "a request has a number")
                return
            try:
                if kind == "step":
                    self.step(params, number)
                else:
                    self.answer(kind, params, number)
            except TransportError:
                raise
            except Exception as error:
                failed = {**failure(error), "request": number}
                connection.send_message("error", failed, self.id)

    def answer(self, kind: str, params: dict[str, Any], number: int) -> None:
        answer = self.answers.get(kind)
        if answer is None:
            raise CallerError(f"there is no request {kind!r:.100}")
        self.connection.send_message(kind, {**answer(params), "request": number}, self.id)

    def info(self, info: dict[str, Any]) -> dict[str, Any]:
        if not info:
            return {}
        info = to_wire(info)
        return without_formless(info) if self.drop_formless else info

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

    def render(self, params: dict[str, Any]) -> dict[str, Any]:
        return {"frame": to_wire(self.env.render())}

    def close(self, params: dict[str, Any]) -> dict[str, Any]:
        if not self.is_closed:
            self.is_closed = True
            self.env.close()
        return {}

