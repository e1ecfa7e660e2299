"""A server that refuses a client: in pymasep's protocol by ``BYE`` right behind its hello, in protocol 2 by a reason."""

from __future__ import annotations

import asyncio
import pickle
import socket
import threading

import masep
import masep.aio
import pytest
from masep import Message
from soon import SOON


def refuse(listening: socket.socket, data: bytes) -> None:
    peer, _address = listening.accept()
    with peer:
        peer.sendall(data)
        # The client's hello. Bytes after it meet a closed socket.
        peer.recv(1_000)


@pytest.fixture
def address():
    """That of a server which refuses the next client."""
    yield from served(b"\x06\x00engine\x03\x00BYE")


def served(data):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        refusing = threading.Thread(target=refuse, args=(listening, data))
        refusing.start()
        yield "pymasep://127.0.0.1:{}".format(listening.getsockname()[1])
        refusing.join(SOON)


CALLS = {
    "recv": lambda agent: agent.recv(),
    "recv with a timeout": lambda agent: agent.recv(SOON),
    "recv_message": lambda agent: agent.recv_message(),
    "iteration": list,
}

AIO_CALLS = CALLS | {"iteration": lambda agent: _iterate(agent)}


async def _iterate(agent):
    return [message async for message in agent]


def check(raised):
    assert raised.value.reason == "rejected"
    # The reason, as far as a client can know it.
    assert "in use" in str(raised.value)
    assert "full" in str(raised.value)
    assert not isinstance(raised.value, masep.RefusedError)
    assert isinstance(raised.value, (masep.TransportError, ConnectionError))
    copied = pickle.loads(pickle.dumps(raised.value))
    assert (type(copied), copied.reason) == (masep.RejectedError, "rejected")


@pytest.mark.parametrize("name", CALLS)
def test_the_first_call_that_meets_a_rejection_says_so(name, address):
    with masep.connect(address, id="agent") as agent:
        for _ in range(2):
            with pytest.raises(masep.RejectedError) as raised:
                CALLS[name](agent)
            check(raised)
        assert agent.close_reason == "rejected"
        with pytest.raises(masep.RejectedError):
            agent.send(b"x")
        assert agent.close() == "rejected"


@pytest.mark.parametrize("name", AIO_CALLS)
def test_the_first_call_of_asyncio_that_meets_a_rejection_says_so(name, address):
    async def main():
        async with masep.aio.connect(address, id="agent") as agent:
            for _ in range(2):
                with pytest.raises(masep.RejectedError) as raised:
                    await AIO_CALLS[name](agent)
                check(raised)
            assert agent.close_reason == "rejected"
            with pytest.raises(masep.RejectedError):
                await agent.send(b"x")
            assert await agent.close() == "rejected"

    asyncio.run(asyncio.wait_for(main(), SOON))


def test_a_program_that_only_sends_is_told(address):
    with pytest.raises(masep.RejectedError) as raised, masep.connect(address, id="agent") as agent:
        while True:
            agent.send(bytes(60_000))
    check(raised)


def test_a_program_of_asyncio_that_only_sends_is_told(address):
    async def main():
        async with masep.aio.connect(address, id="agent") as agent:
            while True:
                await agent.send(bytes(60_000))

    with pytest.raises(masep.RejectedError) as raised:
        asyncio.run(asyncio.wait_for(main(), SOON))
    check(raised)


def test_what_went_wrong_in_the_block_is_said_first(address):
    with pytest.raises(KeyError), masep.connect(address, id="agent"):
        raise KeyError


@pytest.mark.parametrize("protocol", [1, 2])
def test_an_id_in_use_is_a_rejection(protocol):
    with masep.Server("engine", "127.0.0.1:0", protocol=protocol) as server:
        with masep.connect(server.target, id="agent", protocol=protocol) as agent:
            engine = server.accept(SOON)
            with pytest.raises(masep.RejectedError) as raised:
                with masep.connect(server.target, id="agent", protocol=protocol) as second:
                    second.recv(SOON)
            assert raised.value.code == (None if protocol == 1 else "duplicate_id")
            agent.send(b"still there")
            assert engine.recv(SOON) == b"still there"


def test_a_rejection_with_a_reason_says_it_wherever_it_goes():
    limits = masep.ServerLimits(connections=1)
    with masep.Server("engine", "127.0.0.1:0", server_limits=limits) as server:
        with masep.connect(server.target, id="agent"):
            with pytest.raises(masep.RejectedError, match="too_many_connections") as raised:
                masep.connect(server.target, id="other")
            copied = pickle.loads(pickle.dumps(raised.value))
            for error in (raised.value, copied):
                assert (error.reason, error.code) == ("rejected", "too_many_connections")
                assert error.text
                assert error.retry_after is None or error.retry_after > 0


def test_a_conversation_that_ends_soon_is_no_rejection():
    body = Message("end", None, "engine").to_bytes()
    data = b"\x06\x00engine" + len(body).to_bytes(2, "little") + body + b"\x03\x00BYE"
    for address in served(data):
        with masep.connect(address, id="agent") as agent:
            assert [message.msg_type for message in agent] == ["end"]
            assert agent.close_reason == "peer_bye"
