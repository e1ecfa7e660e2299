"""The part that connections have in common, with and without async."""

from __future__ import annotations

from typing import Any

from . import _blocks, _live, _masep
from ._control import Bye, Notice, PeerLimits, Welcome


class ConnectionFacts:
    """The facts of a connection, and its calls that do not wait."""

    __slots__ = ("_connection", "__weakref__")

    def __init__(self, connection: _masep.Connection) -> None:
        self._connection = _live.connection(connection)

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
        """The reason why the connection ended, if it has and that was noticed: by a call, or in asyncio by
        the event loop when all that came before was received. ``"peer_bye"``, ``"local_bye"``,
        ``"rejected"``, ``"end_of_stream"``, ``"reset"``, ``"idle_timeout"``, ``"write_timeout"``, ..."""
        return self._connection.close_reason

    @property
    def closed(self) -> bool:
        """True if there is a :attr:`close_reason`."""
        return self._connection.close_reason is not None

    @property
    def protocol(self) -> int:
        """The generation of the protocol that is spoken: 1, which is pymasep's, or 2."""
        return self._connection.protocol

    @property
    def token_name(self) -> str | None:
        """The name of the access token with which the peer was let in, at a server that asks for tokens."""
        return self._connection.token_name

    @property
    def peer_limits(self) -> PeerLimits:
        """The bounds of what the peer can be sent."""
        return self._connection.peer_limits

    @property
    def welcome(self) -> Welcome | None:
        """The server's WELCOME to this client; None on a server's connection, and in pymasep's
        protocol."""
        return self._connection.welcome

    @property
    def peer_bye(self) -> Bye | None:
        """The peer's BYE at its end, if it sent one; None in pymasep's protocol."""
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
        self._check()
        return self._connection.ping()

    def notice(self, code: str, text: str = "", about: dict[str, Any] | None = None) -> None:
        """Tells the peer of something that was not accepted, which is no end. Does not wait. A peer of
        pymasep's protocol cannot be told, which is no error.

        :param code: the fault, for programs, at most 64 bytes
        :param text: the same for people; the peer gets the first 1,024 bytes
        :param about: its subject: ``{"turn": 7}``
        :raises CallerError: if the code is longer, or has a character that is not printable
        :raises LimitError: for more than 4,096 bytes, or if the peer does not take those before it
        :raises TransportError: if the connection has ended
        """
        self._check()
        self._connection.notice(code, text, about)

    def _check(self) -> None:
        """Called before something is done that another thread must not do."""

    def try_notice(self) -> Notice | None:
        """The oldest notice of the peer's that has arrived and was not taken: something that it did not
        accept. Does not wait. They are read by calls that receive, so ask after one of those; the latest
        16 are kept."""
        return self._connection.try_notice()

    def __repr__(self) -> str:
        package = type(self).__module__.removesuffix("._blocking")
        return _blocks.shown(f"{package}.Connection", lambda: f"to {_masep.quoted(self.peer)}")
