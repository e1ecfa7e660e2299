"""Class ``Client``, and the search for a server."""

from __future__ import annotations

import queue
import socket
import threading

import pytest

from behaviour.ends import SOON, exactly
from behaviour.process import in_its_own_process


def test_it_keeps_what_it_is_made_of(communication):
    """``ident`` is its ``id``; host, port, class and arguments of its handler are those that were given;
    ``server_id`` is None."""
    args = (queue.Queue(),)
    client = communication.Client("agent-é", communication.SocketHandlerQueue, args, "127.0.0.1", 60_000)
    assert (client.id, client.host, client.port, client.server_id) == ("agent-é", "127.0.0.1", 60_000, None)
    assert client.socket_handler_class is communication.SocketHandlerQueue
    assert client.socket_handler_args is args


def test_host_and_port_may_be_left_out(communication):
    """``host`` and ``port``: None if the client is to search a server."""
    client = communication.Client(
        ident="agent", socket_handler_class=communication.SocketHandler, socket_handler_args=()
    )
    assert (client.host, client.port) == (None, None)


def test_connect(communication, ends):
    """``connect`` connects to the server, creates the handler and registers the connection under the id
    of the server."""
    server = ends.waiting(ident="engine-é")
    client = ends.unconnected(server.port)
    assert not client.is_connection_registered("engine-é")
    client.connect()
    assert client.server_id == "engine-é"
    assert client.is_connection_registered("engine-é")
    handler = client.get_connection("engine-é")
    assert isinstance(handler, communication.SocketHandlerQueue)
    assert handler.is_alive()
    assert handler.socket is client.socket
    assert client.socket.getpeername() == server.socket.getsockname()


def test_the_client_says_hello_first(ends):
    """The first frame of a connection is the client's, with its id."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = ends.unconnected(listening.getsockname()[1], "agent-漢")
        connecting = threading.Thread(target=client.connect)
        connecting.start()
        peer, _ = listening.accept()
        with peer:
            peer.settimeout(SOON)
            assert exactly(peer, 11) == b"\x09\x00agent-\xe6\xbc\xa2"
            peer.sendall(b"\x06\x00engine")
            connecting.join(SOON)
            assert client.server_id == "engine"
            peer.sendall(b"\x03\x00BYE")
            client.get_connection("engine").join(SOON)


def test_the_handler_gets_the_arguments(communication, ends):
    """``socket_handler_class`` is made with the socket, the address and the logger, and with
    ``socket_handler_args`` behind them."""
    made = queue.Queue()

    class Handler(communication.SocketHandler):
        def __init__(self, conn, addr, logger, *args):
            super().__init__(conn, addr, logger)
            made.put((self, args))

    client = ends.client(ends.waiting(), handler_class=Handler, args=("one", 2))
    handler, args = made.get_nowait()
    assert client.get_connection("engine") is handler
    assert args == ("one", 2)
    assert handler.logger is client.logger


def test_frames_in_both_directions(communication, ends):
    """Frames that one side sends to the id of the other arrive there."""
    server, client = ends.conversation()
    for number in range(20):
        ends.say(client, b"there %d" % number)
        assert ends.heard(server) == b"there %d" % number
        server.send_frame_to("agent", communication.Frame(b"back %d" % number))
        assert ends.heard(client) == b"back %d" % number


@pytest.mark.pymasep_fails(
    "reads a frame by one call of recv: large frames arrive in pieces, then nonsense", now_and_then=True
)
@in_its_own_process
def test_large_frames_behind_each_other(ends):
    """Every frame that is sent arrives whole, also when many are on their way."""
    server, client = ends.conversation()
    # As a network with small packets would have it.
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    bodies = [b"%06d" % number * 10_000 for number in range(30)]
    for body in bodies:
        ends.say(client, body)
    for body in bodies:
        assert ends.heard(server) == body


@pytest.mark.parametrize("says_bye", ["client", "server"])
def test_a_bye_ends_both_sides(communication, ends, says_bye):
    """A BYE frame ends the thread of who sends it and of who receives it, whichever of them that is."""
    server, client = ends.conversation()
    handlers = server.get_connection("agent"), client.get_connection("engine")
    sender, receiver = (client, "engine") if says_bye == "client" else (server, "agent")
    sender.send_frame_to(receiver, communication.Frame.bye_frame())
    for handler in handlers:
        handler.join(SOON)
        assert not handler.is_alive()


def test_who_said_bye_may_come_back(communication, ends):
    """After a BYE the same id can connect again."""
    server, client = ends.conversation()
    client.send_frame_to("engine", communication.Frame.bye_frame())
    server.get_connection("agent").join(SOON)
    again = ends.client(server)
    ends.say(again, b"again")
    assert ends.heard(server) == b"again"


def test_where_nobody_listens(ends):
    """``connect`` fails when there is no server: with a ``ConnectionError``."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        ends.unconnected(port).connect()


def test_a_client_that_is_deleted_closes_its_socket(ends):
    """``__del__`` closes the socket."""
    client = ends.unconnected(1)
    client.__del__()
    assert client.socket.fileno() == -1


@pytest.mark.pymasep_fails("says 'localhost', wherever the server is")
def test_the_address_of_the_server(ends):
    """``addr`` of the handler is the remote address: host and port."""
    server, client = ends.conversation()
    assert client.get_connection("engine").addr == server.socket.getsockname()


@pytest.mark.pymasep_fails("a connection that ends without BYE is read as empty frames, without end")
@in_its_own_process
def test_a_server_that_is_gone(ends):
    """The thread receives frames; there are none from a server that is gone, and the thread ends."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = ends.unconnected(listening.getsockname()[1])
        connecting = threading.Thread(target=client.connect)
        connecting.start()
        peer, _ = listening.accept()
        with peer:
            peer.settimeout(SOON)
            exactly(peer, 7)
            peer.sendall(b"\x06\x00engine")
            connecting.join(SOON)
    handler = client.get_connection("engine")
    handler.join(1)
    assert not handler.is_alive()
    assert client.socket_handler_args[0].empty()
