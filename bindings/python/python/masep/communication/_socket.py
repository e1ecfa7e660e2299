"""Sockets of connections that masep made."""

from __future__ import annotations

import os
import socket

from .. import _live, _masep


class OpenedSocket(socket.socket):
    """A socket that the object closes which has it, and so the interpreter's exit if that object is
    still there then."""

    def __del__(self) -> None:
        self.close()


class ConnectedSocket(socket.socket):
    """The socket of a connection: for its options and addresses. Frames are read and written by the
    connection, so nobody else should. Closing it ends the connection."""

    _connection: _masep.Connection | None

    def __init__(self, connection: _masep.Connection, owner: object = None) -> None:
        super().__init__(fileno=connection.descriptor())
        self._connection = connection
        # What would end the connection if it were gone.
        self._owner = owner

    def close(self) -> None:
        """Ends the connection, with a ``BYE`` if it has not ended."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.try_close()
        self._owner = None
        super().close()

    def __del__(self) -> None:
        # One that was not opened has no attributes.
        if "_connection" in self.__dict__:
            self.close()


def connection_of(conn: socket.socket) -> _masep.Connection:
    """The connection over a socket: the one that it belongs to, or a new one."""
    known = getattr(conn, "_connection", None)
    if isinstance(known, _masep.Connection):
        return known
    return _live.connection(_masep.Connection.over(os.dup(conn.fileno()), ""))
