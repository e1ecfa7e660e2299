"""A worker process, as its server knows it."""

from __future__ import annotations

import pickle
import socket
from typing import Any

from . import worker
from .worker import Client


class WorkerProcess:
    """A worker, as its server knows it."""

    def __init__(self, context: Any, setting: bytes) -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = context.Process(
                target=worker.run, args=(theirs, setting), name="masep-environment", daemon=True
            )
            self.process.start()
        self.is_ready = False
        #: Another handle of the socket of its client, to see when that is gone.
        self.client: socket.socket | None = None
        #: By when it has to be idle again.
        self.until: float | None = None

    @property
    def is_idle(self) -> bool:
        return self.is_ready and self.client is None

    @property
    def will_be_idle(self) -> bool:
        return not self.is_ready or self.until is not None

    def hand_over(self, client: Client, descriptor: int) -> bool:
        """False if the worker is gone."""
        self.client = socket.socket(fileno=descriptor)
        try:
            socket.send_fds(self.control, [pickle.dumps(client)], [descriptor])
        except OSError:
            return False
        return True

    def forget_client(self) -> None:
        self.until = None
        if self.client is not None:
            self.client.close()
            self.client = None

    def end(self, timeout: float) -> None:
        """Waits for the end of the process, which is killed when it takes too long."""
        self.process.join(timeout)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process.close()
        self.forget_client()
        self.control.close()
