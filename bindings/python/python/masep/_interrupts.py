"""Waits of the main thread, which Ctrl-C ends."""

from __future__ import annotations

import threading
import time

#: Seconds of one wait at most. The interpreter looks for a signal before it waits, and one that comes between that look and
#: the system's wait is noticed only when the wait is over.
LONGEST_WAIT = 0.5


def wait(event: threading.Event, timeout: float | None = None) -> None:
    """Waits for an event.

    :param timeout: the longest wait, in seconds; None for ever
    """
    until = None if timeout is None else time.monotonic() + timeout
    left = LONGEST_WAIT if timeout is None else timeout
    while not event.wait(min(left, LONGEST_WAIT)) and left > 0:
        if until is not None:
            left = max(0.0, until - time.monotonic())


class Thread(threading.Thread):
    """A thread for whose end the main thread may wait. When an exception ends that, Python up to 3.12 takes the thread for one
    that has ended: an event tells what is done with it."""

    def join(self, timeout: float | None = None) -> None:
        """Waits for the end of the thread.

        :param timeout: the longest wait, in seconds; None for ever
        """
        until = None if timeout is None else time.monotonic() + timeout
        left = LONGEST_WAIT if timeout is None else timeout
        super().join(min(left, LONGEST_WAIT))
        while left > 0 and self.is_alive():
            if until is not None:
                left = max(0.0, until - time.monotonic())
            super().join(min(left, LONGEST_WAIT))
