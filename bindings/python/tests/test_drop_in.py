"""The classes of masep.communication, used as pymasep's are."""

from __future__ import annotations

import logging
import os
import queue
import socket
import threading

import masep
import pytest
from masep.communication import Client, Frame, Server, SocketHandler, SocketHandlerQueue
from soon import SOON


class Answering(SocketHandler):
    """As users of pymasep write them."""

    def __init__(self, conn, addr, logger, tag, received):
        self.tag = tag
        super().__init__(conn, addr, logger)
        self.received = received

    def on_receive(self, frame):
        if frame.message == b"fail":
            raise ValueError("this frame fails")
        self.received.put((self.tag, frame.message))
        self.send_frame_async(Frame(b"re:" + frame.message))


@pytest.fixture
def received():
    return queue.Queue()


@pytest.fixture
def server(received):
    server = Server("engine", 5, Answering, ("tag", received), "127.0.0.1", 0)
    server.wait_connection()
    yield server
    server.stop_wait_connection()
    server.wait_connection_thread.join(SOON)
    assert not server.wait_connection_thread.is_alive()


def client_of(server, ident="agent"):
    port = server.socket.getsockname()[1]
    client = Client(ident, SocketHandlerQueue, (queue.Queue(),), "127.0.0.1", port)
    client.connect()
    return client


def test_a_conversation(server, received):
    client = client_of(server)
    assert client.server_id == "engine"
    handler = client.get_connection("engine")
    assert isinstance(handler, threading.Thread)
    assert handler.socket is client.socket
    client.send_frame_to("engine", Frame(b"hi"))
    assert received.get(timeout=SOON) == ("tag", b"hi")
    assert handler.receive_queue.get(timeout=SOON) == b"re:hi"
    assert server.is_connection_registered("agent")
    client.send_frame_to("engine", Frame.bye_frame())
    for each in (handler, server.get_connection("agent")):
        each.join(SOON)
        assert not each.is_alive()
    # Frames to a peer that has left are dropped.
    server.send_frame_to("agent", Frame(b"late"))


def test_an_exception_in_on_receive_ends_nothing(server, received, caplog):
    client = client_of(server)
    with caplog.at_level(logging.ERROR, "masep"):
        client.send_frame_to("engine", Frame(b"fail"))
        client.send_frame_to("engine", Frame(b"next"))
        assert received.get(timeout=SOON) == ("tag", b"next")
    assert server.get_connection("agent").receive_errors == 1
    assert "this frame fails" in caplog.text
    log = next(name for name in os.listdir("logs") if name.startswith("Server-"))
    with open(os.path.join("logs", log), encoding="utf-8") as file:
        assert "this frame fails" in file.read()


def test_a_silent_peer_holds_up_nobody_and_the_end_of_one_ends_its_thread(server, received):
    address = server.socket.getsockname()
    with socket.create_connection(address), socket.create_connection(address) as peer:
        peer.settimeout(SOON)
        for byte in b"\x01\x00a\x02\x00hi\x00\x00":
            peer.send(bytes([byte]))
        assert received.get(timeout=SOON) == ("tag", b"hi")
        assert received.get(timeout=SOON) == ("tag", b"")
        handler = server.get_connection("a")
    handler.join(SOON)
    assert not handler.is_alive()
    with pytest.raises(masep.TransportError):
        handler.send_frame(Frame(b"late"))


def test_a_frame_that_is_too_large_is_told_to_its_sender(server, received):
    client = client_of(server)
    with pytest.raises(OverflowError) as raised:
        client.send_frame_to("engine", Frame(bytes(65_536)))
    assert isinstance(raised.value, masep.LimitError)
    assert (raised.value.actual, raised.value.allowed) == (65_536, 65_535)
    client.send_frame_to("engine", Frame(bytes(65_500)))
    assert len(received.get(timeout=SOON)[1]) == 65_500


def test_a_peer_that_does_not_read_is_limited_and_gets_all_that_was_accepted(server):
    with socket.create_connection(server.socket.getsockname()) as peer:
        peer.settimeout(SOON)
        peer.sendall(b"\x01\x00s\x02\x00hi")
        expected = b"\x06\x00engine\x05\x00re:hi"
        heard = b""
        while len(heard) < len(expected):
            heard += peer.recv(100)
        assert heard == expected
        handler, accepted = server.get_connection("s"), 0
        with pytest.raises(masep.LimitError):
            while True:
                handler.send_frame_async(Frame(bytes(60_000)))
                accepted += 1
        handler_bye = threading.Thread(target=handler.send_frame, args=(Frame.bye_frame(),))
        total = 0
        while total < accepted * 60_002:
            total += len(peer.recv(1 << 20))
        assert total == accepted * 60_002
        handler_bye.start()
        assert peer.recv(100) == b"\x03\x00BYE"
        handler_bye.join(SOON)


def test_a_newer_connection_takes_the_place_of_one_with_its_id(server, received):
    older, newer = client_of(server), client_of(server)
    older.get_connection("engine").join(SOON)
    assert not older.get_connection("engine").is_alive()
    newer.send_frame_to("engine", Frame(b"hi"))
    assert received.get(timeout=SOON) == ("tag", b"hi")


def test_a_handler_over_any_socket():
    near, far = socket.socketpair()
    with near, far:
        handler = SocketHandlerQueue(near, "address", logging.getLogger("any"), queue=queue.Queue())
        handler.send_frame_async(Frame(b"waits"))
        assert handler.send_queue.qsize() == 1
        handler.send_frame(Frame(b"one"))
        assert far.recv(100) == b"\x03\x00one"
        far.sendall(b"\x03\x00two")
        assert handler.receive_frame() == Frame(b"two")
        handler.start()
        assert far.recv(100) == b"\x05\x00waits"
        far.sendall(b"\x05\x00three\x03\x00BYE")
        handler.join(SOON)
        assert not handler.is_alive()
        assert handler.receive_queue.get_nowait() == b"three"


@pytest.mark.parametrize("timeout", [None, 20.0], ids=["blocking", "with a timeout"])
def test_a_handler_over_a_socket_of_tcp(timeout):
    """Also one with a timeout, which for the system is one that does not block."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        with socket.create_connection(listening.getsockname()) as far, listening.accept()[0] as near:
            far.settimeout(SOON)
            near.settimeout(timeout)
            handler = Answering(near, near.getpeername(), logging.getLogger("any"), "tag", queue.Queue())
            far.sendall(b"\x02\x00hi")
            assert handler.receive_frame() == Frame(b"hi")
            handler.start()
            for number in range(20):
                far.sendall(b"\x02\x00%02d" % number)
                assert handler.received.get(timeout=SOON) == ("tag", b"%02d" % number)
                assert far.recv(7) == b"\x05\x00re:%02d" % number
            far.sendall(b"\x03\x00BYE")
            handler.join(SOON)
            assert not handler.is_alive()


def test_log_files_are_where_pymasep_has_them_and_all_goes_to_the_logger_too(server, received, directory, caplog):
    with caplog.at_level(logging.INFO, "masep.communication"):
        server.logger.setLevel(logging.INFO)
        client = client_of(server)
        client.send_frame_to("engine", Frame(b"hi"))
        # The client may know of the connection before the server has a handler.
        assert received.get(timeout=SOON) == ("tag", b"hi")
        client.send_frame_to("engine", Frame(b"fail"))
        client.send_frame_to("engine", Frame.bye_frame())
        server.get_connection("agent").join(SOON)
    files = sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())
    assert files == ["logs/Client-agent.log", "logs/Server-engine.log"]
    text = (directory / "logs" / "Server-engine.log").read_text(encoding="utf-8")
    assert "on_receive failed" in text
    records = [record for record in caplog.records if record.name == "masep.communication.Server"]
    assert any("on_receive failed" in record.getMessage() for record in records)


def test_receive_frame_gives_bye_and_raises_at_an_end_without_one():
    for said, expected in ((b"\x03\x00BYE", Frame.bye_frame()), (b"", None)):
        near, far = socket.socketpair()
        with near, far:
            handler = SocketHandler(near, "address", logging.getLogger("any"))
            far.sendall(said)
            far.shutdown(socket.SHUT_WR)
            if expected is None:
                with pytest.raises(masep.TransportError):
                    handler.receive_frame()
            else:
                assert handler.receive_frame() == expected


def test_who_stops_waiting_is_not_connected_to(server):
    address = server.socket.getsockname()
    server.stop_wait_connection()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
    with pytest.raises(masep.RefusedError):
        masep.connect(f"127.0.0.1:{address[1]}", id="late")


class Failing(SocketHandlerQueue):
    def on_receive(self, frame):
        if frame.message == b"last":
            return super().on_receive(frame)
        raise ValueError(f"bad: {frame.message.decode()}")


@pytest.fixture
def failing(received):
    server = Server("engine", 5, Failing, (received,), "127.0.0.1", 0)
    server.wait_connection()
    yield server
    server.stop_wait_connection()
    server.wait_connection_thread.join(SOON)


def log_of(server):
    with open(os.path.join("logs", f"Server-{server.id}.log"), encoding="utf-8") as file:
        return file.read()


def test_a_peer_cannot_fill_the_log_by_bad_frames(failing, received):
    """The first are told in full, with their traceback; the others are counted."""
    with socket.create_connection(failing.socket.getsockname()) as peer:
        peer.settimeout(SOON)
        peer.sendall(b"\x05\x00agent" + b"\x01\x00x" * 10_000 + b"\x04\x00last")
        assert received.get(timeout=SOON) == b"last"
    assert failing.get_connection("agent").receive_errors == 10_000
    text = log_of(failing)
    assert text.count("ValueError: bad: x") == 5
    assert text.count("on_receive failed for a frame of 1 bytes") == 5
    assert "counted" in text
    assert len(text) < 10_000


def test_a_peer_cannot_fill_the_log_by_connecting_again(failing, received):
    """The count is that of the server."""
    for number in range(20):
        with socket.create_connection(failing.socket.getsockname()) as peer:
            peer.sendall(b"\x02\x00%02d" % number + b"\x01\x00x" * 10 + b"\x04\x00last")
            assert received.get(timeout=SOON) == b"last"
    assert log_of(failing).count("ValueError: bad: x") == 5


def test_what_was_counted_is_told_when_the_server_is_gone(failing, received):
    with socket.create_connection(failing.socket.getsockname()) as peer:
        peer.sendall(b"\x05\x00agent" + b"\x01\x00x" * 100 + b"\x04\x00last")
        assert received.get(timeout=SOON) == b"last"
    failing.__del__()
    assert "95 more of: on_receive failed for a frame of %d bytes" in log_of(failing)


#: A line of a log by its looks, what clears a terminal, and what turns or hides text.
EVIL = "x\n2026-01-01 00:00:00,000 - Server - CRITICAL - forged\x1b[2J\r\x9b\u200e\u202e\u061c\ufeff\u3164\U000e0041\x85\u2028"


def test_text_from_peers_is_escaped_in_the_log(failing, received):
    """In ids, and in the text of exceptions: nothing raw, and no line of its own."""
    failing.logger.setLevel(logging.DEBUG)
    said = EVIL.encode()
    with socket.create_connection(failing.socket.getsockname()) as peer:
        peer.sendall(len(said).to_bytes(2, "little") + said)
        peer.sendall(len(said).to_bytes(2, "little") + said + b"\x04\x00last\x03\x00BYE")
        assert received.get(timeout=SOON) == b"last"
        failing.get_connection(EVIL).join(SOON)
    text = log_of(failing)
    assert "forged" in text
    assert all(letter.isprintable() or letter == "\n" for letter in text)
    assert "\u3164" not in text
    assert not [line for line in text.split("\n") if line.startswith("2026-01-01")]


def test_text_from_peers_is_escaped_in_what_is_handed_on(failing, received, caplog):
    """Other handlers of logging have formatters of their own: the message is safe for them."""
    failing.logger.setLevel(logging.DEBUG)
    said = EVIL.encode()
    with caplog.at_level(logging.DEBUG, "masep"):
        with socket.create_connection(failing.socket.getsockname()) as peer:
            peer.sendall(len(said).to_bytes(2, "little") + said + b"\x04\x00last\x03\x00BYE")
            assert received.get(timeout=SOON) == b"last"
            failing.get_connection(EVIL).join(SOON)
    messages = [record.getMessage() for record in caplog.records]
    assert any("forged" in message for message in messages)
    assert all(message.isprintable() for message in messages)
