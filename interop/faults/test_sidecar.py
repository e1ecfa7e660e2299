"""A pymasep game over a link that pymasep alone does not survive: `masep proxy` at both ends, with TLS and a token."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from faults.network import Lan
from lanterns import session
from masep import Masep
from peers import python
from sidecar import at_engine, at_interface, protected

#: Segments so small that no observation fits into one.
LINK = {"loss": 0.01, "delay": 0.1, "mtu": 576}


def test_a_game_over_a_bad_link_is_the_same_to_the_byte(
    network: Callable[..., Lan], masep: Masep, recording: session.Recording, note: Callable[..., None]
) -> None:
    lan = network(**LINK)
    here, there = lan.hosts
    of_engine, of_interface = protected(masep, here.address)
    with ExitStack() as stack:
        with here.entered():
            engine, port = stack.enter_context(session.engine(masep.directory))
            proxy, far = stack.enter_context(at_engine(masep, port, *of_engine, host=here.address))
        with there.entered():
            _, near = stack.enter_context(at_interface(masep, f"{here.address}:{far}", *of_interface))
            assert session.play(engine, near, masep.directory) == recording
        # pymasep listens on all addresses, which the proxy has seen from outside.
        assert f"the engine can be reached past this proxy, without its rules, at port {port} of {here.address}" in (
            proxy.stderr()
        )
    frames = sum(len(seat.frames) + len(seat.actions) for seat in recording.seats.values())
    note("1 % loss, 100 ms, MTU 576", "pymasep, two proxies", counts=lan.counts(), sent=frames, arrived=frames)


def test_pymasep_alone_does_not_get_over_it(network: Callable[..., Lan], masep: Masep) -> None:
    """Or the other test would show nothing."""
    lan = network(**LINK)
    here, there = lan.hosts
    with ExitStack() as stack:
        with here.entered():
            _, port = stack.enter_context(session.engine(masep.directory))
        with there.entered():
            command = ("lanterns.run_interface", "--id", "looker", "--role", "observer")
            where = ("--host", here.address, "--port", str(port))
            looker = stack.enter_context(python(*command, *where, cwd=masep.directory))
            first = bytes.fromhex(looker.expect("frame")["hex"])
    assert not first.endswith(b"</Message>"), "an observation that arrived whole"
