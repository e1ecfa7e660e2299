"""Connections over Unix sockets, without async and with it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import masep
import masep.aio
import pytest
from masep import Message
from scarcity import assert_given_back, descriptors
from soon import SOON


@pytest.fixture
def path():
    # Those of pytest are too long for the path of a socket.
    with tempfile.TemporaryDirectory(prefix="masep-", dir="/tmp") as directory:
        yield Path(directory) / "x.sock"


@pytest.fixture
def target(path):
    return f"unix://{path}"


def test_a_conversation(path, target):
    with masep.Server("engine", target) as server:
        assert server.address == server.target == target
        assert target in repr(server)
        with masep.connect(target, id="agent") as agent:
            engine = server.accept(SOON)
            assert (engine.peer, agent.peer) == ("agent", "engine")
            assert {agent.address, agent.target, engine.address, engine.target} == {target}
            for size in (0, 1, 64, 5_000, 65_535):
                agent.send(b"x" * size)
                assert engine.recv(SOON) == b"x" * size
            engine.send(Message("end", None, "engine"))
            engine.close()
            assert [message.msg_type for message in agent] == ["end"]
            assert agent.close_reason == "peer_bye"
    assert not path.exists()


def test_tcp_has_its_address_as_text_too():
    with masep.Server("engine", "127.0.0.1:0") as server:
        assert server.target == "{}:{}".format(*server.address)
        with masep.connect(server.target, id="agent") as agent:
            assert (agent.address, agent.target) == (server.address, server.target)


def test_a_conversation_in_asyncio(path, target):
    async def main():
        async with masep.aio.Server("engine", target) as server:
            assert server.address == server.target == target
            assert target in repr(server)
            async with masep.aio.connect(target, id="agent") as agent:
                engine = await server.accept()
                assert {agent.address, engine.target} == {target}
                # More than the socket takes: both sides wait for each other.
                bodies = [bytes([n]) * 60_000 for n in range(50)]

                async def send():
                    for body in bodies:
                        await agent.send(body)

                sending = asyncio.ensure_future(send())
                assert [await engine.recv(SOON) for _ in bodies] == bodies
                await sending
                await engine.send(b"last")
                await engine.close()
                assert await agent.recv(SOON) == b"last"
                assert await agent.recv(SOON) is None
                assert agent.close_reason == "peer_bye"
        assert not path.exists()

    asyncio.run(asyncio.wait_for(main(), 3 * SOON))


def test_a_file_that_was_left_is_replaced_and_one_in_use_is_not(path, target):
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    with masep.Server("engine", target) as server:
        assert stat.S_ISSOCK(path.stat().st_mode)
        with pytest.raises(OSError, match=str(path)):
            masep.Server("other", target)
        with masep.connect(target, id="agent"):
            assert server.accept(SOON).peer == "agent"
    path.write_text("precious")
    with pytest.raises(OSError, match="no socket"):
        masep.Server("engine", target)
    assert path.read_text() == "precious"


def test_a_process_that_is_told_to_end_leaves_no_file(path, target):
    program = "import masep, sys; s = masep.Server('engine', sys.argv[1]); print(flush=True); s.accept()"
    started = subprocess.Popen([sys.executable, "-c", program, target], stdout=subprocess.PIPE)
    with started as process:
        process.stdout.readline()
        assert path.exists()
        process.send_signal(signal.SIGINT)
        process.wait(3 * SOON)
    assert not path.exists()


def test_a_child_that_was_forked_leaves_the_file_to_its_parent(path, target):
    program = """
import masep, os, sys
server = masep.Server("engine", sys.argv[1])
child = os.fork()
if child == 0:
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
with masep.connect(sys.argv[1], id="agent"):
    assert server.accept(10).peer == "agent"
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program, target], check=True, timeout=60)
    assert not path.exists()


@pytest.mark.parametrize(
    "target, text",
    [
        ("unix://relative", "begins with a slash"),
        ("unix:///" + "x" * 200, "at most"),
        ("localhost", "HOST:PORT"),
        ("wss://localhost:1", "not supported yet"),
    ],
)
def test_an_address_that_is_none_is_the_callers_error(target, text):
    with pytest.raises(masep.CallerError, match=text):
        masep.connect(target, id="agent")
    with pytest.raises(masep.CallerError, match=text):
        masep.Server("engine", target)

    async def main():
        with pytest.raises(masep.CallerError, match=text):
            await masep.aio.connect(target, id="agent")
        with pytest.raises(masep.CallerError, match=text):
            masep.aio.Server("engine", target)

    asyncio.run(main())


def test_nobody_there(path, target):
    with pytest.raises(masep.TransportError, match=str(path)):
        masep.connect(target, id="agent")
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    with pytest.raises(masep.RefusedError, match=str(path)):
        masep.connect(target, id="agent")


def test_a_unix_socket_is_not_announced(target, path):
    with pytest.raises(masep.CallerError, match="only this machine"):
        masep.Server("engine", target, announce=True)
    assert not path.exists()


def test_many_clients_leave_no_descriptor(target):
    with masep.Server("engine", target) as server:
        with masep.connect(target, id="first"):
            server.accept(SOON).close()
        before = descriptors()
        agents = [masep.connect(target, id=str(n)) for n in range(100)]
        engines = [server.accept(SOON) for _ in agents]
        for n, agent in enumerate(agents):
            agent.send(b"%d" % n)
        assert sorted(int(engine.recv(SOON)) for engine in engines) == list(range(100))
        for connection in agents + engines:
            connection.close()
        assert_given_back(before)
