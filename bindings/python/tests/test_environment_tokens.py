"""Environments that are served to those who have a token."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys

import environments
import games
import pytest

import masep
from masep.gymnasium import EnvironmentServer, RemoteEnv, RemoteVectorEnv
from masep.pettingzoo import EnvironmentServer as GameServer
from masep.pettingzoo import RemoteParallelEnv


class Tokens:
    def __init__(self, path):
        self.path = path / "tokens.toml"
        self.address = f"unix://{path}/x"
        self.write()

    def write(self, *names: str) -> None:
        digests = {name: hashlib.sha256(f"secret-{name}".encode()).hexdigest() for name in names}
        self.path.write_text(
            "".join(f'[[token]]\nname = "{name}"\nsha256 = "{digest}"\n' for name, digest in digests.items())
        )

    def line(self, name: str) -> str:
        """What ``masep token new`` prints."""
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


def code(address: str) -> str:
    """The reason for which nobody gets an environment."""
    with pytest.raises(masep.RejectedError) as error:
        RemoteEnv(address)
    return error.value.code


def test_a_token_is_judged_before_a_worker_is_used(tokens):
    tokens.write("lab3", "lab4")
    with EnvironmentServer(environments.Wilful, tokens.address, envs=1, tokens=tokens.path) as server:
        env = RemoteEnv(tokens.line("lab3"))
        worker = int(env.reset()[0][0])
        assert env.step("say abc")[0].tolist() == [3, 3]
        # The only worker is busy: strangers are told that they are none, not that it is.
        refused(RemoteEnv, tokens.address, "unauthorized")
        refused(RemoteEnv, tokens.line("wrong"), "unauthorized")
        refused(RemoteEnv, tokens.line("lab4"), "too_many_connections")
        # One that has its environment keeps it, when its token is none any more. The server looks at the file by times.
        tokens.write("lab4")
        assert "unauthorized" in (code(tokens.line("lab3")) for _ in range(100))
        assert env.step("say abcd")[0].tolist() == [4, 4]
        env.close()
        refused(RemoteEnv, tokens.line("lab3"), "unauthorized")
        env = RemoteEnv(tokens.line("lab4"))
        # No stranger has cost a worker.
        assert int(env.reset()[0][0]) == worker
        env.close()
        assert server.target == tokens.address


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


@pytest.mark.parametrize("make", [EnvironmentServer, GameServer])
@pytest.mark.parametrize("address", ["127.0.0.1:0", "masep://127.0.0.1:0", "masep+tls://127.0.0.1:0"])
def test_tokens_need_a_unix_socket(tokens, make, address):
    with pytest.raises(masep.CallerError, match="cannot be handed to a worker process"):
        make(environments.Wilful, address, envs=1, tokens=tokens.path)
    if "tls" in address:
        with pytest.raises(masep.CallerError, match="without TLS"):
            make(environments.Wilful, address, envs=1)


def test_a_file_that_is_none_is_the_callers_error(tokens):
    tokens.path.write_text("token = 'secret'")
    with pytest.raises(masep.CallerError) as error:
        EnvironmentServer(environments.Wilful, tokens.address, envs=1, tokens=tokens.path)
    assert "line 1" in str(error.value) and "secret" not in str(error.value)


@pytest.mark.parametrize(
    "serves",
    [["masep.gymnasium", "serve", "CartPole-v1"], ["masep.pettingzoo", "serve-environments", "games:Shifts"]],
    ids=["gymnasium", "pettingzoo"],
)
def test_the_program_takes_tokens(tokens, serves):
    tokens.write("lab3")
    module, *verb = serves
    args = [sys.executable, "-m", module, *verb, tokens.address, "--envs", "1", "--tokens", str(tokens.path)]
    path = {"PYTHONPATH": os.path.dirname(environments.__file__)}
    with subprocess.Popen(args, stdout=subprocess.PIPE, text=True, env={**os.environ, **path}) as program:
        try:
            assert tokens.address in program.stdout.readline()
            make = RemoteEnv if module == "masep.gymnasium" else RemoteParallelEnv
            refused(make, tokens.address, "unauthorized")
            env = make(tokens.line("lab3"))
            env.reset()
            env.close()
        finally:
            program.send_signal(signal.SIGTERM)
        assert program.wait(30) == 0
