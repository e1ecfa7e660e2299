"""Hosts whose own functions are called, and clients with errors: none of them is kept for longer than somebody has it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref

import masep
import masep.aio
import pytest

HERE = "127.0.0.1:0"


class Host:
    """The functions of a host, which has the server that calls them."""

    def __init__(self, package, kind, function):
        options = {function: getattr(self, function)}
        if kind == "Table":
            self.server = package.Table("pkg.Game", ["red"], HERE, **options)
        else:
            self.server = package.Server("engine", HERE, **options)

    def admit(self, request):
        return True

    def late(self, view):
        return 0


@contextlib.contextmanager
def no_collector():
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


HOSTS = [("Server", "admit"), ("Table", "admit"), ("Table", "late")]


@pytest.mark.parametrize("kind, function", HOSTS)
def test_a_host_that_is_called_is_given_up_at_the_end_of_its_server(kind, function):
    with no_collector():
        host = Host(masep, kind, function)
        gone = weakref.ref(host)
        host.server.shutdown() if kind == "Server" else host.server.end()
        del host
        assert gone() is None


@pytest.mark.parametrize("kind, function", HOSTS)
def test_a_host_that_is_called_is_collected_with_its_server(kind, function):
    gone = weakref.ref(Host(masep, kind, function))
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("kind, function", HOSTS)
def test_asyncio(kind, function):
    async def main():
        gone = weakref.ref(Host(masep.aio, kind, function))
        gc.collect()
        assert gone() is None
        with no_collector():
            host = Host(masep.aio, kind, function)
            gone = weakref.ref(host)
            await (host.server.shutdown() if kind == "Server" else host.server.end())
            del host
            assert gone() is None

    asyncio.run(main())


def test_a_turn_has_the_function_for_the_late_though_nobody_has_the_table():
    table = masep.Table("pkg.Game", ["red"], HERE, late=lambda view: view + 1, deadline=0.01)
    seat = masep.join(table.target, id="a", game="pkg.Game")
    with seat, pytest.raises(masep.TimedOut):
        seat.next_turn(0)
    turn = table.open(["red"], lambda _seat: 41)
    del table
    gc.collect()
    assert turn.next().action == 42
