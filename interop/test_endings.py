"""The ends of connections with real pymasep peers: nobody hangs, nobody spins, everybody knows why.

A pymasep handler that reads the end of a stream without a BYE before it spins for ever, at 100 % of a core.
Its thread ends in good order only after a BYE: that is what these tests wait for.
"""

from __future__ import annotations

import signal

import pytest

import real
import wire
from masep import Masep
from peers import python
from real import client, ended_in_order


def test_the_bye_of_a_masep_server_ends_a_real_client(masep: Masep) -> None:
    with masep.serve() as (host, port), client(masep, port, "c") as peer:
        host.send({"to": "c", "bytes_hex": b"last".hex()})
        host.send({"to": "c", "bye": True})
        assert bytes.fromhex(peer.expect("frame")["hex"]) == b"last"
        ended_in_order(peer)
        assert host.expect("closed")["reason"] == "local_bye"
        peer.close_stdin()
        assert peer.wait() == 0


def test_the_bye_of_a_real_client_ends_and_closes_the_connection(masep: Masep) -> None:
    """A pymasep server keeps the socket for as long as it lives, and the id registered."""
    with masep.serve() as (host, port), client(masep, port, "c") as peer:
        peer.send({"bye": True})
        assert host.expect("closed")["reason"] == "peer_bye"
        ended_in_order(peer)
        host.send({"to": "c", "bytes_hex": "00"})
        assert host.expect("error")
        with client(masep, port, "c"):
            assert host.expect("connected") is not None
            assert host.expect("connected")["peer"] == "c"


def test_after_a_peers_bye_the_socket_is_closed(masep: Masep) -> None:
    with masep.serve() as (_, port), wire.connected(port, b"c") as gone:
        gone.send(wire.BYE)
        assert list(gone.frames()) in ([], [wire.BYE])


def test_the_bye_of_a_masep_player_ends_a_real_servers_handler(masep: Masep) -> None:
    with real.server(masep) as (server, player):
        player.send({"bye": True})
        ended_in_order(server)
        assert player.expect("closed")["reason"] == "local_bye"
        assert player.wait() == 0


def test_the_bye_of_a_real_server_ends_a_masep_player(masep: Masep) -> None:
    with real.server(masep) as (server, player):
        server.send({"to": "player", "frame": b"last".hex()})
        server.send({"to": "player", "bye": True})
        assert bytes.fromhex(player.expect("frame")["bytes_hex"]) == b"last"
        assert player.expect("closed")["reason"] == "peer_bye"
        assert player.wait() == 0
        ended_in_order(server)


def test_a_server_that_closes_without_bye_ends_a_masep_player(masep: Masep) -> None:
    """A pymasep client spins on it; masep says what happened and ends with an exit code that tells it."""
    with (
        wire.listening() as listener,
        masep.run("join", f"pymasep://127.0.0.1:{listener.port}", "--id", "x") as player,
    ):
        with listener.accepted():
            player.expect("connected")
        assert player.expect("closed")["reason"] == "end_of_stream"
        assert player.wait() != 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_masep_server_ends_its_real_clients(masep: Masep, number: int) -> None:
    with (
        masep.serve() as (host, port),
        client(masep, port, "a") as a,
        client(masep, port, "b") as b,
    ):
        host.send({"to": "*", "bytes_hex": b"last".hex()})
        for peer in (a, b):
            assert bytes.fromhex(peer.expect("frame")["hex"]) == b"last"
        host.signal(number)
        for peer in (a, b):
            ended_in_order(peer)
            peer.close_stdin()
            assert peer.wait() == 0
        assert [event["reason"] for event in host.events() if event["event"] == "closed"] == ["shutdown"] * 2
        host.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_masep_player_ends_a_real_servers_handler(masep: Masep, number: int) -> None:
    with real.server(masep) as (server, player):
        player.signal(number)
        ended_in_order(server)
        player.wait()


def test_a_client_above_the_limit_is_refused_and_does_not_spin(masep: Masep) -> None:
    """It is told before it has spoken, so its connect() may fail instead: that is an end too."""
    with (
        masep.serve("--max-connections", "1") as (host, port),
        client(masep, port, "first") as first,
    ):
        with python("programs.client", "--id", "second", "--port", str(port), cwd=masep.directory) as second:
            assert host.expect("rejected")["reason"] == "too_many_connections"
            second.close_stdin()
            ends = [event for event in second.events() if event["event"] == "handler_ended"]
            assert all(end["empty_frames"] == 0 for end in ends)
            second.wait()
        real.served(host, first, "first")


def test_a_replaced_client_is_told_and_does_not_spin(masep: Masep) -> None:
    """A pymasep server forgets the first one, which waits for ever."""
    with masep.serve("--replace") as (host, port), client(masep, port) as first:
        real.served(host, first)
        with client(masep, port) as second:
            assert host.expect("closed")["reason"] == "replaced"
            ended_in_order(first)
            real.served(host, second)


def test_the_end_of_stdin_does_not_stop_a_masep_server(masep: Masep) -> None:
    with masep.serve() as (host, port):
        host.close_stdin()
        with client(masep, port, "late") as peer:
            assert host.expect("connected")["peer"] == "late"
            peer.send({"bye": True})
            assert host.expect("closed")["reason"] == "peer_bye"
        host.signal(signal.SIGTERM)
        host.wait()
