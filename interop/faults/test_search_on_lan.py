"""The LAN search between hosts, and while an address of theirs comes and goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from faults import peers_of_lan as ends
from faults import packets
from faults.network import DEVICE, Host, Lan
from masep import Masep
from peers import Peer, python

Note = Callable[..., None]
Network = Callable[..., Lan]

#: Searches of a second each: a host whose address came back need not be heard at once.
TRIES = 8


@contextmanager
def searching(host: Host, masep: Masep, seconds: int) -> Iterator[Peer]:
    """`masep discover` on a host."""
    with ExitStack() as stack:
        with host.entered():
            peer = stack.enter_context(masep.run("discover", "--json", "--timeout", f"{seconds}s"))
        yield peer


def found(host: Host, masep: Masep) -> set[str]:
    """The addresses that one search finds."""
    with searching(host, masep, 1) as search:
        return {answer["address"] for answer in search.events()}


def finds(host: Host, masep: Masep, address: str) -> bool:
    """True if one of some searches finds this address."""
    return any(address in found(host, masep) for _ in range(TRIES))


def test_two_hosts_find_each_other(network: Network, masep: Masep, note: Note) -> None:
    lan = network()
    one, two = lan.hosts
    with ends.serve(one, masep, "--announce") as (_, first), ends.serve(two, masep, "--announce") as (_, second):
        assert finds(one, masep, second)
        assert finds(two, masep, first)
    note("search on a LAN", "masep, masep", counts=lan.counts())


def test_a_real_client_finds_a_server_on_another_host(network: Network, masep: Masep, note: Note) -> None:
    lan = network()
    one, two = lan.hosts
    with ends.serve(one, masep, "--announce") as (engine, address), ExitStack() as stack:
        with two.entered():
            client = stack.enter_context(python("programs.client", "--id", "seeker", cwd=masep.directory))
        assert client.expect("found")["port"] == int(address.rpartition(":")[2])
        assert engine.expect("connected")["peer"] == "seeker"
    note("search on a LAN", "masep, pymasep", counts=lan.counts())


def test_a_real_server_on_another_host_is_found(network: Network, masep: Masep, note: Note) -> None:
    lan = network()
    one, two = lan.hosts
    with ends.real_server(one, masep, "--announce") as (_, address):
        assert finds(two, masep, address)
    note("search on a LAN", "pymasep, masep", counts=lan.counts())


def test_an_address_that_goes_while_all_search_and_announce_harms_nobody(
    network: Network, masep: Masep, note: Note
) -> None:
    lan = network()
    one, two = lan.hosts
    address = f"{packets.address(two.number)}/24 dev {DEVICE}"
    with ends.serve(one, masep, "--announce") as (_, far), ends.serve(two, masep, "--announce") as (near, local):
        port = local.rpartition(":")[2]
        assert finds(two, masep, far)
        with searching(two, masep, 3) as search:
            # It has begun, and goes on for the rest of its time.
            search.expect(lambda answer: "address" in answer)
            two.ip(f"address del {address}")
            assert search.wait() == 0
        # The other interface, loopback, is searched as before; nothing of the LAN is heard.
        seen = found(two, masep)
        assert any(where.endswith(f":{port}") for where in seen), seen
        assert far not in seen and near.is_running()
        two.ip(f"address add {address}")
        assert finds(two, masep, far), "the search does not come back"
        assert finds(one, masep, local), "the announcement does not come back"
    note("address gone and back", "masep, masep", counts=lan.counts())
