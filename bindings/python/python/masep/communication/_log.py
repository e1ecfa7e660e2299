"""The log files that pymasep writes, and how much peers can have written into them."""

from __future__ import annotations

import logging
import os
import time
from weakref import WeakKeyDictionary

from .. import _live, _masep

DIRECTORY = "logs"
FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(funcName)s() - %(message)s"

IN_FULL = 5
"""Lines of one kind that a peer can cause in :data:`PERIOD`; the others are counted."""

PERIOD = 60.0
"""Seconds."""


class _Formatter(logging.Formatter):
    """Writes text from outside so that it looks like what it is: what is not printable is escaped, and
    no further line of a record begins as a record does."""

    def format(self, record: logging.LogRecord) -> str:
        lines = super().format(record).split("\n")
        return "\n    ".join(map(_printable, lines))


def _printable(line: str) -> str:
    if line.isascii() and line.isprintable():
        return line
    return "".join(map(_seen, line))


def _seen(letter: str) -> str:
    if letter == "\t" or (letter.isprintable() and letter.isascii()):
        return letter
    # The crates know which characters are only seen.
    if _masep.quoted(letter) == f'"{letter}"':
        return letter
    return letter.encode("unicode_escape").decode("ascii")


class _Pace:
    """The lines of one kind in this period: how many are still written, and how many were not."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.left = IN_FULL
        self.counted = 0


class _Paces:
    """Those of one logger. To be called with the lock."""

    def __init__(self) -> None:
        self._by_kind: dict[str, _Pace] = {}

    def take(self, kind: str) -> tuple[bool, bool, int]:
        """True if a line of this kind is written, true if it is the last for a while, and the number
        of lines that were counted before it and not told."""
        now = time.monotonic()
        pace = self._by_kind.get(kind)
        before = 0
        if pace is None or now - pace.begun >= PERIOD:
            before = pace.counted if pace is not None else 0
            pace = self._by_kind[kind] = _Pace()
        if pace.left == 0:
            pace.counted += 1
            return False, False, 0
        pace.left -= 1
        return True, pace.left == 0, before

    def rest(self) -> dict[str, int]:
        """The number of lines of each kind that were counted and not told."""
        rest = {kind: pace.counted for kind, pace in self._by_kind.items() if pace.counted}
        self._by_kind.clear()
        return rest


_paces: WeakKeyDictionary[logging.Logger, _Paces] = WeakKeyDictionary()
_pacing = _live.Lock()


def logger(name: str, ident: str, level: str | int) -> logging.Logger:
    """A logger of its own for one client or server: it writes ``logs/<name>-<ident>.log``, as
    pymasep's does, and hands on to ``masep.communication``.

    It is not in :mod:`logging`'s list of loggers, which keeps what is in it for ever.
    """
    os.makedirs(DIRECTORY, exist_ok=True)
    path = os.path.join(DIRECTORY, f"{name}-{ident}.log")
    file = logging.FileHandler(path, mode="w", encoding="utf-8")
    file.setFormatter(_Formatter(FORMAT))
    made = logging.Logger(f"masep.communication.{name}", level)
    made.parent = logging.getLogger("masep.communication")
    made.addHandler(file)
    return made


def close(made: logging.Logger) -> None:
    """Closes the file. Lines that are logged later still go to ``masep.communication``."""
    with _pacing.lock:
        paces = _paces.get(made)
        rest = paces.rest() if paces is not None else {}
    for kind, count in rest.items():
        made.warning("%d more of: %s", count, kind)
    for handler in list(made.handlers):
        made.removeHandler(handler)
        handler.close()


def caused_by_peer(
    to: logging.Logger, level: int, kind: str, *args: object, exc_info: bool = False
) -> bool:
    """Logs what a peer can cause as often as it likes: :data:`IN_FULL` lines of each kind in each
    :data:`PERIOD`, then a count.

    :param kind: what happened, with places for the arguments
    :return: whether it was written, and not counted
    """
    if not to.isEnabledFor(level):
        return False
    with _pacing.lock:
        paces = _paces.get(to)
        if paces is None:
            paces = _paces[to] = _Paces()
        written, is_last, before = paces.take(kind)
    if before:
        to.log(level, "%d more of: %s", before, kind, stacklevel=2)
    if written:
        to.log(level, kind, *args, exc_info=exc_info, stacklevel=2)
    if is_last:
        to.log(
            level,
            "more of these are counted for the next %.0f seconds: %s",
            PERIOD,
            kind,
            stacklevel=2,
        )
    return written


def lost(to: logging.Logger, kind: str, *args: object) -> None:
    """Logs that something was not delivered; on stderr too if nothing but the log file would say it.
    """
    written = caused_by_peer(to, logging.WARNING, kind, *args)
    told = logging.lastResort is None or to.parent is None or to.parent.hasHandlers()
    if written and to.handlers and not told and logging.lastResort is not None:
        record = to.makeRecord(to.name, logging.WARNING, __file__, 0, kind, args, None)
        logging.lastResort.handle(record)
