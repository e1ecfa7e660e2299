"""TLS and access tokens together: a client needs the one line that ``masep token new`` prints."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from pathlib import Path

import pytest
from soon import SOON
from test_tls import Files, files  # noqa: F401

import masep
import masep.aio

GAME = "pkg.Game"


def new_token(options: dict[str, Path], ca: Path, name: str, *more: str) -> str:
    """Adds a token to the file as a host does: the line for its holder, but for the address in front, whose port is not
    known before the server is there."""
    address = "masep+tls://engine:1"
    args = ["token", "new", "--file", options["tokens"], "--name", name, "--address", address, "--tls-ca", ca, *more]
    made = subprocess.run([os.environ["MASEP_BIN"], *args], check=True, capture_output=True, text=True)
    line = made.stdout.strip()
    assert line.startswith(f"{address}?token=")
    return line.removeprefix(address)


pytestmark = pytest.mark.skipif("MASEP_BIN" not in os.environ, reason="MASEP_BIN does not say where the program masep is")


@pytest.fixture
def options(files: Files, tmp_path: Path) -> dict[str, Path]:  # noqa: F811
    tokens = tmp_path / "tokens.toml"
    tokens.write_text("")
    return {"tls_cert": files.cert, "tls_key": files.key, "tokens": tokens}


def stranger(line: str) -> str:
    """The same line with another token."""
    address, rest = line.split("?token=")
    return f"{address}?token={'0' * 64}{rest[rest.index('&') :]}"


def test_a_client_needs_the_one_line(files: Files, options: dict[str, Path]) -> None:  # noqa: F811
    token = new_token(options, files.ca, "lab3")
    with masep.Server("engine", "127.0.0.1:0", **options) as server:
        line = server.target + token
        with masep.connect(line, id="a") as client:
            connection = server.accept(SOON)
            assert connection.token_name == "lab3"
            client.send(b"x" * 100_000)
            assert connection.recv(SOON) == b"x" * 100_000
        with pytest.raises(masep.RejectedError, match="unauthorized"):
            masep.connect(stranger(line), id="b")
        # Without the line, the certificate is not trusted, and no token is said.
        with pytest.raises(masep.TransportError) as error:
            masep.connect(server.target, id="b", token="guess")
        assert error.value.reason.startswith("certificate")


def test_the_same_in_an_event_loop(files: Files, options: dict[str, Path]) -> None:  # noqa: F811
    token = new_token(options, files.ca, "lab3", "--id", "a")

    async def run() -> None:
        async with masep.aio.Server("engine", "127.0.0.1:0", **options) as server:
            line = server.target + token
            async with masep.aio.connect(line, id="a") as client:
                connection = await server.accept()
                assert connection.token_name == "lab3"
                await connection.send(b"y" * 100_000)
                assert await client.recv() == b"y" * 100_000
            for wrong, id, code in [(stranger(line), "a", "unauthorized"), (line, "b", "forbidden")]:
                with pytest.raises(masep.RejectedError, match=code):
                    await masep.aio.connect(wrong, id=id)

    asyncio.run(asyncio.wait_for(run(), 60))


def test_a_function_sees_the_token_that_came_in_tls(files: Files, options: dict[str, Path]) -> None:  # noqa: F811
    token = new_token(options, files.ca, "lab3")
    del options["tokens"]

    def admit(request: masep.AccessRequest) -> bool:
        return f"?token={request.hello.token}&" in token

    with masep.Server("engine", "127.0.0.1:0", admit=admit, **options) as server:
        line = server.target + token
        with masep.connect(line, id="a"):
            assert server.accept(SOON).peer == "a"
        with pytest.raises(masep.RejectedError, match="unauthorized"):
            masep.connect(stranger(line), id="a")


def test_a_player_of_a_table_needs_the_one_line(files: Files, options: dict[str, Path]) -> None:  # noqa: F811
    grant = ("--role", "actor", "--game", GAME)
    tokens = {seat: new_token(options, files.ca, seat, "--seat", seat, *grant) for seat in ("red", "blue")}
    with masep.Table(GAME, ["blue", "red"], "127.0.0.1:0", **options) as table:
        lines = {seat: table.target + token for seat, token in tokens.items()}
        played: list[tuple[str, object]] = []

        def play(seat: str) -> None:
            with masep.join(lines[seat], id=f"of-{seat}", game=GAME) as player:
                for turn in player:
                    if not turn.final:
                        played.append((seat, turn.view))
                        turn.act(seat)

        players = [threading.Thread(target=play, args=[seat]) for seat in lines]
        for player in players:
            player.start()
        table.filled(30)
        with pytest.raises(masep.RejectedError, match="forbidden"):
            masep.join(lines["red"], id="eve", game=GAME, role="observer").next_turn(SOON)
        moves = table.ask_all(lambda seat: f"for {seat.name}")
        assert [(move.seat, move.action) for move in moves] == [("blue", "blue"), ("red", "red")]
        assert [seat.player for seat in table.seats] == ["of-blue", "of-red"]
    for player in players:
        player.join(30)
    assert sorted(played) == [("blue", "for blue"), ("red", "for red")]


def test_a_player_in_an_event_loop_too(files: Files, options: dict[str, Path]) -> None:  # noqa: F811
    token = new_token(options, files.ca, "ann", "--role", "actor")

    async def run() -> None:
        async with masep.aio.Table(GAME, ["red"], "127.0.0.1:0", **options) as table:
            line = table.target + token

            async def play() -> None:
                async with masep.aio.join(line, id="a", game=GAME) as player:
                    async for turn in player:
                        if not turn.final:
                            turn.act(7)

            player = asyncio.create_task(play())
            await table.filled()
            moves = await table.ask_all(lambda seat: 3)
            assert [(move.seat, move.action, move.how) for move in moves] == [("red", 7, "played")]
            await table.end()
            await player

    asyncio.run(asyncio.wait_for(run(), 60))
