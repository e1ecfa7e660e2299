"""``SocketHandlerQueue``, where pymasep has it."""

from ._socket_handler import SocketHandlerQueue

__all__ = ["SocketHandlerQueue"]
