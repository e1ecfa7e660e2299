"""Environments of PettingZoo that run elsewhere, all of whose agents one program plays."""

from __future__ import annotations

from typing import Any

from gymnasium import spaces
from pettingzoo import AECEnv, ParallelEnv  # type: ignore[import-untyped]

from .. import _tls
from .._environments.remote import Remote, without_window
from .._environments.session import RemoteError, Session, Target
from .._environments.spaces import space_from_json
from .._environments.values import caster, from_wire, reader
from .._exceptions import CallerError, PeerError
from .._limits import Limits, SocketOptions


class _Agent:
    """The spaces of an agent, and what is read and written by them."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.observation_space: spaces.Space[Any] = space_from_json(told["observation_space"])
        self.action_space: spaces.Space[Any] = space_from_json(told["action_space"])
        self.read = reader(self.observation_space)
        self._cast = caster(self.action_space, outwards=True)

    def cast(self, action: Any) -> Any:
        return None if action is None else self._cast(action)


class RemoteGame(Remote):
    """The parts that both kinds of environments have."""

    _kind: str
    _session: Session

    def __init__(
        self,
        address: str,
        *,
        render_mode: str | None = None,
        timeout: float | None = None,
        make_timeout: float | None = None,
        id: str | None = None,
        limits: Limits | None = None,
        socket_options: SocketOptions | None = None,
        tls_ca: _tls.Path | None = None,
        tls_name: str | None = None,
        token: str | None = None,
        **arguments: Any,
    ) -> None:
        target = Target(
            address,
            without_window(arguments, render_mode),
            id=id,
            limits=limits,
            socket_options=socket_options,
            kind=self._kind,
            tls_ca=tls_ca,
            tls_name=tls_name,
            token=token,
        )
        self._begin(target, timeout, make_timeout)

    def _connect(self) -> None:
        self._session = session = Session(self._target, self._make_timeout)
        self._told()
        self._agents: dict[str, _Agent] = {}
        told = session.told
        #: The name of the environment where it runs.
        self.remote_name: str = str(told.get("name"))
        self._take_spaces(told)
        if told.get("possible_agents") is not None:
            self.possible_agents: list[Any] = list(told["possible_agents"])
        if told.get("state_space") is not None:
            self.state_space = space_from_json(told["state_space"])

    def _take_spaces(self, told: dict[str, Any]) -> None:
        for agent, its in (told.get("spaces") or {}).items():
            try:
                self._agents[agent] = _Agent(its)
            except KeyError as error:
                raise PeerError(f"the agent {agent!r:.100} has no {error}", "profile") from None

    def _agent(self, agent: Any) -> _Agent:
        known = self._agents.get(agent)
        if known is None:
            raise KeyError(f"there is no agent {agent!r:.100}")
        return known

    def observation_space(self, agent: Any) -> spaces.Space[Any]:
        """The space of the observations of this agent: always the same object, but after a reset of an environment
        that does not tell its ``possible_agents``."""
        return self._agent(agent).observation_space

    def action_space(self, agent: Any) -> spaces.Space[Any]:
        """The space of the actions of this agent, as :meth:`observation_space`."""
        return self._agent(agent).action_space

    def state(self) -> Any:
        """The state of the whole environment.

        :raises NotImplementedError: if it has none
        """
        try:
            return from_wire_array(self._ask("state", {})["state"])
        except RemoteError as error:
            if error.type == "NotImplementedError":
                raise NotImplementedError(error.text) from error
            raise

    def _observation(self, agent: Any, observation: Any) -> Any:
        if observation is None:
            return None
        known = self._agents.get(agent)
        # In a Parallel environment there may be more than those of agents.
        return from_wire(observation) if known is None else known.read(observation)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.remote_name} at {self._target.place}>"


def from_wire_array(value: Any) -> Any:
    """A state, which is an array even without dimensions."""
    return value if hasattr(value, "ndim") else from_wire(value)


class RemoteParallelEnv(RemoteGame, ParallelEnv[Any, Any, Any]):  # type: ignore[misc]
    """A Parallel environment that a server of :func:`masep.pettingzoo.serve_environments` makes for this client,
    which plays all agents.

    Observations are arrays that belong to the caller. Actions are checked for shape and type, not for bounds, and
    cast where a local environment would. No call connects anew but :meth:`reset`, when the connection has
    ended.

    :param address: ``"host:port"``, ``"masep+tls://host:port"`` or ``"unix:///path"``; or the line of ``masep token new``
    :param render_mode: one of the environment's that makes no window: ``"rgb_array"``, ``"ansi"``
    :param timeout: seconds for each answer, after which :class:`masep.TimedOut` is raised; None: for ever
    :param make_timeout: seconds for the server to make the environment
    :param id: the name by which the server shall know this client
    :param limits: what the connection is bound by; at most 256 MiB at once if not given
    :param socket_options: how the socket is opened, watched and waited for
    :param tls_ca: as for :func:`masep.connect`
    :param tls_name: as for :func:`masep.connect`
    :param token: as for :func:`masep.connect`
    :param arguments: those of the environment, as far as the server allows them
    :raises RejectedError: if the server takes no more clients, or does not allow an argument
    :raises RemoteError: if the environment could not be made, or is no Parallel one
    :raises TransportError: if there is no connection
    """

    _kind = "parallel"

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[Any, Any], dict[Any, dict[str, Any]]]:
        answer = self._ask_to_reset(seed, options)
        self._take(answer)
        return self._observations(answer["observation"]), from_wire(answer["info"])

    def step(self, actions: dict[Any, Any]) -> tuple[dict[Any, Any], ...]:
        """As those of PettingZoo: observations, rewards, terminations, truncations and infos, a dict with an item for
        each agent.

        :raises CallerError: for an action that does not fit its space; nothing is sent
        :raises RemoteError: for an exception of the environment
        """
        cast = {agent: self._cast(agent, action) for agent, action in actions.items()}
        answer = self._ask("step", {"action": cast})
        self._take(answer)
        rest = (from_wire(answer[key]) for key in ("reward", "terminated", "truncated", "info"))
        return self._observations(answer["observation"]), *rest

    def _cast(self, agent: Any, action: Any) -> Any:
        known = self._agents.get(agent)
        if known is None:
            raise CallerError(f"there is no agent {agent!r:.100}")
        return known.cast(action)

    def _take(self, answer: dict[str, Any]) -> None:
        self._take_spaces(answer)
        self.agents = list(answer["agents"])

    def _observations(self, observations: dict[str, Any]) -> dict[Any, Any]:
        return {agent: self._observation(agent, one) for agent, one in observations.items()}


class RemoteAECEnv(RemoteGame, AECEnv[Any, Any, Any]):  # type: ignore[misc]
    """An AEC environment that a server of :func:`masep.pettingzoo.serve_environments` makes for this client,
    which plays all agents.

    The observation of the agent that acts next comes with the answer to each step: :meth:`last` asks for nothing.
    ``observe`` of another agent is a request of its own. The rest is as in :class:`RemoteParallelEnv`, which has the
    parameters.
    """

    _kind = "aec"
    #: The agent that acts next, and what it sees, until somebody has looked.
    _newest: tuple[Any, Any] | None = None

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        self._take(self._ask_to_reset(seed, options))

    def step(self, action: Any) -> None:
        """Steps the environment with the action of :attr:`agent_selection`; None if that is dead.

        :raises CallerError: for an action that does not fit its space; nothing is sent
        :raises RemoteError: for an exception of the environment
        """
        agent = getattr(self, "agent_selection", None)
        known = self._agents.get(agent)  # type: ignore[arg-type]
        # Before the reset, the environment itself says what is wrong.
        cast = action if known is None else known.cast(action)
        self._take(self._ask("step", {"action": cast}))

    def observe(self, agent: Any) -> Any:
        if self._newest is not None and self._newest[0] == agent:
            # The array belongs to the caller: the next call gets another one.
            (_, observation), self._newest = self._newest, None
        else:
            observation = self._ask("observe", {"agent": agent})["observation"]
        return self._observation(agent, observation)

    def _take(self, answer: dict[str, Any]) -> None:
        self._take_spaces(answer)
        self._newest = None
        self.agents = list(answer["agents"])
        if self.agents:
            self.agent_selection = answer["agent"]
            self._newest = answer["agent"], answer["observation"]
        self.rewards = from_wire(answer["reward"])
        self._cumulative_rewards = from_wire(answer["cumulative_reward"])
        self.terminations = from_wire(answer["terminated"])
        self.truncations = from_wire(answer["truncated"])
        self.infos = from_wire(answer["info"])


