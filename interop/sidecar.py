"""`masep proxy` at an engine and at an interface."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lanterns import session
from masep import Masep, port_of
from peers import Peer


@contextmanager
def proxy(masep: Masep, *options: str) -> Iterator[tuple[Peer, int]]:
    """A proxy, and the port that it listens on."""
    with masep.run("proxy", "--json", *options) as peer:
        yield peer, port_of(peer.expect("listening")["address"])


@contextmanager
def at_engine(masep: Masep, engine: int, *options: str, host: str = "127.0.0.1") -> Iterator[tuple[Peer, int]]:
    """The proxy of an engine that listens on this port."""
    game = ("--game", session.GAME, "--actors", str(len(session.ACTORS)))
    with proxy(masep, "--listen", f"masep://{host}:0", "--to", f"127.0.0.1:{engine}", *game, *options) as both:
        yield both


@contextmanager
def at_interface(masep: Masep, far: str, *options: str) -> Iterator[tuple[Peer, int]]:
    """The proxy of interfaces on this machine, before that of an engine."""
    with proxy(masep, "--listen", "127.0.0.1:0", "--to", f"masep://{far}", *options) as both:
        yield both
