"""The communication layer between an engine and its remote agents, compatible with pymasep.

=======================  ==============================================================
``masep``                connections as context managers, without async
``masep.aio``            the same for asyncio
``masep.communication``  the classes of ``pymasep.communication``: change the import
``masep.monkey``         an installed pymasep, patched: change nothing
=======================  ==============================================================
"""

from ._blocking import Connection, Server, connect, discover
from ._exceptions import (
    CallerError,
    LimitError,
    MasepError,
    PeerError,
    RefusedError,
    RejectedError,
    TimedOut,
    TransportError,
)
from ._limits import Limits, ServerLimits, SocketOptions
from ._message import Message
from ._types import TypeName, allow_types
from .communication import Frame

__all__ = [
    "CallerError",
    "Connection",
    "Frame",
    "LimitError",
    "Limits",
    "MasepError",
    "Message",
    "PeerError",
    "RefusedError",
    "RejectedError",
    "Server",
    "ServerLimits",
    "SocketOptions",
    "TimedOut",
    "TransportError",
    "TypeName",
    "allow_types",
    "connect",
    "discover",
]
