"""The server's side of an environment of PettingZoo that one client drives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pettingzoo import AECEnv, ParallelEnv  # type: ignore[import-untyped]

from .. import _masep
from .._environments.requests import Requests
from .._environments.spaces import space_to_json
from .._environments.values import caster, to_wire, without_formless
from .._environments.worker import Setting, Wish
from .._exceptions import CallerError
from ._making import Environment, checked_agent, make, maker, possible_agents


class GameSetting(Setting):
    """Environments of PettingZoo."""

    def check(self) -> None:
        maker(self.env, None)

    def make(self, wish: Wish) -> Environment:
        arguments = {**self.arguments, **wish.arguments}
        return make(self.env, arguments, "parallel" if wish.kind == "parallel" else "aec")

    def describe(self, env: Environment, wish: Wish) -> dict[str, Any]:
        has_agents = getattr(env, "possible_agents", None) is not None
        agents = possible_agents(env) if has_agents else None
        state_space = getattr(env, "state_space", None)
        return {
            "kind": wish.kind,
            "name": str(env),
            "possible_agents": agents,
            "spaces": spaces_of(env, agents or ()),
            "state_space": None if state_space is None else space_to_json(state_space),
            "metadata": without_formless(to_wire(dict(env.metadata or {}))),
            "render_mode": getattr(env, "render_mode", None),
        }

    def requests(
        self, connection: _masep.Connection, env: Environment, wish: Wish
    ) -> Requests:
        if isinstance(env, ParallelEnv):
            return ParallelSteps(connection, env, self.id, self.drop_formless)
        return AECSteps(connection, env, self.id, self.drop_formless)


def spaces_of(env: Environment, agents: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The spaces of these agents, as a client is told of them."""
    return {
        agent: {
            "observation_space": space_to_json(env.observation_space(agent)),
            "action_space": space_to_json(env.action_space(agent)),
        }
        for agent in agents
    }


class _Steps(Requests):
    """The requests that are the same for both kinds."""

    def __init__(
        self, connection: _masep.Connection, env: Environment, id: str, drop_formless: bool
    ) -> None:
        super().__init__(connection, env, id, drop_formless)
        self.answers["state"] = self.state
        #: None: those that there may be are not known, and spaces are told as agents come.
        self.known: set[str] | None = None
        if getattr(env, "possible_agents", None) is None:
            self.known = set()
        self._casts: dict[str, tuple[Any, Callable[[Any], Any]]] = {}

    def cast(self, agent: Any, action: Any) -> Any:
        """An action as the environment takes it; None is that of a dead agent."""
        if action is None:
            return None
        space = self.env.action_space(agent)
        known = self._casts.get(agent)
        if known is None or known[0] is not space:
            self._casts[agent] = known = space, caster(space, outwards=False)
        return known[1](action)

    def state(self, params: dict[str, Any]) -> dict[str, Any]:
        return {"state": to_wire(self.env.state())}

    def agents(self) -> dict[str, Any]:
        """The agents, and what is not known of them."""
        agents = [checked_agent(agent) for agent in self.env.agents]
        if self.known is None:
            return {"agents": agents}
        new = [agent for agent in agents if agent not in self.known]
        self.known.update(new)
        return {"agents": agents, "spaces": spaces_of(self.env, new)}

    def infos(self, infos: dict[Any, Any]) -> dict[Any, Any]:
        return {agent: self.info(info) for agent, info in infos.items()}

    def reset(self, params: dict[str, Any]) -> dict[str, Any]:
        if self.known is not None:
            # Such an environment may have other spaces now.
            self.known.clear()
        return self.begin(params.get("seed"), params.get("options"))

    def begin(self, seed: int | None, options: dict[str, Any] | None) -> dict[str, Any]:
        raise NotImplementedError

    def step(self, action: Any, number: int) -> None:
        answer = {**self.stepped(action), "request": number}
        self.connection.send_message("step", answer, self.id)

    def stepped(self, action: Any) -> dict[str, Any]:
        raise NotImplementedError


class ParallelSteps(_Steps):
    env: ParallelEnv[Any, Any, Any]

    def begin(self, seed: int | None, options: dict[str, Any] | None) -> dict[str, Any]:
        observations, infos = self.env.reset(seed=seed, options=options)
        return {**self.agents(), "observation": to_wire(observations), "info": self.infos(infos)}

    def stepped(self, action: Any) -> dict[str, Any]:
        if not isinstance(action, dict):
            raise CallerError(f"the actions are a map with one for each agent, not {action!r:.100}")
        actions = {agent: self.cast(agent, one) for agent, one in action.items()}
        observations, rewards, terminations, truncations, infos = self.env.step(actions)
        return {
            **self.agents(),
            "observation": to_wire(observations),
            "reward": to_wire(rewards),
            "terminated": to_wire(terminations),
            "truncated": to_wire(truncations),
            "info": self.infos(infos),
        }


class AECSteps(_Steps):
    env: AECEnv[Any, Any, Any]

    def __init__(
        self, connection: _masep.Connection, env: Environment, id: str, drop_formless: bool
    ) -> None:
        super().__init__(connection, env, id, drop_formless)
        self.answers["observe"] = self.observe

    def begin(self, seed: int | None, options: dict[str, Any] | None) -> dict[str, Any]:
        self.env.reset(seed=seed, options=options)
        return self.now()

    def stepped(self, action: Any) -> dict[str, Any]:
        env = self.env
        env.step(self.cast(env.agent_selection, action))
        return self.now()

    def now(self) -> dict[str, Any]:
        env = self.env
        told = self.agents()
        if told["agents"]:
            # It is what the client looks at next.
            told["agent"] = env.agent_selection
            told["observation"] = to_wire(env.observe(env.agent_selection))
        return {
            **told,
            "reward": to_wire(env.rewards),
            "cumulative_reward": to_wire(env._cumulative_rewards),
            "terminated": to_wire(env.terminations),
            "truncated": to_wire(env.truncations),
            "info": self.infos(env.infos),
        }

    def observe(self, params: dict[str, Any]) -> dict[str, Any]:
        return {"observation": to_wire(self.env.observe(params["agent"]))}
