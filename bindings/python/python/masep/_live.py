"""The open connections, servers and handlers of this process, so that its end can end them in order.

A process that :mod:`multiprocessing` forked ends without the exit hooks of the interpreter, but runs
its own finalizers before.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING

from . import _masep

if TYPE_CHECKING:
    from .communication._socket_handler import SocketHandler

EXIT_SECONDS = 10.0
"""The longest wait of the interpreter's exit for all that ends: for the delivery of frames that were sent, and for the
farewells of tables."""

THREAD_SECONDS = 1.0
"""The longest wait for handlers that are busy with a frame."""

class Lock:
    """The :attr:`lock` of a module, which a call within the call that has it can have too: of the garbage collector, or of a
    handler of a signal. A process that was forked has another one: the thread that had it is not there to let it go."""

    def __init__(self) -> None:
        self._renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self.lock = threading.RLock()


forks = 0
"""The number of forks between the first process and this one. Objects from before the last are the
parent's."""

_connections: weakref.WeakSet[_masep.Connection] = weakref.WeakSet()
_servers: weakref.WeakSet[_masep.Server] = weakref.WeakSet()
_tables: weakref.WeakSet[_masep.Table] = weakref.WeakSet()
_players: weakref.WeakSet[_masep.Player] = weakref.WeakSet()
_handlers: weakref.WeakSet[SocketHandler] = weakref.WeakSet()
_all = Lock()
_is_finalized = False
"""True if the finalizers of :mod:`multiprocessing` know of this process."""

_AFTER_QUEUES = -10
"""With this priority, a finalizer runs after those of the queues of :mod:`multiprocessing`."""


def connection(opened: _masep.Connection) -> _masep.Connection:
    with _all.lock:
        _finalize()
        _connections.add(opened)
    return opened


def server(opened: _masep.Server) -> _masep.Server:
    with _all.lock:
        _finalize()
        _servers.add(opened)
    return opened


def table(opened: _masep.Table) -> _masep.Table:
    with _all.lock:
        _finalize()
        _tables.add(opened)
    return opened


def player(opened: _masep.Player) -> _masep.Player:
    with _all.lock:
        _finalize()
        _players.add(opened)
    return opened


def handler(started: SocketHandler) -> None:
    with _all.lock:
        _finalize()
        _handlers.add(started)


def _finalize() -> None:
    """Has :func:`_end` called where it is not by the interpreter: at the end of a process that
    :mod:`multiprocessing` started. To be called with the lock."""
    global _is_finalized
    # A module that has not been imported has not started this process.
    process = sys.modules.get("multiprocessing.process")
    if _is_finalized or process is None or process.parent_process() is None:
        return
    # Not before: it forgets the finalizers of its parent after a fork.
    from multiprocessing.util import Finalize

    Finalize(None, _end, exitpriority=_AFTER_QUEUES)
    _is_finalized = True


def _end() -> None:
    """Ends all that is open."""
    until = time.monotonic() + EXIT_SECONDS
    with _all.lock:
        connections, servers, handlers = list(_connections), list(_servers), list(_handlers)
        tables, players = list(_tables), list(_players)
    for each in servers:
        each.stop_announcing()
        each.stop_accepting()
    # Those with frames that wait end their connections themselves, behind them.
    busy = [each for each in handlers if each._ends_itself(until) or each._has_unsent()]
    own = {id(each._connected) for each in busy if each._writer is not None}
    try:
        others = [each for each in connections if id(each) not in own]
        _masep.end_all(others, tables, players, max(0.0, until - time.monotonic()))
    except BaseException:
        # Ctrl-C has ended the wait.
        until = time.monotonic()
        raise
    finally:
        for one in busy:
            one._tell_exit(until)
    until = time.monotonic() + THREAD_SECONDS
    for thread in handlers:
        if thread.is_alive() and thread is not threading.current_thread():
            thread.join(max(0.0, until - time.monotonic()))


def _exit() -> None:
    """Ends all that is open, and lets no thread that is in a call come back: the interpreter, which is about to be gone,
    would end it within the extension module."""
    try:
        _end()
    finally:
        _masep.begin_exit()


def _forget() -> None:
    """After a fork: what is open is the parent's."""
    global _is_finalized, _connections, _servers, _handlers, _tables, _players, forks
    forks += 1
    _masep.forked()
    _is_finalized = False
    _connections, _servers, _handlers = weakref.WeakSet(), weakref.WeakSet(), weakref.WeakSet()
    _tables, _players = weakref.WeakSet(), weakref.WeakSet()


atexit.register(_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
