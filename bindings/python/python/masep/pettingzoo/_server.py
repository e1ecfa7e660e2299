"""A server of environments of PettingZoo."""

from __future__ import annotations

import logging
from typing import Any

from .._environments import serving
from ._environment import GameSetting
from ._making import Source

_log = logging.getLogger("masep")


class EnvironmentServer(serving.EnvironmentServer[Source]):
    """Serves environments of PettingZoo: each client has its own, in a process of its own, and plays all of its
    agents. For a player of its own for each agent, see :class:`EnvironmentTable`.

    ``env`` is what :func:`make` takes. A client asks for an AEC or a Parallel environment. One of the other kind is
    converted, by PettingZoo's own wrappers; an AEC environment that is not parallelizable is refused as a Parallel one.

    As a context manager it is closed at the end of the block. A program that makes one has its main part
    behind ``if __name__ == "__main__":``, because its worker processes import it.
    """

    _setting = GameSetting
    _kinds = ("aec", "parallel")
    _autoresets = ("disabled",)


def serve_environments(env: Source, address: str, **options: Any) -> None:
    """Serves environments, one for each client, until Ctrl-C: :class:`EnvironmentServer` has the options.

    :raises RuntimeError: if no worker process comes up
    """
    with EnvironmentServer(env, address, **options) as server:
        _log.info("environments at %s", server.target)
        server.wait()
