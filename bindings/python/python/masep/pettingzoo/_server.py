"""A server of environments of PettingZoo."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from typing import Any

from .._environments import serving
from .._limits import Limits, ServerLimits, SocketOptions
from ._environment import GameSetting
from ._making import Source

_log = logging.getLogger("masep")


class EnvironmentServer(serving.EnvironmentServer):
    """Serves environments of PettingZoo: each client has its own, in a process of its own, and plays all of its
    agents. For a player of its own for each agent, see :class:`EnvironmentTable`.

    A client asks for an AEC or a Parallel environment. One of the other kind is converted, by PettingZoo's own
    wrappers; an AEC environment that is not parallelizable is refused as a Parallel one.

    As a context manager it is closed at the end of the block. A program that makes one has its main part
    behind ``if __name__ == "__main__":``, because its worker processes import it.

    :param env: what :func:`make` takes
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
        env: Source,
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
            GameSetting(id, env, arguments or {}, drop_formless, limits, socket_options),
            address,
            kinds=["aec", "parallel"],
            autoresets=["disabled"],
            envs=envs,
            allow=allow,
            start_method=start_method,
            server_limits=server_limits,
            tokens=tokens,
        )


def serve_environments(env: Source, address: str, **options: Any) -> None:
    """Serves environments, one for each client, until Ctrl-C: :class:`EnvironmentServer` has the options.

    :raises RuntimeError: if no worker process comes up
    """
    with EnvironmentServer(env, address, **options) as server:
        _log.info("environments at %s", server.target)
        server.wait()
