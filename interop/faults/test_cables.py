"""A cable that is pulled: an end that both sides notice in time, or, put back in time, nothing at all."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from faults import peers_of_lan as ends
from faults.network import Host, Lan
from faults.traffic import End, Way, exchange, introduce
from masep import Masep
from peers import PATIENCE

Note = Callable[..., None]
Network = Callable[..., Lan]

#: The time for which each side may hear nothing, as an option, and the seconds after which it says so.
LIMITS: dict[str, tuple[tuple[str, ...], float]] = {
    "idle time 2 s": (("--idle-time", "2s", "--keepalive-time", "0s"), 2),
    "keep-alive, 3 s": (("--keepalive-time", "1s", "--write-time", "3s"), 3),
    "frames under way, 3 s": (("--keepalive-time", "1s", "--write-time", "3s"), 3),
}
#: Seconds that an end may be told early, as its time began with the last packet, and late, on a busy machine.
EARLY, LATE = 0.5, 4.0


def notices(end: End, since: float, limit: float) -> float:
    """Seconds after which it told that the connection ended, for the right reason, within its limit."""
    closed = end.program.expect("closed")
    took = time.monotonic() - since
    assert closed["reason"] in ("idle_timeout", "write_timeout"), closed
    assert limit - EARLY <= took <= limit + LATE, f"told after {took:.1f} s: {closed}"
    return took


def pull(host: Host, limits: str, *sides: End) -> str:
    """Pulls the host's cable for ever; how long each of the masep sides took to notice."""
    _, limit = LIMITS[limits]
    host.pull_cable()
    since = time.monotonic()
    if "frames" in limits:
        for side in sides:
            side.send(b"into the void")
    with ThreadPoolExecutor() as pool:
        took = list(pool.map(lambda side: notices(side, since, limit), sides))
    return ", ".join(f"{seconds:.1f} s" for seconds in took)


@pytest.mark.parametrize("limits", LIMITS)
def test_a_pulled_cable_is_noticed_at_both_ends(
    limits: str, network: Network, masep: Masep, seed: str, note: Note
) -> None:
    lan = network()
    options, _ = LIMITS[limits]
    here, there = lan.hosts
    with ends.serve(here, masep, *options) as (engine, address), ends.join(there, masep, address, *options) as joined:
        engine.expect("connected")
        joined.expect("connected")
        one, other = End(engine, ends.INTERFACE), End(joined)
        exchange(seed, 20, one, other)
        noticed = pull(there, limits, one, other)
        # A peer that ended so costs nobody else anything: its place and its id are free.
        there.put_cable_back()
        with ends.join(there, masep, address, *options) as again:
            again.expect("connected")
            engine.expect("connected")
    note(f"cable pulled, {limits}", "masep, masep", counts=lan.counts(), noticed=noticed)


@pytest.mark.parametrize("limits", LIMITS)
def test_an_engine_notices_that_a_real_client_is_gone(
    limits: str, network: Network, masep: Masep, note: Note
) -> None:
    lan = network()
    options, _ = LIMITS[limits]
    here, there = lan.hosts
    with ends.serve(here, masep, *options) as (engine, address), ends.real_client(there, masep, address) as real:
        engine.expect("connected")
        side = End(engine, ends.INTERFACE)
        introduce(End(real, None, "frame"), side)
        noticed = pull(there, limits, side)
    note(f"cable pulled, {limits}", "masep, pymasep", counts=lan.counts(), noticed=noticed)


@pytest.mark.parametrize("limits", LIMITS)
def test_an_interface_notices_that_a_real_server_is_gone(
    limits: str, network: Network, masep: Masep, note: Note
) -> None:
    lan = network()
    options, _ = LIMITS[limits]
    here, there = lan.hosts
    with ends.real_server(here, masep) as (real, address), ends.join(there, masep, address, *options) as joined:
        joined.expect("connected")
        real.expect("handler_started")
        side = End(joined)
        introduce(End(real, ends.INTERFACE, "frame"), side)
        noticed = pull(here, limits, side)
    note(f"cable pulled, {limits}", "pymasep, masep", counts=lan.counts(), noticed=noticed)


@pytest.mark.parametrize(
    ("between", "there", "back"),
    [
        pytest.param(ends.masep_and_masep, Way(), Way(), id="masep, masep"),
        pytest.param(ends.masep_and_masep_of_protocol_2, Way(200_000), Way(200_000), id="masep, masep by protocol 2"),
        pytest.param(ends.masep_and_pymasep, Way(1000, 1), Way(), id="masep, pymasep"),
        pytest.param(ends.pymasep_and_masep, Way(), Way(1000, 1), id="pymasep, masep"),
    ],
)
def test_a_cable_put_back_in_time_loses_nothing(
    between: ends.Between, there: Way, back: Way, network: Network, masep: Masep, seed: str, note: Note
) -> None:
    lan = network()
    host = lan.hosts[1]
    with between(lan, masep) as (engine, interface), ThreadPoolExecutor() as pool:
        if between is ends.masep_and_pymasep:
            introduce(interface, engine)
        elif between is ends.pymasep_and_masep:
            introduce(engine, interface)
        host.pull_cable(after=40)
        sending = pool.submit(exchange, seed, 300, engine, interface, there, back)
        deadline = time.monotonic() + PATIENCE
        # Lost packets are sent again by the kernels, later and later.
        while lan.counts()["cut"] < 6:
            assert not wait([sending], 0.05).done and time.monotonic() < deadline, "the cable was never missed"
        host.put_cable_back()
        arrived = sending.result()
    note("cable put back", between.__name__.replace("_and_", ", "), counts=lan.counts(), sent=600, arrived=arrived)
