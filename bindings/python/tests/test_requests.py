"""A host that is asked about its clients."""

from __future__ import annotations

import asyncio
import threading

import pytest

import masep
import masep.aio


def connecting(server, outcome, **options):
    """A client that connects in a thread of its own, because the host has to decide meanwhile."""

    def connect():
        try:
            outcome.append(masep.connect(server.target, id="agent", protocol=2, **options))
        except masep.MasepError as error:
            outcome.append(error)

    thread = threading.Thread(target=connect)
    thread.start()
    return thread


def test_the_host_takes_a_client_or_does_not():
    with masep.Server("engine", "127.0.0.1:0", ask=True) as server:
        outcome = []
        thread = connecting(server, outcome)
        request = server.next_request(10)
        assert (request.peer, request.hello.id) == ("agent", "agent")
        assert request.hello.profile is None and request.hello.make is None
        assert request.address[0] == "127.0.0.1" and request.target.startswith("127.0.0.1:")
        request.admit()
        connection = server.accept(10)
        thread.join()
        assert connection.peer == "agent"
        with pytest.raises(masep.CallerError, match="before"):
            request.refuse()
        with pytest.raises(masep.CallerError, match="before"):
            request.hello  # noqa: B018
        outcome[0].close()

        thread = connecting(server, outcome)
        server.next_request(10).refuse("busy", "come back", retry_after=1.5)
        thread.join()
        refused = outcome[1]
        assert isinstance(refused, masep.RejectedError)
        assert (refused.code, refused.text, refused.retry_after) == ("busy", "come back", 1.5)


def test_a_request_that_is_dropped_refuses_its_client():
    with masep.Server("engine", "127.0.0.1:0", ask=True) as server:
        outcome = []
        thread = connecting(server, outcome)
        assert server.next_request(10) is not None
        thread.join()
        assert outcome[0].code == "denied"


def test_there_are_no_requests_where_nobody_is_asked_or_the_server_has_stopped():
    with masep.Server("engine", "127.0.0.1:0") as server:
        with pytest.raises(masep.CallerError, match="ask=True"):
            server.next_request(0)
    with masep.Server("engine", "127.0.0.1:0", ask=True) as server:
        with pytest.raises(masep.TimedOut):
            server.next_request(0)
        server.stop_accepting()
        assert server.next_request() is None


def test_the_same_in_asyncio():
    async def ask():
        async with masep.aio.Server("engine", "127.0.0.1:0", ask=True) as server:
            outcome = []
            thread = connecting(server, outcome)
            request = await server.next_request()
            assert request.peer == "agent"
            request.admit()
            connection = await server.accept()
            thread.join()
            assert connection.peer == "agent"
            await connection.close()
            await server.stop_accepting()
            assert await server.next_request() is None
            assert await server.next_request() is None
        async with masep.aio.Server("engine", "127.0.0.1:0") as server:
            with pytest.raises(masep.CallerError, match="ask=True"):
                await server.next_request()

    asyncio.run(ask())


@pytest.mark.parametrize("seconds", [-1, float("inf"), float("nan"), 1e300])
def test_a_time_to_come_back_that_is_none_is_the_callers_fault_and_decides_nothing(seconds):
    with masep.Server("engine", "127.0.0.1:0", ask=True) as server:
        outcome = []
        thread = connecting(server, outcome)
        request = server.next_request(10)
        with pytest.raises(masep.CallerError, match="^retry_after is a number of seconds from 0 on"):
            request.refuse(retry_after=seconds)
        with pytest.raises(masep.CallerError, match="^a code has at most 64 bytes"):
            request.refuse("x" * 65)
        request.refuse("busy", retry_after=1e9)
        thread.join()
        assert (outcome[0].code, outcome[0].retry_after) == ("busy", 1e9)
