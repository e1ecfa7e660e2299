"""The communication layer between an engine and its remote agents, compatible with pymasep.

=======================  ==============================================================
``masep``                tables, players and connections as context managers, without async
``masep.aio``            the same for asyncio
``masep.communication``  the classes of ``pymasep.communication``: change the import
``masep.gymnasium``      environments of Gymnasium, served and stepped from elsewhere
``masep.pettingzoo``     environments of PettingZoo, with a player for each agent
``masep.monkey``         an installed pymasep, patched: change nothing
=======================  ==============================================================
"""

from . import _registration
from ._admitting import AccessRequest, Grant
from ._blocking import Connection, FoundServer, Request, Server, connect, discover, search
from ._control import Bye, Hello, Notice, PeerLimits, Welcome
from ._exceptions import (
    CallerError,
    LimitError,
    MasepError,
    PeerError,
    RefusedError,
    RejectedError,
    TimedOut,
    TransportError,
    UndeliveredError,
    UnsupportedError,
)
from ._limits import Limits, ServerLimits, SocketOptions
from ._listening import Rejection
from ._masep import Array
from ._message import Message
from ._player import Last, Player, PlayerEvent, PlayerTurn, join
from ._table import Actions, Move, Seat, Table, TableEvent, Turn, View
from ._types import TypeName, allow_types
from .communication import Frame

__all__ = [
    "AccessRequest",
    "Actions",
    "Array",
    "Bye",
    "CallerError",
    "Connection",
    "FoundServer",
    "Frame",
    "Grant",
    "Hello",
    "Last",
    "LimitError",
    "Limits",
    "MasepError",
    "Message",
    "Move",
    "Notice",
    "PeerError",
    "PeerLimits",
    "Player",
    "PlayerEvent",
    "PlayerTurn",
    "RefusedError",
    "RejectedError",
    "Rejection",
    "Request",
    "Seat",
    "Server",
    "ServerLimits",
    "SocketOptions",
    "Table",
    "TableEvent",
    "TimedOut",
    "TransportError",
    "Turn",
    "TypeName",
    "UndeliveredError",
    "UnsupportedError",
    "View",
    "Welcome",
    "allow_types",
    "connect",
    "discover",
    "join",
    "search",
]

_registration.register()
