"""Servers and tables that ask for access tokens."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from functools import partial

import masep
import masep.aio
import pytest
from soon import SOON

GAME = "pursuit.PursuitGame"


class Tokens:
    """A file of tokens, and a Unix socket for those who have one."""

    def __init__(self, path):
        self.path = path / "tokens.toml"
        self.address = f"unix://{path}/x"
        self.write()

    def write(self, **tokens: str) -> None:
        def entry(name: str, more: str) -> str:
            digest = hashlib.sha256(f"secret-{name}".encode()).hexdigest()
            return f'[[token]]\nname = "{name}"\nsha256 = "{digest}"\n{more}\n'

        self.path.write_text("".join(entry(*token) for token in tokens.items()))

    def line(self, name: str) -> str:
        """The line that ``masep token new`` prints."""
        return f"{self.address}?token=secret-{name}"


@pytest.fixture
def tokens(tmp_path_factory):
    # The path of a socket is short.
    return Tokens(tmp_path_factory.mktemp("t"))


def refused(tokens: Tokens, name: str | None) -> masep.RejectedError:
    token = None if name is None else f"secret-{name}"
    with pytest.raises(masep.RejectedError) as error:
        masep.connect(tokens.address, id="a", token=token, protocol=2)
    return error.value


def rejections(server: masep.Server | masep.Table, number: int) -> list[masep.Rejection]:
    """So many, of which the server may be told a little later than the client."""
    told = server.rejections()
    while len(told) < number:
        time.sleep(0)
        told += server.rejections()
    return told


def test_a_server_takes_those_with_tokens(tokens):
    tokens.write(lab3="", lab4='ids = ["b"]')
    with masep.Server("engine", tokens.address, tokens=tokens.path) as server:
        with masep.connect(tokens.line("lab3"), id="a") as client:
            connection = server.accept(SOON)
            assert (connection.peer, connection.token_name) == ("a", "lab3")
            assert client.token_name is None
            for name, code in [(None, "unauthorized"), ("wrong", "unauthorized"), ("lab4", "forbidden")]:
                error = refused(tokens, name)
                assert error.code == code
                assert "secret" not in f"{error} {error!r}"
                [rejected] = rejections(server, 1)
                assert (rejected.target, rejected.reason) == (tokens.address, code)
                assert rejected.address == tokens.address
                assert "secret" not in rejected.detail
            tokens.write(lab4="")
            assert client.recv(SOON) is None
            assert client.peer_bye.code == "revoked"
            assert connection.recv(SOON) is None
            assert connection.close_reason == "revoked"
        with masep.connect(tokens.address, id="b", token="secret-lab4") as client:
            connection = server.accept(SOON)
            assert server.kick(token="lab3") == 0
            assert server.kick(token="lab4") == 1
            assert client.recv(SOON) is None
            assert client.peer_bye.code == "kicked"
        server.ban(id="a")
        assert refused(tokens, "lab4").code == "banned"
        assert server.unban(id="a")
        with pytest.raises(masep.CallerError):
            server.kick(id="a", token="b")
        with pytest.raises(masep.CallerError):
            server.ban(address="nowhere")


def test_a_table_takes_those_with_tokens(tokens):
    tokens.write(red='roles = ["actor"]\nseats = ["red"]', eve='roles = ["observer"]')
    table = masep.Table(GAME, ["red"], tokens.address, tokens=tokens.path, pymasep_listen="127.0.0.1:0")
    with table, masep.join(tokens.line("red"), id="r", game=GAME) as player:
        stranger = masep.join(tokens.address, id="s", game=GAME, token="secret-eve")
        with pytest.raises(masep.RejectedError) as error:
            stranger.next_turn(SOON)
        assert error.value.code == "forbidden"
        assert [rejected.reason for rejected in rejections(table, 1)] == ["forbidden"]
        with pytest.raises(masep.TimedOut):
            player.next_turn(0.01)
        table.filled(SOON)
        assert table.pymasep_target.startswith("127.0.0.1:")
        assert table.kick(token="red") == 1
        with pytest.raises(masep.TransportError) as end:
            player.next_turn(SOON)
        assert end.value.code == "kicked"


def test_asyncio(tokens):
    tokens.write(lab3="")

    async def run() -> None:
        async with masep.aio.Server("engine", tokens.address, tokens=tokens.path) as server:
            async with masep.aio.connect(tokens.line("lab3"), id="a"):
                assert (await server.accept()).token_name == "lab3"
            with pytest.raises(masep.RejectedError):
                await masep.aio.connect(tokens.address, id="b", token="wrong")
            while not (told := server.rejections()):
                await asyncio.sleep(0)
            assert [rejected.reason for rejected in told] == ["unauthorized"]

    asyncio.run(run())


def test_what_is_no_token_or_no_file_is_the_callers_error(tokens):
    for make in (masep.Server, partial(masep.Table, "g.G", ["red"])):
        with pytest.raises(masep.CallerError, match="pymasep's protocol have no tokens"):
            make(address=tokens.address, tokens=tokens.path, protocol=1, id="engine")
    for address in ["masep://127.0.0.1:1?token=", "127.0.0.1:1?token=secret", "masep://x:1?token=secret&secret"]:
        with pytest.raises(masep.CallerError) as error:
            masep.connect(address, id="a")
        assert "secret" not in str(error.value)
    tokens.path.write_text("token = 'secret'")
    with pytest.raises(masep.CallerError) as error:
        masep.Server("engine", tokens.address, tokens=tokens.path)
    assert "line 1" in str(error.value) and "secret" not in str(error.value)


def test_a_server_that_anybody_reaches_says_so(caplog, tokens):
    for address, options, lines in [
        ("127.0.0.1:0", {}, 0),
        ("0.0.0.0:0", {}, 1),
        ("0.0.0.0:0", {"tokens": tokens.path}, 0),
    ]:
        caplog.clear()
        with caplog.at_level(logging.WARNING, "masep"), masep.Server("engine", address, **options):
            assert len(caplog.records) == lines
