"""``SocketHandler``, where pymasep has it."""

from ._socket_handler import SocketHandler

__all__ = ["SocketHandler"]
