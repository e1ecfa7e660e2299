"""Environments of `PettingZoo <https://pettingzoo.farama.org>`_, whose agents are elsewhere.

As a table, each agent has a player of its own: ``python -m masep.pettingzoo serve pettingzoo.classic.tictactoe_v3
127.0.0.1:60000``, or :func:`serve`, and :func:`join` for each player, or ``masep join --turns``.

For one program that plays all agents: ``python -m masep.pettingzoo serve-environments …``, or
:func:`serve_environments`, and :class:`RemoteAECEnv` or :class:`RemoteParallelEnv`. Chapter 9 of PROTOCOL2.md says what
goes over the wire in both cases, for players and clients in other languages.

It needs ``pip install masep[pettingzoo]``.
"""

from .._environments.session import RemoteError
from .._environments.spaces import space_from_json, space_to_json
from ._join import AgentPlayer, AgentTurn, join
from ._making import make
from ._remote import RemoteAECEnv, RemoteParallelEnv
from ._server import EnvironmentServer, serve_environments
from ._table import EnvironmentTable, Episode, serve
from ._views import AgentView

__all__ = [
    "AgentPlayer",
    "AgentTurn",
    "AgentView",
    "EnvironmentServer",
    "EnvironmentTable",
    "Episode",
    "RemoteAECEnv",
    "RemoteError",
    "RemoteParallelEnv",
    "join",
    "make",
    "serve",
    "serve_environments",
    "space_from_json",
    "space_to_json",
]
