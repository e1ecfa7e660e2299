"""Class ``Server``."""

from __future__ import annotations

import queue
import socket
import threading

import pytest

from behaviour.ends import SOON, exactly


def raw_client(server, ident):
    """A client of neither library, which has said hello."""
    peer = socket.create_connection(server.socket.getsockname())
    peer.settimeout(SOON)
    peer.sendall(len(ident).to_bytes(2, "little") + ident)
    return peer


def test_it_keeps_what_it_is_made_of(communication, ends):
    """``ident`` is its ``id``; host, ``max_connection``, class and arguments of its handlers are those
    that were given."""
    args = (queue.Queue(),)
    server = ends.server(communication.SocketHandlerQueue, args, ident="engine-é", max_connection=7)
    assert (server.id, server.host, server.max_connection) == ("engine-é", "127.0.0.1", 7)
    assert server.socket_handler_class is communication.SocketHandlerQueue
    assert server.socket_handler_args is args


def test_parameters_by_name(communication):
    """All parameters can be given by name."""
    server = communication.Server(
        ident="engine",
        max_connection=5,
        socket_handler_class=communication.SocketHandlerQueue,
        socket_handler_args=(queue.Queue(),),
        host="127.0.0.1",
        port=0,
        wait_announcement=False,
        log_level="ERROR",
    )
    assert server.logger.level == 40
    server.port = server.socket.getsockname()[1]


def test_its_socket_listens(ends):
    """``socket`` is the one to listen with: it has the address, and connections queue up already."""
    server = ends.server()
    host, port = server.socket.getsockname()
    assert host == "127.0.0.1"
    assert port > 0
    with socket.create_connection((host, port)):
        pass


def test_waiting_is_a_thread(ends):
    """``wait_connection`` starts ``wait_connection_thread``; ``stop_wait_connection`` stops it."""
    server = ends.server()
    thread = server.wait_connection_thread
    assert isinstance(thread, threading.Thread)
    assert not thread.is_alive()
    server.wait_connection()
    assert thread.is_alive()
    server.stop_wait_connection()
    thread.join(SOON)
    assert not thread.is_alive()


def test_the_hello(ends):
    """A client says its id first, the server answers with its own; the connection is registered under
    the id of the client."""
    server = ends.waiting(ident="engine-é")
    with raw_client(server, b"agent") as peer:
        assert exactly(peer, 11) == b"\x09\x00engine-\xc3\xa9"
        peer.sendall(b"\x02\x00hi")
        assert ends.heard(server) == b"hi"
        assert server.is_connection_registered("agent")
        peer.sendall(b"\x03\x00BYE")
        server.get_connection("agent").join(SOON)


def test_each_connection_gets_a_handler_with_the_arguments(communication, ends):
    """``socket_handler_class`` is made for each connection: with its socket, its address and the logger,
    and ``socket_handler_args`` behind them."""
    made = queue.Queue()

    class Handler(communication.SocketHandler):
        def __init__(self, conn, addr, logger, *args):
            super().__init__(conn, addr, logger)
            made.put((self, conn, addr, logger, args))

    server = ends.waiting(Handler, ("one", 2))
    client = ends.client(server)
    handler, conn, addr, logger, args = made.get(timeout=SOON)
    assert (conn, logger, args) == (handler.socket, server.logger, ("one", 2))
    assert conn.getpeername() == addr == client.socket.getsockname()


def test_a_conversation_with_a_handler_of_ones_own(communication, ends):
    """A handler answers from ``on_receive``."""

    class Echo(communication.SocketHandler):
        def on_receive(self, frame):
            self.send_frame_async(communication.Frame(b"re:" + frame.message))

    client = ends.client(ends.waiting(Echo, ()))
    for number in range(3):
        ends.say(client, b"%d" % number)
        assert ends.heard(client) == b"re:%d" % number


def test_many_clients(communication, ends):
    """``max_connection`` clients are served at a time; a frame for one goes to that one."""
    server = ends.waiting(max_connection=5)
    clients = {f"agent-{number}": ends.client(server, f"agent-{number}") for number in range(5)}
    for ident, client in clients.items():
        ends.say(client, ident.encode())
    assert {ends.heard(server) for _ in clients} == {ident.encode() for ident in clients}
    for ident in clients:
        server.send_frame_to(ident, communication.Frame(ident.encode()))
    for ident, client in clients.items():
        assert ends.heard(client) == ident.encode()


def test_connections_go_on_when_the_server_waits_no_more(communication, ends):
    """``stop_wait_connection`` stops the thread that waits, and no other."""
    server, client = ends.conversation()
    server.stop_wait_connection()
    server.wait_connection_thread.join(SOON)
    ends.say(client, b"still here")
    assert ends.heard(server) == b"still here"
    server.send_frame_to("agent", communication.Frame(b"so am I"))
    assert ends.heard(client) == b"so am I"


@pytest.mark.pymasep_fails("the thread ends, but its socket still listens: nobody answers who connects")
def test_nobody_gets_in_when_the_server_waits_no_more(ends):
    """``stop_wait_connection``: there are no new connections."""
    server = ends.waiting()
    server.stop_wait_connection()
    server.wait_connection_thread.join(SOON)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(server.socket.getsockname())


@pytest.mark.pymasep_fails("a client that says nothing holds up the thread that waits, and so all others")
def test_a_silent_client_holds_up_nobody(ends):
    """The thread handles new connections; also while one of them has not said who it is."""
    server = ends.waiting()
    with socket.create_connection(server.socket.getsockname()), raw_client(server, b"agent") as peer:
        peer.settimeout(ends.patience)
        try:
            assert exactly(peer, 8) == b"\x06\x00engine"
        finally:
            peer.sendall(b"\x03\x00BYE")


@pytest.mark.pymasep_fails("a client that leaves without a hello ends the thread that waits")
def test_a_client_that_leaves_at_once_ends_nothing(ends):
    """The thread handles new connections; also after one that came to nothing."""
    server = ends.waiting()
    socket.create_connection(server.socket.getsockname()).close()
    with raw_client(server, b"agent") as peer:
        peer.settimeout(ends.patience)
        assert exactly(peer, 8) == b"\x06\x00engine"
        peer.sendall(b"\x03\x00BYE")


def test_a_server_that_is_deleted_waits_no_more(ends):
    """``__del__`` closes the socket and stops the thread that waits."""
    server = ends.waiting()
    address = server.socket.getsockname()
    server.__del__()
    server.wait_connection_thread.join(SOON)
    assert not server.wait_connection_thread.is_alive()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


def test_what_it_does_is_logged_from_its_level_on(ends, directory):
    """``log_level``: from which level on there are lines in the log."""
    server = ends.waiting(log_level="DEBUG")
    client = ends.client(server)
    ends.say(client, b"a frame to be logged")
    assert ends.heard(server) == b"a frame to be logged"
    assert "a frame to be logged" in (directory / "logs" / "Server-engine.log").read_text(encoding="utf-8")
