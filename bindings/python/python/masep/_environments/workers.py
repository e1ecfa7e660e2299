"""The worker processes of a server, and the clients that they have."""

from __future__ import annotations

import logging
import multiprocessing
import os
import queue
import select
import threading
import time
import weakref
from collections.abc import Iterable
from multiprocessing import forkserver
from multiprocessing.util import Finalize
from typing import Protocol

import cloudpickle  # type: ignore[import-untyped]

from .. import _masep
from .._blocking import Request
from .._interrupts import wait
from .worker import MESSAGE_BYTES, Setting, Wish
from .worker_process import WorkerProcess

_log = logging.getLogger("masep")

LEAVE_SECONDS = 5.0
"""The time in which a worker has to be done with a client that is gone, or has to go, before it is killed."""

WAIT_SECONDS = 2.5
"""The time that a client waits for a worker that is about to be free. Its own patience is 5 seconds, and that of the server,
which would refuse it as ``undecided``, 4: a busy machine may take the rest."""

MOMENT_SECONDS = 0.25
"""The time that it waits at least: another client may be leaving, which is not known yet."""

RETRY_SECONDS = 1.0
"""The time after which a client that is refused may come again, and a worker is started again that the system has not let
start."""

SIGNAL_SECONDS = 2.0
"""The time in which a signal that has ended other processes of the group reaches this one."""

FAILED_STARTS = 3
"""So many workers in a row that end before they are ready, and the server gives up."""


class Closing(Protocol):
    """Something that is to be closed before the processes of :mod:`multiprocessing` are ended, which it would replace."""

    def close(self, timeout: float) -> None: ...


_open: weakref.WeakSet[Closing] = weakref.WeakSet()

_BEFORE_PROCESSES = 10
"""With this priority, a finalizer runs before the processes of :mod:`multiprocessing` are ended."""


def ends_at_exit(one: Closing) -> None:
    """Has it closed at the end of the interpreter, unless it is gone by then."""
    _open.add(one)


def _end_open() -> None:
    # Servers end their workers.
    for one in sorted(_open, key=lambda one: isinstance(one, Workers)):
        one.close(LEAVE_SECONDS)


Finalize(None, _end_open, exitpriority=_BEFORE_PROCESSES)


class Workers:
    """Worker processes, and a thread that gives them clients. It begins with them.

    :param count: their number, which is the most clients at a time
    :param start_method: ``"forkserver"`` or ``"spawn"``
    """

    def __init__(self, setting: Setting, count: int, start_method: str) -> None:
        self._context = multiprocessing.get_context(start_method)
        if start_method == "forkserver":
            preloaded = ["__main__", Setting.__module__, type(setting).__module__]
            # The program may have a list of its own.
            own = getattr(forkserver._forkserver, "_preload_modules", [])
            self._context.set_forkserver_preload(list(dict.fromkeys([*own, *preloaded])))
        self._setting = cloudpickle.dumps(setting)
        self._count = count
        self._arrivals: queue.SimpleQueue[tuple[Request, Wish, float]] = queue.SimpleQueue()
        #: Those for which there is no worker yet, and when they came.
        self._waiting: list[tuple[Request, Wish, float]] = []
        #: When they were last looked at.
        self._handed_out = 0.0
        self._clients = 0
        #: Tells, by their numbers, of the clients that have to go.
        self._ends = _masep.EventLoop()
        #: The ends of a pipe: bytes in it wake the thread.
        self._wakers = list(os.pipe())
        self._failures = 0
        #: When workers are started for which the system has had no descriptor or no process.
        self._starts_at: float | None = None
        #: The last one was not started.
        self._start_failed = False
        self._is_closing = False
        self._closing = threading.RLock()
        self._is_up = threading.Event()
        #: Nothing is done about workers any more.
        self._is_over = threading.Event()
        #: Why there are none any more.
        self.failure: str | None = None
        #: The exit codes of those that have ended, until others have begun in their place: at the end of all processes
        #: there is nothing to tell.
        self._ended: list[int | None] = []
        self._all: list[WorkerProcess] = []
        try:
            self._begin_all()
        except BaseException:
            self._end_all(0.0)
            self._close_wake()
            raise
        threading.Thread(target=self._watch, name="masep-workers", daemon=True).start()
        ends_at_exit(self)

    def _begin_all(self) -> None:
        try:
            for _ in range(self._count):
                self._all.append(WorkerProcess(self._context, self._setting))
        except (OSError, EOFError) as error:
            # A signal to a whole group of processes may end the fork server before this one hears of it.
            self._is_about_to_close()
            raise RuntimeError(f"no worker process can begin: {error!r}") from error

    def __len__(self) -> int:
        return self._count

    def idle(self) -> int:
        """The number of those that have no client."""
        return sum(worker.is_idle for worker in list(self._all))

    def wait_until_up(self) -> None:
        """Waits until one of them can have a client, or it is known that none will."""
        wait(self._is_up)

    def wait(self, timeout: float | None) -> None:
        """Waits for the end of all."""
        wait(self._is_over, timeout)

    def give(self, request: Request, wish: Wish) -> None:
        """Has a client served when a worker is free, or refused if that takes too long."""
        self._arrivals.put((request, wish, time.monotonic()))
        self._wake_up()

    def close(self, timeout: float) -> None:
        """Ends all: clients are told so, and processes that take longer are killed. Nothing is given from here on. When an
        exception ends it, the next call goes on with it."""
        with self._closing:
            self._is_closing = True
            self._wake_up()
            wait(self._is_over)
            self._end_all(timeout)
            self._close_wake()

    def _close_wake(self) -> None:
        while self._wakers:
            os.close(self._wakers.pop())

    def _end_all(self, timeout: float) -> None:
        until = time.monotonic() + timeout
        for worker in self._all:
            worker.end_soon()
        while self._all:
            self._all[-1].end(max(0.0, until - time.monotonic()))
            self._all.pop()

    def _wake_up(self) -> None:
        if self._wakers:
            os.write(self._wakers[1], b"\0")

    def _watch(self) -> None:
        """All that is done about workers is done here."""
        try:
            while not self._is_closing and self.failure is None:
                self._start_missing()
                self._hand_out()
                self._see_to(self._wait())
        except Exception as error:
            if self._is_about_to_close():
                return
            _log.exception("the environment server has failed")
            self.failure = f"the environment server has failed: {error!r}"
        finally:
            self._is_up.set()
            left = [*self._drain(), *self._waiting]
            for request, _, _ in left:
                request.refuse("stopped", "the server ends", 1.0)
            self._waiting.clear()
            self._is_over.set()

    def _is_about_to_close(self) -> bool:
        """A signal to a whole group of processes ends the fork server and the workers before :meth:`close` is called."""
        if not self._is_closing:
            select.select([self._wakers[0]], [], [], SIGNAL_SECONDS)
        return self._is_closing

    def _drain(self) -> Iterable[tuple[Request, Wish, float]]:
        while not self._arrivals.empty():
            yield self._arrivals.get()

    def _wait(self) -> dict[int, int]:
        """The descriptors at which something has happened."""
        poll = select.poll()
        woken = self._wakers[0]
        poll.register(woken, select.POLLIN)
        poll.register(self._ends.fileno(), select.POLLIN)
        now = time.monotonic()
        ends = (
            came + seconds
            for _, _, came in self._waiting
            for seconds in (MOMENT_SECONDS, WAIT_SECONDS)
        )
        deadlines = [until for until in ends if until > self._handed_out]
        if self._starts_at is not None:
            deadlines.append(self._starts_at)
        for worker in self._all:
            poll.register(worker.control.fileno(), select.POLLIN)
            if worker.until is not None:
                deadlines.append(worker.until)
            elif worker.client is not None:
                poll.register(worker.client.fileno(), select.POLLRDHUP)
        left = min(deadlines) - now if deadlines else None
        found = dict(poll.poll(None if left is None else max(0.0, left * 1000 + 1)))
        if woken in found:
            os.read(woken, 4096)
        return found

    def _see_to(self, found: dict[int, int]) -> None:
        now = time.monotonic()
        ended = set(self._ends.take_woken())
        for worker in list(self._all):
            if worker.control.fileno() in found:
                self._listen_to(worker)
            elif worker.until is not None and worker.until <= now:
                _log.warning("a worker is killed: it has not left a client that is gone, or has to go")
                self._replace(worker)
            elif worker.client is not None and worker.client.fileno() in found:
                worker.until = now + LEAVE_SECONDS
            if worker.client is not None and worker.number in ended:
                self._send_away(worker, worker.client)

    def _send_away(self, worker: WorkerProcess, client: _masep.Detached) -> None:
        """The client of a worker has to go, by the rules of the server."""
        end = client.end()
        if end is not None:
            code, text = end
            _log.info("a client has to go: %s", text)
            worker.send_away(code, text, may_return=False)
            worker.until = worker.until or time.monotonic() + LEAVE_SECONDS

    def _listen_to(self, worker: WorkerProcess) -> None:
        try:
            said = worker.control.recv(MESSAGE_BYTES)
        except OSError:
            said = b""
        if said == b"ready":
            worker.is_ready = True
            self._failures = 0
            for code in self._ended:
                _log.warning("a worker process has ended with the exit code %s", code)
            self._ended.clear()
            self._is_up.set()
        elif said == b"idle":
            worker.forget_client()
        else:
            self._replace(worker)

    def _replace(self, worker: WorkerProcess) -> None:
        """In place of one that is gone, or is to be."""
        self._all.remove(worker)
        if worker.process.is_alive():
            worker.process.kill()
        worker.process.join()
        code, was_ready = worker.process.exitcode, worker.is_ready
        worker.end(0.0)
        if was_ready:
            self._ended.append(code)
        else:
            self._failures += 1
            if self._failures >= FAILED_STARTS:
                self.failure = (
                    f"worker processes end before they are ready, with the exit code {code}: they import the program, "
                    'whose main part has to be behind if __name__ == "__main__":'
                )
                return
        self._start_missing()

    def _start_missing(self) -> None:
        """Starts workers until there are as many as there are to be, or the system has nothing for one more: then again in
        a while."""
        now = time.monotonic()
        if self._starts_at is not None and now < self._starts_at:
            return
        self._starts_at = None
        try:
            while len(self._all) < self._count:
                self._all.append(WorkerProcess(self._context, self._setting))
        except (OSError, EOFError) as error:
            # The end of the file is that of a fork server that could not fork. A signal to all processes of a service ends the
            # fork server too, and this one before it tries again: that is no failure.
            level = logging.WARNING if self._start_failed else logging.INFO
            _log.log(level, "a worker cannot be started, and is in %s seconds: %s", RETRY_SECONDS, error)
            self._start_failed = True
            self._starts_at = now + RETRY_SECONDS
        else:
            self._start_failed = False

    def _hand_out(self) -> None:
        """Gives workers to those that wait, in order of arrival."""
        now = time.monotonic()
        self._handed_out = now
        self._waiting += self._drain()
        soon = sum(worker.will_be_idle for worker in self._all)
        still: list[tuple[Request, Wish, float]] = []
        for request, wish, came in self._waiting:
            patience = WAIT_SECONDS if len(still) < soon else MOMENT_SECONDS
            worker = next((worker for worker in self._all if worker.is_idle), None)
            if worker is not None:
                self._serve(request, wish, worker)
            elif now - came < patience:
                still.append((request, wish, came))
            else:
                text = f"all of {len(self._all)} environments are in use" if self._all else "no environment can be had now"
                request.refuse("too_many_connections", text, RETRY_SECONDS)
        self._waiting = still

    def _serve(self, request: Request, wish: Wish, worker: WorkerProcess) -> None:
        try:
            client = request._request.detach()
        except OSError as error:
            # It was refused by that.
            _log.warning("a client is refused: its stream cannot be handed over: %s", error)
            return
        if client is None:
            # It has gone.
            return
        self._clients += 1
        is_taken = worker.hand_over(self._clients, client, wish)
        client.watch(self._ends, self._clients)
        if not is_taken:
            self._replace(worker)
