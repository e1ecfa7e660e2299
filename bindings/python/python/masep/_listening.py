"""The part that servers have in common, with and without async."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar
from weakref import WeakValueDictionary

from . import _admitting, _live, _masep, _tls, communication
from ._exceptions import CallerError
from ._facts import ConnectionFacts
from ._limits import Limits, ServerLimits, SocketOptions

_log = logging.getLogger("masep")

C = TypeVar("C", bound=ConnectionFacts)
A = TypeVar("A", bound=_admitting.AdmitAsync)
"""The functions that say who is let in: one that nobody would await must not be a coroutine function."""


@dataclass(frozen=True)
class ListenOptions:
    """The options that servers and tables have in common, for the extension module."""

    announce: bool
    limits: Limits | None
    server_limits: ServerLimits | None
    socket_options: SocketOptions | None
    protocol: int | None
    certificate: tuple[str, str, str] | None
    tokens: str | os.PathLike[str] | None
    pymasep_listen: str | None
    access_requests: _masep.AccessRequests | None
    rejections: _masep.Rejections


@dataclass(frozen=True, slots=True)
class Rejection:
    """A client that was not let in. It is told less: who has no valid token hears ``unauthorized``, and nothing else."""

    address: tuple[str, int] | str
    """Its host and port; on a Unix socket, the text ``"unix:///path"``."""
    target: str
    """The same as text."""
    reason: str
    """The reason, for programs: ``"unauthorized"``, ``"duplicate_id"``, ``"bad_hello"``, ``"tls_required"``, ``"denied"``
    (by the host itself), ..."""
    detail: str
    """The reason, for people."""


class Listening:
    """The part that servers and tables have in common, with and without async."""

    __slots__ = ()

    _rejections: _masep.Rejections

    @property
    def _listener(self) -> _masep.Server | _masep.Table:
        raise NotImplementedError

    def _access_requests(
        self, admit: _admitting.AdmitAsync | None, tokens: object
    ) -> _masep.AccessRequests | None:
        """The clients about which the function is asked."""
        raise NotImplementedError

    def _answer(self, requests: _masep.AccessRequests) -> None:
        """Has the function asked about clients, now that they come."""
        raise NotImplementedError

    def _listens(self, options: ListenOptions) -> None:
        """To be called when it does."""
        if options.access_requests is not None:
            self._answer(options.access_requests)
        if self._listener.is_exposed:
            _log.warning(
                "listening on %s without TLS or tokens: whoever reaches this address can join, and read what others send",
                self.target,
            )

    @property
    def address(self) -> tuple[str, int] | str:
        """The host and the port on which it listens; for a Unix socket, the text
        ``"unix:///path"``."""
        return self._listener.address

    @property
    def target(self) -> str:
        """The same as text, which :func:`masep.connect` and :func:`masep.join` take."""
        return self._listener.target

    def rejections(self) -> list[Rejection]:
        """The clients that were not let in since the last call, and why: the newest 256 of them."""
        return [Rejection(*rejected) for rejected in self._rejections.take()]

    def kick(self, *, id: str | None = None, token: str | None = None, address: str | None = None) -> int:
        """Ends the connections of the peer with this id, of those with the access token of this name, or of those
        from this IP address, with the code ``kicked``: their number. They may come back, unless they are banned. Does
        not wait: a peer that does not take its last frames within a second is cut off.

        :raises CallerError: unless one of the three is given
        """
        return self._listener.kick(id, token, address)

    def ban(self, *, id: str | None = None, token: str | None = None, address: str | None = None) -> int:
        """As :meth:`kick`, and refuses all that come, with the code ``banned``, until :meth:`unban` or the end. The seat of
        a player that is sent away from a table is kept for ``grace``, as that of one whose connection is lost.

        :raises CallerError: unless one of the three is given
        """
        return self._listener.ban(id, token, address)

    def unban(self, *, id: str | None = None, token: str | None = None, address: str | None = None) -> bool:
        """Lets these come again: False if they were not banned.

        :raises CallerError: unless one of the three is given
        """
        return self._listener.unban(id, token, address)

    @property
    def pymasep_target(self) -> str | None:
        """The address of ``pymasep_listen``, as text."""
        return self._listener.pymasep_target


class Listener(Listening, Generic[C, A]):
    """A server, which accepts at once. No peer holds up another.

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
        about which nothing is decided for ``decision_time`` of :class:`ServerLimits` is refused. Peers of pymasep's
        protocol are taken without a question
    :param tls_cert: a file of PEM with the server's certificate, then those above it: connections are in TLS, at
        ``"masep+tls://host:port"``
    :param tls_key: the file with its key
    :param tls: ``"require"`` (all are, which is what is meant if nothing is said), ``"allow"`` (those that are, and those
        that are not, on one port) or ``"off"``
    :param tokens: a file of access tokens (``masep token new`` makes it): only clients of protocol 2 that say one of
        them are taken, before anything else is looked at. It is read anew when it changes; a token that is taken out
        ends its connections, and one that allows less those that may be more than that. Peers of pymasep's protocol have no tokens, and are refused
    :param admit: in place of ``tokens``, a function that gets each client of protocol 2 that has said HELLO, an
        :class:`AccessRequest`, and returns whether it is let in: True, False, or a :class:`Grant` with what it may be. All
        that are refused are told the same. A thread of the server's own calls it, for one client after the other, so that it may wait; in :mod:`masep.aio` the
        event loop does, where it may be a coroutine function, and the clients do not wait for each other. One about which nothing is said for ``decision_time`` of
        :class:`ServerLimits` is refused, as one for which the function raises, which the log tells. A token comes over TLS
        and Unix sockets alone. Peers of pymasep's protocol are refused
    :param pymasep_listen: an address for these, beside the other: a Unix socket, or one that strangers do not reach
    :raises CallerError: if the address is none, or the file of tokens, or there are both ``tokens`` and ``admit``
    :raises OSError: if the address cannot be had
    """

    __slots__ = ("_server", "_rejections", "_admit", "_known", "_lock", "__weakref__")

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
        tls_cert: _tls.Path | None = None,
        tls_key: _tls.Path | None = None,
        tls: _tls.Mode | None = None,
        tokens: str | os.PathLike[str] | None = None,
        pymasep_listen: str | None = None,
        admit: A | None = None,
    ) -> None:
        options = ListenOptions(
            announce=announce,
            limits=limits,
            server_limits=server_limits,
            socket_options=socket_options,
            protocol=protocol,
            certificate=_tls.certificate(tls_cert, tls_key, tls),
            tokens=tokens,
            pymasep_listen=pymasep_listen,
            access_requests=self._access_requests(admit, tokens),
            rejections=_masep.Rejections(),
        )
        bound = _masep.Server.bind(id, address, options, duplicates, when_full, ask)
        self._server = _live.server(bound)
        self._rejections = options.rejections
        self._admit: A | None = admit
        self._listens(options)
        #: The objects for connections that somebody has, so that each has one.
        self._known: WeakValueDictionary[int, C] = WeakValueDictionary()
        self._lock = threading.RLock()
        self._begin(ask)

    @property
    def _listener(self) -> _masep.Server:
        return self._server

    def _begin(self, asks: bool) -> None:
        """Does the rest of the start, once the server listens."""

    def _wrapped(self, connection: _masep.Connection) -> C:
        """The object for a connection that nobody has."""
        raise NotImplementedError

    def _of(self, connection: _masep.Connection) -> C:
        with self._lock:
            known = self._known.get(connection.key)
            if known is None:
                known = self._known[connection.key] = self._wrapped(connection)
            return known

    @property
    def connections(self) -> list[C]:
        """The connections that are alive, in no particular order: those that were accepted and that somebody
        has, and those that wait to be."""
        return [self._of(connection) for connection in self._server.connections()]

    def connection(self, id: str) -> C | None:
        """The one of the peer with this id; None if there is none."""
        found = self._server.connection(id)
        return None if found is None else self._of(found)

    def __repr__(self) -> str:
        package = type(self).__module__.removesuffix("._blocking")
        return f"<{package}.Server at {self.target}>"


def for_all(message: communication.Message | bytes) -> _masep.ForAll:
    """The same thing for many connections, as it is now: what is done to the message or its arrays from here on
    does not change it."""
    if not isinstance(message, communication.Message):
        return _masep.ForAll.of_bytes(sendable(message), False)
    if message._has_own_bytes():
        return _masep.ForAll.of_bytes(message.to_bytes(), True)
    decoded = message._unread()
    if decoded is not None:
        return _masep.ForAll.of_decoded(decoded)
    return _masep.ForAll.of_message(
        message.msg_type, message.params, message.src_sub_app_id, type(message)._as_text
    )


def sendable(body: object) -> bytes:
    """The bytes that a caller sends.

    :raises CallerError: if it is something else: what can be sent instead
    """
    if isinstance(body, bytes):
        return body
    kind = type(body)
    advice = "a masep.Message, whose parameters can have it, or bytes"
    if isinstance(body, (bytearray, memoryview)):
        advice = "bytes() of it, or a masep.Message, whose parameters can have it"
    raise CallerError(f"a {kind.__module__}.{kind.__qualname__} cannot be sent: send {advice}")
