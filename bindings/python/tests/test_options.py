"""The options of connections and servers: the same for threads and for asyncio."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import socket
import struct
from pathlib import Path

import pytest
from soon import SOON

import masep
import masep.aio

TIGHT = masep.Limits(depth=6, nodes=20, text_bytes=100, int_digits=20, message_bytes=2_000)


def over() -> dict[str, masep.Message]:
    """Messages, each over the bound that is named and within all others."""
    return {
        "nesting depth": masep.Message("observation", {"a": [[1]]}, "x"),
        "elements": masep.Message("observation", {"a": [1] * 30}, "x"),
        "text bytes": masep.Message("observation", {"a": "t" * 200}, "x"),
        "digits of an int": masep.Message("observation", {"a": 10**30}, "x"),
    }


def peer_of(server: masep.Server | masep.aio.Server, id: str = "agent") -> socket.socket:
    peer = socket.create_connection(server.address, SOON)
    send(peer, id.encode())
    return peer


def send(peer: socket.socket, *bodies: bytes) -> None:
    peer.sendall(b"".join(struct.pack("<H", len(body)) + body for body in bodies))


def documented() -> dict[str, object]:
    """The defaults in PROTOCOL.md, which a test of the crates compares with theirs."""
    chapter = (Path(__file__).parents[3] / "PROTOCOL.md").read_text().partition("\n## 11 Limits\n")[2]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", chapter.partition("\n## 12 ")[0], re.MULTILINE)
    return {name: default(text) for name, text in rows}


def default(text: str) -> float | None:
    number = re.fullmatch(r"(\d+)( s|ns)?", text)
    return None if number is None else float(number[1])


@pytest.mark.parametrize("options", [masep.Limits, masep.ServerLimits, masep.SocketOptions])
def test_the_defaults_are_those_of_the_crates(options: type) -> None:
    known = documented()
    for field in dataclasses.fields(options):
        assert field.default == known[field.name], field.name


def test_options_that_are_given_with_their_defaults_connect() -> None:
    """As a connection for which none is given does."""
    defaults = {
        "limits": masep.Limits(),
        "server_limits": masep.ServerLimits(),
        "socket_options": masep.SocketOptions(),
        "duplicates": "refuse",
        "when_full": "wait",
        "announce": False,
    }
    with masep.Server("engine", "127.0.0.1:0", **defaults) as server:  # type: ignore[arg-type]
        host, port = server.address
        of_clients = {key: defaults[key] for key in ("limits", "socket_options", "when_full")}
        with masep.connect(f"{host}:{port}", id="agent", **of_clients) as client:  # type: ignore[arg-type]
            client.send(b"hello")
            connection = server.accept(SOON)
            assert connection is not None
            assert connection.recv(SOON) == b"hello"


@pytest.mark.parametrize(
    "options",
    [
        {"limits": dataclasses.replace(masep.Limits(), hello_time=-1.0)},
        {"limits": dataclasses.replace(masep.Limits(), queue_bytes=-1)},
        {"limits": 3},
        {"when_full": "newest_wins"},
        {"socket_options": masep.SocketOptions(busy_poll=float("nan"))},
    ],
)
def test_an_option_that_is_none_is_the_callers_fault(options: dict[str, object]) -> None:
    with pytest.raises(masep.CallerError):
        masep.Server("engine", "127.0.0.1:0", **options)  # type: ignore[arg-type]
    with pytest.raises(masep.CallerError):
        masep.connect("127.0.0.1:1", id="agent", **options)  # type: ignore[arg-type]


def test_the_bounds_of_a_server_reach_its_messages() -> None:
    with masep.Server("engine", "127.0.0.1:0", limits=TIGHT) as server:
        peer = peer_of(server)
        connection = server.accept(SOON)
        assert connection is not None
        for message in over().values():
            with pytest.raises(masep.LimitError) as sent:
                connection.send(message)
            send(peer, message.to_bytes())
            with pytest.raises(masep.LimitError) as received:
                connection.recv_message(SOON)
            assert sent.value.limit == received.value.limit
        quit = masep.Message("quit_game", None, "x")
        send(peer, quit.to_bytes())
        assert connection.recv_message(SOON) == quit
        peer.close()


def test_the_bounds_of_an_asyncio_client_reach_its_messages() -> None:
    async def play() -> None:
        async with masep.aio.Server("engine", "127.0.0.1:0") as server:
            host, port = server.address
            connecting = masep.aio.connect(f"pymasep://{host}:{port}", id="agent", limits=TIGHT)
            async with connecting as client:
                engine = await server.accept()
                assert engine is not None
                for message in over().values():
                    with pytest.raises(masep.LimitError):
                        await client.send(message)
                    await engine.send(message)
                    with pytest.raises(masep.LimitError):
                        await client.recv_message(SOON)

    asyncio.run(asyncio.wait_for(play(), SOON))


def test_a_queue_that_is_full_ends_a_connection_that_nobody_receives_from() -> None:
    limits = masep.Limits(queue_messages=2)
    with masep.Server("engine", "127.0.0.1:0", limits=limits, when_full="disconnect") as server:
        peer = peer_of(server)
        connection = server.accept(SOON)
        assert connection is not None
        send(peer, *[b"x"] * 20)
        heard = b""
        while not heard.endswith(b"\x03\0BYE"):
            heard += peer.recv(64)
        with pytest.raises(masep.TransportError) as ended:
            while connection.recv(SOON) is not None:
                pass
        assert ended.value.reason == "queue_full"
        peer.close()


@pytest.mark.parametrize("rate", [{"messages_per_second": 5}, {"bytes_per_second": 15}])
def test_one_that_sends_more_than_its_rate_is_ended(rate: dict[str, int]) -> None:
    limits = masep.Limits(rate_time=0.3, **rate)
    with masep.Server("engine", "127.0.0.1:0", limits=limits) as server:
        peer = peer_of(server)
        connection = server.accept(SOON)
        assert connection is not None
        send(peer, *[b"x"] * 500)
        came = 0
        with pytest.raises(masep.TransportError) as ended:
            while connection.recv(SOON) is not None:
                came += 1
        assert ended.value.reason == "too_fast"
        assert 5 <= came < 500
        peer.close()


def test_a_new_connection_replaces_one_with_its_id() -> None:
    with masep.Server("engine", "127.0.0.1:0", duplicates="replace") as server:
        with peer_of(server):
            old = server.accept(SOON)
            assert old is not None
            with peer_of(server):
                new = server.accept(SOON)
                assert new is not None
                assert old.recv(SOON) is None
                assert old.close_reason == "replaced"


def test_a_server_has_so_many_places() -> None:
    limits = masep.ServerLimits(connections=1)
    with masep.Server("engine", "127.0.0.1:0", server_limits=limits) as server:
        host, port = server.address
        with masep.connect(f"{host}:{port}", id="first"):
            with pytest.raises(masep.RejectedError):
                with masep.connect(f"{host}:{port}", id="second") as second:
                    second.recv(SOON)


def test_an_asyncio_send_gives_a_peer_up_after_its_write_time() -> None:
    async def play() -> None:
        limits = masep.Limits(write_time=0.2)
        async with masep.aio.Server("engine", "127.0.0.1:0", limits=limits) as server:
            deaf = peer_of(server)
            connection = await server.accept()
            assert connection is not None
            with pytest.raises(masep.TransportError) as ended:
                while True:
                    await connection.send(b"x" * 60_000)
            assert ended.value.reason == "write_timeout"
            deaf.close()

    asyncio.run(asyncio.wait_for(play(), SOON))


@pytest.mark.parametrize("opens", [masep.Server, masep.Table])
@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("announce", "no", "announce: "),
        ("protocol", "2", "protocol: "),
        ("tokens", 7, "tokens: "),
        ("pymasep_listen", 7, "pymasep_listen: "),
        ("limits", masep.Limits(depth="deep"), "limits.depth: "),  # type: ignore[arg-type]
        ("limits", 3, "limits is a masep.Limits, not <class 'int'>"),
        ("server_limits", masep.Limits(), "server_limits is a masep.ServerLimits, not <class 'masep._limits.Limits'>"),
        ("admit", 5, "admit is a function, not a int"),
    ],
)
def test_an_option_of_another_type_is_named(opens: type, option: str, value: object, named: str) -> None:
    arguments = ("engine",) if opens is masep.Server else ("game", ["red"])
    with pytest.raises(masep.CallerError) as error:
        opens(*arguments, "127.0.0.1:0", **{option: value})
    assert str(error.value).startswith(named)


@pytest.mark.parametrize(
    ("rule", "value", "named"),
    [
        ("misses", "x", "misses: "),
        ("grace", "x", "grace: "),
        ("finals_unanswered", "red", "finals_unanswered are several names"),
    ],
)
def test_a_rule_of_another_type_is_named(rule: str, value: object, named: str) -> None:
    with pytest.raises(masep.CallerError) as error:
        masep.Table("game", ["red"], "127.0.0.1:0", **{rule: value})  # type: ignore[arg-type]
    assert str(error.value).startswith(named)


def test_a_text_is_not_taken_for_the_names_of_seats() -> None:
    with pytest.raises(masep.CallerError, match="seats are several names"):
        masep.Table("game", "red", "127.0.0.1:0")
    with masep.Table("game", ["r", "e", "d"], "127.0.0.1:0") as table:
        with pytest.raises(masep.CallerError, match="seats are several names"):
            table.open("red", lambda seat: 1)
        for call in (table.ask_all, table.actions, table.finish_episode):
            with pytest.raises(masep.CallerError, match="view is a function"):
                call(5)  # type: ignore[arg-type]
        with pytest.raises(masep.CallerError, match="deadline is a number of seconds"):
            table.ask("r", 1, deadline="soon")  # type: ignore[arg-type]
        with pytest.raises(masep.CallerError, match="deadline is a number of seconds from 0 on, not NaN"):
            table.open(["r"], lambda seat: 1, deadline=float("nan"))


def test_a_wish_of_a_player_of_another_type_is_named() -> None:
    with pytest.raises(masep.CallerError, match="^patience: "):
        masep.join("127.0.0.1:1", id="x", game="g", patience="long")  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [0, 3, -1, 70_000, 2**70])
def test_a_protocol_that_there_is_not_is_the_callers_fault(number: int) -> None:
    async def connects() -> None:
        await masep.aio.connect("127.0.0.1:1", id="x", protocol=number)

    for opens in (
        lambda: masep.connect("127.0.0.1:1", id="x", protocol=number),
        lambda: masep.join("127.0.0.1:1", id="x", game="g", protocol=number),
        lambda: masep.Server("x", "127.0.0.1:0", protocol=number),
        lambda: masep.Table("g", ["red"], "127.0.0.1:0", protocol=number),
        lambda: asyncio.run(connects()),
    ):
        with pytest.raises(masep.CallerError, match=f"protocol is 1, 2, or None for both, not {number}$"):
            opens()


def test_a_path_that_is_none_is_named() -> None:
    files = {"tls_cert": "c.pem", "tls_key": "k.pem"}
    for name in files:
        with pytest.raises(masep.CallerError, match=f"^{name} is the path of a file, not a int$"):
            masep.Server("x", "127.0.0.1:0", **{**files, name: 5})  # type: ignore[arg-type]
    with pytest.raises(masep.CallerError, match="^tls_ca is the path of a file, not a bytes$"):
        masep.connect("127.0.0.1:1", id="x", tls_ca=b"ca.pem")  # type: ignore[arg-type]


@pytest.mark.parametrize("named", ["id", "address", "timeout", "protocol", "token"])
def test_an_argument_of_another_type_is_pythons_error_and_named(named: str) -> None:
    arguments: dict[str, object] = {"address": "127.0.0.1:1", "id": "x", named: ("5", 1)}
    with pytest.raises(TypeError) as error:
        masep.connect(**arguments)  # type: ignore[arg-type]
    assert named in "".join([str(error.value), *getattr(error.value, "__notes__", [])])
