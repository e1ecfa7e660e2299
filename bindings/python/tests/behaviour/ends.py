"""Servers and clients of the library under test, and a way to end them that pymasep survives."""

from __future__ import annotations

import logging
import queue

#: Seconds that an event is waited for before a test fails.
SOON = 10

#: The logger of handlers that a test makes itself.
LOGGER = logging.getLogger("behaviour")


def exactly(peer, size):
    """So many bytes from a socket."""
    data = b""
    while len(data) < size:
        more = peer.recv(size - len(data))
        assert more, f"the connection ended after {data!r}"
        data += more
    return data


class Ends:
    """Makes servers and clients of one library.

    At the end of the block each client says BYE: a pymasep thread whose peer is gone without it spins for
    ever.
    """

    def __init__(self, communication):
        self.communication = communication
        #: Seconds for what pymasep never does, and masep does soon.
        self.patience = SOON if communication.__name__.startswith("masep.") else 1
        self._servers = []
        self._clients = []

    def server(self, handler_class=None, args=None, *, ident="engine", max_connection=5, host="127.0.0.1", **more):
        """A server on a free port, which does not wait for connections yet. Its frames, if nothing
        else is asked for, are in ``server.socket_handler_args[0]``."""
        handler_class = handler_class or self.communication.SocketHandlerQueue
        args = (queue.Queue(),) if args is None else args
        server = self.communication.Server(ident, max_connection, handler_class, args, host, 0, **more)
        # pymasep stops waiting by a connection to itself, at the port that it was told.
        server.port = server.socket.getsockname()[1]
        self._servers.append(server)
        return server

    def waiting(self, *args, **more):
        """A server that waits for connections."""
        server = self.server(*args, **more)
        server.wait_connection()
        return server

    def client(self, server, ident="agent", handler_class=None, args=None, **more):
        """A client that is connected to the server."""
        client = self.unconnected(server.port, ident, handler_class, args, **more)
        client.connect()
        return client

    def unconnected(self, port, ident="agent", handler_class=None, args=None, *, host="127.0.0.1", **more):
        """A client that is not connected yet."""
        handler_class = handler_class or self.communication.SocketHandlerQueue
        args = (queue.Queue(),) if args is None else args
        client = self.communication.Client(ident, handler_class, args, host, port, **more)
        self._clients.append(client)
        return client

    def owns(self, client):
        """Ends this client too."""
        self._clients.append(client)

    def say(self, client, body):
        """Sends a frame to the server of a client."""
        client.send_frame_to(client.server_id, self.communication.Frame(body))

    def heard(self, end):
        """The next that one end with the usual handlers has received."""
        return end.socket_handler_args[0].get(timeout=SOON)

    def conversation(self, ident="agent"):
        """A server and a client that have each heard from the other: both handlers are registered and
        run."""
        server = self.waiting()
        client = self.client(server, ident)
        self.say(client, b"hi")
        assert self.heard(server) == b"hi"
        server.send_frame_to(ident, self.communication.Frame(b"hi back"))
        assert self.heard(client) == b"hi back"
        return server, client

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for client in self._clients:
            if client.server_id is None:
                continue
            handler = client.get_connection(client.server_id)
            if handler.is_alive():
                handler.send_frame_async(self.communication.Frame.bye_frame())
                handler.join(SOON)
        for server in self._servers:
            if server.wait_connection_thread.is_alive():
                server.stop_wait_connection()
                server.wait_connection_thread.join(SOON)
            for handler in list(server._current_connections.values()):
                handler.join(SOON)
        self._clients.clear()
        self._servers.clear()
