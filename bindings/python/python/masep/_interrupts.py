"""Waits of the main thread, which Ctrl-C ends."""

from __future__ import annotations

#: Seconds of one wait at most. The interpreter looks for a signal before it waits, and one that comes between that look and
#: the system's wait is noticed only when the wait is over.
LONGEST_WAIT = 0.5
