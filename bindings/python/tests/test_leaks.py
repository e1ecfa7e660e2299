"""A thousand connections that come, talk and go leave nothing behind: no thread, no descriptor, no memory."""

from __future__ import annotations

import asyncio
import gc
import os
import queue
import threading
import time

import masep
import masep.aio
from masep.communication import Client, Frame, Server, SocketHandler, SocketHandlerQueue
from soon import SOON

CYCLES = 1_000
#: Before it is looked for the first time: buffers and lists have the size that they will have.
WARM = 200

MEGABYTE = 1 << 20


def left():
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as file:
        pages = int(file.read().split()[1])
    return pages * os.sysconf("SC_PAGESIZE"), len(os.listdir("/proc/self/fd")), tasks()


def tasks():
    """The threads of this process, also those that Python knows nothing of."""
    return len(os.listdir("/proc/self/task"))


def check(before, middle, after):
    """Memory may grow in one half, as the allocator likes: what is left behind makes it grow in both."""
    # A connection that has ended lets go of its socket in a thread of its own.
    until = time.monotonic() + SOON
    while (after[1] > before[1] or after[2] > before[2]) and time.monotonic() < until:
        time.sleep(0.01)
        after = left()
    assert after[1] <= before[1], "descriptors are left"
    assert after[2] <= before[2], "threads are left"
    assert min(middle[0] - before[0], after[0] - middle[0]) <= MEGABYTE / 2, "memory is left"


class Answering(SocketHandler):
    def on_receive(self, frame):
        self.send_frame_async(Frame(b"re:" + frame.message))


def test_of_the_drop_in():
    server = Server("engine", 5, Answering, (), "127.0.0.1", 0)
    server.wait_connection()
    port = server.socket.getsockname()[1]

    def cycles(count):
        for number in range(count):
            client = Client(f"agent-{number}", SocketHandlerQueue, (queue.Queue(),), "127.0.0.1", port)
            client.connect()
            handler = client.get_connection("engine")
            client.send_frame_to("engine", Frame(b"hi"))
            assert handler.receive_queue.get(timeout=SOON) == b"re:hi"
            client.send_frame_to("engine", Frame.bye_frame())
            handler.join(SOON)
            server.get_connection(f"agent-{number}").join(SOON)

    cycles(WARM)
    before = left()
    cycles(CYCLES // 2)
    middle = left()
    cycles(CYCLES // 2)
    check(before, middle, left())
    server.stop_wait_connection()
    server.wait_connection_thread.join(SOON)


def test_of_the_connections_without_async():
    with masep.Server("engine", "127.0.0.1:0") as server:
        address = "{}:{}".format(*server.address)

        def cycles(count):
            for number in range(count):
                with masep.connect(address, id=f"agent-{number}") as agent:
                    engine = server.accept(SOON)
                    agent.send(b"hi")
                    assert engine.recv(SOON) == b"hi"
                    engine.send(b"hi back")
                    assert agent.recv(SOON) == b"hi back"
                assert engine.recv(SOON) is None

        cycles(WARM)
        before = left()
        cycles(CYCLES // 2)
        middle = left()
        cycles(CYCLES // 2)
        check(before, middle, left())


def test_of_the_connections_of_asyncio():
    async def main():
        async with masep.aio.Server("engine", "127.0.0.1:0") as server:
            address = "{}:{}".format(*server.address)

            async def cycles(count):
                for number in range(count):
                    async with masep.aio.connect(address, id=f"agent-{number}") as agent:
                        engine = await server.accept()
                        await agent.send(b"hi")
                        assert await engine.recv() == b"hi"
                        await engine.send(b"hi back")
                        assert await agent.recv() == b"hi back"
                    assert await engine.recv() is None

            await cycles(WARM)
            others_end()
            before = left()
            await cycles(CYCLES // 2)
            others_end()
            middle = left()
            await cycles(CYCLES // 2)
            others_end()
            check(before, middle, left())

    def others_end():
        # A thread has said what it was asked for shortly before it ends.
        for thread in threading.enumerate():
            if thread.name == "masep-aio":
                thread.join(SOON)

    asyncio.run(main())


def test_of_servers():
    def cycles(count):
        for _ in range(count):
            with masep.Server("engine", "127.0.0.1:0") as server:
                address = "{}:{}".format(*server.address)
                with masep.connect(address, id="agent") as agent:
                    engine = server.accept(SOON)
                    agent.send(b"hi")
                    assert engine.recv(SOON) == b"hi"

    cycles(50)
    before = left()
    cycles(100)
    middle = left()
    cycles(100)
    check(before, middle, left())
