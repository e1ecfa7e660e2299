"""`masep.discover()`, and who answers it; masep's own servers, and who finds them.

A stranger's server may answer too: a test asks for its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

import masep
import masep.aio
import peers
import pytest
import search_port
from soon import SOON, joins


#: Searches that may be lost in what strangers send, before a test fails.
TRIES = 5


@pytest.fixture(autouse=True)
def search_turn():
    with search_port.turn():
        yield


def found(port, search=lambda: masep.discover(1.0)):
    """The address at which a server with this port was found."""
    for _ in range(TRIES):
        for host, found_port in search():
            if found_port == port:
                return f"{host}:{port}"
    return None


@pytest.fixture
def real(tmp_path):
    """A real pymasep server that announces itself; its process and its port."""
    start = lambda: peers.python("programs.server", "--id", "real", "--announce", cwd=tmp_path)  # noqa: E731
    with search_port.started_alone(start) as server:
        yield server, server.expect("ready")["port"]


def test_a_server_of_masep_is_found_and_connected_to():
    with masep.Server("engine", "0.0.0.0:0", announce=True) as server:
        address = found(server.address[1])
        assert address is not None
        with masep.connect(address, id="agent") as agent:
            assert agent.peer == "engine"
            agent.send(b"hi")
            assert server.accept(SOON).recv(SOON) == b"hi"


def test_a_table_tells_its_game_and_its_free_seats():
    with masep.Table("a.Game", ["red", "blue"], "0.0.0.0:0", id="host", announce=True) as host:
        with masep.join(host.target, id="p", game="a.Game") as player:
            joins(player)

            def own(search):
                for _ in range(TRIES):
                    for server in search():
                        if server.port == host.address[1]:
                            return server
                return None

            for search in (lambda: masep.search(1.0), lambda: asyncio.run(masep.aio.search(1.0))):
                server = own(search)
                assert (server.id, server.game, server.seats, server.free) == ("host", "a.Game", 2, 1)
                assert (server.host, server.port) in masep.discover(1.0)


def test_a_server_is_found_in_asyncio():
    def search():
        return asyncio.run(masep.aio.discover(1.0))

    async def main():
        async with masep.aio.Server("engine", "0.0.0.0:0", announce=True) as server:
            return await asyncio.to_thread(found, server.address[1], search)

    assert asyncio.run(main()) is not None


def test_two_servers_are_found_at_once():
    with (
        masep.Server("one", "0.0.0.0:0", announce=True) as one,
        masep.Server("two", "0.0.0.0:0", announce=True) as two,
    ):
        ports = {one.address[1], two.address[1]}
        for _ in range(TRIES):
            if ports <= {port for _, port in masep.discover(1.0)}:
                return
        pytest.fail("the two servers were never found by one search")


def test_who_does_not_announce_itself_is_not_found():
    with masep.Server("engine", "0.0.0.0:0") as server:
        assert server.address[1] not in {port for _, port in masep.discover(0.5)}
    with masep.Server("engine", "0.0.0.0:0", announce=True) as server:
        assert found(server.address[1])
    assert server.address[1] not in {port for _, port in masep.discover(0.5)}


def test_a_real_server_is_found_and_connected_to(real):
    server, port = real
    address = found(port)
    assert address is not None
    with masep.connect(address, id="agent") as agent:
        assert agent.peer == "real"
        # pymasep answers before it registers: only then it can send.
        server.expect("handler_started")
        agent.send(b"question")
        assert bytes.fromhex(server.expect("frame")["hex"]) == b"question"
        server.send({"to": "agent", "frame": b"answer".hex()})
        assert agent.recv(SOON) == b"answer"
    assert server.expect("handler_ended")["empty_frames"] == 0


def test_a_client_of_the_drop_in_finds_a_real_server(real, tmp_path):
    import queue

    from masep.communication import Client, Frame, SocketHandlerQueue

    server, port = real
    for _ in range(TRIES):
        client = Client("agent", SocketHandlerQueue, (queue.Queue(),))
        client.connect()
        client.send_frame_to(client.server_id, Frame(b"hi"))
        client.send_frame_to(client.server_id, Frame.bye_frame())
        client.get_connection(client.server_id).join(SOON)
        if client.port == port:
            break
    assert client.server_id == "real"
    assert bytes.fromhex(server.expect("frame")["hex"]) == b"hi"


def answers(forged, real):
    """Answers the search: at once with one address, and with the other one when it is asked again."""
    group = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    group.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    group.bind(("", 10_000))
    everywhere = socket.inet_aton("224.3.29.71") + socket.inet_aton("127.0.0.1")
    group.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, everywhere)
    asked = set()

    def answer():
        while True:
            try:
                _, asker = group.recvfrom(64)
            except OSError:
                return
            address = real if asker in asked else forged
            asked.add(asker)
            with contextlib.suppress(OSError):
                group.sendto("{}:{}".format(*address).encode(), asker)

    threading.Thread(target=answer, daemon=True).start()
    return group


@pytest.mark.parametrize("forgery", ["silent", "refuses", "garbage"])
def test_a_client_of_the_drop_in_gets_past_an_answer_that_is_no_server(forgery):
    import queue

    from masep.communication import Client, SocketHandlerQueue

    with socket.socket() as forger, masep.Server("engine", "127.0.0.1:0") as server:
        forger.bind(("127.0.0.1", 0))
        forged = forger.getsockname()
        # One that is bound, and does not listen, refuses: nobody else gets its port.
        if forgery != "refuses":
            forger.listen()
        if forgery == "garbage":

            def garble():
                with contextlib.suppress(OSError):
                    while True:
                        with forger.accept()[0] as peer:
                            peer.sendall(b"\x02\x00\xff\xfe")

            threading.Thread(target=garble, daemon=True).start()
        group = answers(forged, server.address)
        try:
            for _ in range(TRIES):
                client = Client("agent", SocketHandlerQueue, (queue.Queue(),))
                client.connect()
                if client.port == server.address[1]:
                    break
            assert client.server_id == "engine"
            assert (client.host, client.port) == server.address
        finally:
            group.close()


def test_a_real_client_finds_a_server_of_masep(tmp_path):
    with masep.Server("engine", "0.0.0.0:0", announce=True) as server:
        for _ in range(TRIES):
            with peers.python("programs.client", "--id", "seeker", cwd=tmp_path) as client:
                if client.expect("found")["port"] != server.address[1]:
                    continue
                assert client.expect("connected")["server_id"] == "engine"
                seeker = server.accept(SOON)
                assert seeker.peer == "seeker"
                client.send({"frame": b"hi".hex()})
                assert seeker.recv(SOON) == b"hi"
                seeker.send(b"hi back")
                assert bytes.fromhex(client.expect("frame")["hex"]) == b"hi back"
                client.send({"bye": True})
                assert seeker.recv(SOON) is None
                return
        pytest.fail("the real client never found the server")
