"""The package's own connections, without async and with it."""

from __future__ import annotations

import asyncio
import copy
import errno
import logging
import sys
import threading

import masep
import masep.aio
import pytest
from masep import Message
from soon import SOON


@pytest.fixture
def server():
    with masep.Server("engine", "127.0.0.1:0") as server:
        yield server


def address_of(server):
    return "{}:{}".format(*server.address)


def test_a_conversation(server):
    with masep.connect(address_of(server), id="agent") as agent:
        engine = server.accept(SOON)
        assert (engine.peer, agent.peer) == ("agent", "engine")
        agent.send(b"bytes")
        assert engine.recv(SOON) == b"bytes"
        engine.send(Message("observation", {"k": [1, (2, 3)]}, "engine"))
        engine.send(Message("end", None, "engine"))
        engine.close()
        messages = list(agent)
        assert [message.msg_type for message in messages] == ["observation", "end"]
        assert messages[0].params == {"k": [1, (2, 3)]}
        assert agent.recv() is None
        assert agent.closed
        assert agent.close_reason == "peer_bye"
        with pytest.raises(masep.TransportError):
            agent.send(b"late")


def test_nobody_is_accepted_after_a_shutdown(server):
    with masep.connect(address_of(server), id="agent"):
        server.shutdown()
        assert server.accept(SOON) is None

    async def main():
        async with masep.aio.Server("engine", "127.0.0.1:0") as server:
            async with await masep.aio.connect(address_of(server), id="agent"):
                while server._accepted.empty():
                    await asyncio.sleep(0)
                await server.shutdown()
                assert await server.accept(SOON) is None

    asyncio.run(main())


def test_nothing_in_time_is_no_end(server):
    with masep.connect(address_of(server), id="agent") as agent:
        engine = server.accept(SOON)
        for late in (lambda: engine.recv(0.01), lambda: server.accept(0.01)):
            with pytest.raises(TimeoutError) as raised:
                late()
            assert isinstance(raised.value, masep.TimedOut)
        agent.send(b"later")
        assert engine.recv(SOON) == b"later"


def test_what_is_no_message_ends_nothing(server):
    with masep.connect(address_of(server), id="agent") as agent:
        engine = server.accept(SOON)
        agent.send(b"<broken")
        with pytest.raises(masep.PeerError):
            engine.recv_message(SOON)
        agent.send(Message("quit", None, "agent"))
        assert engine.recv_message(SOON) == Message("quit", None, "agent")


def test_a_class_that_may_not_be_had_ends_nothing(server):
    with masep.connect(address_of(server), id="agent") as agent:
        engine = server.accept(SOON)
        agent.send(Message("define", {"game": masep.TypeName("never_imported.Game")}, "agent"))
        with pytest.raises(masep.PeerError) as raised:
            engine.recv_message(SOON)
        assert raised.value.kind == "unknown_type"
        assert "never_imported" not in sys.modules
        agent.send(Message("quit", None, "agent"))
        assert engine.recv_message(SOON).msg_type == "quit"


def test_all_exceptions_have_one_base():
    names = [name for name in masep.__all__ if isinstance(getattr(masep, name), type)]
    exceptions = [getattr(masep, name) for name in names if issubclass(getattr(masep, name), Exception)]
    assert len(exceptions) == 10
    assert all(issubclass(one, masep.MasepError) for one in exceptions)
    for one, python in {
        masep.CallerError: TypeError,
        masep.PeerError: ValueError,
        masep.TransportError: ConnectionError,
        masep.RefusedError: ConnectionRefusedError,
        masep.RejectedError: ConnectionError,
        masep.LimitError: OverflowError,
        masep.TimedOut: TimeoutError,
    }.items():
        assert issubclass(one, python)


@pytest.mark.parametrize("name", ["Connection", "Server"])
def test_the_names_are_the_same_with_async_and_without(name):
    def public(module):
        return {one for one in dir(getattr(module, name)) if not one.startswith("_")}

    assert public(masep) == public(masep.aio)
    assert {"connect", "discover"} <= set(masep.__all__) & set(masep.aio.__all__)


def test_it_logs_to_the_logger_masep_and_writes_no_files(server, directory, caplog):
    with caplog.at_level(logging.DEBUG, "masep"), masep.connect(address_of(server), id="agent"):
        pass
    assert {record.name for record in caplog.records} == {"masep"}
    assert "engine" in caplog.text
    assert list(directory.iterdir()) == []


def test_faults_of_the_caller(server):
    with pytest.raises(masep.CallerError):
        masep.connect(address_of(server), id="BYE")
    with pytest.raises(masep.LimitError):
        masep.connect(address_of(server), id="x" * 1_025)
    with pytest.raises(masep.CallerError, match="protocol"):
        masep.connect(f"masep://{address_of(server)}", id="agent", protocol=1)
    with pytest.raises(masep.CallerError, match="protocol is 1, 2, or None"):
        masep.connect(address_of(server), id="agent", protocol=3)
    with pytest.raises(OSError, match="in use"):
        masep.Server("other", address_of(server))
    for protocol, size in [(1, 65_536), (2, (1 << 20) + 1)]:
        with masep.connect(address_of(server), id=f"agent {protocol}", protocol=protocol) as agent:
            with pytest.raises(masep.LimitError, match="the peer") as raised:
                agent.send(bytes(size))
            assert (raised.value.actual, raised.value.allowed) == (size, size - 1)


def test_other_threads_run_while_one_waits(server):
    with masep.connect(address_of(server), id="agent") as agent:
        engine, heard = server.accept(SOON), []
        reader = threading.Thread(target=lambda: heard.append(engine.recv()))
        reader.start()
        agent.send(b"wake up")
        reader.join(SOON)
        assert heard == [b"wake up"]
        reader = threading.Thread(target=lambda: heard.append(engine.recv()))
        reader.start()
        engine.close()
        reader.join(SOON)
        assert heard == [b"wake up", None]


def run(main):
    asyncio.run(asyncio.wait_for(main, SOON))


def test_a_conversation_in_asyncio():
    async def main():
        async with (
            masep.aio.Server("engine", "127.0.0.1:0") as server,
            masep.aio.connect(address_of(server), id="agent") as agent,
        ):
            engine = await server.accept()
            await agent.send(b"bytes")
            assert await engine.recv() == b"bytes"
            with pytest.raises(masep.TimedOut):
                await engine.recv(0.01)

            async def read():
                return [message async for message in agent]

            reading = asyncio.create_task(read())
            await engine.send(Message("observation", {"k": 1}, "engine"))
            await engine.send(Message("end", None, "engine"))
            assert await engine.close() == "local_bye"
            assert [message.msg_type for message in await reading] == ["observation", "end"]

    run(main())


def test_a_fast_sender_waits_for_a_slow_reader_in_asyncio():
    async def main():
        async with masep.aio.Server("engine", "127.0.0.1:0") as server:
            agent = await masep.aio.connect(address_of(server), id="agent")
            engine = await server.accept()

            async def send():
                for number in range(300):
                    await agent.send(number.to_bytes(2, "big") * 30_000)
                await agent.close()

            sending = asyncio.create_task(send())
            for number in range(300):
                body = await engine.recv()
                assert body == number.to_bytes(2, "big") * 30_000
            assert await engine.recv() is None
            await sending

    run(main())


def test_what_is_cancelled_in_asyncio_loses_nothing():
    async def main():
        async with masep.aio.Server("engine", "127.0.0.1:0") as server:
            accepting = asyncio.create_task(server.accept())
            await asyncio.sleep(0)
            accepting.cancel()
            async with masep.aio.connect(address_of(server), id="agent") as agent:
                engine = await server.accept()
                for number in range(50):
                    reading = asyncio.create_task(engine.recv())
                    await asyncio.sleep(0)
                    reading.cancel()
                    await agent.send(b"%d" % number)
                    assert await engine.recv() == b"%d" % number
            await server.stop_accepting()
            assert await server.accept() is None

    run(main())


def test_no_server_in_asyncio():
    async def main():
        with pytest.raises(masep.RefusedError):
            await masep.aio.connect("127.0.0.1:1", id="agent")

    run(main())


def test_errors_of_the_system_have_its_number():
    with masep.Server("engine", "127.0.0.1:0") as server:
        for make in (masep.Server, lambda id, address: masep.Table("any.Game", ["red"], address)):
            for address, number in [(server.target, errno.EADDRINUSE), ("unix:///not/there", errno.ENOENT)]:
                with pytest.raises(OSError) as raised:
                    make("other", address)
                assert raised.value.errno == number
        taken = server.target
    with pytest.raises(OSError) as raised:
        masep.connect(taken, id="agent")
    assert raised.value.errno == errno.ECONNREFUSED
    assert copy.copy(raised.value).errno == errno.ECONNREFUSED
    with pytest.raises(masep.TransportError) as raised:
        masep.connect("name.invalid:1", id="agent")
    assert copy.copy(raised.value).errno is None
