"""The connections of a server, and frames to all of them."""

from __future__ import annotations

import asyncio
import gc
import re
from dataclasses import fields
from pathlib import Path

import masep
import masep.aio
import numpy as np
import pytest
from masep import Message
from soon import SOON

ROOT = Path(__file__).resolve().parents[3]


def joined(server, id, protocol):
    client = masep.connect(server.target, id=id, protocol=protocol)
    host = server.accept(SOON)
    assert host.peer == id
    return client, host


def test_a_server_knows_its_connections_by_id_each_as_one_object():
    with masep.Server("engine", "127.0.0.1:0") as server:
        assert server.connections == []
        old, old_host = joined(server, "old", 1)
        new, new_host = joined(server, "new", 2)
        assert {id(one) for one in server.connections} == {id(old_host), id(new_host)}
        assert server.connection("new") is new_host
        assert server.connection("nobody") is None
        # One that nobody has accepted yet.
        waits = masep.connect(server.target, id="waits", protocol=2)
        while (found := server.connection("waits")) is None:
            pass
        assert server.accept(SOON) is found
        new.close()
        assert new_host.recv(SOON) is None
        assert server.connection("new") is None
        # Nobody keeps this one any more.
        del found
        gc.collect()
        assert waits.recv(SOON) is None
        assert server.connections == [old_host]
        old.close()


def test_a_message_reaches_all_and_is_what_it_was_when_it_was_sent():
    with masep.Server("engine", "127.0.0.1:0") as server:
        peers = [joined(server, f"{protocol}-{number}", protocol) for protocol in (1, 2) for number in range(2)]
        message = Message("observation", {"n": [1, "two"], "x": None}, "engine")
        assert server.broadcast(message) == 4
        for client, _ in peers:
            assert client.recv_message(SOON) == message
        received = peers[0][0]
        peers[0][1].send(message)
        assert server.broadcast(received.recv_message(SOON), "newest") == 4
        assert server.broadcast(b"bytes") == 4
        for client, _ in peers:
            assert client.recv_message(SOON) == message
            assert client.recv(SOON) == b"bytes"
        for client, _ in peers:
            client.close()


def test_peers_that_cannot_be_sent_it_are_named_and_the_others_have_it():
    array = np.arange(60_000, dtype=np.float32).reshape(3, -1)
    with masep.Server("engine", "127.0.0.1:0") as server:
        news = [joined(server, f"new-{number}", 2) for number in range(2)]
        olds = [joined(server, f"old-{number}", 1) for number in range(2)]
        message = Message("observation", {"camera": array}, "engine")
        with pytest.raises(masep.UndeliveredError, match="2 of 4 peers") as raised:
            server.broadcast(message)
        assert raised.value.sent == 2
        assert sorted(raised.value.peers) == ["old-0", "old-1"]
        assert all(type(error) is masep.UnsupportedError for error in raised.value.peers.values())
        for client, host in news:
            got = client.recv_message(SOON).params["camera"]
            assert np.array_equal(got, array) and got.flags.writeable
            client.close()
            assert host.recv(SOON) is None
        with pytest.raises(masep.UnsupportedError):
            server.broadcast(message)
        with pytest.raises(masep.LimitError):
            server.broadcast(bytes(70_000))
        for client, _ in olds:
            client.close()
    with pytest.raises(masep.CallerError):
        server.broadcast(Message("x", {"o": object()}, "engine"))
    assert server.broadcast(message) == 0


def test_one_that_takes_nothing_holds_up_nobody_else():
    body = bytes(60_000)
    with masep.Server("engine", "127.0.0.1:0") as server:
        slow, _slow_host = joined(server, "slow", 1)
        quick, _quick_host = joined(server, "quick", 1)
        for number in range(400):
            assert server.broadcast(number.to_bytes(4) + body, "newest") == 2
            assert quick.recv(SOON)[:4] == number.to_bytes(4)
        seen = []
        while not seen or seen[-1] < 399:
            seen.append(int.from_bytes(slow.recv(SOON)[:4]))
        assert seen == sorted(set(seen)) and len(seen) < 400
        for client in (slow, quick):
            client.close()


def test_all_of_it_in_asyncio():
    array = np.zeros(3_000_000, np.uint8)

    async def play():
        async with masep.aio.Server("engine", "127.0.0.1:0") as server:
            clients = [await masep.aio.connect(server.target, id=f"c{number}", protocol=2) for number in range(3)]
            hosts = [await server.accept() for _ in clients]
            assert {id(one) for one in server.connections} == set(map(id, hosts))
            assert server.connection(hosts[0].peer) is hosts[0]
            old = await masep.aio.connect(server.target, id="old", protocol=1)
            hosts.append(await server.accept())
            assert hosts[-1].protocol == 1
            message = Message("observation", {"camera": array}, "engine")
            # More than the sockets take at once: the loop reads meanwhile.
            sending = asyncio.ensure_future(server.broadcast(message))
            for client in clients:
                assert (await client.recv_message()).params["camera"].nbytes == array.nbytes
            with pytest.raises(masep.UndeliveredError) as raised:
                await sending
            assert (raised.value.sent, list(raised.value.peers)) == (3, ["old"])
            assert await server.broadcast(b"last", "newest") == 4
            for client in [*clients, old]:
                assert await client.recv() == b"last"
                await client.close()

    asyncio.run(asyncio.wait_for(play(), SOON))


def test_a_host_that_does_not_decide_in_its_time_has_refused():
    bounds = masep.ServerLimits(decision_time=0.05)
    with masep.Server("engine", "127.0.0.1:0", server_limits=bounds, ask=True) as server:
        with pytest.raises(masep.RejectedError) as raised:
            masep.connect(server.target, id="agent", protocol=2)
        assert raised.value.code == "undecided"


@pytest.mark.parametrize(
    ("bounds", "file"),
    [
        (masep.Limits, "crates/masep-proto/src/limits.rs"),
        (masep.ServerLimits, "crates/masep-proto/src/limits.rs"),
        (masep.SocketOptions, "crates/masep/src/socket_options.rs"),
    ],
)
def test_python_has_the_bounds_of_the_crates(bounds, file):
    """They are written once more for Python, where a new one is easily forgotten."""
    text = (ROOT / file).read_text(encoding="utf-8")
    _, _, rest = text.partition(f"pub struct {bounds.__name__} {{")
    body, _, _ = rest.partition("\n    }\n")
    theirs = re.findall(r"^        (\w+): [\w<>]+ = ", body, re.MULTILINE)
    assert theirs
    assert sorted(field.name for field in fields(bounds)) == sorted(theirs)
