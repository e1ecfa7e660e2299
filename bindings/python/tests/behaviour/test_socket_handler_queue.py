"""Class ``SocketHandlerQueue``: a handler that puts what it receives in a queue."""

from __future__ import annotations

import multiprocessing
import queue

import pytest

from behaviour.ends import LOGGER, SOON


def test_it_keeps_its_queue(communication, sockets):
    """``queue`` is its ``receive_queue``."""
    received = queue.Queue()
    handler = communication.SocketHandlerQueue(conn=sockets[0], addr="address", logger=LOGGER, queue=received)
    assert handler.receive_queue is received
    assert isinstance(handler, communication.SocketHandler)


def test_what_is_received_is_put(communication, sockets):
    """``on_receive`` puts the bytes of each frame on the queue, in their order; a BYE is not put."""
    near, far = sockets
    handler = communication.SocketHandlerQueue(near, "address", LOGGER, queue.Queue())
    handler.start()
    far.sendall(b"\x02\x00hi\x00\x00\x05\x00there\x03\x00BYE")
    handler.join(SOON)
    assert [handler.receive_queue.get_nowait() for _ in range(3)] == [b"hi", b"", b"there"]
    assert handler.receive_queue.empty()


def test_on_receive_can_be_called(communication, sockets):
    """``on_receive`` puts the message of the frame, not the frame."""
    handler = communication.SocketHandlerQueue(sockets[0], "address", LOGGER, queue.Queue())
    handler.on_receive(frame=communication.Frame(b"hi"))
    assert handler.receive_queue.get_nowait() == b"hi"


class Putting(list):
    """All that is needed of a queue."""

    def put(self, item):
        self.append(item)


@pytest.mark.parametrize("make", [Putting, queue.SimpleQueue, queue.LifoQueue, multiprocessing.Queue])
def test_anything_with_put_is_a_queue(communication, sockets, make):
    """``queue``: where received messages are put; only ``put`` is asked of it."""
    near, far = sockets
    received = make()
    handler = communication.SocketHandlerQueue(near, "address", LOGGER, received)
    handler.start()
    far.sendall(b"\x02\x00hi\x03\x00BYE")
    handler.join(SOON)
    assert (received.pop() if make is Putting else received.get(timeout=SOON)) == b"hi"
    if make is multiprocessing.Queue:
        received.close()
        received.join_thread()


def test_one_queue_for_many_connections(communication, ends):
    """The handlers of a server share the queue that is among its arguments."""
    received = queue.Queue()
    server = ends.waiting(communication.SocketHandlerQueue, (received,))
    for number in range(3):
        ends.say(ends.client(server, f"agent-{number}"), b"from %d" % number)
    assert {received.get(timeout=SOON) for _ in range(3)} == {b"from 0", b"from 1", b"from 2"}


def test_a_subclass_may_look_first(communication, sockets):
    """A subclass replaces ``on_receive`` and may call the class's own."""
    near, far = sockets

    class Filtering(communication.SocketHandlerQueue):
        def on_receive(self, frame):
            if frame.message != b"noise":
                super().on_receive(frame)

    handler = Filtering(near, "address", LOGGER, queue.Queue())
    handler.start()
    far.sendall(b"\x05\x00noise\x02\x00hi\x03\x00BYE")
    handler.join(SOON)
    assert handler.receive_queue.get_nowait() == b"hi"
    assert handler.receive_queue.empty()
