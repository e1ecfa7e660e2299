"""One episode of an environment, as its agents live it: AEC and Parallel ones alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from pettingzoo import AECEnv, ParallelEnv  # type: ignore[import-untyped]

from .._exceptions import CallerError
from ._making import Environment
from ._views import AgentForms, AgentView


class Lives(Protocol):
    """The environment, from one decision to the next."""

    #: The newest view of each agent.
    views: dict[str, AgentView]

    def begin(self, seed: int | None, options: dict[str, Any] | None) -> None:
        """Resets it."""

    def asked(self) -> list[AgentView]:
        """The agents that act next. None: the episode is over."""

    def act(self, actions: dict[str, Any]) -> None:
        """Steps it with the actions of these."""

    def dead(self) -> Iterator[AgentView]:
        """Those whose part is over, once each."""

    def now(self) -> list[AgentView]:
        """All that are alive, whether or not they are asked."""


def lives(env: Environment, forms: dict[str, AgentForms]) -> Lives:
    return ParallelLives(env, forms) if isinstance(env, ParallelEnv) else AECLives(env, forms)


class _Lives:
    def __init__(self, forms: dict[str, AgentForms]) -> None:
        self.forms = forms
        self.views: dict[str, AgentView] = {}

    def view(
        self, agent: Any, view: Any, reward: Any, terminated: Any, truncated: Any, info: Any
    ) -> AgentView:
        forms = self.forms.get(agent)
        if forms is None:
            raise CallerError(f"the environment has an agent {agent!r:.100}, which is not in its possible_agents")
        made = AgentView(
            agent,
            view,
            reward,
            bool(terminated),
            bool(truncated),
            info or {},
            forms.action_space,
            forms.observation_space,
        )
        self.views[agent] = made
        return made


class AECLives(_Lives):
    def __init__(self, env: AECEnv[Any, Any, Any], forms: dict[str, AgentForms]) -> None:
        super().__init__(forms)
        self.env = env

    def begin(self, seed: int | None, options: dict[str, Any] | None) -> None:
        self.views.clear()
        self.env.reset(seed=seed, options=options)

    def _last(self) -> AgentView:
        return self.view(self.env.agent_selection, *self.env.last())

    def dead(self) -> Iterator[AgentView]:
        env = self.env
        while env.agents:
            agent = env.agent_selection
            if not (env.terminations[agent] or env.truncations[agent]):
                return
            yield self._last()
            env.step(None)
            if agent in env.agents:
                raise CallerError(f"the environment keeps its dead agent {agent!r:.100}")

    def asked(self) -> list[AgentView]:
        return [self._last()] if self.env.agents else []

    def act(self, actions: dict[str, Any]) -> None:
        (action,) = actions.values()
        self.env.step(action)

    def now(self) -> list[AgentView]:
        env = self.env
        rewards = getattr(env, "_cumulative_rewards", env.rewards)
        return [
            self.view(
                agent,
                env.observe(agent),
                rewards.get(agent, 0),
                env.terminations.get(agent),
                env.truncations.get(agent),
                env.infos.get(agent),
            )
            for agent in list(env.agents)
        ]


class ParallelLives(_Lives):
    def __init__(self, env: ParallelEnv[Any, Any, Any], forms: dict[str, AgentForms]) -> None:
        super().__init__(forms)
        self.env = env
        self._dead: list[AgentView] = []

    def begin(self, seed: int | None, options: dict[str, Any] | None) -> None:
        self.views.clear()
        self._dead.clear()
        observations, infos = self.env.reset(seed=seed, options=options)
        self._see(observations, {}, {}, {}, infos)

    def _see(
        self,
        observations: dict[Any, Any],
        rewards: dict[Any, Any],
        terminations: dict[Any, Any],
        truncations: dict[Any, Any],
        infos: dict[Any, Any],
    ) -> None:
        agents = set(self.env.agents)
        # Some environments give no observation of those that have died.
        for agent in dict.fromkeys([*observations, *terminations, *truncations]):
            is_over = terminations.get(agent) or truncations.get(agent)
            if not is_over and (agent not in agents or agent not in observations):
                # More than the agents may be told of, such as "common".
                continue
            view = self.view(
                agent,
                observations.get(agent),
                rewards.get(agent, 0),
                terminations.get(agent),
                truncations.get(agent),
                infos.get(agent),
            )
            if is_over:
                self._dead.append(view)

    def dead(self) -> Iterator[AgentView]:
        dead, self._dead = self._dead, []
        yield from dead

    def asked(self) -> list[AgentView]:
        return self.now()

    def act(self, actions: dict[str, Any]) -> None:
        self._see(*self.env.step(actions))

    def now(self) -> list[AgentView]:
        missing = [agent for agent in self.env.agents if agent not in self.views]
        if missing:
            raise CallerError(f"the environment gives no observation of its agent {missing[0]!r:.100}")
        return [self.views[agent] for agent in self.env.agents]
