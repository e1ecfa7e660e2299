"""The bytes of an interface on the wire: masep's beside those of pymasep's own interface."""

from __future__ import annotations

from typing import Any

import pytest

import wire
from lanterns import session
from masep import Masep
from peers import Peer


def overheard(listener: wire.Listener) -> tuple[bytes, list[bytes]]:
    """Plays an engine whose game ends after one observation: the interface's hello, and its frames up to BYE."""
    with listener.accepted(session.ENGINE.encode()) as (peer, hello):
        said = [peer.receive(), peer.receive()]
        peer.send(session.opening())
        peer.send(b'<Message msg_type="end" src_sub_app="engine-&#233;" />')
        while said[-1] not in (wire.BYE, None):
            said.append(peer.receive())
        assert peer.receive() is None, "the interface closes after its BYE"
        return hello, said


@pytest.mark.parametrize("ident", session.INTERFACES)
def test_masep_introduces_itself_and_leaves_with_pymaseps_bytes(masep: Masep, ident: str) -> None:
    with wire.listening() as listener, session.interface(ident, listener.port, masep.directory):
        expected = overheard(listener)
    with wire.listening() as listener:
        role = session.INTERFACES[ident]
        with masep.run(
            "join",
            f"pymasep://127.0.0.1:{listener.port}",
            "--id",
            ident,
            "--role",
            role,
            "--game",
            session.GAME,
        ) as player:
            assert overheard(listener) == expected
            assert player.wait() == 0
    assert expected[1][0].startswith(b'<Message msg_type="define" ')


def says(player: Peer, line: Any, connection: wire.Wire) -> bytes | None:
    """The frame that a line makes `masep join` send."""
    player.send(line)
    return connection.receive()


def test_each_frame_goes_out_in_one_write(masep: Masep) -> None:
    """A real pymasep reads a header by one recv and the body by another: what comes apart is lost to it.

    Two writes are sometimes taken by one recv all the same, but not every time of so many.
    """
    with (
        wire.listening() as listener,
        masep.run("join", f"pymasep://127.0.0.1:{listener.port}", "--id", "x") as player,
    ):
        with listener.accepted() as (connection, _):
            player.expect("connected")
            for size in [1, 300, 7000, 20_000] * 10:
                player.send({"bytes_hex": b"z".hex() * size})
                assert connection.socket.recv(65_537) == wire.frame(b"z" * size)


def test_the_sender_of_a_message_is_the_interface_unless_said_otherwise(masep: Masep) -> None:
    with (
        wire.listening() as listener,
        masep.run("join", f"pymasep://127.0.0.1:{listener.port}", "--id", "é") as player,
    ):
        with listener.accepted() as (connection, hello):
            assert hello == "é".encode()
            player.expect("connected")
            assert (
                says(player, {"message": {"msg_type": "quit", "params": None}}, connection)
                == b'<Message msg_type="quit" src_sub_app="&#233;" />'
            )
            assert (
                says(
                    player,
                    {"message": {"msg_type": "quit", "src_sub_app": "z", "params": None}},
                    connection,
                )
                == b'<Message msg_type="quit" src_sub_app="z" />'
            )
            assert says(player, {"bytes_hex": "00ff"}, connection) == b"\x00\xff"
            assert says(player, {"bye": True}, connection) == wire.BYE
            assert connection.receive() is None
            assert player.expect("closed")["reason"] == "local_bye"
            assert player.wait() == 0
