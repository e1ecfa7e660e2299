"""Frames that are large, many, or cut into pieces; and those that are too large for the protocol."""

from __future__ import annotations

import hashlib

import pytest

import real
import wire
from masep import Masep
from peers import Peer
from real import client

LARGEST = 65_535


def numbered(number: int, size: int) -> bytes:
    """The body of the burst's frame `number`, as the real programs make it."""
    return number.to_bytes(4, "big") + bytes(size - 4)


@pytest.mark.parametrize("size", [1000, 16_000, LARGEST])
def test_a_burst_from_a_real_client_arrives_whole(masep: Masep, size: int) -> None:
    """A pymasep server loses step within such a burst: it reads a part of a frame as the whole."""
    with masep.serve() as (host, port), client(masep, port, "c") as peer:
        peer.send({"burst": [100, size]})
        for number in range(100):
            assert bytes.fromhex(host.expect("frame")["bytes_hex"]) == numbered(number, size)


@pytest.mark.parametrize("size", [1000, LARGEST])
def test_a_burst_from_a_real_server_arrives_whole(masep: Masep, size: int) -> None:
    with real.server(masep) as (server, player):
        server.send({"to": "player", "burst": [100, size]})
        for number in range(100):
            assert bytes.fromhex(player.expect("frame")["bytes_hex"]) == numbered(number, size)


def test_a_burst_to_a_slow_reader_arrives_whole(masep: Masep) -> None:
    # As much as masep's queue takes (4 MiB): what the system's buffers take beside it is its own affair, and a
    # peer whose queue stays full is ended.
    frames = 60
    with masep.serve() as (host, port), wire.connected(port, b"slow") as slow:
        for number in range(frames):
            host.send({"to": "slow", "bytes_hex": numbered(number, LARGEST).hex()})
        for number in range(frames):
            assert slow.receive() == numbered(number, LARGEST)


# No larger one: what a new socket takes at once ends at 47,616 bytes, and a segment of the loopback at 65,483. A
# client that is scheduled between two pieces reads the first one for the frame, whoever sent it.
@pytest.mark.parametrize("size", [1000, 20_000, 40_000])
def test_a_large_frame_reaches_a_real_client_whole(masep: Masep, size: int) -> None:
    """One at a time: a pymasep client cannot take a burst, whoever sends it."""
    with masep.serve() as (host, port), client(masep, port, "c") as peer:
        for number in range(20):
            body = numbered(number, size)
            host.send({"to": "c", "bytes_hex": body.hex()})
            got = peer.expect("frame")
            assert (got["size"], got["sha256"]) == (size, hashlib.sha256(body).hexdigest())


@pytest.mark.parametrize(("size", "piece"), [(5, 1), (300, 1), (3000, 7), (LARGEST, 1400), (LARGEST, 16_384)])
def test_a_frame_in_pieces_is_one_frame(masep: Masep, size: int, piece: int) -> None:
    """A pymasep server takes the first piece for the frame, and a split header for another length."""
    with masep.serve() as (host, port), wire.connected(port, b"pieces") as client:
        client.send_in_pieces(numbered(1, size), piece)
        client.send_in_pieces(numbered(2, size), piece)
        for number in (1, 2):
            assert bytes.fromhex(host.expect("frame")["bytes_hex"]) == numbered(number, size)


def test_a_header_in_two_pieces_with_a_pause_between_them(masep: Masep) -> None:
    with (
        masep.serve() as (host, port),
        wire.connected(port, b"pieces") as client,
        wire.connected(port, b"other") as other,
    ):
        client.socket.sendall(b"\x03")
        # The server has had time to see the first byte alone when it has answered somebody else.
        other.send(b"meanwhile")
        assert host.expect("frame")["peer"] == "other"
        client.socket.sendall(b"\x00ab")
        other.send(b"meanwhile")
        assert host.expect("frame")["peer"] == "other"
        client.socket.sendall(b"c")
        assert host.expect("frame")["bytes_hex"] == b"abc".hex()


def too_large(peer: Peer, line: dict) -> None:
    """Sends a frame one byte too large: an error that says how large it is and how large it may be."""
    peer.send(line)
    error = peer.expect("error")
    assert str(LARGEST) in str(error) and str(LARGEST + 1) in str(error), error


def test_a_frame_too_large_is_refused_and_the_connection_lives_on(masep: Masep) -> None:
    """pymasep's sending thread dies of it, and nobody is told."""
    body = bytes(LARGEST + 1).hex()
    with masep.serve() as (host, port), client(masep, port, "c") as peer:
        too_large(host, {"to": "c", "bytes_hex": body})
        host.send({"to": "c", "bytes_hex": b"still here".hex()})
        assert bytes.fromhex(peer.expect("frame")["hex"]) == b"still here"
    with real.server(masep) as (server, player):
        too_large(player, {"bytes_hex": body})
        player.send({"bytes_hex": b"still here".hex()})
        assert bytes.fromhex(server.expect("frame")["hex"]) == b"still here"


def test_a_message_too_large_is_refused_and_the_connection_lives_on(masep: Masep) -> None:
    with masep.serve() as (host, port), wire.connected(port, b"c") as client:
        host.send({"to": "c", "message": {"msg_type": "observation", "params": {"log": "é" * 20_000}}})
        assert str(LARGEST) in str(host.expect("error"))
        host.send({"to": "c", "bytes_hex": b"still here".hex()})
        assert client.receive() == b"still here"
