"""Sockets of connections that masep made."""

from __future__ import annotations

import logging
import os
import socket
import weakref
from typing import Any, Protocol

from .. import _live, _masep
from . import _closing


class OpenedSocket(socket.socket):
    """A socket that the object closes which has it, and so the interpreter's exit if that object is
    still there then."""

    def __del__(self) -> None:
        self.close()


class _Ending(Protocol):
    def _finish(self) -> None: ...


class ConnectedSocket(socket.socket):
    """The socket of a connection: for its options and addresses. Frames are read and written by the
    connection, so nobody else should. Closing it ends the connection when all that was sent before is
    delivered."""

    _connection: _masep.Connection | None

    def __init__(
        self, connection: _masep.Connection, logger: logging.Logger, owner: object = None
    ) -> None:
        super().__init__(fileno=connection.descriptor())
        self._connection = connection
        self.address = connection.address
        """The host and the port of the peer."""
        self._logger = logger
        self._handler: weakref.ref[_Ending] | None = None
        # An object whose end would end the connection.
        self._owner = owner

    def belongs_to(self, handler: _Ending) -> None:
        """This handler may have something to send before the end."""
        self._handler = weakref.ref(handler)

    def close(self) -> None:
        """Ends the connection, with a ``BYE`` if it has not ended."""
        connection, self._connection = self._connection, None
        if connection is not None:
            handler = self._handler() if self._handler is not None else None
            if handler is not None:
                handler._finish()
            else:
                _closing.close(connection, self._logger, self.address)
        super().close()

    def __del__(self) -> None:
        # One that was not opened has no attributes.
        if "_connection" in self.__dict__:
            self.close()


def connection_of(conn: Any) -> _masep.Connection:
    """The connection over a socket: the one that it belongs to, or a new one."""
    known = getattr(conn, "_connection", None)
    if isinstance(known, _masep.Connection):
        return known
    return _live.connection(_masep.Connection.over(os.dup(conn.fileno()), ""))
