"""Connections of asyncio: what is unsent, and the turns of other tasks."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import pathlib
import socket
import sys
import threading
import weakref

import masep
import masep.aio
import pytest
from masep import Message
from scarcity import Exhausted, assert_given_back, descriptors, settle
from soon import SOON

BODY = b"y" * 60_000
FRAME = len(BODY).to_bytes(2, "little") + BODY
HELLO = b"\x06\x00engine"
BYE = b"\x03\x00BYE"


def run(main):
    try:
        asyncio.run(asyncio.wait_for(main, SOON))
    finally:
        while Peer.opened:
            Peer.opened.pop().close()


class Peer:
    """A peer that does nothing by itself, in the same loop."""

    opened: list[socket.socket] = []

    def __init__(self, server):
        self.socket = socket.create_connection(server.address)
        self.opened.append(self.socket)
        self.socket.setblocking(False)

    async def write(self, data):
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def read(self, size):
        heard = b""
        while len(heard) < size:
            more = await asyncio.get_running_loop().sock_recv(self.socket, size - len(heard))
            assert more, f"the end after {len(heard)} of {size} bytes"
            heard += more
        return heard

    async def read_all(self):
        heard = b""
        while more := await asyncio.get_running_loop().sock_recv(self.socket, 1 << 20):
            heard += more
        return heard


async def connected(server):
    peer = Peer(server)
    await peer.write(b"\x03\x00raw")
    assert await peer.read(len(HELLO)) == HELLO
    return peer, await server.accept()


async def fill(connection):
    """Sends until a call waits, and cancels that: how many frames were sent."""
    count = 0
    while True:
        sending = asyncio.create_task(connection.send(BODY))
        for _ in range(10):
            await asyncio.sleep(0)
        if not sending.done():
            sending.cancel()
            await asyncio.wait([sending])
            return count
        sending.result()
        count += 1


async def half_sent(server):
    """A connection with a frame that was begun when its call was cancelled, and the peer that took
    nothing of all that: how many frames there are, with that one."""
    for _ in range(20):
        peer, connection = await connected(server)
        count = await fill(connection)
        if not connection._connection.try_flush():
            return peer, connection, count + 1
    raise AssertionError("the socket took whole frames only")


async def _iterate(connection):
    return [message async for message in connection]


WAITS = {
    "recv": lambda connection: connection.recv(),
    "recv with a timeout": lambda connection: connection.recv(SOON),
    "recv_message": lambda connection: connection.recv_message(),
    "async for": _iterate,
    "close": lambda connection: connection.close(),
    "nothing": lambda connection: asyncio.sleep(SOON),
}


@pytest.mark.parametrize("name", WAITS)
def test_the_rest_of_a_frame_whose_send_was_cancelled_goes_out_whoever_waits(name):
    async def main():
        async with masep.aio.Server("engine", "127.0.0.1:0") as server:
            peer, connection, frames = await half_sent(server)
            waiting = asyncio.create_task(WAITS[name](connection))
            # It waits before the peer reads.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            for _ in range(frames):
                assert await peer.read(len(FRAME)) == FRAME
            peer.socket.close()
            waiting.cancel()
            await asyncio.wait([waiting])

    run(main())


def test_a_connection_is_dropped_after_the_rest_of_its_frame():
    async def main():
        async with masep.aio.Server("engine", "127.0.0.1:0") as server:
            peer, connection, frames = await half_sent(server)
            del connection
            assert await peer.read_all() == FRAME * frames + BYE

    run(main())


def test_a_frame_of_which_nothing_went_out_is_not_sent_when_its_call_is_cancelled():
    async def main():
        async with masep.aio.Server("engine", "127.0.0.1:0") as server:
            peer, connection, frames = await half_sent(server)
            waiting = asyncio.create_task(connection.send(b"never"))
            await asyncio.sleep(0)
            waiting.cancel()
            sending = asyncio.create_task(connection.send(b"then"))
            assert await peer.read(frames * len(FRAME)) == FRAME * frames
            await sending
            assert await peer.read(6) == b"\x04\x00then"

    run(main())


def test_a_peer_that_takes_nothing_is_given_up_though_the_send_was_cancelled():
    limits = masep.Limits(write_time=1.0)

    async def main():
        async with masep.aio.Server("engine", "127.0.0.1:0", limits=limits) as server:
            _peer, connection, _frames = await half_sent(server)
            for call in (connection.recv, lambda: connection.send(b"x"), connection.recv):
                with pytest.raises(masep.TransportError, match="took no bytes") as raised:
                    await call()
                assert raised.value.reason == "write_timeout"
            assert connection.close_reason == await connection.close() == "write_timeout"

    run(main())


def test_a_peer_that_takes_nothing_is_given_up_by_the_send_that_waits():
    limits = masep.Limits(write_time=1.0)

    async def main():
        async with masep.aio.Server("engine", "127.0.0.1:0", limits=limits) as server:
            _peer, connection = await connected(server)
            with pytest.raises(masep.TransportError) as raised:
                while True:
                    await connection.send(BODY)
            assert raised.value.reason == connection.close_reason == "write_timeout"

    run(main())


def test_a_send_that_waits_is_told_of_the_end():
    async def main():
        async with masep.aio.Server("engine", "127.0.0.1:0") as server:
            peer, connection = await connected(server)

            async def send():
                while True:
                    await connection.send(BODY)

            sending, reading = asyncio.create_task(send()), asyncio.create_task(connection.recv())
            await peer.read(10 * len(FRAME))
            peer.socket.close()
            for call in sending, reading:
                with pytest.raises(masep.TransportError) as raised:
                    await call
                assert raised.value.reason == "reset"

    run(main())


CALLS = 2_000


class Turns:
    """The number of turns that another task of the loop has had."""

    async def __aenter__(self):
        self.count = 0
        self._counting = asyncio.create_task(self._count())
        await asyncio.sleep(0)
        self._before = self.count
        return self

    async def _count(self):
        while True:
            self.count += 1
            await asyncio.sleep(0)

    def since(self):
        return self.count - self._before

    async def __aexit__(self, *_error):
        self._counting.cancel()


async def receive(connection):
    for _ in range(CALLS):
        assert await connection.recv() == b"x"


async def receive_with_a_timeout(connection):
    for _ in range(CALLS):
        assert await connection.recv(SOON) == b"x"


async def poll(connection):
    for _ in range(CALLS):
        assert await connection.recv(0) == b"x"


async def send(connection):
    for _ in range(CALLS):
        await connection.send(b"x")


@pytest.mark.parametrize("call", [receive, receive_with_a_timeout, poll, send])
def test_other_tasks_have_their_turns_while_the_socket_is_ready(call):
    async def main():
        async with masep.aio.Server("engine", "127.0.0.1:0") as server:
            peer, connection = await connected(server)
            # All of it has arrived, or there is room for all of it.
            await peer.write(b"\x01\x00x" * CALLS)
            async with Turns() as turns:
                await call(connection)
                assert turns.since() >= CALLS / 64

    run(main())


def test_other_tasks_have_their_turns_while_messages_are_there():
    async def main():
        async with masep.aio.Server("engine", "127.0.0.1:0") as server:
            peer, connection = await connected(server)
            body = Message("action", None, "agent").to_bytes()
            await peer.write((len(body).to_bytes(2, "little") + body) * 500 + BYE)
            async with Turns() as turns:
                assert len(await _iterate(connection)) == 500
                assert turns.since() >= 500 / 64

    run(main())


def test_other_tasks_have_their_turns_while_connections_are_there():
    async def main():
        async with masep.aio.Server("engine", "127.0.0.1:0") as server:
            peers = [Peer(server) for _ in range(200)]
            for number, peer in enumerate(peers):
                await peer.write(b"\x03\x00%03d" % number)
                await peer.read(len(HELLO))
            while server._accepted.qsize() < len(peers):
                await asyncio.sleep(0.01)
            async with Turns() as turns:
                for _ in peers:
                    assert await server.accept()
                assert turns.since() >= len(peers) / 64

    run(main())


@pytest.mark.parametrize("body", [b"x", BODY], ids=["small", "large"])
def test_other_tasks_have_their_turns_under_a_flood(body):
    frames = len(body).to_bytes(2, "little") + body
    frames *= 1 + 100_000 // len(frames)

    def flood(address):
        with socket.create_connection(address) as peer:
            peer.sendall(b"\x03\x00raw")
            try:
                while True:
                    peer.sendall(frames)
            except OSError:
                pass

    async def main():
        async with masep.aio.Server("engine", "127.0.0.1:0") as server:
            flooding = threading.Thread(target=flood, args=(server.address,))
            flooding.start()
            connection = await server.accept()
            async with Turns() as turns:
                for _ in range(CALLS):
                    assert len(await connection.recv()) == len(body)
                # Of large frames, each is a turn's worth.
                assert turns.since() >= (CALLS / 64 if body == b"x" else CALLS / 3)
            await connection.close()
            flooding.join(SOON)

    run(main())


def test_a_frame_that_has_arrived_is_given_even_with_a_time_of_zero():
    async def main():
        async with masep.aio.Server("engine", "127.0.0.1:0") as server:
            peer, connection = await connected(server)
            with pytest.raises(masep.TimedOut):
                await connection.recv(0)
            await peer.write(b"\x01\x00x" * 100 + BYE)
            for _ in range(100):
                assert await connection.recv(0) == b"x"
            assert await connection.recv(0) is None

    run(main())


def test_what_is_cancelled_while_others_have_their_turn_loses_nothing():
    async def main():
        async with masep.aio.Server("engine", "127.0.0.1:0") as server:
            peer, connection = await connected(server)
            await peer.write(b"".join(b"\x02\x00" + number.to_bytes(2, "big") for number in range(CALLS)))
            received = []

            async def receive():
                while True:
                    received.append(int.from_bytes(await connection.recv(), "big"))

            while len(received) < CALLS:
                receiving = asyncio.create_task(receive())
                await asyncio.sleep(0)
                receiving.cancel()
                await asyncio.wait([receiving])
            assert received == list(range(CALLS))

    run(main())


async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)


def wake_ups(name):
    """The number of times that a thread of this process has slept so far, one that Python may know nothing of."""
    for task in pathlib.Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if (task / "comm").read_text().strip() == name:
                lines = (task / "status").read_text().splitlines()
                return next(int(line.split()[1]) for line in lines if line.startswith("voluntary"))
    return 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads are looked at in /proc")
def test_no_thread_drives_a_connection_of_a_loop():
    rounds = 100
    settle()

    async def main():
        async with masep.aio.Server("engine", "127.0.0.1:0") as server:
            # The door has one for the hello.
            peer, connection, frames = await half_sent(server)
            assert await peer.read(frames * len(FRAME)) == FRAME * frames
            before = wake_ups("masep-keeper")
            for _ in range(rounds):
                await peer.write(b"\x01\x00x")
                assert await connection.recv() == b"x"
                await connection.send(b"y")
                assert await peer.read(3) == b"\x01\x00y"
            # It may have had to let go of the hello.
            assert wake_ups("masep-keeper") - before < rounds / 10

    run(main())


def test_an_end_is_known_though_no_call_waits():
    async def main():
        async with masep.aio.Server("engine", "127.0.0.1:0") as server:
            peer, connection = await connected(server)
            await peer.write(BYE)
            await until(lambda: connection.closed)
            assert connection.close_reason == "peer_bye"
            assert await connection.recv() is None

    run(main())


def test_what_came_before_an_end_is_received():
    async def main():
        async with masep.aio.Server("engine", "127.0.0.1:0") as server:
            peer, connection = await connected(server)
            await peer.write(b"\x01\x00x" * 3 + BYE)
            peer.socket.shutdown(socket.SHUT_WR)
            await until(lambda: connection._descriptor is None)
            assert not connection.closed
            assert [await connection.recv() for _ in range(4)] == [b"x", b"x", b"x", None]
            assert connection.closed

    run(main())


@pytest.mark.parametrize("waits", [True, False], ids=["a call waits", "none waits"])
def test_a_silent_peer_is_given_up(waits):
    limits = masep.Limits(idle_time=0.1)

    async def main():
        async with masep.aio.Server("engine", "127.0.0.1:0", limits=limits) as server:
            _peer, connection = await connected(server)
            if not waits:
                await until(lambda: connection.closed)
            with pytest.raises(masep.TransportError) as raised:
                await connection.recv()
            assert raised.value.reason == "idle_timeout"

    run(main())


def test_calls_that_wait_are_told_what_another_thread_did():
    async def main():
        async with masep.aio.Server("engine", "127.0.0.1:0", duplicates="replace") as server:
            _peer, connection, _frames = await half_sent(server)
            receiving = asyncio.create_task(connection.recv())
            sending = asyncio.create_task(connection.send(b"x"))
            await asyncio.sleep(0)
            _other, _successor = await connected(server)
            assert await receiving is None
            with pytest.raises(masep.TransportError) as raised:
                await sending
            assert raised.value.reason == connection.close_reason == "replaced"

    run(main())


async def kick(server):
    assert server.kick(id="raw") == 1


async def ban(server):
    assert server.ban(address="127.0.0.1") == 1


@pytest.mark.parametrize("act", [kick, ban])
def test_a_call_that_waits_is_told_what_its_own_loop_has_the_server_do(act):
    async def main():
        async with masep.aio.Server("engine", "127.0.0.1:0") as server:
            peer, connection = await connected(server)
            waiting = asyncio.create_task(connection.recv())
            # It waits, for a peer that says nothing and does not go.
            await asyncio.sleep(0)
            await act(server)
            for _ in range(10):
                await asyncio.sleep(0)
            assert waiting.done() and await waiting is None
            assert connection.close_reason == "kicked"
            assert await peer.read(len(BYE)) == BYE

    run(main())


def test_a_frame_that_the_door_makes_arrive_is_received():
    """A peer that comes back has its predecessor looked at, by whoever drives it."""

    async def main():
        async with masep.aio.Server("engine", "127.0.0.1:0") as server:
            peer, connection = await connected(server)
            for number in range(50):
                receiving = asyncio.create_task(connection.recv())
                await asyncio.sleep(0)
                other = Peer(server)
                await other.write(b"\x03\x00raw")
                await peer.write(b"\x01\x00%c" % number)
                assert await receiving == b"%c" % number
                other.socket.close()

    run(main())


def test_sends_that_wait_go_out_in_their_order():
    async def main():
        async with masep.aio.Server("engine", "127.0.0.1:0") as server:
            peer, connection, frames = await half_sent(server)
            bodies = [b"%03d" % number for number in range(20)]
            sending = [asyncio.create_task(connection.send(body)) for body in bodies]
            assert await peer.read(frames * len(FRAME)) == FRAME * frames
            assert await peer.read(5 * len(bodies)) == b"".join(b"\x03\x00" + body for body in bodies)
            await asyncio.gather(*sending)

    run(main())


def test_the_loop_does_not_spin_for_a_peer_that_waits():
    limits = masep.Limits(queue_messages=4)

    async def main():
        async with masep.aio.Server("engine", "127.0.0.1:0", limits=limits) as server:
            peer, connection, _frames = await half_sent(server)
            # More than is read ahead, so that the socket stays readable.
            await peer.write(b"\x01\x00x" * 50_000)
            await until(lambda: not connection._reads)
            turns, driven = 0, connection._driven

            class Counting:
                def __getattr__(self, name):
                    nonlocal turns
                    turns += name == "turn"
                    return getattr(driven, name)

            connection._driven = Counting()
            await asyncio.sleep(0.2)
            assert turns < 5
            # A call that takes one has more read.
            for _ in range(50_000):
                assert await connection.recv() == b"x"

    run(main())


def test_a_connection_that_outlives_its_loop_is_closed_when_it_is_dropped():
    server = masep.Server("engine", "127.0.0.1:0")

    async def main():
        return await masep.aio.connect(server.target, id="agent")

    with server:
        agent = asyncio.run(main())
        engine = server.accept(SOON)
        before = descriptors()
        del agent
        gc.collect()
        assert engine.recv(SOON) is None
        assert engine.close_reason == "peer_bye"
        assert_given_back(before - 1)


def test_a_connection_is_dropped_in_another_thread():
    async def main():
        async with masep.aio.Server("engine", "127.0.0.1:0") as server:
            peer, connection = await connected(server)
            kept = [connection]
            del connection
            dropping = threading.Thread(target=kept.clear)
            dropping.start()
            assert await peer.read_all() == BYE
            dropping.join(SOON)

    run(main())


def test_a_connection_for_which_there_is_no_descriptor_waits_until_there_is_one(caplog):
    settle()

    async def main():
        async with masep.aio.Server("engine", "127.0.0.1:0") as server:
            peers = [Peer(server), Peer(server)]
            for number, peer in enumerate(peers):
                await peer.write(f"\x06\x00peer-{number}".encode())
                # It waits to be accepted then.
                assert await peer.read(8) == HELLO
            exhausted = Exhausted()
            try:
                with pytest.raises(masep.TimedOut):
                    await server.accept(0)
                with pytest.raises(masep.TimedOut):
                    await server.accept(0.05)
                waiting = asyncio.create_task(server.accept())
                while "connection waits" not in caplog.text.partition("connection waits")[2]:
                    await asyncio.sleep(0)
                assert not waiting.done()
                cancelled = asyncio.create_task(server.accept())
                await asyncio.sleep(0)
                cancelled.cancel()
            finally:
                exhausted.close()
            # In the order in which they came.
            accepted = [await waiting, await server.accept()]
            assert [connection.peer for connection in accepted] == ["peer-0", "peer-1"]
            for peer, connection in zip(peers, accepted, strict=True):
                await peer.write(b"\x02\x00hi")
                assert await connection.recv() == b"hi"

    run(main())


def test_a_block_that_is_cancelled_waits_for_no_peer_that_takes_nothing():
    async def main():
        patient = masep.Limits(write_time=3_600.0)
        async with masep.aio.Server("engine", "127.0.0.1:0", limits=patient) as server:
            peer, connection, frames = await half_sent(server)

            async def block(connection):
                async with connection:
                    await asyncio.Event().wait()

            task = asyncio.create_task(block(connection))
            del connection
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task], timeout=SOON)
            assert task.cancelled()
            # The end goes on.
            assert await peer.read_all() == FRAME * frames + BYE

    run(main())


def test_a_failed_attempt_to_connect_leaves_no_cycle():
    async def main():
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
        try:
            await masep.aio.connect(f"127.0.0.1:{port}", id="agent")
        except masep.TransportError as error:
            return weakref.ref(error)

    gc.collect()
    gc.disable()
    try:
        error = asyncio.run(main())
        # The thread that has connected may still have it.
        for thread in threading.enumerate():
            if thread.name == "masep-aio":
                thread.join(SOON)
        assert error() is None
    finally:
        gc.enable()
