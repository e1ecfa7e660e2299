"""A worker process, as its server knows it."""

from __future__ import annotations

import pickle
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, resource_tracker
from typing import Any

from .. import _masep
from . import worker
from .worker import Client, Leave, Wish


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Has processes that begin here not hear of Ctrl-C, which all processes of a terminal get, until they
    :func:`ignore <worker.run>` it: while they import, it would be a traceback of each. Another thread of this process takes it,
    or this one afterwards."""
    # Its first call lets the signal through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class WorkerProcess:
    """A worker, as its server knows it."""

    def __init__(self, context: Any, setting: bytes) -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = context.Process(
                target=worker.run, args=(theirs, setting), name="masep-environment", daemon=True
            )
            try:
                if context.get_start_method() == "forkserver":
                    with _without_ctrl_c():
                        forkserver.ensure_running()
                    # This waits until all is imported, and Ctrl-C ends the wait.
                    self.process.start()
                else:
                    with _without_ctrl_c():
                        self.process.start()
            except BaseException:
                self.control.close()
                raise
        self.is_ready = False
        #: Its client, with another handle of the stream, to see when that is gone; and the number of this one.
        self.client: _masep.Detached | None = None
        self.number = 0
        #: By when it has to be idle again.
        self.until: float | None = None

    @property
    def is_idle(self) -> bool:
        return self.is_ready and self.client is None

    @property
    def will_be_idle(self) -> bool:
        return not self.is_ready or self.until is not None

    def hand_over(self, number: int, client: _masep.Detached, wish: Wish) -> bool:
        """False if the worker is gone."""
        self.client, self.number = client, number
        heard, is_answered = client.heard()
        message = pickle.dumps(Client(number, heard, is_answered, wish))
        try:
            socket.send_fds(self.control, [message], [client.fileno()])
        except OSError:
            return False
        return True

    def send_away(self, code: str, text: str, may_return: bool | None = None) -> None:
        """Has its client told this, and its connection ended."""
        self._say(Leave(self.number, code, text, may_return))

    def end_soon(self) -> None:
        """Has it end, and its client told so."""
        if self.client is not None:
            self.send_away("shutdown", "the server ends")
        self._say(None)

    def _say(self, what: Leave | None) -> None:
        try:
            # It reads at once, whatever its environment does; one that has stopped is killed in time.
            self.control.send(pickle.dumps(what), socket.MSG_DONTWAIT)
        except OSError:
            # It is gone.
            pass

    def forget_client(self) -> None:
        self.until = None
        if self.client is not None:
            self.client.forget()
            self.client = None

    def end(self, timeout: float) -> None:
        """Waits for the end of the process, which is killed when it takes too long. It may be called again."""
        # It says so when it was closed before.
        with suppress(ValueError):
            self.process.join(timeout)
            if self.process.is_alive():
                self.process.kill()
                self.process.join()
            self.process.close()
        self.forget_client()
        self.control.close()
