"""The search for a server on the LAN: ``Client.search_server``, ``Server.wait_announcement``.

pymasep's port for it is fixed, and the machine has it once: these tests take turns with all others that
use it. A server of somebody else may answer too, so a search may have to be repeated.
"""

from __future__ import annotations

import errno
import queue
import time

import pytest
import search_port

from behaviour.ends import SOON

#: Searches that a stranger may answer before the server of the test does. A stranger on this machine may be the faster
#: one each time, until it ends.
TRIES = 100


@pytest.fixture(autouse=True)
def search_turn():
    with search_port.turn():
        yield


def announcing(ends, handler_class=None):
    """A server that may announce itself; tried again as long as a stranger has the port."""
    until = time.monotonic() + search_port.PATIENCE
    while True:
        try:
            return ends.waiting(handler_class, host="", wait_announcement=True)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > until:
                raise


def searching(communication):
    return communication.Client("agent", communication.SocketHandlerQueue, (queue.Queue(),))


def finds(communication, server):
    """True if a client finds this server."""
    for _ in range(TRIES):
        client = searching(communication)
        client.search_server()
        if client.port == server.port:
            return client.host is not None
    return False


@pytest.mark.parametrize("overridden", [False, True], ids=["as it is", "overridden"])
def test_a_server_that_announces_itself_is_found(communication, ends, overridden):
    """``wait_announcement`` starts the thread that answers clients; ``search_server`` finds such a
    server: ``host`` and ``port`` are known then. Also where its handlers send in their own way."""

    class Overridden(communication.SocketHandlerQueue):
        def send_frame(self, frame):
            super().send_frame(frame)

    server = announcing(ends, Overridden if overridden else None)
    server.wait_announcement()
    try:
        assert finds(communication, server)
    finally:
        server.stop_wait_announcement()


def test_a_server_that_was_found_can_be_connected_to(communication, ends):
    """Host and port that ``search_server`` found are those that ``connect`` connects to."""
    server = announcing(ends)
    server.wait_announcement()
    try:
        for _ in range(TRIES):
            client = searching(communication)
            client.search_server()
            if client.port == server.port:
                break
        ends.owns(client)
        client.connect()
        assert client.server_id == "engine"
        ends.say(client, b"hi")
        assert ends.heard(server) == b"hi"
    finally:
        server.stop_wait_announcement()


@pytest.mark.pymasep_fails("connect does not search: TypeError, because host is None")
def test_a_client_without_an_address_searches_by_itself(communication, ends):
    """``host``, ``port``: if None, the client will search a server to connect to."""
    server = announcing(ends)
    server.wait_announcement()
    try:
        for _ in range(TRIES):
            client = searching(communication)
            client.connect()
            ends.owns(client)
            if client.port == server.port:
                assert client.server_id == "engine"
                return
        pytest.fail("the server of the test was never found")
    finally:
        server.stop_wait_announcement()


def test_a_server_that_announces_itself_no_more_is_not_found(communication, ends):
    """``stop_wait_announcement`` stops the thread that answers clients, which can be joined then."""
    server = announcing(ends)
    thread = server.wait_announcement_thread
    assert not thread.is_alive()
    server.wait_announcement()
    assert thread.is_alive()
    assert finds(communication, server)
    server.stop_wait_announcement()
    thread.join(SOON)
    assert not thread.is_alive()
    client = searching(communication)
    client.search_server()
    assert client.port != server.port


def test_a_server_that_is_deleted_is_not_found(communication, ends):
    """``__del__`` stops the thread that waits for announcements."""
    server = announcing(ends)
    server.wait_announcement()
    assert finds(communication, server)
    server.__del__()
    client = searching(communication)
    client.search_server()
    assert client.port != server.port
