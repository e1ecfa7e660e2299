"""Hosts that say by a function of their own who is let in."""

from __future__ import annotations

import asyncio
import datetime
import gc
import sys
import threading
import weakref

import pytest
from soon import SOON

import masep
import masep.aio

GAME = "pkg.Game"


@pytest.fixture
def address(tmp_path_factory):
    # The path of a socket is short.
    return f"unix://{tmp_path_factory.mktemp('a')}/x"


def refused(address: str, id: str = "a", token: str | None = None) -> masep.RejectedError:
    with pytest.raises(masep.RejectedError) as error:
        masep.connect(address, id=id, token=token, protocol=2)
    return error.value


def by_token(request: masep.AccessRequest) -> bool | masep.Grant:
    """Knows three tokens."""
    grants = {"all": True, "named": masep.Grant("lab3", ids=["a"]), "none": False}
    return grants.get(request.hello.token or "none", False)


def test_a_function_says_who_is_let_in_and_as_what(address):
    seen = []

    def admit(request: masep.AccessRequest) -> bool | masep.Grant:
        seen.append(request)
        return by_token(request)

    with masep.Server("engine", address, admit=admit) as server:
        with masep.connect(address, id="a", token="named", protocol=2):
            connection = server.accept(SOON)
            assert connection.token_name == "lab3"
            assert server.kick(token="lab3") == 1
        with masep.connect(address, id="b", token="all", protocol=2):
            assert server.accept(SOON).token_name == "b"
        for id, token, code in [
            ("a", None, "unauthorized"),
            ("a", "guess", "unauthorized"),
            ("a", "none", "unauthorized"),
            ("b", "named", "forbidden"),
        ]:
            error = refused(address, id, token)
            assert error.code == code
            assert "named" not in f"{error} {error!r}"
    first = seen[0]
    assert (first.peer, first.hello.id, first.hello.token) == ("a", "a", "named")
    assert first.target.startswith("unix://") and first.address == first.target
    assert repr(first) == '<masep.AccessRequest of "a">'


def test_peers_of_pymaseps_protocol_are_refused_and_nobody_is_asked_about_them():
    asked = []
    with masep.Server("engine", "127.0.0.1:0", admit=lambda request: asked.append(request) or True) as server:
        with pytest.raises(masep.MasepError), masep.connect(server.target, id="a", protocol=1) as client:
            client.recv(SOON)
            raise AssertionError("it is in")
        # Over plain TCP no token is said, but the id is.
        with masep.connect(server.target, id="b", protocol=2):
            assert server.accept(SOON).peer == "b"
    assert [(request.peer, request.hello.token, request.address[0]) for request in asked] == [("b", None, "127.0.0.1")]


def test_one_that_is_admitted_is_asked_about_after(address):
    with masep.Server("engine", address, admit=by_token, ask=True) as server:
        assert refused(address).code == "unauthorized"
        with pytest.raises(masep.TimedOut):
            server.next_request(0)
        client = []
        thread = threading.Thread(
            target=lambda: client.append(masep.connect(address, id="a", token="all", protocol=2))
        )
        thread.start()
        server.next_request(SOON).admit()
        assert server.accept(SOON).peer == "a"
        thread.join()
        client[0].close()


def test_a_function_that_fails_lets_nobody_in(address, caplog):
    def admit(request):
        if request.peer == "raises":
            raise ValueError("no such table")
        if request.peer == "exits":
            sys.exit("a function ends no server")
        return "yes"

    with masep.Server("engine", address, admit=admit):
        for id in ("raises", "exits", "says another thing", "raises"):
            assert refused(address, id).code == "unauthorized"
    assert len(caplog.records) == 4
    assert "True, False or a Grant, not a str" in caplog.text and "no such table" in caplog.text


def test_one_about_which_nothing_is_said_in_time_is_refused(address):
    may_go_on = threading.Event()
    limits = masep.ServerLimits(decision_time=0.05)
    with masep.Server("engine", address, admit=lambda _: may_go_on.wait(SOON), server_limits=limits) as server:
        try:
            assert refused(address).code == "undecided"
        finally:
            may_go_on.set()
        with masep.connect(address, id="b", protocol=2):
            assert server.accept(SOON).peer == "b"


def test_a_grant_says_what_one_may_be_at_a_table(address):
    grants = {
        "red": masep.Grant("red's", roles=["actor"], seats=["red"], games=[GAME]),
        "eve": masep.Grant("eve", roles=["observer"]),
        "late": masep.Grant("late", expires=datetime.datetime(2000, 1, 1, tzinfo=datetime.timezone.utc)),
    }
    table = masep.Table(GAME, ["blue", "red"], address, admit=lambda request: grants.get(request.hello.token, False))
    with table, masep.join(address, id="r", game=GAME, token="red") as player:
        for token, code in [("eve", "forbidden"), ("nobody", "unauthorized")]:
            with pytest.raises(masep.RejectedError) as error:
                masep.join(address, id="s", game=GAME, token=token).next_turn(SOON)
            assert error.value.code == code
        with pytest.raises(masep.TimedOut):
            player.next_turn(0.01)
        event = table.event(SOON)
        assert (event.kind, event.seat, event.id) == ("seated", "red", "r")
        assert table.kick(token="red's") == 1
        with pytest.raises(masep.TransportError) as end:
            player.next_turn(SOON)
        assert end.value.code == "kicked"


def test_what_is_no_grant_or_no_function_for_it_is_the_callers_error(address, tmp_path):
    async def admit(request):
        return True

    tokens = tmp_path / "tokens.toml"
    tokens.write_text("")
    for make in [
        lambda: masep.Server("engine", address, admit=admit),
        lambda: masep.Table(GAME, ["red"], address, admit=admit),
        lambda: masep.Server("engine", address, admit=by_token, tokens=tokens),
        lambda: masep.Table(GAME, ["red"], address, admit=by_token, tokens=tokens),
        lambda: masep.Grant("a", roles=["king"]),
        lambda: masep.Grant("a", ids="b"),
    ]:
        with pytest.raises(masep.CallerError):
            make()


def test_a_server_that_nobody_has_goes_with_its_thread(address):
    def admits():
        return [thread for thread in threading.enumerate() if thread.name == "masep-admit"]

    before = admits()
    server = masep.Server("engine", address, admit=by_token)
    (thread,) = set(admits()) - set(before)
    gone = weakref.ref(server)
    del server
    gc.collect()
    assert gone() is None
    thread.join(SOON)
    assert not thread.is_alive()


def test_asyncio(address):
    async def run() -> None:
        first_may_go_on = asyncio.Event()

        async def admit(request: masep.AccessRequest) -> bool | masep.Grant:
            if request.peer == "first":
                await first_may_go_on.wait()
            return by_token(request)

        def connect(id, token):
            return masep.aio.connect(address, id=id, token=token, protocol=2)

        async with masep.aio.Server("engine", address, admit=admit) as server:
            first = asyncio.create_task(connect("first", "all")._connect())
            # They do not wait for each other.
            async with connect("a", "named"):
                assert (await server.accept()).token_name == "lab3"
            with pytest.raises(masep.RejectedError):
                await connect("b", "guess")
            first_may_go_on.set()
            assert (await server.accept()).peer == "first"
            await (await first).close()

    asyncio.run(asyncio.wait_for(run(), 60))


def test_asyncio_takes_a_plain_function_and_so_does_a_table(address):
    async def run() -> None:
        async with masep.aio.Server("engine", address, admit=by_token) as server:
            async with masep.aio.connect(address, id="a", token="all", protocol=2):
                assert (await server.accept()).peer == "a"

        async def admit(request: masep.AccessRequest) -> bool | masep.Grant:
            await asyncio.sleep(0)
            return by_token(request)

        async with masep.aio.Table(GAME, ["red"], address, admit=admit) as table:
            async with masep.aio.join(address, id="a", game=GAME, token="named") as player:
                turn = asyncio.create_task(player.next_turn())
                await table.filled()
                assert table.seats[0].player == "a"
                turn.cancel()

    asyncio.run(asyncio.wait_for(run(), 60))


def test_a_loop_that_ends_lets_nobody_in(address):
    async def run():
        admitting = asyncio.Event()

        async def admit(request):
            admitting.set()
            await asyncio.Event().wait()

        server = masep.aio.Server("engine", address, admit=admit)
        outcome = []
        thread = threading.Thread(target=lambda: outcome.append(refused(address)))
        thread.start()
        await admitting.wait()
        return server, thread, outcome

    server, thread, outcome = asyncio.run(run())
    thread.join(SOON)
    assert outcome[0].code == "unauthorized"
    server._server.shutdown(1.0)
