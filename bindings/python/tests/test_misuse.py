"""Things that a hurried user does: what is refused, with which words, and what lives on."""

from __future__ import annotations

import asyncio
import copy
import ctypes
import gc
import os
import pickle
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided
from soon import SOON

import masep
import masep.aio
from masep import Message

GAME = "misuse.Game"


@pytest.fixture
def pair() -> Iterator[tuple[masep.Connection, masep.Connection]]:
    """A client, and the server's side of its connection."""
    with masep.Server("engine", "127.0.0.1:0") as server:
        with masep.connect(server.target, id="agent") as client:
            accepted = server.accept(SOON)
            assert accepted is not None
            yield client, accepted


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(main(), SOON))


ADVICE = {
    "a text": ("x", "builtins.str cannot be sent: send a masep.Message"),
    "nothing": (None, "builtins.NoneType cannot be sent"),
    "a buffer": (bytearray(b"x"), "send bytes[(][)] of it"),
    "an array": (np.zeros(3), "numpy.ndarray cannot be sent: send a masep.Message, whose parameters can have it"),
    "a class": (Message, "builtins.type cannot be sent"),
}


@pytest.mark.parametrize("name", ADVICE)
def test_what_is_no_message_is_refused_with_advice(
    pair: tuple[masep.Connection, masep.Connection], name: str
) -> None:
    sent, advice = ADVICE[name]
    client, accepted = pair
    with pytest.raises(masep.CallerError, match=advice):
        client.send(sent)  # type: ignore[arg-type]
    client.send(b"still here")
    assert accepted.recv(SOON) == b"still here"


def test_what_is_no_message_is_refused_by_servers_and_in_asyncio_too() -> None:
    async def main() -> None:
        async with masep.aio.Server("engine", "127.0.0.1:0") as server:
            async with masep.aio.connect(server.target, id="agent") as client:
                for sent, advice in ADVICE.values():
                    with pytest.raises(masep.CallerError, match=advice):
                        await client.send(sent)  # type: ignore[arg-type]
                    with pytest.raises(masep.CallerError, match=advice):
                        await server.broadcast(sent)  # type: ignore[arg-type]

    run(main)
    with masep.Server("engine", "127.0.0.1:0") as server:
        for sent, advice in ADVICE.values():
            with pytest.raises(masep.CallerError, match=advice):
                server.broadcast(sent)  # type: ignore[arg-type]


COPIES: dict[str, Callable[[Any], object]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": pickle.dumps,
}


@pytest.mark.parametrize("how", COPIES)
def test_what_is_alive_cannot_be_copied(how: str) -> None:
    def refused(live: object) -> None:
        with pytest.raises(masep.CallerError, match=f"^a {type(live).__name__} cannot be copied or pickled"):
            COPIES[how](live)

    with masep.Server("engine", "127.0.0.1:0", ask=True) as server:
        asking = threading.Thread(target=lambda: masep.connect(server.target, id="agent").close())
        asking.start()
        request = server.next_request(SOON)
        assert request is not None
        refused(request)
        request.admit()
        connection = server.accept(SOON)
        asking.join(SOON)
        refused(connection)
        refused(server)
    with masep.Table(GAME, ["red"], "127.0.0.1:0") as table:
        refused(table)
        refused(table.actions(lambda seat: 1))
        with table.open(None, lambda seat: 1) as turn:
            refused(turn)
        with masep.join(table.target, id="agent", game=GAME) as player:
            refused(player)

    async def main() -> None:
        async with masep.aio.Server("engine", "127.0.0.1:0") as server:
            async with masep.aio.connect(server.target, id="agent") as client:
                refused(server)
                refused(client)
                gc.collect()
                accepted = await server.accept()
                assert accepted is not None
                await accepted.send(b"x")
                assert await client.recv(SOON) == b"x"

    run(main)


def test_a_connection_of_another_event_loop_is_refused() -> None:
    """Also by calls that need not wait: they would disturb a loop that another thread runs."""

    async def main() -> None:
        async with masep.aio.Server("engine", "127.0.0.1:0", ask=True) as server:
            connecting = asyncio.create_task(masep.aio.connect(server.target, id="agent")._connect())
            request = await server.next_request()
            assert request is not None
            request.admit()
            client = await connecting
            accepted = await server.accept()
            assert accepted is not None
            refusals: list[str] = []

            async def each(call: Callable[[], Any]) -> None:
                try:
                    asked = call()
                    if asyncio.iscoroutine(asked):
                        await asked
                except masep.CallerError as error:
                    refusals.append(str(error))

            calls: list[Callable[[], Any]] = [
                lambda: client.send(b"x"),
                lambda: client.recv(0),
                lambda: client.recv_message(0),
                lambda: client.close(),
                client.ping,
                lambda: client.notice("x"),
                server.accept,
                server.next_request,
            ]

            def elsewhere() -> None:
                for call in calls:
                    asyncio.run(each(call))

            await asyncio.to_thread(elsewhere)
            assert len(refusals) == len(calls), refusals
            assert all("belongs to the event loop in which it was made" in text for text in refusals)
            await client.send(b"still here")
            assert await accepted.recv(SOON) == b"still here"
            await client.close()

    run(main)


def test_arrays_of_ctypes_arrive_with_their_shape(pair: tuple[masep.Connection, masep.Connection]) -> None:
    client, accepted = pair
    flat, nested, single = (ctypes.c_int32 * 3)(1, 2, 3), ((ctypes.c_double * 2) * 2)((1, 2), (3, 4)), ctypes.c_uint16(7)
    client.send(Message("m", {"flat": flat, "nested": nested, "single": single}, "agent"))
    message = accepted.recv_message(SOON)
    assert message is not None and message.params is not None
    assert message.params["flat"].dtype == np.int32 and message.params["flat"].tolist() == [1, 2, 3]
    assert message.params["nested"].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert message.params["single"].shape == () and message.params["single"].item() == 7


def released() -> memoryview:
    view = memoryview(bytearray(5))
    view.release()
    return view


REFUSED: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "a view that is released": (released, masep.CallerError, r"^params\['it'\]: .*released"),
    "one item many times": (
        lambda: as_strided(np.zeros(1), shape=(1 << 40,), strides=(0,)),
        masep.LimitError,
        r"^params\['it'\]: frame bytes: 8796093022208 exceeds the limit of 4294967295",
    ),
    "too many dimensions": (
        lambda: np.zeros((1,) * 33, np.uint8),
        masep.CallerError,
        r"^params\['it'\]: 33 dimensions of an array, where 32 are allowed",
    ),
    "big endian": (lambda: np.zeros(2, ">i4"), masep.CallerError, "in the order of bytes of this machine"),
    "objects": (lambda: np.array([None]), masep.CallerError, r"dtype object, .* send its .tolist\(\)"),
    "fields": (lambda: np.zeros(2, "i4,f8"), masep.CallerError, "an array for each of its fields"),
    "masked": (lambda: np.ma.array([1, 2], mask=[0, 1]), masep.CallerError, r"send its .filled\(\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_array_that_cannot_be_sent_is_refused_with_its_place(
    pair: tuple[masep.Connection, masep.Connection], name: str
) -> None:
    make, error, text = REFUSED[name]
    client, accepted = pair
    with pytest.raises(error, match=text):
        client.send(Message("m", {"it": make()}, "agent"))
    client.send(b"still here")
    assert accepted.recv(SOON) == b"still here"


async def _view(_seat: object) -> int:
    return 1


FAULTS: dict[str, tuple[Callable[[str], object], str]] = {
    "an id that cannot be sent": (lambda here: masep.connect(here, id="a\nb"), r'"a\\nb"'),
    "a token without TLS": (lambda here: masep.connect(here, id="a", token="secret"), "sent in TLS"),
    "a bound below 0": (
        lambda here: masep.connect(here, id="a", limits=masep.Limits(payload_bytes=-1)),
        "^limits.payload_bytes is a whole number from 0 on, not -1$",
    ),
    "a bound beyond all": (
        lambda here: masep.connect(here, id="a", limits=masep.Limits(payload_bytes=1 << 80)),
        "^limits.payload_bytes is a whole number that is not so large as 1208925819614629174706176$",
    ),
    "an option below 0": (
        lambda _: masep.Table(GAME, ["red"], "127.0.0.1:0", misses=-1),
        "^misses is a whole number from 0 on, not -1$",
    ),
    "an option of another type": (
        lambda _: masep.Table(GAME, ["red"], "127.0.0.1:0", grace="x"),  # type: ignore[arg-type]
        "^grace: must be real number, not str$",
    ),
    "a coroutine function for the late": (
        lambda _: masep.Table(GAME, ["red"], "127.0.0.1:0", late=_view),
        "^late is a coroutine function",
    ),
    "a coroutine function for views": (
        lambda _: masep.Table(GAME, ["red"], "127.0.0.1:0").open(None, _view),
        "^view is a coroutine function",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_the_caller_is_called_so_and_named(name: str) -> None:
    do, words = FAULTS[name]
    with masep.Server("engine", "127.0.0.1:0") as server, pytest.raises(masep.CallerError, match=words):
        do(server.target)


def test_shapes_of_no_array_are_refused() -> None:
    with pytest.raises(masep.CallerError, match=r"lengths of a shape are 0 or more, not \[-1\]"):
        masep.Array([-1], "uint8")
    with pytest.raises(MemoryError, match="an array of 1152921504606846976 bytes"):
        masep.Array([1 << 60], "uint8")


def test_an_iteration_that_is_left_loses_nothing(pair: tuple[masep.Connection, masep.Connection]) -> None:
    client, accepted = pair
    for number in range(5):
        accepted.send(Message("m", {"n": number}, "engine"))
    seen = []
    for message in client:
        seen.append(message)
        break
    held = iter(client)
    seen.append(next(held))
    suspended = iter(client)
    seen.append(next(suspended))
    del suspended
    seen.append(next(held))
    left = client.recv_message(SOON)
    assert left is not None
    assert [message.params for message in [*seen, left]] == [{"n": number} for number in range(5)]


def test_an_iteration_that_is_left_in_asyncio_loses_nothing() -> None:
    async def main() -> None:
        async with masep.aio.Server("engine", "127.0.0.1:0") as server:
            async with masep.aio.connect(server.target, id="agent") as client:
                accepted = await server.accept()
                assert accepted is not None
                for number in range(3):
                    await accepted.send(Message("m", {"n": number}, "engine"))
                seen = []
                for _ in range(2):
                    async for message in client:
                        seen.append(message)
                        break
                gc.collect()
                left = await client.recv_message(SOON)
                assert left is not None
                assert [message.params for message in [*seen, left]] == [{"n": number} for number in range(3)]

    run(main)


def test_a_table_in_a_process_that_was_forked_is_refused() -> None:
    with masep.Table(GAME, ["red"], "127.0.0.1:0") as table:
        with masep.join(table.target, id="agent", game=GAME) as player, table.open(None, lambda seat: 1) as turn:
            read, write = os.pipe()
            child = os.fork()
            if child == 0:
                told = 0
                for call in (
                    lambda: table.seats,
                    table.event,
                    lambda: table.ask_all(lambda seat: 1),
                    turn.next,
                    turn.close,
                    player.next_turn,
                    player.leave,
                ):
                    try:
                        call()
                    except masep.CallerError as error:
                        told += "process" in str(error)
                os.write(write, str(told).encode())
                os._exit(0)
            os.close(write)
            with os.fdopen(read) as told_by_child:
                assert told_by_child.read() == "7"
            os.waitpid(child, 0)


@pytest.mark.parametrize("name", masep._exceptions.__all__)
def test_an_exception_is_called_in_tracebacks_as_programs_call_it(name):
    kind = getattr(masep, name)
    assert f"{kind.__module__}.{kind.__qualname__}" == f"masep.{name}"
