"""Thousands of frames of all sizes over links that lose, delay, reorder and double what they carry."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from faults import peers_of_lan as ends
from faults.network import Lan
from faults.traffic import Way, exchange, introduce
from masep import Masep

LINKS: dict[str, dict[str, Any]] = {
    "1 % loss": {"loss": 0.01},
    "100 ms delay": {"delay": 0.1},
    "1 % loss, 100 ms delay": {"loss": 0.01, "delay": 0.1},
    "2 ms, up to 20 ms more, out of order": {"delay": 0.002, "jitter": 0.02},
    "10 % doubled": {"duplicate": 0.1, "delay": 0.001},
    "20 Mbit/s, MTU 576": {"rate": 20e6, "mtu": 576, "delay": 0.005},
    "all of it": {"rate": 20e6, "mtu": 576, "loss": 0.01, "duplicate": 0.01, "delay": 0.02, "jitter": 0.005},
}


Note = Callable[..., None]
Network = Callable[..., Lan]


def to_pymasep(link: dict[str, Any]) -> Way:
    """The bounds within which a pymasep peer can take frames over any link.

    Each frame fits into one segment, whatever TCP puts in front of it. So many at once do not fill the peer's
    window. Its reader takes the first piece of a frame that comes in several for the whole. (80 bytes are
    the most that IP and TCP need, 2 the frame's own header.)
    """
    return Way(largest=link.get("mtu", 1500) - 80 - 2, ahead=32)


#: More than a frame of pymasep's protocol can have.
LARGE = Way(largest=200_000)


@pytest.mark.parametrize("fault", LINKS)
def test_between_masep_ends(fault: str, network: Network, masep: Masep, seed: str, frames: int, note: Note) -> None:
    lan = network(**LINKS[fault])
    with ends.masep_and_masep(lan, masep) as (engine, interface):
        arrived = exchange(seed, frames, engine, interface)
    note(fault, "masep, masep", counts=lan.counts(), sent=2 * frames, arrived=arrived)


@pytest.mark.parametrize("fault", LINKS)
def test_between_masep_ends_of_protocol_2(
    fault: str, network: Network, masep: Masep, seed: str, frames: int, note: Note
) -> None:
    lan = network(**LINKS[fault])
    with ends.masep_and_masep_of_protocol_2(lan, masep) as (engine, interface):
        arrived = exchange(seed, frames, engine, interface, there=LARGE, back=LARGE)
    note(fault, "masep, masep by protocol 2", counts=lan.counts(), sent=2 * frames, arrived=arrived)


@pytest.mark.parametrize("fault", LINKS)
def test_a_real_client_of_a_masep_engine(
    fault: str, network: Network, masep: Masep, seed: str, frames: int, note: Note
) -> None:
    lan = network(**LINKS[fault])
    with ends.masep_and_pymasep(lan, masep) as (engine, interface):
        introduce(interface, engine)
        arrived = exchange(seed, frames, engine, interface, there=to_pymasep(LINKS[fault]))
    note(fault, "masep, pymasep", counts=lan.counts(), sent=2 * frames, arrived=arrived)


def test_a_real_client_of_a_masep_engine_that_stands_still_now_and_then(
    network: Network, masep: Masep, seed: str, frames: int, note: Note
) -> None:
    fault = "10 % doubled"
    lan = network(**LINKS[fault])
    with ends.masep_and_pymasep(lan, masep) as (engine, interface), standing_still(engine.program.pid):
        introduce(interface, engine)
        arrived = exchange(seed, frames, engine, interface, there=to_pymasep(LINKS[fault]))
    note(f"{fault}, the engine stands still", "masep, pymasep", counts=lan.counts(), sent=2 * frames, arrived=arrived)


@contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """A process is stopped for longer than its peer's timers take, again and again."""
    over = threading.Event()

    def stop_and_go() -> None:
        while not over.wait(0.15):
            os.kill(pid, signal.SIGSTOP)
            over.wait(0.5)
            os.kill(pid, signal.SIGCONT)

    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(stop_and_go)
        try:
            yield
        finally:
            over.set()
            job.result()


@pytest.mark.parametrize("fault", LINKS)
def test_a_masep_interface_of_a_real_server(
    fault: str, network: Network, masep: Masep, seed: str, frames: int, note: Note
) -> None:
    lan = network(**LINKS[fault])
    with ends.pymasep_and_masep(lan, masep) as (engine, interface):
        introduce(engine, interface)
        arrived = exchange(seed, frames, engine, interface, back=to_pymasep(LINKS[fault]))
    note(fault, "pymasep, masep", counts=lan.counts(), sent=2 * frames, arrived=arrived)
