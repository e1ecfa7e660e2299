"""Hellos that are said by methods of the program: where its class of handlers overrides how frames are
sent or received, as pymasep has them said."""

from __future__ import annotations

import socket
import threading
from typing import Any

from .. import _live, _masep
from .._exceptions import PeerError, RefusedError, TransportError
from ._frame import Frame
from ._socket import ConnectedSocket
from ._socket_handler import SocketHandler

SECONDS = 5.0
"""The time a peer may take for its hello, and a host to be connected to: ``hello_time`` and
``connect_time`` of the crates."""

ID_BYTES = 1_024
"""``id_bytes`` of the crates."""


def is_overridden(handler_class: Any) -> bool:
    """True if the hellos have to go through the handlers of this class (any callable)."""
    return not (
        isinstance(handler_class, type)
        and issubclass(handler_class, SocketHandler)
        and handler_class.send_frame is SocketHandler.send_frame
        and handler_class.receive_frame is SocketHandler.receive_frame
    )


def connected(side: Any, conn: socket.socket) -> ConnectedSocket:
    """The socket for a handler over a socket without a connection, which is used up.

    :param side: the client or server
    """
    connection = _live.connection(_masep.Connection.over(conn.detach(), ""))
    return ConnectedSocket(connection, side.logger)


def connect(host: str, port: int) -> socket.socket:
    """A socket that is connected to this address.

    :raises TransportError: if there is no connection
    """
    try:
        return socket.create_connection((host, port), timeout=SECONDS)
    except ConnectionRefusedError as error:
        raise RefusedError(f"{host}:{port}: {error}", "refused") from error
    except TimeoutError as error:
        raise TransportError(f"{host}:{port}: {error}", "timeout") from error
    except OSError as error:
        raise TransportError(f"{host}:{port}: {error}") from error


class _InTime:
    """Ends a socket that is not done in time: whatever waits for it fails then."""

    def __init__(self, conn: socket.socket) -> None:
        self._timer = threading.Timer(SECONDS, self._end)
        self._timer.daemon = True
        self._socket = conn

    def _end(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


def initiate(side: Any, conn: ConnectedSocket, handler: Any) -> str:
    """Says hello, as a client: the id of the server."""
    with _InTime(conn):
        handler.send_frame(Frame.hello_frame(side.id))
        return _ident(handler.receive_frame())


def answer(side: Any, conn: ConnectedSocket, handler: Any) -> str:
    """Answers a hello, as a server: the id of the client."""
    with _InTime(conn):
        ident = _ident(handler.receive_frame())
        handler.send_frame(Frame.hello_frame(side.id))
        return ident


def _ident(hello: Any) -> str:
    said: bytes = hello.message
    if len(said) > ID_BYTES:
        raise PeerError(f"an id of {len(said)} bytes, where {ID_BYTES} are allowed", "hello")
    try:
        return said.decode()
    except UnicodeDecodeError as error:
        raise PeerError(f"an id that is no UTF-8: {error}", "hello") from error
