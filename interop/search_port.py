"""Turns at UDP port 10000: the port of pymasep's LAN search is fixed, and the machine has it once.

Every real `Engine` binds it, without address reuse, and dies when anybody else has it. Tests of this suite
take turns by a file lock; of strangers (another test run, a game somebody plays) we can only see that the
port is taken, and try again.
"""

from __future__ import annotations

import fcntl
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from peers import Peer, PeerEnded

PORT = 10000
#: The time that strangers may hold the port before a test gives up, in seconds.
PATIENCE = 60.0
#: Between two tries; nobody tells us when a stranger's socket closes.
_PAUSE = 0.05


@contextmanager
def turn() -> Iterator[None]:
    """This process alone, of all that run this suite, uses the search while the block runs."""
    with Path(tempfile.gettempdir(), "masep-interop-search-port.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def started_alone(start: Callable[[], AbstractContextManager[Peer]]) -> Iterator[Peer]:
    """A peer that binds the port without address reuse, started again as long as a stranger has it.

    The peer's `ready` event is left to the caller. Call it within a `turn()`.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        _wait_until_free(deadline)
        with start() as peer:
            try:
                ready = peer.expect("ready")
            except PeerEnded as ended:
                if "Address already in use" not in str(ended) or time.monotonic() > deadline:
                    raise
                continue
            peer.put_back(ready)
            yield peer
            return


def _wait_until_free(deadline: float) -> None:
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", PORT))
                return
            except OSError as error:
                if time.monotonic() > deadline:
                    raise AssertionError(f"UDP port {PORT} is taken by another program: {error}") from error
        time.sleep(_PAUSE)
