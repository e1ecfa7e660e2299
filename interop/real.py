"""Real pymasep clients and servers as the other end of masep, and what is asked of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from masep import Masep
from peers import Event, Peer, python

#: Processor seconds that a process may use while nothing happens: pymasep spins at one a second.
IDLE = 0.2


@contextmanager
def client(masep: Masep, port: int, ident: str = "good") -> Iterator[Peer]:
    """A real client, connected to the port."""
    with python("programs.client", "--id", ident, "--port", str(port), cwd=masep.directory) as peer:
        peer.expect("connected")
        yield peer


@contextmanager
def server(masep: Masep) -> Iterator[tuple[Peer, Peer]]:
    """A real server with the id `real`, and `masep join` connected to it as `player`."""
    with python("programs.server", "--id", "real", cwd=masep.directory) as host:
        with masep.join(host.expect("ready")["port"], "player") as player:
            # pymasep answers the hello first and registers the id then: before that it cannot send.
            host.expect("handler_started")
            yield host, player


def of_peer(host: Peer, ident: str) -> Event:
    """The next event of one connection of `masep serve`."""
    return host.expect(lambda event: event.get("peer") == ident)


def served(host: Peer, peer: Peer, ident: str = "good") -> None:
    """One question and one answer between `masep serve` and a real client."""
    peer.send({"frame": b"question".hex()})
    event = host.expect(lambda event: event.get("peer") == ident and event["event"] == "frame")
    assert bytes.fromhex(event["bytes_hex"]) == b"question"
    host.send({"to": ident, "bytes_hex": b"answer".hex()})
    assert bytes.fromhex(peer.expect("frame")["hex"]) == b"answer"


def ended_in_order(peer: Peer) -> None:
    """The pymasep handler's thread has ended by itself, and has not spun."""
    ended = peer.expect("handler_ended")
    assert ended["empty_frames"] == 0 and ended["cpu"] < IDLE, ended
