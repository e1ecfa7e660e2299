"""Environments of `PettingZoo <https://pettingzoo.farama.org>`_, whose agents are elsewhere.

As a table, each agent has a player of its own: ``python -m masep.pettingzoo serve pettingzoo.classic.tictactoe_v3
127.0.0.1:60000``, or :func:`serve`, and :func:`join` for each player.

It needs ``pip install masep[pettingzoo]``.
"""

from ._join import AgentPlayer, AgentTurn, join
from ._making import make
from ._table import EnvironmentTable, Episode, serve
from ._views import AgentView

__all__ = [
    "AgentPlayer",
    "AgentTurn",
    "AgentView",
    "EnvironmentTable",
    "Episode",
    "join",
    "make",
    "serve",
]
