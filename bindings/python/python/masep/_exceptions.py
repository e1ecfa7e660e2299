"""The exceptions of masep, by whose fault they are."""

from __future__ import annotations

from typing import Any

__all__ = [
    "CallerError",
    "LimitError",
    "MasepError",
    "PeerError",
    "RefusedError",
    "RejectedError",
    "TimedOut",
    "TransportError",
    "UndeliveredError",
    "UnsupportedError",
]


class MasepError(Exception):
    """The base class of all that masep raises. Each can be copied and pickled, with all that it says, and its notes."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.args), self.__dict__


class CallerError(MasepError, TypeError):
    """The caller asked for something that cannot be done: an object that cannot be sent, a
    connection that belongs to the process before a fork."""


class UnsupportedError(CallerError):
    """This peer cannot be sent it, because of the protocol that it speaks: an array, for one that speaks
    pymasep's. The text says where it is, and the way out. The connection lives on."""

    peer: str
    """The id of the peer."""
    protocol: int
    """The protocol that it speaks: 1, which is pymasep's, or 2."""

    def __init__(self, text: str, peer: str = "", protocol: int = 1) -> None:
        super().__init__(text)
        self.peer = peer
        self.protocol = protocol


class PeerError(MasepError, ValueError):
    """The other side sent something that is no message. The connection lives on."""

    kind: str
    """A stable name of what is wrong: ``"syntax"``, ``"unknown_type"``, ..."""
    position: tuple[int, int] | None
    """The place of the fault in the bytes, if that is known: line (from 1) and column (from 0)."""

    def __init__(
        self, text: str, kind: str = "other", position: tuple[int, int] | None = None
    ) -> None:
        super().__init__(text)
        self.kind = kind
        self.position = position


class TransportError(MasepError, ConnectionError):
    """There is no connection, or there is none any more. ``errno`` is that of the system, if it is to blame."""

    reason: str
    """A stable name of why: ``"peer_bye"``, ``"local_bye"``, ``"rejected"``,
    ``"end_of_stream"``, ``"reset"``, ``"idle_timeout"``, ``"write_timeout"``, ..."""

    code: str | None
    """The reason that the peer gave for programs, in protocol 2; None if it gave none."""
    text: str
    """The same for people. It comes from outside: escape it before it reaches a terminal."""

    def __init__(
        self, message: str, reason: str = "io", code: str | None = None, text: str = ""
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.code = code
        self.text = text

    def __reduce__(self) -> tuple[Any, ...]:
        again, args, state = super().__reduce__()
        return again, args, {**state, "errno": self.errno}


class LimitError(MasepError, OverflowError):
    """A bound was reached. The connection lives on."""

    limit: str
    """The thing that is counted: ``"frame bytes"``, ``"nesting depth"``, ..."""
    actual: int
    """The number that was found, or at least that much when counting stopped there."""
    allowed: int
    """The most that is allowed."""

    def __init__(self, text: str, limit: str = "", actual: int = 0, allowed: int = 0) -> None:
        super().__init__(text)
        self.limit = limit
        self.actual = actual
        self.allowed = allowed


class UndeliveredError(MasepError):
    """Some of all connections cannot be sent what all were to be sent, and live on; the others have it."""

    sent: int
    """The number of peers to which it was sent."""
    peers: dict[str, MasepError]
    """The ids of those that did not get it, and why."""

    def __init__(
        self, text: str, sent: int = 0, peers: dict[str, MasepError] | None = None
    ) -> None:
        super().__init__(text)
        self.sent = sent
        self.peers = peers or {}


class RefusedError(TransportError, ConnectionRefusedError):
    """Nobody listens at the address."""


class RejectedError(TransportError):
    """The server refused this client. In protocol 2, connecting fails with it, and ``code`` and ``text``
    say why: ``"duplicate_id"``, ``"too_many_connections"``, ``"denied"``, ... In pymasep's protocol the
    server said ``BYE`` right behind its hello: the id is in use, the server is full or about to end, or
    it does not want this client; the first call on the connection says so."""

    retry_after: float | None
    """The seconds after which it may be tried again, if the server said so."""

    def __init__(
        self,
        message: str,
        reason: str = "rejected",
        code: str | None = None,
        text: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, reason, code, text)
        self.retry_after = retry_after


class TimedOut(MasepError, TimeoutError):
    """Nothing came in the time that was given. Nothing is lost: it can still come."""


def _again(kind: type[MasepError], args: tuple[Any, ...]) -> MasepError:
    """The exception of this class with this text, whatever else its class is made of."""
    error = kind.__new__(kind, *args)
    error.args = args
    return error


for _name in __all__:
    # A traceback names them as programs do.
    globals()[_name].__module__ = __package__
