"""Connections without async."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from . import _admitting, _blocks, _masep, _tls, communication
from ._control import Hello
from ._exceptions import RejectedError
from ._facts import ConnectionFacts
from ._limits import Limits, SocketOptions
from ._listening import Listener, for_all, sendable
from ._message import Message

_log = logging.getLogger("masep")


class Connection(ConnectionFacts, _blocks.Block):
    """A connection to a peer that has said hello. Any thread may use it.

    As a context manager it is closed at the end of the block; as an iterator it gives messages until
    the connection has ended.
    """

    __slots__ = ()

    def __init__(self, connection: _masep.Connection) -> None:
        super().__init__(connection)
        # The main thread always has a deadline: it looks for signals.
        _masep.wait_in_reads(connection)
        _log.debug("connected to %s at %s", _masep.quoted(connection.peer), connection.target)

    def send(self, message: communication.Message | bytes) -> None:
        """Sends a message, or bytes, as one frame. Waits while the peer does not take it; one that
        takes nothing for 30 seconds is given up.

        Small frames that a thread sends one right behind another, more than 100,000 a second, go out
        together, after 0.1 ms at the latest. A process that is killed, or leaves by ``os._exit``, takes
        those with it: ``close`` writes them.

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
        """The body of the next frame; None when the connection has ended by a ``BYE``, or between two frames, as when
        the peer's process was killed (:attr:`close_reason` is ``"end_of_stream"`` then), and all that came before was given.

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
        :param text: the reason, for people; the peer gets the first 1,024 bytes
        :param may_return: whether the peer may come back
        :raises CallerError: if the code is longer, or has a character that is not printable: nothing is done
        """
        return self._end(code, text, may_return)

    def _end(
        self, code: str | None, text: str, may_return: bool | None, wait: float | None = None
    ) -> str:
        reason = self._connection.close(code, text, may_return, wait)
        peer = _masep.quoted(self._connection.peer)
        _log.debug("the connection to %s has ended: %s", peer, reason)
        return reason

    def _leave(self, error: BaseException | None) -> None:
        try:
            self._end(None, "", None, _blocks.patience(error))
        except RejectedError:
            # An error in the block is raised first.
            if error is None:
                raise

    def __iter__(self) -> Iterator[Message]:
        while (message := self.recv_message()) is not None:
            yield message


def body_of(
    message: communication.Message | bytes, connection: _masep.Connection
) -> bytes | _masep.Outgoing:
    """The encoded form of a message or of bytes on this connection, within its bounds."""
    if not isinstance(message, communication.Message):
        return sendable(message)
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
    tls_ca: _tls.Path | None = None,
    tls_name: str | None = None,
    token: str | None = None,
) -> Connection:
    """Connects to a server.

    :param address: ``"host:port"``, ``"[::1]:port"``, or ``"unix:///path"`` of a server on a Unix
        socket. With ``"masep://host:port"`` or ``"masep+unix:///path"`` it has to speak protocol 2, with
        ``"pymasep://..."`` or ``"pymasep+unix:///..."`` pymasep's is spoken. ``"masep+tls://host:port"`` is in TLS. Or
        the line that ``masep token new`` has printed: address and access token in one
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
    :param tls_ca: a file of PEM with the authorities to trust for ``"masep+tls://host:port"``, instead of the system's
    :param tls_name: the name that the server's certificate has, where it is not the host of the address
    :param token: the access token, which says who this side is and what it may do. It goes in TLS and over Unix
        sockets alone. Nothing is read from the environment: ``token=os.environ["MASEP_TOKEN"]``
    :raises CallerError: if the address is none
    :raises RejectedError: if a server of protocol 2 refuses this client, with its reason
    :raises TransportError: which of them failed, and why
    """
    options = (timeout, when_full, limits, socket_options, protocol)
    trust = _tls.trust(tls_ca, tls_name)
    return Connection(_masep.connect(id, address, *options, trust=trust, token=token))


class Request(_blocks.Live):
    """A client of protocol 2 that has said HELLO and waits for the host's word: from
    :meth:`Server.next_request`. Any thread may decide, in any order; one that is dropped refuses its client.
    """

    __slots__ = ("_request", "__weakref__")

    def __init__(self, request: _masep.Request) -> None:
        self._request = request

    @property
    def hello(self) -> Hello:
        """The facts that the client gives about itself. They are there until the request is decided."""
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

    def admit(self, *, profile: str | None = None) -> None:
        """Takes the client: it comes out of :meth:`Server.accept`, unless its id is in use. Does not wait.

        :param profile: the profile that is spoken with it. A client that has asked for one (``hello.profile``) and is not
            told the same leaves at once
        :raises CallerError: if it was decided about this client before
        """
        self._request.admit(profile)

    def refuse(self, code: str = "denied", text: str = "", retry_after: float | None = None) -> None:
        """Does not take the client, which is told why. Does not wait.

        :param code: the reason, for programs, at most 64 bytes
        :param text: the same for people; the client gets the first 1,024 bytes
        :param retry_after: the seconds after which it may be tried again
        :raises CallerError: if it was decided about this client before, the seconds are no number from 0 on, or the
            code is longer or not printable
        """
        self._request.refuse(code, text, retry_after)

    def __repr__(self) -> str:
        return _blocks.shown("masep.Request", lambda: f"of {_masep.quoted(self.peer)}")


class Server(_admitting.InThread, Listener[Connection, _admitting.Admit], _blocks.Block):
    __doc__ = (
        f"""{Listener.__doc__}
    As a context manager it is shut down at the end of the block; as an iterator it gives connections."""
    )

    __slots__ = ()

    def _wrapped(self, connection: _masep.Connection) -> Connection:
        return Connection(connection)

    def accept(self, timeout: float | None = None) -> Connection | None:
        """The next connection; None when the server has stopped accepting.

        :param timeout: seconds to wait at most
        :raises TimedOut: if none came in that time
        """
        connection = self._server.accept(timeout)
        return None if connection is None else self._of(connection)

    def broadcast(
        self,
        message: communication.Message | bytes,
        when_full: Literal["wait", "newest", "disconnect"] = "wait",
    ) -> int:
        """Sends a message, or bytes, to all connections: the number of those to which it was sent. It is
        encoded once for each generation of the protocol that is spoken, and its arrays are copied once. Those
        that have room get it at once, before others are waited for.

        :param when_full: what to do for a peer that does not take what was sent before: ``"wait"`` for it, for
            ``write_time`` of :class:`Limits` at most; drop its oldest frames for the ``"newest"``; ``"disconnect"``
        :raises UndeliveredError: if some cannot be sent it, such as an array to peers of pymasep's protocol; the
            others have it
        :raises UnsupportedError: if nobody can
        :raises LimitError: if it is too large for all
        :raises CallerError: for a message that cannot be sent
        """
        return self._server.broadcast(for_all(message), when_full)

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
        cut = self._server.shutdown(timeout)
        self._admit = None
        return cut

    def _leave(self, error: BaseException | None) -> None:
        self.shutdown()

    def __iter__(self) -> Iterator[Connection]:
        while (connection := self.accept()) is not None:
            yield connection


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
    return [
        FoundServer(*address, id, game, seats, free) for address, id, game, seats, free in found
    ]
