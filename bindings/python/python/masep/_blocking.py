"""Connections without async."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

from . import _live, _masep, communication
from ._control import Bye, Hello, Notice, PeerLimits, Welcome
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

    @property
    def protocol(self) -> int:
        """The generation of the protocol that is spoken: 1, which is pymasep's, or 2."""
        return self._connection.protocol

    @property
    def peer_limits(self) -> PeerLimits:
        """What the peer can be sent."""
        return self._connection.peer_limits

    @property
    def welcome(self) -> Welcome | None:
        """What the server said when it took this client; None on a server's connection, and in pymasep's
        protocol."""
        return self._connection.welcome

    @property
    def peer_bye(self) -> Bye | None:
        """What the peer said at its end, if it said why; None in pymasep's protocol."""
        return self._connection.peer_bye

    @property
    def rtt(self) -> float | None:
        """The seconds of the last round trip of a ping, which is answered and read within calls that
        receive; None before the first, and in pymasep's protocol."""
        return self._connection.rtt

    def ping(self) -> bool:
        """Asks the peer for a sign of life, which gives :attr:`rtt` when a call that receives has read it.
        Does not wait. False if none was asked for: in pymasep's protocol, where the connection has ended,
        and while another one is under way that is not a second old."""
        return self._connection.ping()

    def notice(self, code: str, text: str = "", about: dict[str, Any] | None = None) -> None:
        """Tells the peer of something that was not accepted, which is no end. Does not wait. A peer of
        pymasep's protocol cannot be told, which is no error.

        :param code: what it is, for programs
        :param text: the same for people
        :param about: what it is about: ``{"turn": 7}``
        :raises LimitError: for more than 4,096 bytes, or if the peer does not take those before it
        :raises TransportError: if the connection has ended
        """
        self._connection.notice(code, text, about)

    def try_notice(self) -> Notice | None:
        """The oldest notice of the peer's that has arrived and was not taken: something that it did not
        accept. Does not wait. They are read by calls that receive, so ask after one of those; the latest
        16 are kept."""
        return self._connection.try_notice()

    def send(self, message: communication.Message | bytes) -> None:
        """Sends a message, or bytes, as one frame. Waits while the peer does not take it; one that
        takes nothing for 30 seconds is given up.

        An array is sent as it is during the call: what the socket does not take at once is copied.

        :raises CallerError: for a message that cannot be sent
        :raises UnsupportedError: for one with an array, to a peer of pymasep's protocol
        :raises LimitError: for one that is too large for the peer or its protocol; the connection lives on
        :raises RejectedError: if the server has refused this client
        :raises TransportError: if the connection has ended otherwise
        """
        if type(message) is Message and message._decoded is None:
            self._connection.send_message(
                message.msg_type, message._params, message.src_sub_app_id
            )
        else:
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
        return read(self._connection.recv_message(timeout))

    def close(self) -> str:
        """Says ``BYE`` when the peer has taken all that was sent, and closes: why the connection
        ended, which may have been before.

        :raises RejectedError: if the server has refused this client, and no call has said so
        """
        return self._end(None, "", None)

    def bye(self, code: str = "bye", text: str = "", may_return: bool | None = None) -> str:
        """As :meth:`close`, and tells a peer of protocol 2 why: it finds that in :attr:`peer_bye`.

        :param code: the reason, for programs, at most 64 bytes
        :param text: the reason, for people, at most 1,024 bytes
        :param may_return: whether the peer may come back
        """
        return self._end(code, text, may_return)

    def _end(self, code: str | None, text: str, may_return: bool | None) -> str:
        reason = self._connection.close(code, text, may_return)
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


def body_of(
    message: communication.Message | bytes, connection: _masep.Connection
) -> bytes | _masep.Outgoing:
    """What is sent on this connection for something, within its bounds."""
    if not isinstance(message, communication.Message):
        return message
    if message._has_own_bytes():
        return connection.encode_xml(message.to_bytes())
    decoded = message._unread()
    if decoded is not None:
        return connection.encode_decoded(decoded)
    return connection.encode(
        message.msg_type, message.params, message.src_sub_app_id, type(message)._as_text
    )


def read(decoded: _masep.Decoded | None) -> Message | None:
    """The message that was read, if there was one."""
    if decoded is None:
        return None
    message = Message.__new__(Message)
    message._params = None
    message._decoded = None
    message._take(decoded)
    return message


def connect(
    address: str,
    *,
    id: str,
    timeout: float | None = None,
    when_full: Literal["wait", "newest", "disconnect"] = "wait",
    limits: Limits | None = None,
    socket_options: SocketOptions | None = None,
    protocol: Literal[1, 2] | None = None,
) -> Connection:
    """Connects to a server.

    :param address: ``"host:port"``, ``"[::1]:port"``, or ``"unix:///path"`` of a server on a Unix
        socket. With ``"masep://host:port"`` or ``"masep+unix:///path"`` it has to speak protocol 2, with
        ``"pymasep://..."`` or ``"pymasep+unix:///..."`` pymasep's is spoken
    :param id: the id by which the server shall know this side
    :param timeout: seconds for each of: resolving the name, connecting, the server's hello; 5 each if
        not given
    :param when_full: what to do with a frame that arrives when as many as may wait to be received:
        ``"wait"`` with reading, which holds the peer up; drop the oldest for the ``"newest"``;
        ``"disconnect"``
    :param limits: what messages and the connection are bound by
    :param socket_options: how the socket is opened, watched and waited for
    :param protocol: 2 to insist on protocol 2, 1 to speak pymasep's; else the server is asked for
        protocol 2, and connected to once more if it speaks pymasep's
    :raises CallerError: if the address is none
    :raises RejectedError: if a server of protocol 2 refuses this client, with its reason
    :raises TransportError: which of them failed, and why
    """
    options = (timeout, when_full, limits, socket_options, protocol)
    return Connection(_masep.connect(id, address, *options))


class Request:
    """A client of protocol 2 that has said HELLO and waits for the host's word: from
    :meth:`Server.next_request`. Any thread may decide, in any order; one that is dropped refuses its client.
    """

    __slots__ = ("_request", "__weakref__")

    def __init__(self, request: _masep.Request) -> None:
        self._request = request

    @property
    def hello(self) -> Hello:
        """What the client says of itself, until it is decided."""
        return self._request.hello

    @property
    def peer(self) -> str:
        """The client's id, by its own word."""
        return self._request.peer

    @property
    def address(self) -> tuple[str, int] | str:
        """The host and the port of the client; on a Unix socket, the text ``"unix:///path"``."""
        return self._request.address

    @property
    def target(self) -> str:
        """The same as text."""
        return self._request.target

    def admit(self) -> None:
        """Takes the client: it comes out of :meth:`Server.accept`, unless its id is in use. Does not wait.

        :raises CallerError: if it was decided about this client before
        """
        self._request.admit()

    def refuse(self, code: str = "denied", text: str = "", retry_after: float | None = None) -> None:
        """Does not take the client, which is told why. Does not wait.

        :param code: the reason, for programs
        :param text: the same for people
        :param retry_after: the seconds after which it may be tried again
        :raises CallerError: if it was decided about this client before
        """
        retry_ms = None if retry_after is None else round(retry_after * 1000)
        self._request.refuse(code, text, retry_ms)

    def __repr__(self) -> str:
        return f"<masep.Request of {_masep.quoted(self.peer)}>"


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
    :param protocol: 2 to take clients of protocol 2 alone, 1 those of pymasep's; else both
    :param ask: whether :meth:`next_request` gives each client of protocol 2 first, to be decided about. One
        about which nothing is decided for 4 seconds is refused. Peers of pymasep's protocol are taken
        without a question
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
        protocol: Literal[1, 2] | None = None,
        ask: bool = False,
    ) -> None:
        policies = (announce, duplicates, when_full)
        options = (*policies, limits, server_limits, socket_options, protocol, ask)
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

    def next_request(self, timeout: float | None = None) -> Request | None:
        """The next client of protocol 2 that waits for the host's word; None when the server has stopped
        accepting.

        :param timeout: seconds to wait at most
        :raises TimedOut: if none came in that time
        :raises CallerError: if the server was made without ``ask=True``
        """
        request = self._server.next_request(timeout)
        return None if request is None else Request(request)

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


@dataclass(frozen=True, slots=True)
class FoundServer:
    """A server on the LAN that has answered the search. Nothing of it is proved, and texts come from outside: escape them
    before they reach a terminal."""

    host: str
    """The host to connect to."""
    port: int
    """The port to connect to."""
    id: str | None
    """The server's id, as servers of masep tell it; ``None`` of others."""
    game: str | None
    """The game, where it is told."""
    seats: int | None
    """The number of seats, of a table."""
    free: int | None
    """The number of those that nobody has."""


def search(timeout: float = 1.0) -> list[FoundServer]:
    """The servers on the LAN that answer the search, with what those of masep tell of themselves, in the order of
    :func:`discover`.

    :param timeout: seconds to wait for answers
    :raises TransportError: if the search is not possible on this host
    """
    return found_servers(_masep.search(timeout))


def found_servers(
    found: list[tuple[tuple[str, int], str | None, str | None, int | None, int | None]],
) -> list[FoundServer]:
    """The servers of a search, as the extension module gives them."""
    return [FoundServer(*address, *told) for address, *told in found]
