"""The start of a server's handlers, and of its connections if these send the hellos."""

from __future__ import annotations

import logging
import socket
import threading
from typing import Any

from .. import _masep
from .._exceptions import PeerError
from . import _handshake, _log

GREETED = 64
"""The number of peers that may be about to say hello at the same time; further ones wait."""

CONNECTIONS = 1_024
"""The number of handlers that may run at the same time, as ``connections`` of the crates."""

_NEXT_TRY = 0.1
"""Seconds until it is tried again to take a connection when the system refused."""


def start(server: Any, ident: str, handler: Any) -> None:
    """Registers a handler of a server and starts it."""
    # A thread that gets it from the server may join it at once.
    starting = threading.Event()
    handler._starting = starting
    server.add_connection(ident, handler)
    address = getattr(handler, "addr", None)
    server.logger.info("%s connected from %r", _masep.quoted(ident), address)
    try:
        handler.start()
    finally:
        starting.set()


def accept(server: Any) -> None:
    """Takes connections until the server's socket listens no more. Each peer is greeted in a thread
    of its own: none holds up another for longer than it may take for its hello."""
    places = threading.BoundedSemaphore(GREETED)
    never = threading.Event()
    while True:
        try:
            conn, _ = server.socket.accept()
        except OSError as error:
            if server._has_stopped.is_set():
                return
            _log.caused_by_peer(server.logger, logging.WARNING, "no connection: %s", error)
            never.wait(_NEXT_TRY)
            continue
        places.acquire()
        greeting = threading.Thread(
            target=_greet, args=(server, conn, places), name="WaitConnectionGreeting", daemon=True
        )
        try:
            greeting.start()
        except RuntimeError as error:
            places.release()
            conn.close()
            _log.caused_by_peer(server.logger, logging.WARNING, "no connection: %s", error)


def _greet(server: Any, conn: socket.socket, places: threading.BoundedSemaphore) -> None:
    try:
        with server._current_connections_lock:
            handlers = list(server._current_connections.values())
        running = sum(not getattr(handler, "_has_ended", False) for handler in handlers)
        connected = _handshake.connected(server, conn)
        if running >= CONNECTIONS:
            _log.caused_by_peer(
                server.logger, logging.WARNING, "%d connections are too many", running + 1
            )
            connected.close()
            return
        try:
            _handle(server, connected)
        except (OSError, PeerError) as error:
            connected.close()
            _log.caused_by_peer(
                server.logger, logging.INFO, "no hello from %r: %s", connected.address, error
            )
        except Exception:
            connected.close()
            _log.caused_by_peer(
                server.logger, logging.ERROR, "no handler for a connection", exc_info=True
            )
    finally:
        places.release()


def _handle(server: Any, connected: Any) -> None:
    handler = server.socket_handler_class(
        connected, connected.address, server.logger, *server.socket_handler_args
    )
    ident = _handshake.answer(server, connected, handler)
    older = server._current_connections.get(ident)
    start(server, ident, handler)
    # As in pymasep, where the newest connection with an id is the one that is written to.
    finish = getattr(older, "_finish", None)
    if finish is not None and older is not handler:
        finish()
