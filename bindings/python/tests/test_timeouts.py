"""A timeout is a number of seconds, 0 or more. All else is the caller's fault, and is said at once."""

from __future__ import annotations

import asyncio
import math

import masep
import masep.aio
import pytest
from soon import SOON


NO_TIMEOUTS = [math.nan, -1.0, -math.inf, -1e-9]

#: Of a server, a connection and a number; all of both modules that take a timeout.
CALLS = {
    "recv": lambda _server, connection, timeout: connection.recv(timeout),
    "recv_message": lambda _server, connection, timeout: connection.recv_message(timeout),
    "shutdown": lambda server, _connection, timeout: server.shutdown(timeout),
    "connect": lambda server, _connection, timeout: module_of(server).connect(
        address_of(server), id="other", timeout=timeout
    ),
    "discover": lambda server, _connection, timeout: module_of(server).discover(timeout),
}


def module_of(server):
    return masep if isinstance(server, masep.Server) else masep.aio


def address_of(server):
    return "{}:{}".format(*server.address)


@pytest.mark.parametrize("timeout", NO_TIMEOUTS)
@pytest.mark.parametrize("name", [*CALLS, "accept"])
def test_what_is_no_timeout_is_refused(name, timeout):
    calls = CALLS | {"accept": lambda server, _connection, timeout: server.accept(timeout)}
    with (
        masep.Server("engine", "127.0.0.1:0") as server,
        masep.connect(address_of(server), id="agent") as agent,
    ):
        engine = server.accept(SOON)
        with pytest.raises(masep.CallerError, match="a timeout is a number of seconds"):
            calls[name](server, engine, timeout)
        # Nothing has ended by that.
        agent.send(b"still there")
        assert engine.recv(SOON) == b"still there"


@pytest.mark.parametrize("timeout", NO_TIMEOUTS)
@pytest.mark.parametrize("name", CALLS)
def test_what_is_no_timeout_is_refused_in_asyncio(name, timeout):
    async def main():
        async with (
            masep.aio.Server("engine", "127.0.0.1:0") as server,
            masep.aio.connect(address_of(server), id="agent") as agent,
        ):
            engine = await server.accept()
            with pytest.raises(masep.CallerError, match="a timeout is a number of seconds"):
                await CALLS[name](server, engine, timeout)
            await agent.send(b"still there")
            assert await engine.recv() == b"still there"

    asyncio.run(asyncio.wait_for(main(), SOON))


@pytest.mark.parametrize("timeout", [math.inf, 1e300, None])
def test_a_time_without_an_end_is_one(timeout):
    async def main():
        async with (
            masep.aio.Server("engine", "127.0.0.1:0") as server,
            masep.aio.connect(address_of(server), id="agent") as agent,
        ):
            engine = await server.accept()
            await agent.send(b"asyncio")
            assert await engine.recv(timeout) == b"asyncio"
            receiving = asyncio.create_task(engine.recv(timeout))
            await asyncio.sleep(0)
            await agent.send(b"waited")
            assert await receiving == b"waited"

    asyncio.run(asyncio.wait_for(main(), SOON))
    with (
        masep.Server("engine", "127.0.0.1:0") as server,
        masep.connect(address_of(server), id="agent") as agent,
    ):
        agent.send(b"blocking")
        assert server.accept(timeout).recv(timeout) == b"blocking"
