"""The limits of connections, servers and sockets."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits", "ServerLimits", "SocketOptions"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The bounds of a message and of a connection: ``Limits(depth=64, idle_time=60.0)``.

    Those of messages (``message_bytes``, ``depth``, ``nodes``, ``text_bytes``, ``int_digits``) are
    applied to what a connection receives and sends. In protocol 2, bytes and items may be as many as the
    largest frame that the receiver takes has room for.
    """

    frame_bytes: int = 65_535
    """Bytes in the body of one frame of pymasep's protocol, which is also the most that there can be."""
    payload_bytes: int | None = None
    """Bytes in the body of one frame of protocol 2 that this side receives; its peer is told. None: 1 MiB
    for a server, 16 MiB for a client. The bounds of a message on such a connection follow it."""
    message_bytes: int = 1 << 20
    """Bytes of one message."""
    depth: int = 1_024
    """The greatest depth of elements in each other."""
    nodes: int = 100_000
    """Elements of XML, or data items of CBOR, in one message."""
    text_bytes: int = 1 << 20
    """Bytes of one text or attribute."""
    int_digits: int = 4_300
    """Digits of one int."""
    id_bytes: int = 1_024
    """Bytes of a peer's id."""
    hello_time: float = 5.0
    """Seconds that a peer may take for its hello."""
    idle_time: float | None = None
    """Seconds that a connection may be silent before it is ended; None: for ever."""
    heartbeat: float | None = 10.0
    """Seconds that one side of a connection of protocol 2 may send nothing before it pings, as the server
    says. A peer without a sign of life for three times as long is gone. None: a server asks for no pings,
    and a client does not end a connection for the lack of them."""
    write_time: float = 30.0
    """Seconds that bytes may wait for a peer that takes none, before the connection is ended."""
    queue_messages: int = 1_024
    """Frames that may wait in one queue."""
    queue_bytes: int = 4 << 20
    """Bytes that may wait in one queue."""
    messages_per_second: int | None = None
    """Messages that one peer may send in a second; None: as many as it can. The others wait in order, unread. Pings count."""
    bytes_per_second: int | None = None
    """Bytes that one peer may send in a second, with the headers of frames; None: as many as it can."""
    rate_time: float = 10.0
    """Seconds for which a peer may send more than its rate without a pause, before its connection is ended."""


@dataclass(frozen=True, kw_only=True)
class ServerLimits:
    """The bounds of a server beyond those of its connections."""

    connections: int = 1_024
    """Connections at the same time, those that have not said hello included."""
    connections_per_address: int | None = None
    """Of these, from one address; None: as many as there may be."""
    decision_time: float = 4.0
    """Seconds in which a host that is asked decides about a client of protocol 2; after them the client is refused with the
    code ``"undecided"``. Such a client gives up by itself after 5 seconds."""
    incoming_bytes: int = 64 << 20
    """Bytes of memory for frames of protocol 2 of more than 64 KiB that are on their way in, on all connections together. A
    peer whose frame finds none is not read until there is some, and one that takes more than 30 seconds for a frame while
    others wait is ended. One frame of any size is taken where no other is on its way in. Memory that connections keep
    for their next frames counts too, and is at most half of it."""
    answers_per_second: int = 1_000
    """Answers to the search on the LAN."""


@dataclass(frozen=True, kw_only=True)
class SocketOptions:
    """Options of the sockets under connections."""

    connect_time: float = 5.0
    """Seconds for each of: resolving the name of a server, connecting to one of its addresses."""
    keepalive_time: float | None = 15.0
    """Seconds of silence after which TCP asks whether the peer still lives; None: never."""
    busy_poll: float = 0.0
    """Seconds for which a call that waits for bytes looks for them before its thread sleeps."""
