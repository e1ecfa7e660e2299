"""Frames that `masep.communication` has accepted are delivered, or it is said that it is not."""

from __future__ import annotations

import contextlib
import gc
import logging
import queue
import re
import select
import socket
import struct
import subprocess
import sys
import threading
import time

import masep
import pytest
from masep.communication import Client, Frame, SocketHandler, SocketHandlerQueue
from soon import SOON

BODY = bytes(1_000)
#: For so long the engine is busy: longer than what was sent was kept before.
BUSY = 2.0


class BusyEngine:
    """A peer that reads nothing until it is asked to, and whose system takes little."""

    def __init__(self):
        self._listening = socket.socket()
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        self._listening.bind(("127.0.0.1", 0))
        self._listening.listen()
        self._listening.settimeout(SOON)
        self.port = self._listening.getsockname()[1]

    def greet(self):
        self.peer = self._listening.accept()[0]
        self.peer.settimeout(SOON)
        assert self.peer.recv(100)
        self.peer.sendall(b"\x06\x00engine")

    def be_busy(self, until=None):
        """Reads nothing for a while; not longer than the connection lives."""
        ended = select.poll()
        ended.register(self.peer, 0)
        until = until or time.monotonic() + BUSY
        ended.poll(max(0.0, until - time.monotonic()) * 1_000)

    def frames(self):
        """All that arrives, to the end of the connection: the bodies, and what is no whole frame."""
        data = bytearray()
        try:
            while more := self.peer.recv(1 << 20):
                data += more
        except ConnectionResetError:
            pass
        bodies = []
        while len(data) >= 2 and len(data) >= 2 + (size := int.from_bytes(data[:2], "little")):
            bodies.append(bytes(data[2 : 2 + size]))
            del data[: 2 + size]
        return bodies, bytes(data)

    def reset(self):
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.peer.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listening.close()
        if hasattr(self, "peer"):
            self.peer.close()


@pytest.fixture
def engine():
    with BusyEngine() as engine:
        yield engine


def connected(engine, handler=SocketHandlerQueue):
    greeting = threading.Thread(target=engine.greet)
    greeting.start()
    args = (queue.Queue(),) if issubclass(handler, SocketHandlerQueue) else ()
    client = Client("agent", handler, args, "127.0.0.1", engine.port)
    client.connect()
    greeting.join()
    return client


class Overriding(SocketHandler):
    def send_frame(self, frame):
        super().send_frame(frame)


def end(client, how):
    if how.startswith("bye"):
        client.send_frame_to("engine", Frame.bye_frame())
    if how == "deleted":
        client.__del__()
    if how == "closed":
        client.socket.close()
    if how.endswith("collected"):
        # It is in nothing else.
        return None
    return client


@pytest.mark.parametrize("handler", [SocketHandlerQueue, Overriding])
def test_all_is_delivered_to_an_engine_that_is_busy(handler, caplog):
    """A client that says BYE, goes out of scope, or is closed, has its frames delivered before: those that
    wait in the handler, and those that wait in the system."""
    with contextlib.ExitStack() as stack:
        engines, kept = {}, []
        for count in (1_000, 60):
            for how in ("bye", "collected", "deleted", "closed", "bye and collected"):
                engine = engines[count, how] = stack.enter_context(BusyEngine())
                client = connected(engine, handler)
                for _ in range(count):
                    client.send_frame_to("engine", Frame(BODY))
                client = end(client, how)
                kept.append(client)
        gc.collect()
        until = time.monotonic() + BUSY
        for (count, how), engine in engines.items():
            engine.be_busy(until)
        for (count, how), engine in engines.items():
            bodies, rest = engine.frames()
            assert (len(bodies), bodies[-1:], rest) == (count + 1, [b"BYE"], b""), how
            assert bodies[:-1] == [BODY] * count, how
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("handler", [SocketHandlerQueue, Overriding])
def test_without_a_thread_that_writes_a_frame_is_refused_or_delivered_in_its_order(engine, handler, monkeypatch):
    begin, are_scarce = threading.Thread.start, True

    def scarce(thread):
        if are_scarce and thread.name == "SocketHandlerWriter":
            raise RuntimeError("can't start new thread")
        begin(thread)

    client = connected(engine, handler)
    monkeypatch.setattr(threading.Thread, "start", scarce)
    accepted, refused = [], 0

    def send(number):
        nonlocal refused
        body = number.to_bytes(4, "little") + BODY
        try:
            client.send_frame_to("engine", Frame(body))
        except RuntimeError:
            refused += 1
        else:
            accepted.append(body)

    while refused < 3:
        send(len(accepted) + refused)
    are_scarce = False
    for _ in range(3):
        send(len(accepted) + refused)
    assert refused == 3
    client.send_frame_to("engine", Frame.bye_frame())
    bodies, rest = engine.frames()
    assert (bodies, rest) == ([*accepted, b"BYE"], b"")


def test_a_handler_that_is_collected_has_delivered_what_it_sent(engine):
    """Also one that was made by hand and has no thread."""
    with socket.create_connection(("127.0.0.1", engine.port)) as near:
        near.sendall(b"\x05\x00agent")
        engine.greet()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        handler = SocketHandler(near, "address", logging.getLogger("any"))
        for _ in range(100):
            handler.send_frame(Frame(BODY))
        del handler
        gc.collect()
        engine.be_busy()
        assert engine.frames() == ([BODY] * 100 + [b"BYE"], b"")


PROGRAM = """
import queue, sys, masep._live
from masep.communication import Client, Frame, SocketHandlerQueue
client = Client("agent", SocketHandlerQueue, (queue.Queue(),), "127.0.0.1", int(sys.argv[1]))
client.connect()
for _ in range(1_000):
    client.send_frame_to("engine", Frame(bytes(1_000)))
"""


def start(engine, program):
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", program, str(engine.port)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    engine.greet()
    return running


@pytest.mark.parametrize("bye", ["", 'client.send_frame_to("engine", Frame.bye_frame())'])
def test_a_program_that_comes_to_its_end_has_delivered_what_it_sent(engine, bye):
    """With the client in a global, which nothing collects."""
    with start(engine, PROGRAM + bye) as program:
        engine.be_busy()
        assert engine.frames() == ([BODY] * 1_000 + [b"BYE"], b"")
        assert program.wait(SOON) == 0
        assert program.stderr.read() == ""


def lost(engine, text):
    """The number of frames that this engine did not get. Others may have lost some of other tests."""
    (count,) = re.findall(rf"(\d+) frames to \('127\.0\.0\.1', {engine.port}\) are lost", text)
    return int(count)


def test_a_program_that_comes_to_its_end_says_what_is_lost(engine, directory):
    """To an engine that reads nothing for longer than the exit waits: how much, in the log and on
    stderr."""
    with start(engine, PROGRAM + "masep._live.EXIT_SECONDS = 0.5") as program:
        assert program.wait(SOON) == 0
        told = lost(engine, program.stderr.read())
    bodies, _rest = engine.frames()
    # The frames that the system had taken arrive after all.
    assert len(bodies) + told == 1_000
    assert lost(engine, (directory / "logs" / "Client-agent.log").read_text(encoding="utf-8")) == told


@pytest.mark.parametrize("handler", [SocketHandlerQueue, Overriding])
def test_what_waits_for_a_peer_that_is_gone_is_counted_in_the_log(engine, handler, caplog):
    """A warning with the count of frames that were accepted and not sent."""
    others = threading.enumerate()
    client = connected(engine, handler)
    with caplog.at_level(logging.WARNING, "masep"):
        for _ in range(1_000):
            client.send_frame_to("engine", Frame(BODY))
        waited = client.get_connection("engine").send_queue.qsize()
        engine.reset()
        client.get_connection("engine").join(SOON)
        for thread in threading.enumerate():
            if thread.name == "SocketHandlerWriter" and thread not in others:
                thread.join(SOON)
    # The writer may have taken some that the system then has thrown away.
    assert 0 < lost(engine, caplog.text) <= waited + 1
    assert client.get_connection("engine").send_queue.empty()


def test_what_is_sent_to_a_peer_that_is_gone_is_said_once(engine, caplog):
    client = connected(engine)
    with caplog.at_level(logging.DEBUG, "masep"):
        client.logger.setLevel(logging.DEBUG)
        # Not right behind the hello, which would be a rejection.
        engine.peer.sendall(b"\x02\x00hi\x03\x00BYE")
        client.get_connection("engine").join(SOON)
        for _ in range(10):
            client.send_frame_to("engine", Frame(BODY))
        client.send_frame_to("engine", Frame.bye_frame())
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    told = [record for record in warnings if str(engine.port) in record.getMessage()]
    assert len(told) == 1
    assert "neither is what follows" in told[0].getMessage()


def test_a_bye_that_leaves_something_undelivered_raises(engine):
    """`send_frame` waits, and tells its caller."""
    with socket.create_connection(("127.0.0.1", engine.port)) as near:
        near.sendall(b"\x05\x00agent")
        engine.greet()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        handler = SocketHandler(near, "address", logging.getLogger("any"))
        for _ in range(100):
            handler.send_frame(Frame(BODY))
        raised = queue.Queue()

        def say_bye():
            try:
                handler.send_frame(Frame.bye_frame())
            except masep.TransportError as error:
                raised.put(error)
            else:
                raised.put(None)

        saying = threading.Thread(target=say_bye)
        saying.start()
        engine.reset()
        assert isinstance(raised.get(timeout=SOON), masep.TransportError)
        saying.join()
