"""A server of environments of Gymnasium."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from typing import Any

import gymnasium

from .. import _masep
from .._environments import serving
from .._environments.worker import Client, Setting
from .._limits import Limits, ServerLimits, SocketOptions
from ._environment import Steps, description

_log = logging.getLogger("masep")


class EnvSetting(Setting):
    """Environments of Gymnasium."""

    def make(self, client: Client) -> gymnasium.Env[Any, Any]:
        arguments = {**self.arguments, **client.arguments}
        if isinstance(self.env, str):
            return gymnasium.make(self.env, **arguments)
        made = self.env(**arguments)
        if not isinstance(made, gymnasium.Env):
            raise TypeError(f"the function gave no gymnasium.Env but {made!r:.100}")
        return made

    def describe(self, env: gymnasium.Env[Any, Any], client: Client) -> dict[str, Any]:
        return description(env)

    def requests(
        self, connection: _masep.Connection, env: gymnasium.Env[Any, Any], client: Client
    ) -> Steps:
        return Steps(connection, env, self.id, client.autoreset, self.drop_formless)


class EnvironmentServer(serving.EnvironmentServer):
    """Serves environments: each client has its own, in a process of its own.

    As a context manager it is closed at the end of the block. A program that makes one has its main part
    behind ``if __name__ == "__main__":``, because its worker processes import it.

    :param env: the id of an environment of Gymnasium's, or a function that makes one
    :param address: ``"host:port"``; port 0 takes a free one, see :attr:`target`. Or ``"unix:///path"``
    :param envs: worker processes, which is the most clients at a time
    :param arguments: arguments for each environment
    :param allow: the names of those that a client may set
    :param drop_formless: whether an object of an info that cannot be sent is left out; else the client gets an
        error that names its place
    :param id: the id by which clients know the server
    :param start_method: how worker processes begin: ``"forkserver"`` or ``"spawn"``
    :param limits: what each connection is bound by
    :param server_limits: what the server is bound by, before a worker has a client
    :param socket_options: how sockets are watched and waited for
    :param tokens: a file of access tokens, as for :class:`masep.Server`: only clients that say one of them get a worker.
        The address is ``"unix:///path"`` then: a token goes over TLS and Unix sockets alone, and a client in TLS cannot be
        handed to another process. A token that is taken out of the file lets nobody in any more; a client that has its
        environment keeps it
    :raises CallerError: for an argument that is none
    :raises OSError: if the address cannot be had
    :raises RuntimeError: if no worker comes up
    """

    def __init__(
        self,
        env: str | Callable[..., Any],
        address: str,
        *,
        envs: int = 8,
        arguments: dict[str, Any] | None = None,
        allow: Iterable[str] = ("render_mode",),
        drop_formless: bool = False,
        id: str = "environments",
        start_method: str = "forkserver",
        limits: Limits | None = None,
        server_limits: ServerLimits | None = None,
        socket_options: SocketOptions | None = None,
        tokens: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(
            EnvSetting(id, env, arguments or {}, drop_formless, limits, socket_options),
            address,
            kinds=["gymnasium"],
            autoresets=["disabled", "next_step", "same_step"],
            envs=envs,
            allow=allow,
            start_method=start_method,
            server_limits=server_limits,
            tokens=tokens,
        )


def serve(env: str | Callable[..., Any], address: str, **options: Any) -> None:
    """Serves environments until Ctrl-C: :class:`EnvironmentServer` has the options.

    :raises RuntimeError: if no worker process comes up
    """
    with EnvironmentServer(env, address, **options) as server:
        _log.info("environments at %s", server.target)
        server.wait()
