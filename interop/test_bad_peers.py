"""Peers that hang, break or lie, at a masep server; beside each, a real pymasep client that must not notice."""

from __future__ import annotations

import socket

import pytest

import wire
from masep import Masep
from real import IDLE, client, ended_in_order, of_peer, served


def test_silent_clients_block_nobody(masep: Masep) -> None:
    """One of them is enough to shut a pymasep server for everybody."""
    with masep.serve() as (host, port):
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        with client(masep, port) as real:
            served(host, real)
        for sock in silent:
            sock.close()


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_port_scan_changes_nothing(masep: Masep, how: str) -> None:
    """It kills the accept thread of a pymasep server: no new client ever."""
    with masep.serve() as (host, port):
        for _ in range(5):
            scan = wire.Wire(socket.create_connection(("127.0.0.1", port)))
            scan.socket.close() if how == "close" else scan.reset()
            assert host.expect("rejected")["reason"] == "closed_before_hello"
        with client(masep, port) as real:
            served(host, real)


def test_a_hello_that_is_no_text_is_refused(masep: Masep) -> None:
    """It kills the accept thread of a pymasep server too."""
    with masep.serve() as (host, port):
        with wire.connected(port, None) as bad:
            bad.send(b"\xff\xfe")
            assert host.expect("rejected")["reason"] == "bad_hello"
            assert wire.BYE in list(bad.frames()), "a refused peer is told, or a pymasep one would spin"
        with client(masep, port) as real:
            served(host, real)


def test_a_client_that_closes_without_bye_is_one_event_and_no_work(masep: Masep) -> None:
    """A pymasep server spins on it at 100 % of a core until it ends."""
    with masep.serve() as (host, port), client(masep, port) as real:
        with wire.connected(port, b"rude") as rude:
            assert of_peer(host, "rude")["event"] == "connected"
            rude.send(b"last words")
            assert of_peer(host, "rude")["event"] == "frame"
        closed = of_peer(host, "rude")
        assert closed["event"] == "closed" and closed["reason"] == "end_of_stream"
        before = host.cpu_seconds()
        assert host.silent_for(1.0) == []
        assert host.cpu_seconds() - before < IDLE
        served(host, real)


def test_a_real_client_that_closes_without_bye_is_known(masep: Masep) -> None:
    with masep.serve() as (host, port), client(masep, port, "rude") as real:
        assert of_peer(host, "rude")["event"] == "connected"
        real.signal(9)
        closed = of_peer(host, "rude")
        assert closed["event"] == "closed" and closed["reason"] in ("end_of_stream", "reset")


def test_a_reset_is_known_as_such(masep: Masep) -> None:
    """A pymasep server tells nobody."""
    with masep.serve() as (host, port):
        with wire.connected(port, b"rude") as rude:
            assert of_peer(host, "rude")["event"] == "connected"
            rude.reset()
            closed = of_peer(host, "rude")
            assert closed["event"] == "closed" and closed["reason"] == "reset"


def test_a_client_that_closes_within_a_frame_gives_no_frame(masep: Masep) -> None:
    """A pymasep server hands the half on as a whole frame."""
    with masep.serve() as (host, port):
        with wire.connected(port, b"torn") as torn:
            assert of_peer(host, "torn")["event"] == "connected"
            torn.socket.sendall(wire.frame(b"only the half of this arrives")[:15])
        closed = of_peer(host, "torn")
        assert closed["event"] == "closed" and closed["reason"] == "end_of_stream"


def test_a_second_client_with_the_same_id_is_refused_while_the_first_lives(masep: Masep) -> None:
    """A pymasep server gives the first one's frames to the second."""
    with masep.serve() as (host, port), client(masep, port) as first:
        served(host, first)
        with client(masep, port) as second:
            assert host.expect("rejected")["reason"] == "duplicate_id"
            ended_in_order(second)
            second.close_stdin()
            assert second.wait() == 0
        served(host, first)
        first.send({"bye": True})
        assert host.expect("closed")["reason"] == "peer_bye"
        with client(masep, port) as third:
            served(host, third)


def test_a_message_with_anothers_name_is_seen_as_such(masep: Masep) -> None:
    """A pymasep engine takes the action for the other's."""
    with (
        masep.serve() as (host, port),
        client(masep, port, "mallory") as real,
        client(masep, port, "alice"),
    ):
        real.send({"frame": b'<Message msg_type="action" src_sub_app="alice" />'.hex()})
        event = host.expect("message")
        assert event["peer"] == "mallory"
        assert event["message"]["src_sub_app"] == "alice"


def test_what_is_no_message_is_a_frame_and_harms_nobody(masep: Masep) -> None:
    """Each of these kills a pymasep engine's thread."""
    garbage = [
        b"",
        b"not xml",
        b"<Message",
        b"<Message />",
        b"\xff\xfe\x00",
        b"<a>" * 9000,
        b"<!DOCTYPE a><a/>",
    ]
    with (
        masep.serve() as (host, port),
        client(masep, port) as real,
        wire.connected(port, b"wild") as wild,
    ):
        assert of_peer(host, "wild")["event"] == "connected"
        for body in garbage:
            wild.send(body)
            event = of_peer(host, "wild")
            assert event["event"] == "frame" and bytes.fromhex(event["bytes_hex"]) == body
        served(host, real)
