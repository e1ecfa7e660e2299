"""The processes and threads that a function of the caller's has started, as their watcher knows them."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from multiprocessing.process import BaseProcess
from typing import Any

from .._exceptions import CallerError

TERMINATE_SECONDS = 1.0
"""The time from SIGTERM to SIGKILL."""


class Part:
    """One of the things that were started."""

    def __init__(self, it: subprocess.Popen[Any] | BaseProcess | threading.Thread) -> None:
        self.it = it
        #: True of a process that leads a group of its own: what it has started itself is ended with it.
        self.leads = isinstance(it, subprocess.Popen) and it.poll() is None and _group(it.pid) == it.pid

    def wait(self, seconds: float) -> bool:
        """True if it has ended in that time."""
        if isinstance(self.it, subprocess.Popen):
            with suppress(subprocess.TimeoutExpired):
                self.it.wait(seconds)
            return self.it.poll() is not None
        self.it.join(seconds)
        return not self.it.is_alive()

    @property
    def ending(self) -> str | None:
        """The words for its end, if it has ended."""
        if not self.wait(0.0):
            return None
        if isinstance(self.it, subprocess.Popen):
            return f"its process has ended with the exit code {self.it.returncode}"
        if isinstance(self.it, BaseProcess):
            return f"its process has ended with the exit code {self.it.exitcode}"
        return "its thread has ended"

    def end(self) -> bool:
        """Ends it, which has had its time. False if it cannot be ended: a thread."""
        if isinstance(self.it, threading.Thread):
            return self.wait(0.0)
        if not self.wait(0.0):
            self.signal(signal.SIGTERM)
            if not self.wait(TERMINATE_SECONDS):
                self.signal(signal.SIGKILL)
                self.wait(TERMINATE_SECONDS)
        if self.leads:
            self.signal(signal.SIGKILL)
        if isinstance(self.it, subprocess.Popen):
            for stream in (self.it.stdin, self.it.stdout, self.it.stderr):
                if stream is not None:
                    with suppress(OSError):
                        stream.close()
        return True

    def signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            if isinstance(self.it, subprocess.Popen):
                if self.leads:
                    os.killpg(self.it.pid, number)
                else:
                    self.it.send_signal(number)
            elif isinstance(self.it, BaseProcess):
                if number == signal.SIGKILL:
                    self.it.kill()
                else:
                    self.it.terminate()


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


class Engine:
    """An engine that the caller's function has started.

    :param started: a process, a thread, a function that ends it, several of these, or None
    :raises CallerError: if it is anything else
    """

    def __init__(self, started: Any) -> None:
        self._parts: list[Part] = []
        self._functions: list[Callable[[], object]] = []
        self._take(started)

    def _take(self, started: Any) -> None:
        if isinstance(started, (subprocess.Popen, BaseProcess, threading.Thread)):
            self._parts.append(Part(started))
        elif callable(started):
            self._functions.append(started)
        elif isinstance(started, Iterable) and not isinstance(started, (str, bytes)):
            for one in started:
                self._take(one)
        elif started is not None:
            raise CallerError(
                "launch gives a subprocess.Popen, a multiprocessing.Process, a threading.Thread, a function, "
                f"or several of these, not {started!r:.100}"
            )

    @property
    def ending(self) -> str | None:
        """The words for the end of one of its parts, if one has ended."""
        return next((ending for part in self._parts if (ending := part.ending) is not None), None)

    def end(self, seconds: float) -> None:
        """Waits for its end, and makes one when it takes too long.

        :raises RuntimeError: if a thread goes on, which nobody can end
        """
        until = time.monotonic() + seconds
        functions, self._functions = self._functions, []
        for function in functions:
            function()
        for part in self._parts:
            part.wait(max(0.0, until - time.monotonic()))
        left = [part.it for part in self._parts if not part.end()]
        self._parts.clear()
        if left:
            raise RuntimeError(f"the engine's thread goes on {seconds} s after its game: {left[0]!r}")
