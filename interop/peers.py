"""Processes that a test starts and talks to by lines; every one of them ends with its `with` block."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

HERE = Path(__file__).resolve().parent
#: The time that a test waits for one event before it fails. Generous: it is a bound, not a pause.
PATIENCE = 30.0

Event = dict[str, Any]


class PeerEnded(AssertionError):
    """The process ended, or died, while something was awaited from it."""


class Peer:
    """A running process that speaks JSON lines on stdin and stdout."""

    def __init__(self, command: list[str], cwd: Path, env: dict[str, str] | None = None) -> None:
        self.command = command
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._events: queue.Queue[Event | None] = queue.Queue()
        #: Events that were waited past; `expect` looks here first, so that their order does not matter.
        self._passed: deque[Event] = deque()
        self._stderr: deque[str] = deque(maxlen=60)
        self._readers = [
            threading.Thread(target=self._read_events, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._read_stderr, args=(self._process.stderr,), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read_events(self, stream: IO[str]) -> None:
        for line in stream:
            try:
                self._events.put(json.loads(line))
            except json.JSONDecodeError:
                self._events.put({"event": "not json", "line": line})
        self._events.put(None)

    def _read_stderr(self, stream: IO[str]) -> None:
        self._stderr.extend(stream)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def send(self, line: Any) -> None:
        """Writes one JSON line to the process."""
        self.send_text(json.dumps(line))

    def send_text(self, line: str) -> None:
        """Writes one line as it is."""
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def close_stdin(self) -> None:
        """Tells the process that no more lines come."""
        self._process.stdin.close()

    def signal(self, number: int) -> None:
        """Sends a signal to the process."""
        self._process.send_signal(number)

    def next(self, timeout: float = PATIENCE) -> Event:
        """The next event, whatever it is; fails when the process ends or says nothing."""
        if self._passed:
            return self._passed.popleft()
        return self._read(time.monotonic() + timeout, "an event")

    def expect(self, wanted: str | Callable[[Event], bool], timeout: float = PATIENCE) -> Event:
        """The first event of that name (or that satisfies the condition); others are kept for later."""
        matches = wanted if callable(wanted) else (lambda event: event.get("event") == wanted)
        for event in self._passed:
            if matches(event):
                self._passed.remove(event)
                return event
        deadline = time.monotonic() + timeout
        while True:
            event = self._read(deadline, repr(wanted))
            if matches(event):
                return event
            self._passed.append(event)

    def put_back(self, event: Event) -> None:
        """Gives an event back, for the next who asks."""
        self._passed.appendleft(event)

    def events(self, timeout: float = PATIENCE) -> Iterator[Event]:
        """All further events until the process closes its stdout; each within `timeout`."""
        while self._passed:
            yield self._passed.popleft()
        while (event := self._read_or_end(time.monotonic() + timeout, "the end of its output")) is not None:
            yield event

    def silent_for(self, seconds: float) -> list[Event]:
        """The events of the process within `seconds`: for tests that something does NOT happen."""
        deadline = time.monotonic() + seconds
        said = []
        while True:
            try:
                event = self._events.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                return said
            if event is None:
                self._events.put(None)
                return said
            said.append(event)

    def _read(self, deadline: float, awaited: str) -> Event:
        event = self._read_or_end(deadline, awaited)
        if event is None:
            self._events.put(None)
            raise PeerEnded(self._complaint(f"ended while {awaited} was awaited"))
        return event

    def _read_or_end(self, deadline: float, awaited: str) -> Event | None:
        try:
            event = self._events.get(timeout=max(deadline - time.monotonic(), 0))
        except queue.Empty:
            raise AssertionError(self._complaint(f"said nothing while {awaited} was awaited")) from None
        if event is not None and event.get("event") == "crashed":
            raise AssertionError(self._complaint(f"crashed: {event}"))
        return event

    def _complaint(self, what: str) -> str:
        passed = "\n".join(json.dumps(event)[:300] for event in list(self._passed)[-10:])
        return (
            f"{' '.join(self.command)} {what} (exit code {self._process.poll()})\n"
            f"events not asked for:\n{passed}\nstderr:\n{''.join(self._stderr)}"
        )

    def stderr(self) -> str:
        """The last lines that the process has written to stderr so far."""
        return "".join(list(self._stderr))

    def wait(self, timeout: float = PATIENCE) -> int:
        """The exit code, once the process has ended by itself."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(self._complaint("does not end")) from None

    def is_running(self) -> bool:
        """True if the process still lives."""
        return self._process.poll() is None

    def cpu_seconds(self) -> float:
        """Processor time that the process has used so far, all threads, user and system (Linux)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        """Kills the process if it still runs, and takes back what belongs to it."""
        if self.is_running():
            self._process.kill()
        self._process.wait()
        for reader in self._readers:
            reader.join(PATIENCE)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            # Bytes written to a process that is gone cannot be flushed any more.
            with suppress(BrokenPipeError):
                stream.close()


@contextmanager
def started(command: list[str], cwd: Path, env: dict[str, str] | None = None) -> Iterator[Peer]:
    """A process that lives no longer than the block."""
    peer = Peer(command, cwd, env)
    try:
        yield peer
    finally:
        peer.end()


@contextmanager
def python(module: str, *arguments: str, cwd: Path) -> Iterator[Peer]:
    """A program of this folder, run by this Python with the real pymasep, in a directory of its own.

    The directory, because pymasep writes `logs/` into the current one; the variables, because it imports
    pygame, and because sets must have the same order in every run.
    """
    directory = cwd / f"{module}-{time.monotonic_ns()}"
    directory.mkdir()
    env = {
        "PYTHONPATH": str(HERE),
        "PYTHONHASHSEED": "0",
        "SDL_VIDEODRIVER": "dummy",
        "SDL_AUDIODRIVER": "dummy",
        "PYGAME_HIDE_SUPPORT_PROMPT": "1",
    }
    with started([sys.executable, "-m", module, *arguments], directory, env) as peer:
        yield peer
