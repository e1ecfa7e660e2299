"""The half of a socket handler that sends."""

from __future__ import annotations

import logging
import queue
import socket
import threading
import time
from contextlib import suppress
from socket import socket as Socket
from typing import Any

from .. import _live, _masep
from .._exceptions import TransportError
from .._interrupts import Thread
from . import _closing, _log
from ._frame import Frame
from ._socket import ConnectedSocket, OpenedSocket, connection_of

BYE = b"BYE"


class Sending(Thread):
    """The part of a socket handler that sends."""

    lock: threading.Lock
    logger: logging.Logger
    socket: Socket
    addr: Any
    send_queue: queue.Queue[Frame]
    r_sock: Socket
    s_sock: Socket

    def __init__(self, conn: Socket, addr: Any, logger: logging.Logger) -> None:
        super().__init__(name="SocketHandler", daemon=True)
        self.lock = threading.Lock()
        self.logger = logger
        self.socket = conn
        self.addr = addr
        self.send_queue = queue.Queue()
        self._connected: _masep.Connection | None = None
        self._queued_bytes = 0
        self._running = False
        self._has_ended = False
        self._writer: threading.Thread | None = None
        self._says_bye = False
        """True if the writer ends the connection behind the frames that wait."""
        self._sends_bye = False
        """True from the moment at which an override may have written ``BYE``: the peer may end the connection then."""
        self._drops = False
        """True if it was said that frames are dropped."""
        self._forks = _live.forks

    def __getattr__(self, name: str) -> Any:
        # Made when somebody asks for them: two descriptors for each connection.
        if name in ("r_sock", "s_sock") and "lock" in self.__dict__:
            with self.lock:
                if "s_sock" not in self.__dict__:
                    self._make_pair()
            return self.__dict__[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _make_pair(self) -> None:
        """The sockets by which pymasep wakes its thread: a byte that is written to ``s_sock`` says that
        there is a frame in :attr:`send_queue`."""
        self.r_sock, self.s_sock = (
            OpenedSocket(fileno=one.detach()) for one in socket.socketpair()
        )
        for _ in range(self.send_queue.qsize()):
            self._wake()
        if self._running:
            self._watch_pair()

    def _wake(self) -> None:
        if "s_sock" in self.__dict__:
            try:
                self.s_sock.send(b"\0", socket.MSG_DONTWAIT)
            except BlockingIOError:
                # It is awake.
                pass

    def _watch_pair(self) -> None:
        waking = threading.Thread(
            target=self._write_when_woken, name="SocketHandlerWaking", daemon=True
        )
        waking.start()

    def _write_when_woken(self) -> None:
        while self.r_sock.recv(1024):
            with self.lock:
                if self._running and self._writer is None and not self.send_queue.empty():
                    self._start_writer(0)

    @property
    def _connection(self) -> _masep.Connection:
        # Without the lock in the usual case.
        connected = self._connected
        if connected is None:
            with self.lock:
                if self._connected is None:
                    self._connected = connection_of(self.socket)
                    if isinstance(self.socket, ConnectedSocket):
                        self.socket.belongs_to(self)
                connected = self._connected
        return connected

    def _is_of_another_process(self) -> bool:
        """True if this process was forked from the one of the handler: its lock may be held then by
        a thread that is not there."""
        return self._forks != _live.forks

    def send_frame(self, frame: Frame) -> None:
        """Sends a frame. Waits while the peer does not take it. ``BYE`` ends the connection when all
        that was sent before has been taken, which may take 30 seconds.

        If a subclass has a method of this name, all frames are sent by it: the hello, and those of
        :meth:`send_frame_async`.

        :raises LimitError: if the frame is too large; the connection lives on
        :raises TransportError: if the connection has ended, or ``BYE`` has ended it and the peer has
            not taken all that was sent before
        """
        connection = self._connection
        if frame.message == BYE:
            self._say_bye(connection)
        else:
            connection.send(frame.message)
        self.logger.debug("sent: %s", frame.message)

    def _say_bye(self, connection: _masep.Connection) -> None:
        delivered = _closing.is_delivered(connection)
        connection.close()
        reason = connection.close_reason
        if not delivered and reason in ("write_timeout", "reset"):
            raise TransportError("the peer has not taken all that was sent before BYE", reason)
        if reason in ("reset", "io"):
            raise TransportError(f"the connection had ended before BYE: {reason}", reason)

    def send_frame_async(self, frame: Frame) -> None:
        """Sends a frame without waiting: what the peer does not take now waits in
        :attr:`send_queue`, and so does all that is sent before the thread is started. All of it is
        delivered before the connection ends from this side, also when the client is deleted or the
        program comes to its end; what cannot be delivered is counted in the log. On a connection that
        has ended, the frame is dropped; the first is logged as a warning.

        :raises LimitError: if the frame is too large, or too many wait; the connection lives on
        """
        _masep.check_frame(frame.size)
        connection = self._connection
        if self._is_of_another_process():
            # Says so.
            _ = connection.close_reason
        with self.lock:
            if not self._running:
                self._enqueue(frame)
                self._wake()
                return
            try:
                if self._writer is None and self._sent_at_once(connection, frame):
                    return
                if connection.close_reason is not None:
                    raise TransportError(f"the connection has ended: {connection.close_reason}")
            except TransportError as error:
                self._drop(frame, error)
                return
            self._enqueue(frame)
            if self._writer is None:
                try:
                    self._start_writer(0)
                except RuntimeError:
                    self._withdraw(frame)
                    raise

    def _withdraw(self, frame: Frame) -> None:
        """Takes the last frame out of the queue again. To be called with the lock."""
        with self.send_queue.mutex:
            waiting = self.send_queue.queue
            for index in reversed(range(len(waiting))):
                if waiting[index] is frame:
                    del waiting[index]
                    break
        self._queued_bytes = max(0, self._queued_bytes - frame.size)

    def _sent_at_once(self, connection: _masep.Connection, frame: Frame) -> bool:
        """Sends a frame if it need not wait."""
        if getattr(self.send_frame, "__func__", None) is not _SEND_FRAME:
            return False
        if not self.send_queue.empty():
            # There was no thread for those when they came.
            return False
        if frame.message == BYE:
            _closing.close(connection, self.logger, self.addr)
        elif not connection.try_send(frame.message):
            return False
        elif not connection.try_flush():
            with suppress(RuntimeError):
                # Without a thread, the extension module sees to the rest.
                self._start_writer(1)
            return True
        self.logger.debug("sent: %s", frame.message)
        return True

    def _drop(self, frame: Frame, error: TransportError) -> None:
        if self._drops or frame.message == BYE:
            self.logger.debug("not sent: %s", error)
            return
        self._drops = True
        _log.caused_by_peer(
            self.logger,
            logging.WARNING,
            "not sent to %r, and neither is what follows: %s",
            self.addr,
            error,
        )

    def _enqueue(self, frame: Frame) -> None:
        _masep.check_queue(self.send_queue.qsize() + 1, self._queued_bytes + frame.size)
        self._queued_bytes += frame.size
        self.send_queue.put(frame)

    def _next_queued(self) -> Frame | None:
        """The next frame that waits. If none does, the writer is done."""
        with self.lock:
            try:
                frame = self.send_queue.get_nowait()
            except queue.Empty:
                self._writer = None
                return None
            # Others may put frames into the queue too.
            self._queued_bytes = max(0, self._queued_bytes - frame.size)
            return frame

    def _start_writer(self, begun: int) -> None:
        """Has what waits sent by another thread. To be called with the lock.

        :param begun: how many frames have been sent in part
        :raises RuntimeError: if there is no thread for it
        """
        writer = threading.Thread(
            target=self._write, args=(begun,), name="SocketHandlerWriter", daemon=True
        )
        self._writer = writer
        try:
            writer.start()
        except BaseException:
            self._writer = None
            raise

    def _write(self, begun: int) -> None:
        try:
            self._connection.flush()
            while (frame := self._next_queued()) is not None:
                begun = int(frame.message != BYE)
                self._write_frame(frame)
        except OSError as error:
            self._lose(begun, error)

    def _write_frame(self, frame: Frame) -> None:
        self._sends_bye = frame.message == BYE
        try:
            self.send_frame(frame)
        except OSError:
            raise
        except Exception:
            _log.caused_by_peer(
                self.logger,
                logging.ERROR,
                "send_frame failed for a frame of %d bytes",
                frame.size,
                exc_info=True,
            )
        if frame.message == BYE:
            # Needed if another method sent it.
            self._say_bye(self._connection)

    def _lose(self, begun: int, error: OSError) -> None:
        """Drops the frames that wait, and logs that they are lost."""
        with self.lock:
            lost = begun + self._waiting(empty=True)
            self._writer = None
        if lost:
            _log.lost(self.logger, "%d frames to %r are lost: %s", lost, self.addr, error)
        elif getattr(error, "reason", None) == "write_timeout":
            _closing.tell_lost(self._connection, self.logger, self.addr)

    def _waiting(self, empty: bool = False) -> int:
        """The number of frames that wait, without BYE."""
        with self.send_queue.mutex:
            waiting = sum(1 for frame in self.send_queue.queue if frame.message != BYE)
            if empty:
                self.send_queue.queue.clear()
        if empty:
            self._queued_bytes = 0
        return waiting

    def _finish(self) -> None:
        """Ends the connection when all that waits is sent; does not wait for that."""
        if self._is_of_another_process():
            return
        # It may be called by the garbage collection in a thread that has the lock.
        if not self.lock.acquire(blocking=False):
            threading.Thread(target=self._finish_later, daemon=True).start()
            return
        try:
            queued = self._queue_bye()
        finally:
            self.lock.release()
        if not queued and self._connected is not None:
            _closing.close(self._connected, self.logger, self.addr)

    def _finish_later(self) -> None:
        with self.lock:
            queued = self._queue_bye()
        if not queued and self._connected is not None:
            _closing.close(self._connected, self.logger, self.addr)

    def _queue_bye(self) -> bool:
        """True if the writer ends the connection behind the frames that wait. To be called with
        the lock."""
        if self._writer is None:
            return False
        if not self._says_bye:
            self._says_bye = True
            self.send_queue.put(Frame(BYE))
        return True

    def _ends_itself(self, until: float) -> bool:
        """True if the writer ends the connection behind the frames that wait, when the program
        ends."""
        if not self.lock.acquire(timeout=max(0.0, until - time.monotonic())):
            return False
        try:
            return self._queue_bye()
        finally:
            self.lock.release()

    def _has_unsent(self) -> bool:
        """True if the peer has not taken all that was sent."""
        return self._connected is not None and not _closing.is_delivered(self._connected)

    def _tell_exit(self, until: float) -> None:
        """Waits until this time for what waits, and logs what is lost with the program."""
        writer = self._writer
        if writer is not None:
            writer.join(max(0.0, until - time.monotonic()))
        if writer is not None and writer.is_alive():
            lost = self._waiting() + 1
            _log.lost(
                self.logger, "%d frames to %r are lost: the program has ended", lost, self.addr
            )
        elif self._connected is not None:
            _closing.tell_lost(self._connected, self.logger, self.addr)


_SEND_FRAME = Sending.send_frame
