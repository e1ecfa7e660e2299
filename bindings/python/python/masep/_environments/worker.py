"""A process that has one environment at a time, for one client after the other.

Its server says which, over a socket between both: with the client's own socket, which this process reads and writes
from then on. It says one word itself: ``ready``, ``idle`` again, or why it cannot be used.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import socket
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import cloudpickle  # type: ignore[import-untyped]

from .. import _masep
from .._exceptions import MasepError
from .._limits import Limits, SocketOptions
from .requests import Requests, failure

MESSAGE_BYTES = 1 << 16
"""Of one message between a server and a worker. A HELLO has at most 4,096."""


@dataclass(frozen=True)
class Setting(ABC):
    """The environments of a worker. Pickled with cloudpickle, so that the function may be any."""

    id: str
    env: Any
    arguments: dict[str, Any]
    drop_formless: bool
    limits: Limits | None
    socket_options: SocketOptions | None

    @abstractmethod
    def make(self, client: Client) -> Any:
        """The environment of a client."""

    @abstractmethod
    def describe(self, env: Any, client: Client) -> dict[str, Any]:
        """The environment, as its client is told of it."""

    @abstractmethod
    def requests(self, connection: _masep.Connection, env: Any, client: Client) -> Requests:
        """The part that answers the requests of its client."""


@dataclass(frozen=True)
class Client:
    """A client that was handed to a worker, but for its socket."""

    heard: bytes
    is_answered: bool
    arguments: dict[str, Any]
    autoreset: str
    kind: str


def run(control: socket.socket, setting: bytes) -> None:
    """The life of a worker."""
    # The server sees to the end of its workers, also after Ctrl-C, which all processes of a terminal get.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    worker = Worker(control, cloudpickle.loads(setting))
    threading.Thread(target=worker.listen, name="masep-control", daemon=True).start()
    control.send(b"ready")
    worker.serve()


class Worker:
    def __init__(self, control: socket.socket, setting: Setting) -> None:
        self.control = control
        self.setting = setting
        self.clients: queue.SimpleQueue[tuple[Client, int] | None] = queue.SimpleQueue()
        self.connection: _masep.Connection | None = None

    def listen(self) -> None:
        """Hears the server. Without one, the process ends whatever it does."""
        while True:
            message, descriptors, _, _ = socket.recv_fds(self.control, MESSAGE_BYTES, 1)
            if not message:
                os._exit(1)
            if message == b"end":
                self.clients.put(None)
                if self.connection is not None:
                    self.connection.close("shutdown", "the server ends")
            else:
                self.clients.put((pickle.loads(message), descriptors[0]))

    def serve(self) -> None:
        while (taken := self.clients.get()) is not None:
            client, descriptor = taken
            try:
                self.serve_one(client, descriptor)
            except MasepError:
                # The client is gone, which is told by its socket.
                pass
            self.connection = None
            self.control.send(b"idle")

    def serve_one(self, client: Client, descriptor: int) -> None:
        setting = self.setting
        self.connection = connection = _masep.take_over(
            setting.id,
            descriptor,
            client.heard,
            client.is_answered,
            setting.limits,
            setting.socket_options,
        )
        try:
            env = setting.make(client)
        except Exception as error:
            return self.refuse(connection, error)
        requests = None
        try:
            try:
                told = setting.describe(env, client)
                requests = setting.requests(connection, env, client)
            except Exception as error:
                return self.refuse(connection, error)
            connection.send_message("environment", {**told, "request": 0}, setting.id)
            requests.run()
        finally:
            connection.try_close()
            if requests is None or not requests.is_closed:
                env.close()

    def refuse(self, connection: _masep.Connection, error: Exception) -> None:
        """There is no environment for the client."""
        connection.send_message("error", {**failure(error), "request": 0}, self.setting.id)
        connection.close("environment_failed", f"{type(error).__name__}: {error}")
