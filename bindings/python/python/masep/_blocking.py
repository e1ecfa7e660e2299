"""Connections without async."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from types import TracebackType
from typing import Literal

from . import _live, _masep, communication
from ._exceptions import RejectedError
from ._limits import Limits, ServerLimits, SocketOptions
from ._message import Message

_log = logging.getLogger("masep")


class Connection:
    """A connection to a peer that has said hello. Any thread may use it.

    As a context manager it is closed at the end of the block; as an iterator it gives messages until
    the connection has ended.
    """

    __slots__ = ("_connection", "__weakref__")

    def __init__(self, connection: _masep.Connection) -> None:
        self._connection = _live.connection(connection)
        _log.debug("connected to %s at %s", _masep.quoted(connection.peer), connection.target)

    @property
    def peer(self) -> str:
        """The id that the peer gave itself."""
        return self._connection.peer

    @property
    def address(self) -> tuple[str, int] | str:
        """The host and the port of the peer; on a Unix socket, the text ``"unix:///path"`` of the
        server's."""
        return self._connection.address

    @property
    def target(self) -> str:
        """The address of the peer as text: ``"127.0.0.1:60000"``, ``"unix:///run/game.sock"``."""
        return self._connection.target

    @property
    def close_reason(self) -> str | None:
        """The reason why the connection ended, if it has and a call has noticed: ``"peer_bye"``,
        ``"local_bye"``, ``"rejected"``, ``"end_of_stream"``, ``"reset"``, ``"idle_timeout"``,
        ``"write_timeout"``, ..."""
        return self._connection.close_reason

    @property
    def closed(self) -> bool:
        """True if the connection has ended and a call has noticed."""
        return self._connection.close_reason is not None

    def send(self, message: communication.Message | bytes) -> None:
        """Sends a message, or bytes, as one frame. Waits while the peer does not take it; one that
        takes nothing for 30 seconds is given up.

        :raises CallerError: for a message that cannot be sent
        :raises LimitError: for one that is too large; the connection lives on
        :raises RejectedError: if the server has refused this client
        :raises TransportError: if the connection has ended otherwise
        """
        self._connection.send(body_of(message, self._connection))

    def recv(self, timeout: float | None = None) -> bytes | None:
        """The body of the next frame; None when the connection has ended in order and all that came
        before was given.

        :param timeout: seconds to wait at most
        :raises TimedOut: if there was nothing in that time; nothing is lost
        :raises RejectedError: if the server has refused this client
        :raises TransportError: if the connection ended otherwise
        """
        return self._connection.recv(timeout)

    def recv_message(self, timeout: float | None = None) -> Message | None:
        """The next frame as a message, else as :meth:`recv`.

        :raises PeerError: if it is none; the connection lives on
        """
        return read(self._connection.recv(timeout), self._connection)

    def close(self) -> str:
        """Says ``BYE`` when the peer has taken all that was sent, and closes: why the connection
        ended, which may have been before.

        :raises RejectedError: if the server has refused this client, and no call has said so
        """
        reason = self._connection.close()
        peer = _masep.quoted(self._connection.peer)
        _log.debug("the connection to %s has ended: %s", peer, reason)
        return reason

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except RejectedError:
            # An error in the block is raised first.
            if error is None:
                raise

    def __iter__(self) -> Iterator[Message]:
        while (message := self.recv_message()) is not None:
            yield message

    def __repr__(self) -> str:
        return f"<masep.Connection to {_masep.quoted(self.peer)}>"


def body_of(message: communication.Message | bytes, connection: _masep.Connection) -> bytes:
    """The body of the frame in which something is sent on this connection, within its bounds."""
    if not isinstance(message, communication.Message):
        return message
    body = message.to_bytes()
    connection.check(body)
    return body


def read(body: bytes | None, connection: _masep.Connection) -> Message | None:
    """The message in a frame of this connection, within its bounds, if there is a frame."""
    if body is None:
        return None
    message = Message("", None, "")
    message._take(connection.decode(body))
    return message


def connect(
    address: str,
    *,
    id: str,
    timeout: float | None = None,
    when_full: Literal["wait", "newest", "disconnect"] = "wait",
    limits: Limits | None = None,
    socket_options: SocketOptions | None = None,
) -> Connection:
    """Connects to a server.

    :param address: ``"host:port"``, ``"[::1]:port"``, or ``"unix:///path"`` of a server on a Unix
        socket
    :param id: the id by which the server shall know this side
    :param timeout: seconds for each of: resolving the name, connecting, the server's hello; 5 each if
        not given
    :param when_full: what to do with a frame that arrives when as many as may wait to be received:
        ``"wait"`` with reading, which holds the peer up; drop the oldest for the ``"newest"``;
        ``"disconnect"``
    :param limits: what messages and the connection are bound by
    :param socket_options: how the socket is opened, watched and waited for
    :raises CallerError: if the address is none
    :raises TransportError: which of them failed, and why
    """
    return Connection(_masep.connect(id, address, timeout, when_full, limits, socket_options))


class Server:
    """A server, which accepts at once. No peer holds up another.

    As a context manager it is shut down at the end of the block; as an iterator it gives connections.

    :param id: the id by which clients shall know it
    :param address: ``"host:port"``; port 0 takes a free one, see :attr:`target`. Or
        ``"unix:///path"``: a Unix socket, the fastest way between processes of one machine. A socket
        file on which nobody listens is replaced, the file goes with the server, and umask(2) decides
        who may connect
    :param announce: whether to answer the search on the LAN
    :param duplicates: what to do with a client whose id is in use: ``"refuse"`` it, or let it
        ``"replace"`` the one that is there
    :param when_full: what to do with a frame that arrives when as many as may wait to be received:
        ``"wait"`` with reading, which holds the peer up; drop the oldest for the ``"newest"``;
        ``"disconnect"``
    :param limits: what messages and each connection are bound by
    :param server_limits: what the server is bound by
    :param socket_options: how sockets are watched and waited for
    :raises CallerError: if the address is none
    :raises OSError: if the address cannot be had
    """

    __slots__ = ("_server", "__weakref__")

    def __init__(
        self,
        id: str,
        address: str,
        *,
        announce: bool = False,
        duplicates: Literal["refuse", "replace"] = "refuse",
        when_full: Literal["wait", "newest", "disconnect"] = "wait",
        limits: Limits | None = None,
        server_limits: ServerLimits | None = None,
        socket_options: SocketOptions | None = None,
    ) -> None:
        options = (announce, duplicates, when_full, limits, server_limits, socket_options)
        self._server = _live.server(_masep.Server.bind(id, address, *options))

    @property
    def address(self) -> tuple[str, int] | str:
        """The host and the port on which it listens; for a Unix socket, the text
        ``"unix:///path"``."""
        return self._server.address

    @property
    def target(self) -> str:
        """The same as text, which :func:`connect` takes."""
        return self._server.target

    def accept(self, timeout: float | None = None) -> Connection | None:
        """The next connection; None when the server has stopped accepting.

        :param timeout: seconds to wait at most
        :raises TimedOut: if none came in that time
        """
        connection = self._server.accept(timeout)
        return None if connection is None else Connection(connection)

    def stop_accepting(self) -> None:
        """Takes no more connections; the others go on."""
        self._server.stop_accepting()

    def shutdown(self, timeout: float = 1.0) -> list[str]:
        """Stops accepting and ends all connections, with a ``BYE`` behind what was sent.

        :param timeout: seconds that this takes at most
        :return: the ids of the peers that had not taken all in that time, and were cut off
        """
        return self._server.shutdown(timeout)

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.shutdown()

    def __iter__(self) -> Iterator[Connection]:
        while (connection := self.accept()) is not None:
            yield connection

    def __repr__(self) -> str:
        return f"<masep.Server at {self.target}>"


def discover(timeout: float = 1.0) -> list[tuple[str, int]]:
    """The hosts and ports of the servers on the LAN that answer the search. Anybody can answer it: the
    first of each host stands before the second of any, which is the order in which to try them.

    :param timeout: seconds to wait for answers
    :raises TransportError: if the search is not possible on this host
    """
    return _masep.discover(timeout)
