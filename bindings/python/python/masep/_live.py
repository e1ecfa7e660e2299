"""What is open in this process, so that the interpreter can leave it in order."""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING

from . import _masep

if TYPE_CHECKING:
    from .communication._socket_handler import SocketHandler

EXIT_SECONDS = 1.0
"""How long the interpreter's exit waits at most for what was sent to be delivered."""

_connections: weakref.WeakSet[_masep.Connection] = weakref.WeakSet()
_servers: weakref.WeakSet[_masep.Server] = weakref.WeakSet()
_handlers: weakref.WeakSet[SocketHandler] = weakref.WeakSet()
_lock = threading.Lock()


def connection(opened: _masep.Connection) -> _masep.Connection:
    with _lock:
        _connections.add(opened)
    return opened


def server(opened: _masep.Server) -> _masep.Server:
    with _lock:
        _servers.add(opened)
    return opened


def handler(started: SocketHandler) -> None:
    with _lock:
        _handlers.add(started)


def _end() -> None:
    """Ends all that is open. A thread that were still inside the extension module when the
    interpreter is gone could not come back."""
    until = time.monotonic() + EXIT_SECONDS
    with _lock:
        connections, servers, handlers = list(_connections), list(_servers), list(_handlers)
    for each in servers:
        each.stop_announcing()
        each.stop_accepting()
    for thread in handlers:
        thread._wait_sent(until)
    _masep.close_all(connections, max(0.0, until - time.monotonic()))
    for thread in handlers:
        if thread.is_alive() and thread is not threading.current_thread():
            thread.join(max(0.0, until - time.monotonic()))


def _forget() -> None:
    """After a fork: what is open is the parent's."""
    global _lock, _connections, _servers, _handlers
    _lock = threading.Lock()
    _connections, _servers, _handlers = weakref.WeakSet(), weakref.WeakSet(), weakref.WeakSet()


atexit.register(_end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
