"""Engines and interfaces on the hosts of a LAN, masep's and pymasep's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from faults.network import Host, Lan
from faults.traffic import End
from masep import Masep
from peers import Peer, python

ENGINE = "engine-é"
INTERFACE = "interface-漢"
#: For those who send much at once: all of it may wait.
PATIENT = ("--queue-messages", "1000000", "--queue-bytes", str(1 << 30))


@contextmanager
def serve(host: Host, masep: Masep, *options: str) -> Iterator[tuple[Peer, str]]:
    """`masep serve` on a host, and the address at which others reach it."""
    with ExitStack() as stack:
        with host.entered():
            # Frames that are no messages are no offence here.
            # A table decides itself what becomes of them.
            bad_frames = () if "--seats" in options else ("--bad-frames", "0")
            command = masep.serve(*bad_frames, *options, address="0.0.0.0:0", ident=ENGINE)
            peer, port = stack.enter_context(command)
        yield peer, f"{host.address}:{port}"


@contextmanager
def join(host: Host, masep: Masep, address: str, *options: str, ident: str = INTERFACE) -> Iterator[Peer]:
    """`masep join` on a host, in pymasep's protocol if the address has no scheme; it need not have connected yet."""
    target = address if "://" in address else f"pymasep://{address}"
    with ExitStack() as stack:
        with host.entered():
            peer = stack.enter_context(masep.run("join", target, "--id", ident, *options))
        yield peer


@contextmanager
def real_server(host: Host, masep: Masep, *options: str) -> Iterator[tuple[Peer, str]]:
    """A pymasep server on a host, and its address."""
    with ExitStack() as stack:
        with host.entered():
            command = ("programs.server", "--id", ENGINE, "--host", host.address, *options)
            peer = stack.enter_context(python(*command, cwd=masep.directory))
        yield peer, f"{host.address}:{peer.expect('ready')['port']}"


@contextmanager
def real_client(host: Host, masep: Masep, address: str, ident: str = INTERFACE) -> Iterator[Peer]:
    """A pymasep client on a host, connected."""
    target, _, port = address.rpartition(":")
    with ExitStack() as stack:
        with host.entered():
            command = ("programs.client", "--id", ident, "--host", target, "--port", port)
            peer = stack.enter_context(python(*command, cwd=masep.directory))
        peer.expect("connected")
        yield peer


@contextmanager
def masep_and_masep(lan: Lan, masep: Masep, scheme: str = "pymasep") -> Iterator[tuple[End, End]]:
    """`masep serve` on the first host, `masep join` on the second."""
    here, there = lan.hosts[:2]
    with (
        serve(here, masep, *PATIENT) as (engine, address),
        join(there, masep, f"{scheme}://{address}", *PATIENT) as interface,
    ):
        interface.expect("connected")
        engine.expect("connected")
        yield End(engine, INTERFACE), End(interface)


@contextmanager
def masep_and_masep_of_protocol_2(lan: Lan, masep: Masep) -> Iterator[tuple[End, End]]:
    """The same two, which insist on protocol 2."""
    with masep_and_masep(lan, masep, "masep") as both:
        yield both


@contextmanager
def masep_and_pymasep(lan: Lan, masep: Masep) -> Iterator[tuple[End, End]]:
    """`masep serve` on the first host, a pymasep client on the second."""
    here, there = lan.hosts[:2]
    with serve(here, masep, *PATIENT) as (engine, address), real_client(there, masep, address) as interface:
        engine.expect("connected")
        yield End(engine, INTERFACE), End(interface, None, "frame")


@contextmanager
def pymasep_and_masep(lan: Lan, masep: Masep) -> Iterator[tuple[End, End]]:
    """A pymasep server on the first host, `masep join` on the second."""
    here, there = lan.hosts[:2]
    with real_server(here, masep) as (engine, address), join(there, masep, address, *PATIENT) as interface:
        interface.expect("connected")
        # pymasep answers the hello first and registers the id then: before that it cannot send.
        engine.expect("handler_started")
        yield End(engine, INTERFACE, "frame"), End(interface)


Between = Callable[[Lan, Masep], AbstractContextManager[tuple[End, End]]]
