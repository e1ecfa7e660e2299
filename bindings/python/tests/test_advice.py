"""Errors that tell what is wrong, where, and the way out, to those who see masep for the first time."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable

import masep
import masep.aio
import pytest
from soon import SOON

GAME = "advice.Game"
NOBODY = "127.0.0.1:1"


def test_a_server_of_something_else_is_asked_about():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            for _ in range(2):
                web, _address = listener.accept()
                with web:
                    web.recv(100)
                    web.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        target = "{}:{}".format(*listener.getsockname())
        for address in (target, f"pymasep://{target}"):
            with pytest.raises(masep.PeerError, match="is it a server of masep or pymasep[?]"):
                masep.connect(address, id="a")
        thread.join(SOON)
        with pytest.raises(masep.TransportError, match="no answer within.*is it a server of masep or pymasep[?]"):
            masep.connect(f"pymasep://{target}", id="a", timeout=0.01)


def test_a_token_that_is_wanted_is_asked_for():
    with masep.Server("engine", "127.0.0.1:0", admit=lambda request: False) as server:
        with pytest.raises(masep.RejectedError, match="; token= has the token"):
            masep.connect(server.target, id="a")
    with masep.Table(GAME, ["red"], "127.0.0.1:0", admit=lambda request: False) as table:
        with masep.join(table.target, id="a", game=GAME) as player:
            with pytest.raises(masep.RejectedError, match="; token= has the token") as error:
                player.next_turn(SOON)
            assert error.value.text == "a valid access token is needed here"


@pytest.mark.parametrize("end", ["\n", " \r\n"])
def test_a_token_is_read_with_the_end_of_its_line(end, tmp_path):
    tokens = []

    def admit(request: masep.AccessRequest) -> bool:
        tokens.append(request.hello.token)
        return True

    address = f"unix://{tmp_path}/socket"
    with masep.Server("engine", address, admit=admit):
        masep.connect(address, id="a", token=f"secret{end}").close()
        masep.connect(f"masep+{address}?token=secret{end}", id="b").close()
    assert tokens == ["secret"] * 2


def test_a_player_that_waits_is_told_that_there_is_no_connection():
    words = "nothing came in the time that was given, and there is no connection: connecting to 127.0.0.1:1: Conn"
    player = masep.join(NOBODY, id="a", game=GAME)
    with pytest.raises(masep.TimedOut, match=words) as error:
        player.next_turn(0)
    assert isinstance(error.value.__cause__, masep.RefusedError)
    player.close()

    async def wait() -> None:
        async with masep.aio.join(NOBODY, id="a", game=GAME) as player:
            await player.next_turn(0)

    with pytest.raises(masep.TimedOut, match=words):
        asyncio.run(wait())


def test_a_player_that_waits_for_a_turn_alone_is_told_of_no_connection():
    with masep.Table(GAME, ["red"], "127.0.0.1:0") as table, masep.join(table.target, id="a", game=GAME) as player:
        with pytest.raises(masep.TimedOut, match="^nothing came in the time that was given$"):
            while True:
                player.next_turn(0.01)


def test_a_table_that_is_not_filled_names_its_seats():
    words = '^nothing came in the time that was given: nobody has the seats "red", "blue"$'
    with masep.Table(GAME, ["red", "blue"], "127.0.0.1:0") as table, pytest.raises(masep.TimedOut, match=words):
        table.filled(0)

    async def wait() -> None:
        async with masep.aio.Table(GAME, ["red", "blue"], "127.0.0.1:0") as table:
            await table.filled(0)

    with pytest.raises(masep.TimedOut, match=words):
        asyncio.run(wait())


WORDS: dict[str, tuple[Callable[[], object], str]] = {
    "bounds in a dict": (
        lambda: masep.Server("engine", "127.0.0.1:0", limits={"depth": 1}),
        "^limits is a masep.Limits, not <class 'dict'>$",
    ),
    "bounds of a server for a connection": (
        lambda: masep.connect(NOBODY, id="a", limits=masep.ServerLimits()),
        "^limits is a masep.Limits, not <class 'masep._limits.ServerLimits'>$",
    ),
    "an idle time without end": (
        lambda: masep.Server("engine", "127.0.0.1:0", limits=masep.Limits(idle_time=float("inf"))),
        "^idle_time is a number of seconds from 0 on, or None for no end, not inf$",
    ),
    "a deadline without end": (
        lambda: masep.Table(GAME, ["red"], "127.0.0.1:0", deadline=float("inf")),
        "^deadline is a number of seconds from 0 on, or None for no end, not inf$",
    ),
    "a number in place of seats": (
        lambda: masep.Table(GAME, 2, "127.0.0.1:0"),
        "^seats are several names, not a int$",
    ),
    "numbers as seats": (
        lambda: masep.Table(GAME, [1, 2], "127.0.0.1:0"),
        "^seats are names, and 1 is none: it is a int$",
    ),
    "a server of asyncio without a loop": (
        lambda: masep.aio.Server("engine", "127.0.0.1:0"),
        "made in a coroutine, and no event loop runs here",
    ),
    "a table of asyncio without a loop": (
        lambda: masep.aio.Table(GAME, ["red"], "127.0.0.1:0"),
        "made in a coroutine, and no event loop runs here",
    ),
}


@pytest.mark.parametrize("name", WORDS)
def test_a_fault_of_the_caller_is_told_with_the_way_out(name):
    do, words = WORDS[name]
    with pytest.raises(masep.CallerError, match=words):
        do()


def test_an_attempt_that_was_not_awaited_says_so():
    attempt = masep.aio.connect(NOBODY, id="a")
    with pytest.raises(AttributeError, match="'send' before it is awaited: connection = await masep.aio.connect"):
        attempt.send(b"x")


def test_what_is_another_processs_is_shown_to_people(tmp_path):
    with masep.Server("engine", f"unix://{tmp_path}/socket", ask=True) as server:
        asking = threading.Thread(target=lambda: masep.connect(server.target, id="agent").close())
        asking.start()
        request = server.next_request(SOON)
        assert request is not None
        request.admit()
        accepted = server.accept(SOON)
        with masep.Table(GAME, ["red"], "127.0.0.1:0") as table, table.open(None, lambda seat: 1) as turn:
            with masep.join(table.target, id="agent", game=GAME) as player:
                read, write = os.pipe()
                child = os.fork()
                if child == 0:
                    try:
                        os.write(write, " ".join(map(repr, (server, request, accepted, table, turn, player))).encode())
                    finally:
                        os._exit(0)
                os.close(write)
                with os.fdopen(read) as told:
                    shown = told.read()
                os.waitpid(child, 0)
        asking.join(SOON)
    assert "<masep.Connection of another process>" in shown
    assert shown.count("<masep.") == 6


def test_the_end_of_a_killed_peer_is_told_from_a_bye():
    code = "import masep, sys; c = masep.connect(sys.argv[1], id='a'); print(flush=True); sys.stdin.read()"
    with masep.Server("engine", "127.0.0.1:0") as server:
        for is_killed, reason in ((True, "end_of_stream"), (False, "peer_bye")):
            command = [sys.executable, "-c", code, server.target]
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
                accepted = server.accept(SOON)
                assert accepted is not None
                assert process.stdout is not None and process.stdout.readline()
                if is_killed:
                    process.kill()
                process.communicate()
                assert accepted.recv(SOON) is None
                assert accepted.close_reason == reason


def test_a_table_of_asyncio_is_called_as_programs_call_it():
    async def shown() -> str:
        async with masep.aio.Table(GAME, ["red"], "127.0.0.1:0") as table:
            return repr(table)

    assert asyncio.run(shown()).startswith("<masep.aio.Table at 127.0.0.1:")
