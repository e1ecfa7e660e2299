"""A process that has one environment at a time, for one client after the other.

Its server says which, over a socket between both: with the client's own socket, which this process reads and writes
from then on, or with one to the thread of the server that has the client's TLS. The server may say that the client has to
go. The process says one word itself: ``ready``, ``idle`` again, or why it cannot be used.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import socket
import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import cloudpickle  # type: ignore[import-untyped]

from .. import _masep
from .._exceptions import CallerError, MasepError
from .._limits import Limits, SocketOptions
from .requests import Requests, failure, text_of
from .session import PROFILE

MESSAGE_BYTES = 1 << 16
"""Of one message between a server and a worker. A HELLO has at most 4,096."""


def check_makes(env: Any) -> None:
    """Refuses what is no class and no function: an environment that is there, for example.

    :raises CallerError: for it
    """
    if not callable(env):
        text = "which makes none: each has one of its own, so give an id, a class or a function"
        raise CallerError(f"the environments of clients cannot come from {env!r:.100}, {text}")


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
    def check(self) -> None:
        """Looks whether there is such an environment, in the server's process, without making one.

        :raises CallerError: if there is none of this name
        """

    @abstractmethod
    def make(self, wish: Wish) -> Any:
        """The environment of a client."""

    @abstractmethod
    def describe(self, env: Any, wish: Wish) -> dict[str, Any]:
        """The environment, as its client is told of it."""

    @abstractmethod
    def requests(self, connection: _masep.Connection, env: Any, wish: Wish) -> Requests:
        """The part that answers the requests of its client."""


@dataclass(frozen=True)
class Wish:
    """The environment that a client asks for."""

    arguments: dict[str, Any]
    autoreset: str
    kind: str


@dataclass(frozen=True)
class Client:
    """A client that was handed to a worker, but for its socket."""

    number: int
    heard: bytes
    is_answered: bool
    wish: Wish


@dataclass(frozen=True)
class Leave:
    """A client has to go, for this reason."""

    number: int
    code: str
    text: str
    may_return: bool | None = None


def run(control: socket.socket, setting: bytes) -> None:
    """The life of a worker."""
    # The server sees to the end of its workers, also after Ctrl-C, which all processes of a terminal get.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # It was held back while the process began.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    worker = Worker(control, cloudpickle.loads(setting))
    threading.Thread(target=worker.listen, name="masep-control", daemon=True).start()
    worker.say(b"ready")
    worker.serve()


class Worker:
    def __init__(self, control: socket.socket, setting: Setting) -> None:
        self.control = control
        self.setting = setting
        self.clients: queue.SimpleQueue[tuple[Client, int] | None] = queue.SimpleQueue()
        self.lock = threading.Lock()
        #: The client that there is, by its number, and its connection when that has begun.
        self.serves: tuple[int, _masep.Connection] | None = None
        #: The last one that has to go.
        self.leaves: Leave | None = None

    def listen(self) -> None:
        """Hears the server. Without one, the process ends whatever it does."""
        while True:
            try:
                message, descriptors, _, _ = socket.recv_fds(self.control, MESSAGE_BYTES, 1)
            except ConnectionError:
                message = b""
            if not message:
                os._exit(1)
            said = pickle.loads(message)
            if isinstance(said, Client):
                if not descriptors:
                    # There was none free here: the server starts another process in place of this one.
                    os._exit(1)
                self.clients.put((said, descriptors[0]))
            elif isinstance(said, Leave):
                self.send_away(leaves=said)
            else:
                self.clients.put(None)

    def say(self, word: bytes) -> None:
        """Says a word to the server. One that ends, or is killed, while the process begins does not hear it."""
        try:
            self.control.send(word)
        except OSError:
            os._exit(1)

    def send_away(
        self, *, leaves: Leave | None = None, serves: tuple[int, _masep.Connection] | None = None
    ) -> None:
        """Ends the connection of one that has to go, as soon as both are known."""
        with self.lock:
            self.leaves, self.serves = leaves or self.leaves, serves or self.serves
            leaves, serves = self.leaves, self.serves
        if leaves is not None and serves is not None and leaves.number == serves[0]:
            # It waits for a client that takes nothing, and the server for the next word to be heard.
            leaving = threading.Thread(target=close, args=(serves[1], leaves), name="masep-leave", daemon=True)
            try:
                leaving.start()
            except (RuntimeError, MemoryError):
                # Without a reason, and without a wait.
                serves[1].try_close()

    def serve(self) -> None:
        while (taken := self.clients.get()) is not None:
            client, descriptor = taken
            try:
                self.serve_one(client, descriptor)
            except MasepError:
                # The client is gone, which is told by its socket.
                pass
            with self.lock:
                self.serves = None
            self.say(b"idle")

    def serve_one(self, client: Client, descriptor: int) -> None:
        setting, wish = self.setting, client.wish
        connection = _masep.take_over(
            setting.id,
            descriptor,
            client.heard,
            client.is_answered,
            PROFILE,
            setting.limits,
            setting.socket_options,
        )
        self.send_away(serves=(client.number, connection))
        try:
            env = setting.make(wish)
        except Exception as error:
            return self.refuse(connection, error)
        except BaseException as error:
            self.say_failed(connection, error)
            raise
        requests = None
        try:
            try:
                told = setting.describe(env, wish)
                requests = setting.requests(connection, env, wish)
            except Exception as error:
                return self.refuse(connection, error)
            connection.send_message("environment", {**told, "request": 0}, setting.id)
            requests.run()
        except MasepError:
            raise
        except BaseException as error:
            self.say_failed(connection, error)
            raise
        finally:
            connection.try_close()
            if requests is None or not requests.is_closed:
                env.close()

    def refuse(self, connection: _masep.Connection, error: Exception) -> None:
        """There is no environment for the client."""
        connection.send_message("error", {**failure(error), "request": 0}, self.setting.id)
        self.say_failed(connection, error)

    def say_failed(self, connection: _masep.Connection, error: BaseException) -> None:
        """Ends the connection for a fault of the environment, which may end this process too: SystemExit, for example."""
        with suppress(MasepError):
            connection.close("environment_failed", f"{type(error).__name__}: {text_of(error)}")


def close(connection: _masep.Connection, leaves: Leave) -> None:
    try:
        connection.close(leaves.code, leaves.text, leaves.may_return)
    except MasepError:
        # It has ended before.
        pass
