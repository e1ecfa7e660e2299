"""The control messages of protocol 2."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Bye", "Hello", "Notice", "PeerLimits", "Welcome"]


@dataclass(frozen=True)
class Bye:
    """The end of a connection, as the peer said it. Its text comes from outside: escape it before it
    reaches a terminal."""

    code: str
    """The reason, for programs."""
    text: str = ""
    """The reason, for people."""
    may_return: bool | None = None
    """True if this side may come back."""


@dataclass(frozen=True)
class Hello:
    """A client of protocol 2 by its own word, before it is taken. It comes from outside: nothing of it is
    checked but its form."""

    id: str
    """The id by which it would be known."""
    features: tuple[str, ...] = ()
    """The features of the client beyond the protocol."""
    agent: str = ""
    """The name and version of the program, for people."""
    role: str | None = None
    """The role that it would have: ``"actor"`` or ``"observer"``."""
    game: str | None = None
    """The game that it would play, a dotted name."""
    table: str | None = None
    """The table of a server that has several."""
    seat: str | None = None
    """The seat that it would have."""
    token: str | None = field(default=None, repr=False)
    """The access token, which says who it is."""
    resume: str | None = field(default=None, repr=False)
    """A text of an earlier answer of the server, which says which seat was its."""
    profile: str | None = None
    """The form in which it would be talked to: ``"environment/1"``."""
    make: dict[str, Any] | None = None
    """The arguments of what a server makes for it."""


@dataclass(frozen=True)
class Notice:
    """Something that was not accepted, which is no end."""

    code: str
    """The code of the notice, for programs: ``"late"``, ``"repeated"``, ``"bad_turn"``, ..."""
    text: str = ""
    """The same for people. It comes from outside: escape it before it reaches a terminal."""
    about: dict[str, Any] | None = None
    """The subject of the notice: ``{"turn": 7}``."""


@dataclass(frozen=True)
class PeerLimits:
    """The bounds of what a peer can be sent."""

    protocol: int
    """The generation of the protocol that it speaks: 1, which is pymasep's, or 2."""
    frame_bytes: int
    """Bytes in the body of a frame: 65,535 in pymasep's protocol, and what the peer has told in protocol 2."""


@dataclass(frozen=True)
class Welcome:
    """The first message of a server of protocol 2 to a client that it takes."""

    features: tuple[str, ...] = ()
    """The features of the server beyond the protocol."""
    instance: str | None = None
    """A name of this life of the server: it has another one after each start."""
    seat: str | None = None
    """The seat that this client has."""
    resume: str | None = field(default=None, repr=False)
    """With this the client gets the seat back on another connection."""
    epoch: int | None = None
    """The number of times that somebody was let to the seat."""
    last: dict[str, Any] | None = None
    """The turn of this seat that was decided last."""
    grace: float | None = None
    """For how many seconds the seat is kept for a client that is gone."""
    game: str | None = None
    """The game that is played, a dotted name. It comes from outside: escape it before it reaches a terminal."""
    seats: int | None = None
    """The number of seats, where the server has some."""
    free: int | None = None
    """The number of those that nobody has, behind this client."""
    profile: str | None = None
    """The form in which this client is talked to, if it has asked for one: ``"environment/1"``."""
    heartbeat: float | None = None
    """The seconds without anything sent after which a side pings; None: neither does."""
