"""The side that is connected to."""

from __future__ import annotations

import logging
import os
import socket
import threading
import weakref
from typing import Any

from .. import _live, _masep
from .._interrupts import Thread
from . import _greeting, _handshake, _log
from ._base import BaseThreadedCommunication
from ._greeting import start
from ._socket import ConnectedSocket


class WaitConnection(Thread):
    """The thread in which a server makes the handlers of its connections. Taking the connections and
    shaking hands goes on beside it, so that no peer holds up another."""

    def __init__(self, server: Server) -> None:
        super().__init__(name="WaitConnection", daemon=True)
        # Weak: what is not referred to in circles is gone as soon as nobody needs it.
        self._server = weakref.ref(server)

    def stop(self) -> None:
        """Takes no more connections; the thread ends."""
        server = self._server()
        if server is not None:
            server._stop_accepting()

    def run(self) -> None:
        """Makes a handler for each connection."""
        server = self._server()
        if server is None:
            return
        if _handshake.is_overridden(server.socket_handler_class):
            _greeting.accept(server)
            return
        accepting = server._accepting()
        while (connection := accepting.accept()) is not None:
            try:
                _handle(server, accepting, _live.connection(connection))
            except Exception:
                # That of one peer; the others are still served.
                _log.caused_by_peer(
                    server.logger, logging.ERROR, "no handler for a connection", exc_info=True
                )


class WaitAnnouncement(Thread):
    """A thread that lives as long as a server answers the search, to be joined. The answers are given
    beside it."""

    def __init__(self) -> None:
        super().__init__(name="WaitAnnouncement", daemon=True)
        self._stopped = threading.Event()

    def stop(self) -> None:
        """The thread ends."""
        self._stopped.set()

    def run(self) -> None:
        """Waits for :meth:`stop`."""
        self._stopped.wait()


def _handle(server: Server, accepting: _masep.Server, connection: _masep.Connection) -> None:
    connected = ConnectedSocket(connection, server.logger, accepting)
    handler = server.socket_handler_class(
        connected, connected.address, server.logger, *server.socket_handler_args
    )
    start(server, connection.peer, handler)


class Server(BaseThreadedCommunication):
    """A server: it listens as soon as it is made, and serves after :meth:`wait_connection`.

    :param ident: the id of the server
    :param max_connection: how many may wait to be taken, as for ``socket.listen``
    :param socket_handler_class: what is made for each connection: a subclass of ``SocketHandler``
    :param socket_handler_args: its further arguments, after the socket, the address and the logger
    :param host: the host to listen on
    :param port: the port; with 0, ``server.socket.getsockname()`` tells the real one
    :param wait_announcement: whether :meth:`wait_announcement` will be called
    :param log_level: from which level on the log file is written
    """

    def __init__(
        self,
        ident: str,
        max_connection: int,
        socket_handler_class: type[Any],
        socket_handler_args: tuple[Any, ...],
        host: str,
        port: int,
        wait_announcement: bool = False,
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
        self.max_connection = max_connection
        self._server: _masep.Server | None = None
        self._forks = _live.forks
        self._server_lock = threading.Lock()
        self._has_stopped = threading.Event()
        self.wait_connection_thread = WaitConnection(self)
        self.wait_announcement_thread = WaitAnnouncement() if wait_announcement else None
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((host, port))
        if _handshake.is_overridden(socket_handler_class):
            # Only to answer the search. It has stopped to accept before the socket listens.
            self._accepting().stop_accepting()
            self.socket.setblocking(True)
        self.socket.listen(max_connection)

    def __del__(self) -> None:
        """Takes no more connections, announces nothing, and closes the socket. The connections
        go on."""
        if "_server_lock" not in self.__dict__:
            return
        if self._forks == _live.forks:
            self.stop_wait_announcement()
            self._stop_accepting()
        # In a process that was forked, the socket is the parent's, too.
        self.socket.close()
        _log.close(self.logger)

    def wait_connection(self) -> None:
        """Starts to take connections."""
        self._accepting()
        self.wait_connection_thread.start()

    def stop_wait_connection(self) -> None:
        """Takes no more connections; the others go on."""
        self.wait_connection_thread.stop()

    def wait_announcement(self) -> None:
        """Answers the search on the LAN from now on."""
        self._accepting().announce()
        if self.wait_announcement_thread is None or self.wait_announcement_thread.ident is not None:
            self.wait_announcement_thread = WaitAnnouncement()
        self.wait_announcement_thread.start()

    def stop_wait_announcement(self) -> None:
        """Answers the search no more."""
        with self._server_lock:
            server = self._server
        if server is not None:
            server.stop_announcing()
        if self.wait_announcement_thread is not None:
            self.wait_announcement_thread.stop()

    def _accepting(self) -> _masep.Server:
        with self._server_lock:
            if self._server is None:
                listening = os.dup(self.socket.fileno())
                self._server = _live.server(_masep.Server.serve(self.id, listening))
            return self._server

    def _stop_accepting(self) -> None:
        self._has_stopped.set()
        with self._server_lock:
            server = self._server
        if server is not None:
            server.stop_accepting()
        if self.socket.fileno() >= 0:
            try:
                # A peer that connects now is told at once, and not when the object is gone.
                self.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
