"""Clients that want no environment, but to know what the server has, such as ``masep check``."""

from __future__ import annotations

import logging
import threading

from .._blocking import Connection, Request, Server
from .._exceptions import MasepError
from .._interrupts import wait
from .session import PROFILE

_log = logging.getLogger("masep")

LOOK_SECONDS = 5.0
"""The time that a look takes at most."""

MOST = 8
"""So many at a time. There is a thread for each, so that its PINGs are answered."""


class Looks:
    """The looks of clients at a server. A thread takes the connections."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._free = threading.BoundedSemaphore(MOST)
        self._is_over = threading.Event()
        threading.Thread(target=self._take, name="masep-looks", daemon=True).start()

    def admit(self, request: Request, name: str | None, places: int, free: int) -> None:
        """Tells a client the name of the environments, how many there can be at a time, and those that nobody has."""
        request._request.admit(PROFILE, name, places, free)

    def wait(self) -> None:
        """Waits until none comes any more, which is when the server has stopped accepting."""
        wait(self._is_over)

    def _take(self) -> None:
        try:
            while (connection := self._server.accept()) is not None:
                if not (self._free.acquire(blocking=False) and self._begin_to_see(connection)):
                    connection._connection.try_close()
        finally:
            self._is_over.set()

    def _begin_to_see(self, connection: Connection) -> bool:
        """False if there is no thread for it. It was told what there is all the same."""
        try:
            threading.Thread(target=self._see, args=(connection,), name="masep-look", daemon=True).start()
        except (RuntimeError, MemoryError) as error:
            self._free.release()
            _log.warning("a client that looks is sent away: %s", error)
            return False
        return True

    def _see(self, connection: Connection) -> None:
        try:
            connection.recv(LOOK_SECONDS)
        except MasepError:
            # It was told what there is, and says nothing itself.
            pass
        finally:
            connection._connection.try_close()
            self._free.release()
