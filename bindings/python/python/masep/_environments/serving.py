"""The server's process: it hears clients, and hands each to a worker of its own."""

from __future__ import annotations

import logging
import multiprocessing
import os
import queue
import select
import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any

import cloudpickle  # type: ignore[import-untyped]

from .._blocking import Request, Server
from .._exceptions import CallerError
from .._limits import ServerLimits
from .session import PROFILE
from .worker import MESSAGE_BYTES, Client, Setting
from .worker_process import WorkerProcess

_log = logging.getLogger("masep")

LEAVE_SECONDS = 5.0
"""The time in which a worker has to be done with a client that is gone, before it is killed."""

WAIT_SECONDS = 3.0
"""The time that a client waits for a worker that is about to be free. Its own patience is 5 seconds."""

MOMENT_SECONDS = 0.25
"""The time that it waits at least: another client may be leaving, which is not known yet."""

RETRY_SECONDS = 1.0

FAILED_STARTS = 3
"""So many workers in a row that end before they are ready, and the server gives up."""


class EnvironmentServer:
    """Serves environments: each client has its own, in a process of its own. Those of each package derive from it.

    :param kinds: the kinds of environments that a client may ask for
    :param autoresets: the modes of autoreset that it may
    """

    def __init__(
        self,
        setting: Setting,
        address: str,
        *,
        kinds: Iterable[str],
        autoresets: Iterable[str],
        envs: int,
        allow: Iterable[str],
        start_method: str,
        server_limits: ServerLimits | None,
        tokens: str | os.PathLike[str] | None,
    ) -> None:
        if envs < 1:
            raise CallerError(f"envs is a number from 1 on, not {envs}")
        if start_method not in ("forkserver", "spawn"):
            raise CallerError(f"start_method is 'forkserver' or 'spawn', not {start_method!r}")
        if address.startswith("masep+tls://"):
            raise CallerError("a client in TLS cannot be handed to a worker process: environments are served without TLS")
        if tokens is not None and not address.startswith(("unix://", "masep+unix://")):
            raise CallerError(
                "tokens go over TLS and Unix sockets alone, and a client in TLS cannot be handed to a worker process: "
                "with tokens=, environments are served at unix:///path"
            )
        self._kinds, self._autoresets = tuple(kinds), tuple(autoresets)
        self._allowed = frozenset(allow)
        self._context = multiprocessing.get_context(start_method)
        if start_method == "forkserver":
            preloaded = ["__main__", Setting.__module__, type(setting).__module__]
            self._context.set_forkserver_preload(preloaded)
        self._setting = cloudpickle.dumps(setting)
        id, limits, socket_options = setting.id, setting.limits, setting.socket_options
        self._server = Server(
            id,
            address,
            limits=limits,
            server_limits=server_limits,
            socket_options=socket_options,
            protocol=2,
            ask=True,
            tokens=tokens,
        )
        self._arrivals: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        #: Those for which there is no worker yet, and when they came.
        self._waiting: list[tuple[Request, float]] = []
        #: When they were last looked at.
        self._handed_out = 0.0
        self._woken, self._wake = os.pipe()
        self._failures = 0
        self._is_closing = False
        self._is_up = threading.Event()
        self._failure: str | None = None
        self._workers: list[WorkerProcess] = []
        try:
            self._workers += [WorkerProcess(self._context, self._setting) for _ in range(envs)]
        except BaseException:
            self._server.shutdown(0.0)
            self._end_workers(0.0)
            raise
        self._threads = [
            threading.Thread(target=self._hear, name="masep-requests", daemon=True),
            threading.Thread(target=self._watch, name="masep-workers", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        try:
            self._is_up.wait()
        except BaseException:
            self.close()
            raise
        if self._failure is not None:
            self.close()
            raise RuntimeError(self._failure)

    @property
    def target(self) -> str:
        """The address on which it listens, for clients."""
        return self._server.target

    def wait(self, timeout: float | None = None) -> None:
        """Waits until the server has ended.

        :raises RuntimeError: if no worker comes up any more
        """
        self._threads[1].join(timeout)
        if self._failure is not None:
            raise RuntimeError(self._failure)

    def close(self, timeout: float = LEAVE_SECONDS) -> None:
        """Ends the server: clients are told so, environments are closed, and processes that take longer are
        killed.

        :param timeout: seconds that this takes at most
        """
        if self._is_closing:
            return
        self._is_closing = True
        self._server.stop_accepting()
        self._wake_up()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()
        self._end_workers(timeout)
        self._server.shutdown(0.0)
        os.close(self._woken)
        os.close(self._wake)

    def __enter__(self) -> EnvironmentServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _end_workers(self, timeout: float) -> None:
        until = time.monotonic() + timeout
        for worker in self._workers:
            try:
                worker.control.send(b"end")
            except OSError:
                # It is gone.
                pass
        for worker in self._workers:
            worker.end(max(0.0, until - time.monotonic()))
        self._workers.clear()

    def _wake_up(self) -> None:
        os.write(self._wake, b"\0")

    def _hear(self) -> None:
        """Gives the clients that arrive to the thread that knows the workers."""
        while (request := self._server.next_request()) is not None:
            self._arrivals.put(request)
            self._wake_up()

    def _watch(self) -> None:
        """All that is done about workers is done here."""
        try:
            while not self._is_closing and self._failure is None:
                self._hand_out()
                self._see_to(self._wait())
        except Exception as error:
            _log.exception("the environment server has failed")
            self._failure = f"the environment server has failed: {error!r}"
        finally:
            self._is_up.set()
            for request in [*self._drain(), *(request for request, _ in self._waiting)]:
                request.refuse("stopped", "the server ends")
            self._waiting.clear()

    def _drain(self) -> Iterable[Request]:
        while not self._arrivals.empty():
            request = self._arrivals.get()
            if request is not None:
                yield request

    def _wait(self) -> dict[int, int]:
        """The descriptors at which something has happened."""
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        now = time.monotonic()
        ends = (
            came + seconds
            for _, came in self._waiting
            for seconds in (MOMENT_SECONDS, WAIT_SECONDS)
        )
        deadlines = [until for until in ends if until > self._handed_out]
        for worker in self._workers:
            poll.register(worker.control.fileno(), select.POLLIN)
            if worker.until is not None:
                deadlines.append(worker.until)
            elif worker.client is not None:
                poll.register(worker.client.fileno(), select.POLLRDHUP)
        left = min(deadlines) - now if deadlines else None
        found = dict(poll.poll(None if left is None else max(0.0, left * 1000 + 1)))
        if self._woken in found:
            os.read(self._woken, 4096)
        return found

    def _see_to(self, found: dict[int, int]) -> None:
        now = time.monotonic()
        for worker in list(self._workers):
            if worker.control.fileno() in found:
                self._listen_to(worker)
            elif worker.until is not None and worker.until <= now:
                _log.warning("a worker is killed: it has not left a client that is gone")
                self._replace(worker)
            elif worker.client is not None and worker.client.fileno() in found:
                worker.until = now + LEAVE_SECONDS

    def _listen_to(self, worker: WorkerProcess) -> None:
        try:
            said = worker.control.recv(MESSAGE_BYTES)
        except OSError:
            said = b""
        if said == b"ready":
            worker.is_ready = True
            self._failures = 0
            self._is_up.set()
        elif said == b"idle":
            worker.forget_client()
        else:
            self._replace(worker)

    def _replace(self, worker: WorkerProcess) -> None:
        """In place of one that is gone, or is to be."""
        self._workers.remove(worker)
        if worker.process.is_alive():
            worker.process.kill()
        worker.process.join()
        code, was_ready = worker.process.exitcode, worker.is_ready
        worker.end(0.0)
        if was_ready:
            _log.warning("a worker process has ended with the exit code %s", code)
        else:
            self._failures += 1
            if self._failures >= FAILED_STARTS:
                self._failure = f"worker processes end before they are ready, with the exit code {code}"
                return
        self._workers.append(WorkerProcess(self._context, self._setting))

    def _hand_out(self) -> None:
        """Gives workers to those that wait, in order of arrival."""
        now = time.monotonic()
        arrived = [request for request in self._drain() if self._would_serve(request)]
        self._handed_out = now
        self._waiting += [(request, now) for request in arrived]
        soon = sum(worker.will_be_idle for worker in self._workers)
        still: list[tuple[Request, float]] = []
        for request, came in self._waiting:
            patience = WAIT_SECONDS if len(still) < soon else MOMENT_SECONDS
            worker = next((worker for worker in self._workers if worker.is_idle), None)
            if worker is not None:
                self._serve(request, worker)
            elif now - came < patience:
                still.append((request, came))
            else:
                text = f"all of {len(self._workers)} environments are in use"
                request.refuse("too_many_connections", text, RETRY_SECONDS)
        self._waiting = still

    def _would_serve(self, request: Request) -> bool:
        """False if it is refused for what it asks for."""
        hello = request.hello
        if hello.profile != PROFILE:
            text = f"this server has environments: the profile {PROFILE!r}"
            request.refuse("unsupported_profile", text)
            return False
        refused = self._refusal(*_wish(request))
        if refused is not None:
            request.refuse("bad_arguments", refused)
        return refused is None

    def _serve(self, request: Request, worker: WorkerProcess) -> None:
        arguments, autoreset, kind = _wish(request)
        detached = request._request.detach()
        if detached is None:
            # It has gone.
            return
        descriptor, heard, is_answered = detached
        client = Client(heard, is_answered, arguments, autoreset, kind)
        if not worker.hand_over(client, descriptor):
            self._replace(worker)

    def _refusal(self, arguments: Any, autoreset: Any, kind: Any) -> str | None:
        if kind not in self._kinds:
            return f"the environments here are of the kind {' or '.join(self._kinds)}, not {kind!r:.100}"
        if not isinstance(arguments, dict):
            return "the arguments are a map"
        unknown = [key for key in arguments if key not in self._allowed]
        if unknown:
            return f"this server does not allow the argument {unknown[0]!r:.100}"
        if arguments.get("render_mode") == "human":
            return "the render mode 'human' would open a window where the environment runs"
        if autoreset not in self._autoresets:
            return f"autoreset is one of {', '.join(self._autoresets)}, not {autoreset!r:.100}"
        return None


def _wish(request: Request) -> tuple[Any, Any, Any]:
    """The arguments of the environment that a client wants, the mode of autoreset, and the kind."""
    make = request.hello.make or {}
    return make.get("arguments") or {}, make.get("autoreset") or "disabled", make.get("kind") or "gymnasium"
