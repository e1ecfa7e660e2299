"""One episode of an environment, as its agents live it: AEC and Parallel ones alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Protocol

from pettingzoo import AECEnv, ParallelEnv  # type: ignore[import-untyped]

from .._exceptions import CallerError
from ._making import Environment
from ._views import AgentForms, AgentView, plain_reward


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

    def due(self, view: AgentView) -> Any:
        """The reward of a newest view, without what the agent was told of it before."""

    def told(self, view: AgentView) -> None:
        """The agent was told its reward."""


def lives(env: Environment, forms: dict[str, AgentForms]) -> Lives:
    return ParallelLives(env, forms) if isinstance(env, ParallelEnv) else AECLives(env, forms)


class _Lives:
    def __init__(self, forms: dict[str, AgentForms]) -> None:
        self.forms = forms
        self.views: dict[str, AgentView] = {}
        #: What was told of the rewards of these views.
        self._told: dict[str, Any] = {}

    def due(self, view: AgentView) -> Any:
        reward, told = plain_reward(view.reward), self._told.get(view.agent)
        return reward if told is None else reward - told

    def told(self, view: AgentView) -> None:
        self._told[view.agent] = plain_reward(view.reward)

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
        #: Those whose part is not over.
        self._alive: dict[str, None] = {}

    def begin(self, seed: int | None, options: dict[str, Any] | None) -> None:
        self.views.clear()
        self._told.clear()
        self.env.reset(seed=seed, options=options)
        self._alive = dict.fromkeys(self.env.agents)

    def _last(self) -> AgentView:
        agent = self.env.agent_selection
        view = self.view(agent, *self.env.last())
        self._alive[agent] = None
        return view

    def dead(self) -> Iterator[AgentView]:
        env = self.env
        while env.agents:
            agent = env.agent_selection
            if not (env.terminations[agent] or env.truncations[agent]):
                return
            yield self._last()
            del self._alive[agent]
            env.step(None)
            if agent in env.agents:
                raise CallerError(f"the environment keeps its dead agent {agent!r:.100}")
        # Some environments have no agents any more, but for steps of the dead.
        for agent in self._alive:
            yield self._left(agent)
        self._alive.clear()

    def _left(self, agent: str) -> AgentView:
        env = self.env
        is_dead = env.terminations.get(agent, False)
        try:
            observation, info = env.observe(agent), env.infos.get(agent)
        except Exception:
            # It need not know those that have left.
            last = self.views.get(agent)
            observation, info = (None, None) if last is None else (last.view, last.info)
        return self.view(agent, observation, self._rewards().get(agent, 0), is_dead, not is_dead, info)

    def _rewards(self) -> dict[str, Any]:
        """The rewards of all since they acted last."""
        rewards: dict[str, Any] = getattr(self.env, "_cumulative_rewards", self.env.rewards)
        return rewards

    def asked(self) -> list[AgentView]:
        return [self._last()] if self.env.agents else []

    def act(self, actions: dict[str, Any]) -> None:
        ((agent, action),) = actions.items()
        self.env.step(action)
        # Its rewards are counted anew from here on.
        self._told.pop(agent, None)
        self.views[agent] = replace(self.views[agent], reward=self._rewards().get(agent, 0))

    def now(self) -> list[AgentView]:
        env, rewards = self.env, self._rewards()
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
        self._alive: list[str] = []
        self._dead: list[AgentView] = []

    def begin(self, seed: int | None, options: dict[str, Any] | None) -> None:
        self.views.clear()
        self._told.clear()
        self._dead.clear()
        self._alive.clear()
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
        # Some environments have them no more, and do not say that their part is over.
        left = [agent for agent in self._alive if agent not in agents]
        self._alive = []
        # Some give no observation of those that have died.
        for agent in dict.fromkeys([*observations, *terminations, *truncations, *left]):
            is_dead, is_cut = terminations.get(agent, False), truncations.get(agent, False)
            if not (is_dead or is_cut) and agent in left:
                is_cut = True
            is_over = is_dead or is_cut
            if not is_over and (agent not in agents or agent not in observations):
                # More than the agents may be told of, such as "common".
                continue
            view = self.view(
                agent, observations.get(agent), rewards.get(agent, 0), is_dead, is_cut, infos.get(agent)
            )
            self._told.pop(agent, None)
            if is_over:
                self._dead.append(view)
            else:
                self._alive.append(agent)

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
