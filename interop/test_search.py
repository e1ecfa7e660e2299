"""The LAN search between masep and the real pymasep, over the real multicast group."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

import pytest

import peers
import search_port
from lanterns import session
from masep import Masep, port_of

pytestmark = pytest.mark.usefixtures("search_turn")

#: Tries of a search: strangers on this machine may answer it too, or keep the group busy.
TRIES = 5


def test_a_real_client_finds_a_masep_server(masep: Masep) -> None:
    with masep.serve("--announce", address="0.0.0.0:0") as (host, port):
        for _ in range(TRIES):
            with peers.python("programs.client", "--id", "seeker", cwd=masep.directory) as client:
                if client.expect("found")["port"] != port:
                    continue
                assert client.expect("connected")["server_id"] == session.ENGINE
                assert host.expect("connected")["peer"] == "seeker"
                host.send({"to": "seeker", "bytes_hex": "6869"})
                assert client.expect("frame")["hex"] == "6869"
                client.send({"bye": True})
                assert host.expect("closed")["reason"] == "peer_bye"
                return
        pytest.fail(f"the real client never found port {port}")


def test_a_real_interface_that_searches_joins_a_masep_server(masep: Masep) -> None:
    """The whole of pymasep's interface, as a player starts it who knows no address."""
    with masep.serve("--announce", address="0.0.0.0:0") as (host, _):
        with session.interface("looker", None, masep.directory) as player:
            assert player.expect("connected")["server_id"] == session.ENGINE
            assert host.expect("message")["message"]["msg_type"] == "define"
            assert host.expect("message")["message"]["msg_type"] == "register"
            host.send({"to": "looker", "bytes_hex": session.opening().hex()})
            host.send({"to": "looker", "message": {"msg_type": "end", "params": None}})
            assert player.expect("ended") and player.wait() == 0


def test_two_masep_servers_announce_at_once_where_two_pymasep_servers_cannot(masep: Masep) -> None:
    with ExitStack() as stack:
        ports = {
            stack.enter_context(masep.serve("--announce", address="0.0.0.0:0", ident=ident))[1]
            for ident in ("one", "two")
        }
        for _ in range(TRIES):
            if ports <= found(masep):
                return
        pytest.fail(f"a search never found both of {ports}")


def found(masep: Masep) -> set[int]:
    """The ports that `masep discover --json` prints."""
    with masep.run("discover", "--json", "--timeout", "1s") as search:
        return {port_of(answer["address"]) for answer in search.events()}


def test_masep_discover_finds_a_real_server(masep: Masep) -> None:
    start = partial(peers.python, "programs.server", "--id", "real", "--announce", cwd=masep.directory)
    with search_port.started_alone(start) as server:
        port = server.expect("ready")["port"]
        for _ in range(TRIES):
            if port in found(masep):
                return
        pytest.fail(f"masep discover never found port {port}")


def test_masep_join_discovers_a_real_server(masep: Masep) -> None:
    start = partial(peers.python, "programs.server", "--id", "real", "--announce", cwd=masep.directory)
    with search_port.started_alone(start) as server:
        server.expect("ready")
        for _ in range(TRIES):
            with masep.run("join", "--discover", "--id", "seeker") as player:
                if player.next().get("peer") != "real":
                    continue
                player.send({"bytes_hex": "6869"})
                assert server.expect("frame")["hex"] == "6869"
                server.send({"to": "seeker", "frame": "796f"})
                assert player.expect("frame")["bytes_hex"] == "796f"
                player.send({"bye": True})
                assert server.expect("handler_ended")["empty_frames"] == 0
                assert player.wait() == 0
                return
        pytest.fail("masep join --discover never joined the real server")
