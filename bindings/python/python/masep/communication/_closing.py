"""The end of connections: frames that were sent before are delivered first."""

from __future__ import annotations

import fcntl
import logging
import os
import select
import struct
import sys
import threading
from typing import Any

from .. import _masep
from .._exceptions import CallerError, MasepError, TransportError
from . import _log

# `SIOCOUTQNSD` of Linux: the bytes that a socket has taken and not sent.
_ASK_UNSENT = 0x894B


SECONDS = 30.0
"""The time a peer may take for the frames before the end, as ``write_time`` of the crates."""


def close(connection: _masep.Connection, logger: logging.Logger, peer: Any) -> None:
    """Ends a connection, without a wait: where the peer has not taken all that was sent, a thread
    waits for that, for :data:`SECONDS` at most, and then logs that it is lost. In a process that was
    forked from that of the connection, it does nothing.

    :param peer: as who the peer is logged
    """
    try:
        if not is_delivered(connection):
            closing = threading.Thread(
                target=_close, args=(connection, logger, peer), name="SocketHandlerCloser", daemon=True
            )
            closing.start()
            return
    except CallerError:
        return
    except RuntimeError:
        # There is no thread for it: the extension module sees to the rest.
        pass
    connection.try_close()


def _close(connection: _masep.Connection, logger: logging.Logger, peer: Any) -> None:
    try:
        connection.close()
    except MasepError as error:
        logger.debug("%r: %s", peer, error)
    tell_lost(connection, logger, peer)


def tell_lost(connection: _masep.Connection, logger: logging.Logger, peer: Any) -> None:
    """Logs it if a connection that this side ended has not delivered all. To be called for one of
    which :func:`is_delivered` did not hold before: one that the peer ends at the same time cannot tell.
    """
    if connection.close_reason in (None, "write_timeout", "reset"):
        _log.lost(logger, "the end of what was sent to %r may be lost: it has not taken it", peer)


def is_delivered(connection: _masep.Connection) -> bool:
    """True if the peer's host has all that was sent, or the connection has ended."""
    try:
        if connection.close_reason is not None:
            return True
        if not connection.try_flush() or not sys.platform.startswith("linux"):
            return False
        descriptor = connection.descriptor()
    except TransportError:
        return True
    try:
        (unsent,) = struct.unpack("i", fcntl.ioctl(descriptor, _ASK_UNSENT, bytes(4)))
        # One that was reset has nothing unsent any more: to be asked last.
        poll = select.poll()
        poll.register(descriptor, 0)
        return unsent == 0 and not poll.poll(0)
    except OSError:
        # No TCP socket: what was written to it has arrived.
        return True
    finally:
        os.close(descriptor)
