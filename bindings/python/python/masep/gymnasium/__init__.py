"""Environments of `Gymnasium <https://gymnasium.farama.org>`_, served, and stepped from elsewhere.

A server: ``python -m masep.gymnasium serve CartPole-v1 127.0.0.1:60000``, or :func:`serve`. A client:
``RemoteEnv("127.0.0.1:60000")``, or ``gymnasium.make("masep:Remote-v0", address="127.0.0.1:60000")``. Chapter 9
of PROTOCOL2.md says what goes over the wire, for clients in other languages. :class:`PymasepEnv` is a game of pymasep's
as an environment.

It needs ``pip install masep[gymnasium]``.
"""

from .. import _registration
from ._game_view import GameView
from ._pymasep import PymasepEnv
from ._remote import RemoteEnv
from ._server import EnvironmentServer, serve
from .._environments.session import RemoteError
from .._environments.spaces import space_from_json, space_to_json
from ._vector import LostEnvironment, RemoteVectorEnv

__all__ = [
    "EnvironmentServer",
    "GameView",
    "LostEnvironment",
    "PymasepEnv",
    "RemoteEnv",
    "RemoteError",
    "RemoteVectorEnv",
    "serve",
    "space_from_json",
    "space_to_json",
]

_registration.register()
