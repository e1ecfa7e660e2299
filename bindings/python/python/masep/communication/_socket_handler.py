"""Socket handlers: a thread for each connection."""

from __future__ import annotations

import logging
import queue
import threading
import time
from socket import socket as Socket
from typing import Any, Protocol

from .. import _live, _masep
from .._exceptions import TransportError
from ._frame import Frame
from ._socket import ConnectedSocket, connection_of

_BYE = b"BYE"


class SocketHandler(threading.Thread):
    """The thread that reads a connection and calls :meth:`on_receive` for each frame.

    A server or a client makes one for each connection; over any other connected socket it can be made
    by hand. It is a daemon thread: a program that has nothing else to do ends, and says ``BYE``.

    :param conn: the connected socket
    :param addr: the address of the peer
    :param logger: where sending and receiving are logged
    """

    lock: threading.Lock
    logger: logging.Logger
    socket: Socket
    addr: Any
    send_queue: queue.Queue[Frame]
    receive_errors: int

    def __init__(self, conn: Socket, addr: Any, logger: logging.Logger) -> None:
        super().__init__(name="SocketHandler", daemon=True)
        self.lock = threading.Lock()
        self.logger = logger
        self.socket = conn
        self.addr = addr
        self.send_queue = queue.Queue()
        self.receive_errors = 0
        """How many calls of :meth:`on_receive` raised an exception."""
        self._connected: _masep.Connection | None = None
        self._queued_bytes = 0
        self._running = False
        self._has_ended = False
        self._writer: threading.Thread | None = None

    def __del__(self) -> None:
        # A connection whose last handle is gone says BYE.
        self._connected = None

    @property
    def _connection(self) -> _masep.Connection:
        # Without the lock in the usual case.
        connected = self._connected
        if connected is None:
            with self.lock:
                if self._connected is None:
                    self._connected = connection_of(self.socket)
                connected = self._connected
        return connected

    def send_frame(self, frame: Frame) -> None:
        """Sends a frame. Waits while the peer does not take it. ``BYE`` ends the connection when all
        that was sent before has been taken.

        :raises LimitError: if the frame is too large; the connection lives on
        :raises TransportError: if the connection has ended
        """
        self._connection.send(frame.message)
        self.logger.debug("sent: %s", frame.message)

    def receive_frame(self) -> Frame:
        """Waits for the next frame; ``BYE`` is one too.

        :raises TransportError: if the connection has ended without one
        """
        connection = self._connection
        body = connection.recv()
        if body is None:
            reason = connection.close_reason
            if reason not in ("peer_bye", "rejected") or connection.ended_here:
                raise TransportError(f"the connection has ended: {reason}", reason or "local_bye")
            body = _BYE
        frame = Frame(body)
        self.logger.debug("received: %s", body)
        return frame

    def send_frame_async(self, frame: Frame) -> None:
        """Sends a frame without waiting: what the peer does not take now waits in
        :attr:`send_queue`, and so does all that is sent before the thread is started. On a connection
        that has ended, the frame is dropped, which is logged.

        :raises LimitError: if the frame is too large, or too many wait; the connection lives on
        """
        _masep.check_frame(frame.size)
        connection = self._connection
        with self.lock:
            try:
                if self._running and self._writer is None:
                    if connection.try_send(frame.message):
                        if frame.message == _BYE or connection.try_flush():
                            self.logger.debug("sent: %s", frame.message)
                            return
                        self._write_queued()
                        return
                    self._enqueue(frame)
                    self._write_queued()
                    return
            except TransportError as error:
                self.logger.info("not sent: %s", error)
                return
            self._enqueue(frame)

    def _enqueue(self, frame: Frame) -> None:
        _masep.check_queue(self.send_queue.qsize() + 1, self._queued_bytes + frame.size)
        self._queued_bytes += frame.size
        self.send_queue.put(frame)

    def _write_queued(self) -> None:
        """Has what waits sent by another thread. To be called with the lock."""
        self._writer = threading.Thread(target=self._write, name="SocketHandlerWriter", daemon=True)
        self._writer.start()

    def _write(self) -> None:
        connection = self._connection
        try:
            connection.flush()
            while True:
                with self.lock:
                    if self.send_queue.empty():
                        self._writer = None
                        return
                    frame = self.send_queue.get()
                    self._queued_bytes -= frame.size
                connection.send(frame.message)
                self.logger.debug("sent: %s", frame.message)
        except TransportError as error:
            # What is sent now is refused at once, and dropped.
            self.logger.info("not sent: %s", error)
            self._writer = None

    def _wait_sent(self, until: float) -> None:
        """Waits until nothing waits to be sent, or until this time."""
        writer = self._writer
        if writer is not None and writer is not threading.current_thread():
            writer.join(max(0.0, until - time.monotonic()))

    def on_receive(self, frame: Frame) -> None:
        """Called for each frame but ``BYE``. An exception is logged and counted in
        :attr:`receive_errors`; the connection goes on.

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
                if frame.message == _BYE:
                    self.logger.debug("%s said BYE", self.addr)
                    break
                self._receive(frame)
        except TransportError as error:
            level = logging.DEBUG if error.reason == "local_bye" else logging.INFO
            self.logger.log(level, "%s: %s", self.addr, error)
        finally:
            self._end()

    def _begin(self) -> None:
        _ = self._connection
        with self.lock:
            self._running = True
            if not self.send_queue.empty():
                self._write_queued()

    def _receive(self, frame: Frame) -> None:
        try:
            self.on_receive(frame=frame)
        except Exception:
            self.receive_errors += 1
            self.logger.exception("on_receive failed for a frame of %d bytes", frame.size)

    def _end(self) -> None:
        self._has_ended = True
        if isinstance(self.socket, ConnectedSocket):
            self.socket.close()
        else:
            self._connection.try_close()


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
