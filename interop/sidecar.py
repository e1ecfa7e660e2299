"""`masep proxy` at an engine and at an interface."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lanterns import session
from masep import Masep, port_of
from peers import PATIENCE, Peer


@contextmanager
def proxy(masep: Masep, *options: str) -> Iterator[tuple[Peer, int]]:
    """A proxy, and the port that it listens on."""
    with masep.run("proxy", "--json", *options) as peer:
        yield peer, port_of(peer.expect("listening")["address"])


@contextmanager
def at_engine(masep: Masep, engine: int, *options: str, host: str = "127.0.0.1") -> Iterator[tuple[Peer, int]]:
    """The proxy of an engine that listens on this port."""
    game = ("--game", session.GAME, "--actors", str(len(session.ACTORS)))
    scheme = "masep+tls" if "--tls-cert" in options else "masep"
    where = ("--listen", f"{scheme}://{host}:0", "--to", f"127.0.0.1:{engine}")
    with proxy(masep, *where, *game, *options) as both:
        yield both


@contextmanager
def at_interface(masep: Masep, far: str, *options: str) -> Iterator[tuple[Peer, int]]:
    """The proxy of interfaces on this machine, before that of an engine."""
    scheme = "masep+tls" if "--tls-ca" in options else "masep"
    with proxy(masep, "--listen", "127.0.0.1:0", "--to", f"{scheme}://{far}", *options) as both:
        yield both


def protected(masep: Masep, host: str) -> tuple[list[str], list[str]]:
    """Options of both proxies for TLS and a token, of which one is made here."""
    files = masep.directory / "certificates"
    run(masep, "cert", "--address", host, "--out", str(files))
    token = run(masep, "token", "new", "--name", "lab")
    Path(masep.directory, "token").write_text(token)
    certificate = ["--tls-cert", str(files / "server.pem"), "--tls-key", str(files / "server-key.pem")]
    engine = [*certificate, "--tokens", str(masep.directory / "tokens.toml")]
    # All interfaces have the one token.
    engine += ["--actors-per-token", str(len(session.ACTORS))]
    interface = ["--tls-ca", str(files / "ca.pem"), "--token-file", str(masep.directory / "token")]
    return engine, interface


def run(masep: Masep, *arguments: str) -> str:
    """Standard output of the program, which has to end in order."""
    done = subprocess.run(
        [masep.binary, *arguments],
        cwd=masep.directory,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
