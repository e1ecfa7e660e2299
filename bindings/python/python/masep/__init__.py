"""The communication layer between an engine and its remote agents, compatible with pymasep.

=======================  ==============================================================
``masep``                connections as context managers, without async
``masep.aio``            the same for asyncio
``masep.communication``  the classes of ``pymasep.communication``: change the import
``masep.gymnasium``      environments of Gymnasium, served and stepped from elsewhere
``masep.monkey``         an installed pymasep, patched: change nothing
=======================  ==============================================================
"""

from . import _registration
from ._blocking import Connection, Request, Server, connect, discover
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
    UnsupportedError,
)
from ._limits import Limits, ServerLimits, SocketOptions
from ._masep import Array
from ._message import Message
from ._types import TypeName, allow_types
from .communication import Frame

__all__ = [
    "Array",
    "Bye",
    "CallerError",
    "Connection",
    "Frame",
    "Hello",
    "LimitError",
    "Limits",
    "MasepError",
    "Message",
    "Notice",
    "PeerError",
    "PeerLimits",
    "RefusedError",
    "RejectedError",
    "Request",
    "Server",
    "ServerLimits",
    "SocketOptions",
    "TimedOut",
    "TransportError",
    "TypeName",
    "UnsupportedError",
    "Welcome",
    "allow_types",
    "connect",
    "discover",
]

_registration.register()
