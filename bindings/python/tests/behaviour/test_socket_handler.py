"""Class ``SocketHandler``: the thread of a connection."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import queue
import threading

import pytest

from behaviour.ends import LOGGER, SOON, exactly


def recording(communication):
    """A class of handler as users of pymasep write it, with arguments of its own."""

    class Recording(communication.SocketHandler):
        def __init__(self, conn, addr, logger, tag, heard):
            self.tag = tag
            super().__init__(conn, addr, logger)
            self.heard = heard

        def on_receive(self, frame):
            self.heard.put((self.tag, frame))
            self.send_frame_async(communication.Frame(b"re:" + frame.message))

    return Recording


def test_it_keeps_what_it_is_made_of(communication, sockets):
    """``conn``, ``addr`` and ``logger`` are its ``socket``, ``addr`` and ``logger``."""
    handler = communication.SocketHandler(conn=sockets[0], addr=("127.0.0.1", 1), logger=LOGGER)
    assert handler.socket is sockets[0]
    assert handler.addr == ("127.0.0.1", 1)
    assert handler.logger is LOGGER


def test_it_is_a_thread_that_is_not_started(communication, sockets):
    """A handler is a thread; who makes it starts it."""
    handler = communication.SocketHandler(sockets[0], "address", LOGGER)
    assert isinstance(handler, threading.Thread)
    assert not handler.is_alive()


def test_its_lock_is_free_and_nothing_waits(communication, sockets):
    """``lock`` is held while a frame is sent or received; ``send_queue`` has what waits to be sent."""
    handler = communication.SocketHandler(sockets[0], "address", LOGGER)
    assert handler.lock.acquire(blocking=False)
    handler.lock.release()
    assert handler.send_queue.empty()


@pytest.mark.parametrize("body", [b"", b"hi", bytes(300), bytes(65_535)], ids=len)
def test_send_frame(communication, sockets, body):
    """``send_frame`` sends a frame through the socket: two bytes for its size, the lower first, and its
    bytes."""
    near, far = sockets
    handler = communication.SocketHandler(near, "address", LOGGER)
    # A frame may be more than the socket takes while nobody reads.
    sending = threading.Thread(target=handler.send_frame, args=(communication.Frame(body),))
    sending.start()
    assert exactly(far, 2 + len(body)) == len(body).to_bytes(2, "little") + body
    sending.join(SOON)


@pytest.mark.parametrize("body", [b"", b"hi", bytes(300)], ids=len)
def test_receive_frame(communication, sockets, body):
    """``receive_frame`` waits for a frame from the socket, and gives it."""
    near, far = sockets
    handler = communication.SocketHandler(near, "address", LOGGER)
    far.sendall(len(body).to_bytes(2, "little") + body)
    frame = handler.receive_frame()
    assert isinstance(frame, communication.Frame)
    assert (frame.message, frame.size) == (body, len(body))


def test_receive_frame_waits(communication, sockets):
    """``receive_frame`` waits when there is no frame yet."""
    near, far = sockets
    handler, heard = communication.SocketHandler(near, "address", LOGGER), queue.Queue()
    waiting = threading.Thread(target=lambda: heard.put(handler.receive_frame()))
    waiting.start()
    assert heard.empty()
    far.sendall(b"\x02\x00hi")
    assert heard.get(timeout=SOON) == communication.Frame(b"hi")
    waiting.join(SOON)


@pytest.mark.pymasep_fails("reads a frame by one call of recv: what arrives in pieces is taken for frames")
def test_a_frame_that_arrives_in_pieces(communication, sockets):
    """``receive_frame`` gives the frame that was sent, however it arrives."""
    near, far = sockets
    handler, heard = communication.SocketHandler(near, "address", LOGGER), queue.Queue()
    handler.send_frame(communication.Frame(b"ready"))
    exactly(far, 7)
    threading.Thread(target=lambda: heard.put(handler.receive_frame()), daemon=True).start()
    near_half, far_half = bytes(30_000), b"x" * 30_000
    far.sendall((60_000).to_bytes(2, "little") + near_half)
    # The rest comes when half of it has been read.
    with pytest.raises(queue.Empty):
        heard.get(timeout=0.2)
    far.sendall(far_half)
    assert heard.get(timeout=SOON) == communication.Frame(near_half + far_half)


def test_received_frames_go_to_on_receive(communication, sockets):
    """``run`` receives frames and calls ``on_receive`` for each, in their order."""
    near, far = sockets
    handler = recording(communication)(near, "address", LOGGER, "tag", queue.Queue())
    handler.start()
    for number in range(50):
        body = b"%03d" % number
        far.sendall(b"\x03\x00" + body)
        assert exactly(far, 8) == b"\x06\x00re:" + body
        assert handler.heard.get(timeout=SOON) == ("tag", communication.Frame(body))
    far.sendall(b"\x03\x00BYE")
    handler.join(SOON)


def test_on_receive_gets_the_frame_by_name(communication, sockets):
    """The parameter of ``on_receive`` is ``frame``; one that is given by name arrives too."""
    near, far = sockets
    heard = queue.Queue()

    class Named(communication.SocketHandler):
        def on_receive(self, *, frame):
            heard.put(frame)

    handler = Named(near, "address", LOGGER)
    handler.start()
    far.sendall(b"\x02\x00hi\x03\x00BYE")
    assert heard.get(timeout=SOON) == communication.Frame(b"hi")
    handler.join(SOON)


def test_without_an_on_receive_of_its_own_it_hears_and_goes_on(communication, sockets):
    """``on_receive`` of ``SocketHandler`` itself does nothing."""
    near, far = sockets
    handler = communication.SocketHandler(near, "address", LOGGER)
    assert handler.on_receive(communication.Frame(b"hi")) is None
    handler.start()
    far.sendall(b"\x02\x00hi")
    handler.send_frame_async(communication.Frame(b"still here"))
    assert exactly(far, 12) == b"\x0a\x00still here"
    far.sendall(b"\x03\x00BYE")
    handler.join(SOON)
    assert not handler.is_alive()


def test_a_bye_ends_the_thread_and_is_not_handed_on(communication, sockets):
    """A BYE frame closes the thread; ``on_receive`` is not called for it."""
    near, far = sockets
    handler = recording(communication)(near, "address", LOGGER, "tag", queue.Queue())
    handler.start()
    far.sendall(b"\x03\x00BYE")
    handler.join(SOON)
    assert not handler.is_alive()
    assert handler.heard.empty()


@pytest.mark.parametrize("body", [b"bye", b"BYE ", b"\nBYE", b"BYE\0", b"BY"])
def test_only_the_bye_is_a_bye(communication, sockets, body):
    """Any other frame is handed on."""
    near, far = sockets
    handler = recording(communication)(near, "address", LOGGER, "tag", queue.Queue())
    handler.start()
    far.sendall(len(body).to_bytes(2, "little") + body)
    assert handler.heard.get(timeout=SOON) == ("tag", communication.Frame(body))
    far.sendall(b"\x03\x00BYE")
    handler.join(SOON)


def test_a_bye_that_is_sent_ends_the_thread_too(communication, sockets):
    """A BYE frame can be used to close the thread: also by who runs it."""
    near, far = sockets
    handler = communication.SocketHandler(near, "address", LOGGER)
    handler.start()
    handler.send_frame_async(communication.Frame(b"last"))
    handler.send_frame_async(communication.Frame.bye_frame())
    assert exactly(far, 11) == b"\x04\x00last\x03\x00BYE"
    handler.join(SOON)
    assert not handler.is_alive()


def test_what_is_sent_before_the_start_waits(communication, sockets):
    """``send_frame_async`` uses a queue: the thread sends what is in ``send_queue`` when it runs."""
    near, far = sockets
    handler = communication.SocketHandler(near, "address", LOGGER)
    for body in (b"one", b"two"):
        handler.send_frame_async(frame=communication.Frame(body))
    assert handler.send_queue.qsize() == 2
    handler.start()
    assert exactly(far, 10) == b"\x03\x00one\x03\x00two"
    far.sendall(b"\x03\x00BYE")
    handler.join(SOON)


def test_any_thread_may_send(communication, sockets):
    """``send_frame_async`` may be called from many threads; every frame arrives once and whole, those of
    a thread in their order."""
    near, far = sockets
    handler = communication.SocketHandler(near, "address", LOGGER)
    handler.start()

    def send(name):
        for number in range(25):
            handler.send_frame_async(communication.Frame(name + b"%02d" % number))

    threads = [threading.Thread(target=send, args=(name,)) for name in (b"a", b"b", b"c", b"d")]
    for thread in threads:
        thread.start()
    heard = [exactly(far, 5)[2:] for _ in range(100)]
    for thread in threads:
        thread.join(SOON)
    for name in (b"a", b"b", b"c", b"d"):
        assert [body for body in heard if body.startswith(name)] == [name + b"%02d" % number for number in range(25)]
    far.sendall(b"\x03\x00BYE")
    handler.join(SOON)


def test_another_run(communication, sockets):
    """``run`` can be replaced, and the class's own called from it."""
    near, far = sockets
    seen = []

    class Reporting(communication.SocketHandler):
        def run(self):
            seen.append("before")
            super().run()
            seen.append("after")

    handler = Reporting(near, "address", LOGGER)
    handler.start()
    far.sendall(b"\x03\x00BYE")
    handler.join(SOON)
    assert seen == ["before", "after"]


def test_run_without_a_thread(communication, sockets):
    """``run`` is the loop itself: called directly, it comes back after BYE."""
    near, far = sockets
    heard = queue.Queue()
    handler = recording(communication)(near, "address", LOGGER, "tag", heard)
    far.sendall(b"\x02\x00hi\x03\x00BYE")
    handler.run()
    assert heard.get_nowait() == ("tag", communication.Frame(b"hi"))


def test_a_handler_that_is_deleted_closes_its_sockets(communication, sockets):
    """``__del__`` closes all sockets that the handler has of its own: no descriptor is left."""
    near, far = sockets
    before = descriptors_of(near)
    handler = communication.SocketHandler(near, "address", LOGGER)
    handler.send_frame(communication.Frame(b"hi"))
    del handler
    gc.collect()
    assert descriptors_of(near) == before
    assert exactly(far, 4) == b"\x02\x00hi"


def descriptors_of(connection):
    """The descriptors of this process that are that socket. Those of other tests may be given back at any time."""
    socket = os.fstat(connection.fileno()).st_ino
    return [descriptor for descriptor in map(int, os.listdir("/proc/self/fd")) if inode(descriptor) == socket]


def inode(descriptor):
    with contextlib.suppress(OSError):
        return os.fstat(descriptor).st_ino
    return None


def test_what_is_sent_and_received_is_logged(communication, sockets, caplog):
    """``logger`` is used to log what is sent and received."""
    near, far = sockets
    handler = communication.SocketHandler(near, "address", LOGGER)
    with caplog.at_level(logging.DEBUG, LOGGER.name):
        handler.send_frame(communication.Frame(b"out-going"))
        far.sendall(b"\x09\x00in-coming")
        handler.receive_frame()
    assert "out-going" in caplog.text
    assert "in-coming" in caplog.text
