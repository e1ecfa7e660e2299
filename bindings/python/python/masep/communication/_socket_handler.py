"""Socket handlers: a thread for each connection."""

from __future__ import annotations

import logging
import socket
import threading
from socket import socket as Socket
from typing import Any, Protocol

from .. import _live
from .._exceptions import TransportError
from . import _log
from ._frame import Frame
from ._sending import BYE, Sending
from ._socket import ConnectedSocket


class SocketHandler(Sending):
    """The thread that reads a connection and calls :meth:`on_receive` for each frame.

    A server or a client makes one for each connection; over any other connected socket it can be made
    by hand. It is a daemon thread: a program that has nothing else to do ends, and says ``BYE``.

    A method that a subclass overrides is called where pymasep calls it. If it overrides
    :meth:`send_frame` or :meth:`receive_frame`, the hellos go through them too.

    :param conn: the connected socket
    :param addr: the address of the peer
    :param logger: where sending and receiving are logged
    """

    receive_errors: int

    def __init__(self, conn: Socket, addr: Any, logger: logging.Logger) -> None:
        super().__init__(conn, addr, logger)
        self.receive_errors = 0
        """The number of calls of :meth:`on_receive` that raised an exception."""
        self._heard_bye = False

    def __del__(self) -> None:
        """Ends the connection, if there is one: see ``send_frame_async`` for what waits."""
        if "_forks" not in self.__dict__:
            return
        self._finish()
        # A connection whose last handle is gone says BYE.
        self._connected = None
        self._close_pair()

    def _close_pair(self) -> None:
        for name in ("r_sock", "s_sock"):
            one = self.__dict__.get(name)
            if one is not None:
                one.close()

    def receive_frame(self) -> Frame:
        """Waits for the next frame; ``BYE`` is one too, the last.

        :raises TransportError: if the connection has ended without one, or it was given
        """
        connection = self._connection
        body = connection.recv()
        if body is None:
            reason = connection.close_reason
            if reason != "peer_bye" or self._heard_bye:
                raise TransportError(f"the connection has ended: {reason}", reason or "local_bye")
            self._heard_bye = True
            body = BYE
        frame = Frame(body)
        self.logger.debug("received: %s", body)
        return frame

    def on_receive(self, frame: Frame) -> None:
        """Called for each frame but ``BYE``. An exception is counted in :attr:`receive_errors` and
        logged, the first five of a minute for all connections of a server; the connection goes on.

        :param frame: the frame
        """

    def start(self) -> None:
        """Starts the thread."""
        _live.handler(self)
        super().start()

    def join(self, timeout: float | None = None) -> None:
        """Waits for the end of the thread. One that its server is just about to start is waited for.

        :param timeout: the longest wait, in seconds; None for ever
        """
        starting: threading.Event | None = self.__dict__.get("_starting")
        if starting is not None:
            starting.wait(timeout)
        super().join(timeout)

    def run(self) -> None:
        """Reads the connection to its end."""
        try:
            self._begin()
            while True:
                frame = self.receive_frame()
                # The connection's own, whatever an override makes of it.
                if frame.message == BYE or self._heard_bye:
                    self.logger.debug("%r said BYE", self.addr)
                    break
                self._receive(frame)
        except OSError as error:
            self._tell_end(error)
        except Exception as error:
            # Of an override that found the end of a connection which this side has ended.
            if not self._has_ended_itself():
                raise
            self._tell_end(error)
        finally:
            self._end()

    def _has_ended_itself(self) -> bool:
        return self._sends_bye or self._connection.close_reason == "local_bye"

    def _tell_end(self, error: Exception) -> None:
        if self._has_ended_itself():
            self.logger.debug("%r: %s", self.addr, error)
            return
        refused = getattr(error, "reason", None) == "rejected"
        level = logging.WARNING if refused else logging.INFO
        _log.caused_by_peer(self.logger, level, "%r: %s", self.addr, error)

    def _begin(self) -> None:
        _ = self._connection
        with self.lock:
            self._running = True
            if not self.send_queue.empty():
                try:
                    self._start_writer(0)
                except RuntimeError as error:
                    _log.caused_by_peer(
                        self.logger, logging.WARNING, "what is queued for %r waits for the next frame: %s", self.addr, error
                    )
            if "s_sock" in self.__dict__:
                self._watch_pair()

    def _receive(self, frame: Frame) -> None:
        try:
            self.on_receive(frame=frame)
        except Exception:
            self.receive_errors += 1
            _log.caused_by_peer(
                self.logger,
                logging.ERROR,
                "on_receive failed for a frame of %d bytes",
                frame.size,
                exc_info=True,
            )

    def _end(self) -> None:
        self._has_ended = True
        if "r_sock" in self.__dict__:
            # A thread that still writes to the other one gets an error.
            self.r_sock.shutdown(socket.SHUT_RD)
        if isinstance(self.socket, ConnectedSocket):
            self.socket.close()
        else:
            self._finish()


class _Queue(Protocol):
    def put(self, item: bytes, /) -> object: ...


class SocketHandlerQueue(SocketHandler):
    """A socket handler that puts the body of each frame into a queue.

    :param conn: the connected socket
    :param addr: the address of the peer
    :param logger: where sending and receiving are logged
    :param queue: anything with a method ``put``
    """

    receive_queue: _Queue

    def __init__(
        self, conn: Socket, addr: Any, logger: logging.Logger, queue: _Queue
    ) -> None:
        super().__init__(conn=conn, addr=addr, logger=logger)
        self.receive_queue = queue

    def on_receive(self, frame: Frame) -> None:
        """Puts the body of the frame into :attr:`receive_queue`.

        :param frame: the frame
        """
        self.receive_queue.put(frame.message)
