"""The base class of clients and servers."""

from __future__ import annotations

import logging
import socket
import threading
from typing import Any

from . import _log
from ._frame import Frame
from ._socket import OpenedSocket

_ENDED_KEPT = 64
"""Handlers of connections that have ended: so many are kept, so that :meth:`get_connection` still
finds them, as it does in pymasep."""


class BaseThreadedCommunication:
    """The base class of :class:`Client` and :class:`Server`.

    :param ident: the id of the client or server
    :param socket_handler_class: what is made for each connection: a subclass of ``SocketHandler``
    :param socket_handler_args: its further arguments, after the socket, the address and the logger
    :param host: the host to listen on, or to connect to
    :param port: the port
    :param log_level: from which level on the log file is written
    """

    def __init__(
        self,
        ident: str,
        socket_handler_class: type[Any],
        socket_handler_args: tuple[Any, ...],
        host: str | None,
        port: int | None,
        log_level: str | int,
    ) -> None:
        self.id = ident
        self.host = host
        self.port = port
        family = socket.AF_INET6 if host is not None and ":" in host else socket.AF_INET
        self.socket: socket.socket = OpenedSocket(family, socket.SOCK_STREAM)
        self.logger: logging.Logger = _log.logger(type(self).__name__, str(ident), log_level)
        self.socket_handler_class = socket_handler_class
        self.socket_handler_args = socket_handler_args
        self._current_connections: dict[str, Any] = {}
        self._current_connections_lock = threading.Lock()

    def __del__(self) -> None:
        """Closes the log file; the socket closes itself."""
        if "logger" in self.__dict__:
            _log.close(self.logger)

    def add_connection(self, ident: str, sh: Any) -> None:
        """Registers the handler of a connection.

        :param ident: the id of the peer
        :param sh: the handler
        """
        with self._current_connections_lock:
            # At the end: what comes first is what was registered first.
            self._current_connections.pop(ident, None)
            self._current_connections[ident] = sh
            ended = [
                known
                for known, handler in self._current_connections.items()
                if handler is not sh and getattr(handler, "_has_ended", False)
            ]
            for known in ended[: max(0, len(ended) - _ENDED_KEPT)]:
                del self._current_connections[known]

    def get_connection(self, ident: str) -> Any:
        """The handler of a connection.

        :param ident: the id of the peer
        :raises KeyError: if none is registered
        """
        with self._current_connections_lock:
            return self._current_connections[ident]

    def is_connection_registered(self, ident: str) -> bool:
        """True if there is, or was, a connection with this peer.

        :param ident: the id of the peer
        """
        with self._current_connections_lock:
            return ident in self._current_connections

    def send_frame_to(self, ident: str, frame: Frame) -> None:
        """Sends a frame without waiting, see ``SocketHandler.send_frame_async``.

        :param ident: the id of the peer
        :param frame: the frame
        :raises KeyError: if no connection is registered
        """
        self.get_connection(ident).send_frame_async(frame)
