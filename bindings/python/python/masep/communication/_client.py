"""The side that connects."""

from __future__ import annotations

import logging
from typing import Any

from .. import _live, _masep
from .._exceptions import PeerError, TransportError
from . import _handshake, _log
from ._base import BaseThreadedCommunication
from ._socket import ConnectedSocket

_SEARCH_SECONDS = 1.0
#: Seconds that the first to answer the search has for each phase, before others are tried.
_FOUND_SECONDS = 1.0


class Client(BaseThreadedCommunication):
    """A client of one server.

    :param ident: the id of the client
    :param socket_handler_class: what is made for the connection: a subclass of ``SocketHandler``
    :param socket_handler_args: its further arguments, after the socket, the address and the logger
    :param host: the host of the server; None to search it on the LAN
    :param port: the port of the server; None to search it on the LAN
    :param log_level: from which level on the log file is written
    """

    #: The address that is known from the search.
    _found: tuple[str, int] | None = None

    def __init__(
        self,
        ident: str,
        socket_handler_class: type[Any],
        socket_handler_args: tuple[Any, ...],
        host: str | None = None,
        port: int | None = None,
        log_level: str | int = logging.WARNING,
    ) -> None:
        super().__init__(
            ident=ident,
            socket_handler_class=socket_handler_class,
            socket_handler_args=socket_handler_args,
            host=host,
            port=port,
            log_level=log_level,
        )
        self.server_id: str | None = None

    def __del__(self) -> None:
        """Closes the socket, which ends the connection when all that was sent is delivered: see
        ``SocketHandler.send_frame_async``."""
        if "_current_connections_lock" not in self.__dict__:
            return
        self.socket.close()
        _log.close(self.logger)

    def connect(self) -> None:
        """Connects to the server, which is searched on the LAN if it is not known, and starts the
        handler.

        :raises TransportError: if there is no connection; also a ``ConnectionError``
        """
        if self.host is None or self.port is None:
            self.search_server()
            if self.host is None or self.port is None:
                raise TransportError("no server answered the search on the LAN", "not_found")
        if _handshake.is_overridden(self.socket_handler_class):
            connected = _handshake.connected(self, _handshake.connect(self.host, self.port))
            try:
                handler = self._handler_of(connected)
                self.server_id = _handshake.initiate(self, connected, handler)
            except BaseException:
                connected.close()
                raise
        else:
            connection = _live.connection(self._open())
            handler = self._handler_of(ConnectedSocket(connection, self.logger))
            self.server_id = connection.peer
        self.add_connection(self.server_id, handler)
        self.logger.debug("connected to %s", _masep.quoted(self.server_id))
        handler.start()

    def _open(self) -> _masep.Connection:
        """Connects to the server that is known, or, if it is only known from the search and is none,
        to any that answers another search."""
        host = f"[{self.host}]" if ":" in str(self.host) else self.host
        address = f"{host}:{self.port}"
        if (self.host, self.port) != self._found:
            return _masep.connect(self.id, address, protocol=1)
        try:
            return _masep.connect(self.id, address, _FOUND_SECONDS, protocol=1)
        except (TransportError, PeerError) as error:
            self.logger.warning("%s answered the search and is no server: %s", address, error)
        connection = _masep.connect_found(self.id, _SEARCH_SECONDS)
        found = connection.address
        if not isinstance(found, str):  # The search finds nothing but hosts and ports.
            self.host, self.port = self._found = found
        return connection

    def _handler_of(self, connected: ConnectedSocket) -> Any:
        self.socket.close()
        self.socket = connected
        return self.socket_handler_class(
            connected, connected.address, self.logger, *self.socket_handler_args
        )

    def search_server(self) -> None:
        """Searches a server on the LAN. The first that answers within a second is taken; if none
        does, host and port stay as they are."""
        try:
            found = _masep.discover(_SEARCH_SECONDS, True)
        except TransportError as error:
            self.logger.error("the search failed: %s", error)
            return
        if not found:
            self.logger.error("no server answered the search")
            return
        self.host, self.port = self._found = found[0]
