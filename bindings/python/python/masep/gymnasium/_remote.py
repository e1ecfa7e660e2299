"""An environment that runs elsewhere."""

from __future__ import annotations

import os
from copy import copy
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

from .. import _masep, _tls
from .._environments.remote import Remote, without_window
from .._environments.session import Session, Target, place
from .._environments.spaces import space_from_json
from .._environments.values import as_it_is, caster, from_wire, reader
from .._limits import Limits, SocketOptions

ID = "Remote-v0"


def without_token(spec: EnvSpec | None) -> EnvSpec | None:
    """The same specification, without the access token in its arguments: ``gymnasium.make`` keeps all that it was given, and
    specifications are shown and stored."""
    if spec is None:
        return None
    shown = copy(spec)
    shown.kwargs = {key: value for key, value in spec.kwargs.items() if key != "token"}
    address = shown.kwargs.get("address")
    if isinstance(address, str):
        shown.kwargs["address"] = place(address)
    elif address is not None:
        shown.kwargs["address"] = [place(one) for one in address]
    return shown


class Specified:
    """One that Gymnasium gives a specification, which it keeps without its token."""

    _spec: EnvSpec | None = None

    @property
    def spec(self) -> EnvSpec | None:
        """The specification that makes the same again, but for a token."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        self._spec = without_token(spec)


class EnvSession(Session):
    """An environment of Gymnasium that the server has made for this client."""

    __slots__ = ("observation_space", "action_space", "spec")

    def _describe(self, params: dict[str, Any]) -> None:
        super()._describe(params)
        self.observation_space = space_from_json(params["observation_space"])
        self.action_space = space_from_json(params["action_space"])
        self.spec: dict[str, Any] = params.get("spec") or {}


class RemoteEnv(Specified, Remote, gymnasium.Env[Any, Any]):
    """An environment that a server of :func:`masep.gymnasium.serve` makes for this client.

    Observations are arrays that belong to the caller, who may write to them. Actions are checked for shape
    and type, not for bounds, and cast where a local environment would. No call connects anew but :meth:`reset`,
    when the connection has ended.

    Ctrl-C in :meth:`step` leaves the environment in the middle of that step; :meth:`reset` is right after it. One thread
    asks it something at a time; threads that step at the same time have one each.

    :param address: ``"host:port"``, ``"masep+tls://host:port"`` or ``"unix:///path"``; or the line of ``masep token new``,
        of which the address alone is in :attr:`spec`
    :param render_mode: one of the environment's that makes no window: ``"rgb_array"``, ``"ansi"``
    :param autoreset: what the server does behind the end of an episode: nothing (``"disabled"``), a reset in
        place of the next step (``"next_step"``), or a reset at once (``"same_step"``, with ``"final_obs"`` and
        ``"final_info"`` in the info)
    :param timeout: seconds for each answer, after which :class:`masep.TimedOut` is raised; None: for ever
    :param make_timeout: seconds for the server to make the environment
    :param id: the name by which the server shall know this client
    :param limits: what the connection is bound by; at most 256 MiB at once if not given
    :param socket_options: how the socket is opened, watched and waited for
    :param tls_ca: as for :func:`masep.connect`; it is in :attr:`spec`, as the name is
    :param tls_name: as for :func:`masep.connect`
    :param token: as for :func:`masep.connect`; it is not in :attr:`spec`
    :param arguments: those of the environment, as far as the server allows them
    :raises RejectedError: if the server takes no more clients, or does not allow an argument
    :raises RemoteError: if the environment could not be made
    :raises TransportError: if there is no connection
    """

    # Gymnasium looks at the class before there is an environment.
    metadata = {"render_modes": ["rgb_array", "ansi", "rgb_array_list", "ansi_list"]}

    def __init__(
        self,
        address: str,
        *,
        render_mode: str | None = None,
        autoreset: str = "disabled",
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
        arguments = without_window(arguments, render_mode)
        target = Target(
            address,
            arguments,
            autoreset,
            id,
            limits=limits,
            socket_options=socket_options,
            tls_ca=None if tls_ca is None else _tls.path("tls_ca", tls_ca),
            tls_name=tls_name,
            token=token,
        )
        self._begin(target, timeout, make_timeout)
        others = {"timeout": timeout, "tls_ca": target.tls_ca, "tls_name": tls_name}
        given = {key: value for key, value in others.items() if value is not None}
        kwargs = {"address": target.place, "autoreset": autoreset, **given, **arguments}
        self.spec = EnvSpec(
            ID,
            entry_point="masep.gymnasium:RemoteEnv",
            reward_threshold=self.remote_spec.get("reward_threshold"),
            nondeterministic=bool(self.remote_spec.get("nondeterministic", False)),
            disable_env_checker=True,
            order_enforce=False,
            kwargs=kwargs,
        )

    def _connect(self) -> None:
        self._session: EnvSession = EnvSession(self._target, self._make_timeout)
        self._told()
        session = self._session
        self.observation_space = session.observation_space
        self.action_space = session.action_space
        #: The environment as it is where it runs: its ``"id"``, ``"max_episode_steps"``, ``"reward_threshold"``,
        #: ``"nondeterministic"``, as far as it has them.
        self.remote_spec = session.spec
        self._read = reader(session.observation_space)
        self._reads = self._read is not as_it_is
        self._cast = caster(session.action_space, outwards=True)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        answer = self._ask_to_reset(seed, options)
        return self._read(answer["observation"]), from_wire(answer["info"])

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        session = self._session
        session.last = number = session.last + 1
        session.is_awaited = True
        stepped, other = _masep.step(
            session.connection, self._cast(action), session.id, number, self._timeout
        )
        if stepped is None:
            raise session.unexpected("step", other)
        session.is_awaited = False
        observation, reward, terminated, truncated, info, rest = stepped
        if self._reads:
            observation = self._read(observation)
        if info:
            info = from_wire(info)
        if rest is not None and "final_observation" in rest:
            info["final_obs"] = self._read(rest["final_observation"])
            info["final_info"] = from_wire(rest["final_info"])
        return observation, reward, terminated, truncated, info

    def __str__(self) -> str:
        return f"<RemoteEnv {self.remote_spec.get('id') or 'environment'} at {self._target.place}>"

    __repr__ = __str__
