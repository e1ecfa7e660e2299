"""Environments that are served to those who have a token, or whom a function lets in."""

from __future__ import annotations

import datetime
import hashlib
import os
import signal
import subprocess
import sys
import time

import environments
import games
import gymnasium
import pytest
from test_tls import Files, files  # noqa: F401

import masep
from masep._environments import workers
from masep.gymnasium import EnvironmentServer, RemoteEnv, RemoteVectorEnv
from masep.pettingzoo import EnvironmentServer as GameServer
from masep.pettingzoo import RemoteParallelEnv, join


class Tokens:
    def __init__(self, path):
        self.path = path / "tokens.toml"
        self.address = f"unix://{path}/x"
        self.write()

    def write(self, *names: str, more: str = "") -> None:
        """Writes the file with these tokens, and this for the last one."""
        digests = {name: hashlib.sha256(f"secret-{name}".encode()).hexdigest() for name in names}
        entries = [f'[[token]]\nname = "{name}"\nsha256 = "{digest}"\n' for name, digest in digests.items()]
        # One that is half written is none.
        new = self.path.with_suffix(".new")
        new.write_text("".join(entries) + more)
        new.replace(self.path)

    def line(self, name: str) -> str:
        """The line that ``masep token new`` prints."""
        return f"{self.address}?token=secret-{name}"


@pytest.fixture
def tokens(tmp_path_factory):
    # The path of a socket is short.
    return Tokens(tmp_path_factory.mktemp("e"))


def refused(make, address: str, reason: str) -> None:
    with pytest.raises(masep.RejectedError) as error:
        make(address)
    assert error.value.code == reason
    assert "secret" not in f"{error.value} {error.value!r}"


@pytest.fixture(params=["unix", "tls"])
def place(request, tokens, files: Files):  # noqa: F811
    """The address and the options of a server to which tokens can be said, and those of its clients."""
    tokens.write("lab3", "lab4")
    if request.param == "unix":
        return tokens.address, {"tokens": tokens.path}, {}
    return "127.0.0.1:0", {"tokens": tokens.path, "tls_cert": files.cert, "tls_key": files.key}, {"tls_ca": files.ca}


@pytest.fixture
def served(place):
    """A server with one environment, and a function that connects to it with a token."""
    address, options, trust = place
    with EnvironmentServer(environments.Wilful, address, envs=1, **options) as server:
        made = []

        def connect(name: str | None, **more):
            token = None if name is None else f"secret-{name}"
            made.append(RemoteEnv(server.target, token=token, **trust, **more))
            return made[-1]

        yield server, connect
        for env in made:
            env.close()


def code(connect, name: str) -> str:
    """The reason for which nobody gets an environment."""
    with pytest.raises(masep.RejectedError) as error:
        connect(name)
    return error.value.code


def test_a_token_is_judged_before_a_worker_is_used(served):
    server, connect = served
    env = connect("lab3")
    worker = int(env.reset()[0][0])
    assert env.step("say abc")[0].tolist() == [3, 3]
    # The only worker is busy: strangers are told that they are none, not that it is.
    for stranger, reason in [(None, "unauthorized"), ("wrong", "unauthorized"), ("lab4", "too_many_connections")]:
        refused(connect, stranger, reason)
    env.close()
    # No stranger has cost a worker.
    assert int(connect("lab4").reset()[0][0]) == worker


def test_a_token_that_is_taken_out_ends_its_environment_in_the_middle_of_a_step(served, tokens, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "LEAVE_SECONDS", 0.5)
    server, connect = served
    entered, left = tmp_path / "entered", tmp_path / "left"
    os.mkfifo(entered)
    os.mkfifo(left)
    env = connect("lab3")
    worker = int(env.reset()[0][0])
    tokens.write("lab4", "lab5")
    with pytest.raises(masep.TransportError) as error:
        # It never ends: its worker is killed.
        env.step(f"gate {entered} {left}")
    assert (error.value.code, error.value.reason) == ("revoked", "peer_bye")
    with pytest.raises(masep.RejectedError) as error:
        env.reset()
    assert error.value.code == "unauthorized"
    env = connect("lab4")
    again = int(env.reset()[0][0])
    tokens.write("lab4")
    # Others' tokens are not its own. One whose environment waits for its client is ended too, and its worker stays.
    assert env.step("say abcd")[0].tolist() == [4, 4]
    tokens.write("lab5")
    with pytest.raises(masep.TransportError) as error:
        while True:
            env.step("say ab")
    assert error.value.code == "revoked"
    assert worker != again == int(connect("lab5").reset()[0][0])


def test_a_token_that_expires_ends_its_environment(served, tokens):
    server, connect = served
    env = connect("lab4")
    env.reset()
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=1)
    tokens.write("lab3", "lab4", more=f"expires = {soon:%Y-%m-%dT%H:%M:%SZ}\n")
    with pytest.raises(masep.TransportError) as error:
        while True:
            env.step("say a")
    assert error.value.code == "revoked"
    assert code(connect, "lab4") == "unauthorized"
    connect("lab3").reset()


def test_those_who_are_kicked_may_come_back_until_they_are_banned(served):
    server, connect = served
    for subject in ({"id": "a"}, {"token": "lab3"}):
        for send_away, reason in [(server.kick, "kicked"), (server.ban, "kicked")]:
            env = connect("lab3", id="a")
            env.reset()
            assert send_away(**subject) == 1
            with pytest.raises(masep.TransportError) as error:
                while True:
                    env.step("say a")
            assert error.value.code == reason
        server.rejections()
        refused(lambda name: connect(name, id="a"), "lab3", "banned")
        while not (told := server.rejections()):
            time.sleep(0)
        assert told[0].reason == "banned"
        assert server.kick(**subject) == 0
        assert server.unban(**subject) and not server.unban(**subject)
    connect("lab3", id="a").reset()
    with pytest.raises(masep.CallerError):
        server.kick()


def test_a_function_says_who_gets_an_environment(place, tokens):
    address, options, trust = place
    del options["tokens"]
    asked = []

    def admit(request: masep.AccessRequest) -> bool | masep.Grant:
        asked.append((request.peer, request.hello.profile))
        if request.hello.token == "secret-soon":
            expires = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=1)
            return masep.Grant("soon", expires=expires)
        return request.hello.token == "secret-lab3" and masep.Grant("lab3")

    for make, env in [(EnvironmentServer, environments.dict_env), (GameServer, games.Shifts)]:
        connect = RemoteEnv if make is EnvironmentServer else RemoteParallelEnv
        with make(env, address, envs=1, admit=admit, **options) as server:
            refused(lambda token: connect(server.target, token=token, id="eve", **trust), None, "unauthorized")
            env = connect(server.target, token="secret-lab3", id="ann", **trust)
            env.reset()
            assert server.kick(token="lab3") == 1
            with pytest.raises(masep.TransportError) as error:
                while True:
                    env.render()
            assert error.value.code == "kicked"
            env = connect(server.target, token="secret-soon", id="bob", **trust)
            env.reset()
            with pytest.raises(masep.TransportError) as error:
                while True:
                    env.render()
            assert error.value.code == "revoked"
            with pytest.raises(masep.CallerError, match="either"):
                make(environments.Wilful, tokens.address + "2", envs=1, admit=admit, tokens=tokens.path)
    assert [id for id, _ in asked] == ["eve", "ann", "bob"] * 2
    assert {profile for _, profile in asked} == {"environment/1"}


def test_a_reset_after_a_lost_connection_says_the_token_again(tokens):
    tokens.write("lab3")
    with EnvironmentServer(environments.Wilful, tokens.address, envs=1, tokens=tokens.path):
        env = RemoteEnv(tokens.line("lab3"))
        env.reset()
        with pytest.raises(masep.TransportError):
            env.step("crash")
        env.reset()
        assert env.step("say ab")[0].tolist() == [2, 2]
        env.close()


def test_vectors_and_games_say_it_too(tokens):
    tokens.write("lab3")
    with EnvironmentServer("CartPole-v1", tokens.address, envs=2, tokens=tokens.path):
        envs = RemoteVectorEnv(tokens.line("lab3"), num_envs=2)
        assert envs.reset(seed=1)[0].shape == (2, 4)
        envs.close()
        refused(lambda address: RemoteVectorEnv(address, num_envs=2), tokens.address, "unauthorized")
    with GameServer(games.Shifts, tokens.address, envs=1, tokens=tokens.path):
        game = RemoteParallelEnv(tokens.line("lab3"))
        assert set(game.reset(seed=1)[0]) == set(game.agents)
        assert "secret" not in f"{game} {game!r}"
        game.close()
        refused(RemoteParallelEnv, tokens.address, "unauthorized")


def test_no_text_of_an_environment_has_the_token(tokens):
    tokens.write("lab3")
    with EnvironmentServer(environments.Wilful, tokens.address, envs=1, tokens=tokens.path):
        env = RemoteEnv(tokens.line("lab3"))
        assert tokens.address in str(env)
        for text in (str(env), repr(env), str(env.spec), env.spec.to_json(), repr(env._target)):
            assert "secret" not in text
        env.close()


def test_what_gymnasium_keeps_of_an_environment_has_no_token(tokens):
    tokens.write("lab3")
    with EnvironmentServer("CartPole-v1", tokens.address, envs=2, tokens=tokens.path):
        for address, more in [(tokens.line("lab3"), {}), (tokens.address, {"token": "secret-lab3"})]:
            env = gymnasium.make("masep:Remote-v0", address=address, **more)
            envs = gymnasium.make_vec("masep:Remote-v0", num_envs=1, address=[address], **more)
            for made in (env, envs):
                shown = (repr(made.spec), made.spec.to_json(), str(made.unwrapped), repr(made))
                assert "secret" not in "".join(shown)
                assert made.spec.kwargs["address"] in (tokens.address, [tokens.address])
            env.close()
            envs.close()
            # The registration is as it was.
            assert gymnasium.spec("Remote-v0").kwargs == {}


def test_a_file_that_is_none_is_the_callers_error(tokens):
    tokens.path.write_text("token = 'secret'")
    with pytest.raises(masep.CallerError) as error:
        EnvironmentServer(environments.Wilful, tokens.address, envs=1, tokens=tokens.path)
    assert "line 1" in str(error.value) and "secret" not in str(error.value)


@pytest.mark.parametrize(
    "serves",
    [
        ["masep.gymnasium", "serve", "CartPole-v1", "--envs", "1"],
        ["masep.pettingzoo", "serve-environments", "games:Shifts", "--envs", "1"],
        ["masep.pettingzoo", "serve", "classic/rps-v2", "--arg", "max_cycles=1", "--episodes", "1"],
    ],
    ids=["gymnasium", "pettingzoo", "table"],
)
def test_the_program_takes_tokens_in_tls(tokens, files, serves, pool):  # noqa: F811
    tokens.write("lab3")
    module, verb, env, *more = serves
    tls = ["--tls-cert", str(files.cert), "--tls-key", str(files.key)]
    args = [sys.executable, "-m", module, verb, env, "127.0.0.1:0", *more, "--tokens", str(tokens.path), *tls]
    path = {"PYTHONPATH": os.path.dirname(environments.__file__)}
    with subprocess.Popen(args, stdout=subprocess.PIPE, text=True, env={**os.environ, **path}) as program:
        try:
            target = program.stdout.readline().rstrip().rpartition(" ")[2]
            assert target.startswith("masep+tls://")
            trust = {"tls_ca": files.ca}
            refused(lambda address: masep.connect(address, id="eve", token="guess", **trust), target, "unauthorized")
            trust["token"] = "secret-lab3"
            if verb == "serve" and module == "masep.pettingzoo":
                players = [pool.submit(seen, target, agent, trust) for agent in ("player_0", "player_1")]
                assert [player.result(30) for player in players] == [["ask", "final"]] * 2
            else:
                env = (RemoteEnv if verb == "serve" else RemoteParallelEnv)(target, **trust)
                env.reset()
                env.close()
                program.send_signal(signal.SIGINT)
            assert program.wait(30) == 0
        finally:
            program.kill()


def seen(target, agent, trust):
    """The turns of an agent, which plays them."""
    kinds = []
    with join(target, agent, **trust) as player:
        for turn in player:
            kinds.append(turn.kind)
            if turn.kind == "ask":
                turn.act(0)
    return kinds
