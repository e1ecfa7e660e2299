"""The classes of ``pymasep.communication``, on the crates of masep: change the import and nothing
else."""

from ._base import BaseThreadedCommunication
from ._client import Client
from ._frame import Frame
from ._message import Message
from ._server import Server
from ._socket_handler import SocketHandler, SocketHandlerQueue

__all__ = [
    "BaseThreadedCommunication",
    "Client",
    "Frame",
    "Message",
    "Server",
    "SocketHandler",
    "SocketHandlerQueue",
]
