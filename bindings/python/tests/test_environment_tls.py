"""Environments that are served in TLS: the server's process has the keys, and moves the bytes from and to the workers."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import threading
import time

import environments
import games
import gymnasium
import numpy as np
import pytest
from agents import first_legal, played
from pettingzoo.classic.tictactoe import tictactoe
from scarcity import descriptors
from soon import SOON
from test_gymnasium import same
from test_tls import Files, files  # noqa: F401
from test_tls_tokens import new_token

import masep
from masep._environments import workers
from masep.gymnasium import EnvironmentServer, RemoteEnv, RemoteVectorEnv
from masep.pettingzoo import EnvironmentServer as GameServer
from masep.pettingzoo import EnvironmentTable, RemoteAECEnv, RemoteParallelEnv

#: Frames of a screen, of which a few fill what the system keeps for a client that never reads.
SCREEN = 210 * 160 * 3


class Screens(environments.Wilful):
    """Does what the action says, and shows a screen; that many bytes are ``step``'s number."""

    observation_space = gymnasium.spaces.Box(0, 255, (210, 160, 3), np.uint8)

    def observed(self, told):
        return np.full((210, 160, 3), int(told[0]) % 256, np.uint8), {"told": int(told[0])}

    def reset(self, *, seed=None, options=None):
        return self.observed(super().reset(seed=seed)[0])

    def step(self, action):
        told, reward, terminated, truncated, _ = super().step(action)
        observation, info = self.observed(told)
        return observation, reward, terminated, truncated, info


def in_tls(files: Files, **options):  # noqa: F811
    return {"tls_cert": files.cert, "tls_key": files.key, **options}


@pytest.fixture(scope="module")
def screens(files: Files):  # noqa: F811
    with EnvironmentServer(Screens, "127.0.0.1:0", envs=3, **in_tls(files)) as server:
        yield server


@pytest.fixture
def remote(screens, files):  # noqa: F811
    made = []

    def make(**options):
        made.append(RemoteEnv(screens.target, tls_ca=files.ca, **options))
        return made[-1]

    yield make
    for env in made:
        env.close()


@pytest.fixture
def gate(tmp_path):
    entered, left = tmp_path / "entered", tmp_path / "left"
    os.mkfifo(entered)
    os.mkfifo(left)
    return entered, left


def when_free(call):
    """The outcome, once there is a worker again: a machine with other things to do takes longer than a client waits."""
    until = time.monotonic() + SOON
    while True:
        try:
            return call()
        except masep.RejectedError as error:
            assert error.code == "too_many_connections" and time.monotonic() < until
            time.sleep(error.retry_after)


def test_an_environment_is_stepped_in_tls(screens, remote):
    assert screens.target.startswith("masep+tls://")
    env = remote()
    observation, info = env.reset()
    assert info["told"] != os.getpid()
    assert observation.shape == (210, 160, 3) and observation.flags.writeable
    for size in (0, 1, 100, 255):
        observation, reward, *_ = env.step("say " + "x" * size)
        assert (observation == size).all() and reward == 1.0
    with pytest.raises(masep.TransportError) as error:
        RemoteEnv(screens.target)
    assert error.value.reason.startswith("certificate")


def test_a_trajectory_in_tls_is_that_of_a_local_environment(files):  # noqa: F811
    options = in_tls(files, envs=2, tls="allow")
    with EnvironmentServer("CartPole-v1", "127.0.0.1:0", **options) as server:
        here = gymnasium.make("CartPole-v1")
        env = gymnasium.make("masep:Remote-v0", address=server.target, tls_ca=str(files.ca))
        # A server that allows both has a worker at the socket itself of one that is not in TLS.
        plain = RemoteEnv(server.target.removeprefix("masep+tls://"))
        here.action_space.seed(7)
        assert same(here.reset(seed=3), env.reset(seed=3)) and same(plain.reset(seed=3), here.reset(seed=3))
        for _ in range(100):
            action = here.action_space.sample()
            ours = here.step(action)
            assert same(ours, env.step(action)) and same(ours, plain.step(action))
            if ours[2] or ours[3]:
                assert same(here.reset(), env.reset()) and plain.reset()
        plain.close()
        # The function that made it makes it again.
        again = env.spec.make()
        assert same(again.reset(seed=5)[0], here.reset(seed=5)[0])
        again.close()
        env.close()
        envs = RemoteVectorEnv(server.target, num_envs=2, tls_ca=files.ca)
        assert envs.reset(seed=[5, 6])[0].shape == (2, 4)
        assert envs.step(np.array([0, 1]))[0].shape == (2, 4)
        envs.close()


def test_games_are_stepped_and_played_in_tls(files):  # noqa: F811
    with GameServer(games.Shifts, "127.0.0.1:0", envs=1, **in_tls(files)) as server:
        for kind in (RemoteParallelEnv, RemoteAECEnv):
            env = kind(server.target, tls_ca=files.ca)
            env.reset(seed=1)
            env.step({agent: 1 for agent in env.agents} if kind is RemoteParallelEnv else 1)
            assert env.agents
            env.close()


def test_a_crash_in_tls_costs_its_client_only_and_its_next_reset_works(remote):
    lives, crashes = remote(), remote()
    lives.reset()
    worker = crashes.reset()[1]["told"]
    with pytest.raises(masep.TransportError) as error:
        crashes.step("crash")
    assert error.value.reason == "end_of_stream"
    again = crashes.reset()[1]["told"]
    assert again != worker
    os.kill(again, signal.SIGKILL)
    with pytest.raises(masep.TransportError):
        crashes.step("go")
    assert when_free(crashes.reset)[1]["told"] != again
    assert lives.step("say ab")[4]["told"] == 2


def test_ctrl_c_and_a_time_out_in_a_step_leave_nothing_for_the_next_reset(remote, gate):
    env = remote(timeout=0.1)
    first, told = env.reset()
    with pytest.raises(masep.TimedOut):
        env.step(f"gate {gate[0]} {gate[1]}")
    open(gate[0]).close()
    open(gate[1], "w").close()
    env._timeout = SOON
    again, info = env.reset()
    assert info == told and same(again, first)
    assert env.step("say a")[4]["told"] == 1


def test_one_that_never_reads_holds_up_its_own_worker_and_is_cut_off_when_it_has_gone(screens, remote, monkeypatch):
    monkeypatch.setattr(workers, "LEAVE_SECONDS", 0.5)
    never, good = remote(), remote()
    never.reset()
    good.reset()
    for _ in range(200):
        # 20 MB of answers, which nobody takes.
        never._session.send_step("say x")
    for _ in range(20):
        assert good.step("say abc")[4]["told"] == 3
    assert never._session.receive_step(SOON)[4]["told"] == 1
    # It goes with answers under way, and its worker is free again.
    never._session.connection.try_close()
    others = [when_free(remote) for _ in range(2)]
    for env in others:
        env.reset()
        assert env.step("say abcd")[4]["told"] == 4


def test_a_client_that_goes_in_the_middle_of_a_step_frees_its_worker(screens, remote, gate, monkeypatch):
    monkeypatch.setattr(workers, "LEAVE_SECONDS", 0.5)
    goes = remote()
    goes.reset()
    goes._session.send_step(f"gate {gate[0]} {gate[1]}")
    open(gate[0]).close()
    # As one that is killed: the stream ends, and TLS does not.
    with socket.socket(fileno=goes._session.connection.descriptor()) as stream:
        stream.shutdown(socket.SHUT_RDWR)
    others = [when_free(remote) for _ in range(3)]
    assert len({env.reset()[1]["told"] for env in others}) == 3


def test_strangers_in_the_middle_of_a_handshake_cost_nothing(screens, remote, files):  # noqa: F811
    host, port = screens._server.address
    context = ssl.create_default_context(cafile=files.ca)
    context.set_alpn_protocols(["masep/2"])
    open_ones = []
    for cut in range(0, 40, 3):
        stream = socket.create_connection((host, port))
        hello = ssl.MemoryBIO()
        client = context.wrap_bio(ssl.MemoryBIO(), hello, server_hostname="127.0.0.1")
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        stream.sendall(hello.read()[: cut * 10])
        if cut % 2:
            stream.close()
        else:
            open_ones.append(stream)
    # One that shakes hands, and says nothing; or that is none of ours.
    for said in (b"", b"GET / HTTP/1.1\r\n\r\n"):
        stream = context.wrap_socket(socket.create_connection((host, port)), server_hostname="127.0.0.1")
        stream.sendall(said)
        open_ones.append(stream)
    env = remote()
    env.reset()
    assert env.step("say a")[4]["told"] == 1
    for stream in open_ones:
        stream.close()


def test_many_clients_in_tls_leave_nothing_behind(screens, remote, files):  # noqa: F811
    def visit(number):
        env = when_free(lambda: RemoteEnv(screens.target, tls_ca=files.ca, id=f"v{number}"))
        pid = env.reset()[1]["told"]
        if number % 3 == 0:
            env.close()
        elif number % 3 == 1:
            env._session.connection.try_close()
        else:
            with socket.socket(fileno=env._session.connection.descriptor()) as stream:
                stream.shutdown(socket.SHUT_RDWR)
        return pid

    def left():
        return descriptors(), len(os.listdir("/proc/self/task"))

    pids = {visit(number) for number in range(12)}
    before = left()
    for number in range(30):
        pids.add(visit(number))
    until = time.monotonic() + SOON
    while any(now > then for now, then in zip(left(), before)):
        assert time.monotonic() < until, (before, left())
        time.sleep(0.01)
    # No worker was lost, and none hangs.
    envs = [when_free(remote) for _ in range(3)]
    assert pids <= {env.reset()[1]["told"] for env in envs}


@pytest.mark.skipif("MASEP_BIN" not in os.environ, reason="MASEP_BIN does not say where the program masep is")
def test_a_table_of_an_environment_is_in_tls_and_has_tokens(files, tmp_path, pool):  # noqa: F811
    options = in_tls(files, tokens=tmp_path / "tokens.toml")
    options["tokens"].write_text("")
    env = tictactoe.env()
    role = ("--role", "actor")
    tokens = {agent: new_token(options, files.ca, agent, "--seat", agent, *role) for agent in env.possible_agents}
    with EnvironmentTable(env, "127.0.0.1:0", **options) as table:
        assert table.target.startswith("masep+tls://")
        with pytest.raises(masep.RejectedError, match="unauthorized"):
            masep.join(table.target, id="eve", game="", token="guess", tls_ca=files.ca).next_turn(SOON)
        lines = {agent: table.target + token for agent, token in tokens.items()}
        players = [pool.submit(played, line, agent, first_legal) for agent, line in lines.items()]
        [episode] = table.play(1)
        assert episode.ended is None and sum(episode.returns.values()) == 0
        table.end()
        assert all(player.result(SOON) for player in players)


def test_a_server_that_ends_tells_its_clients_so_in_tls(files):  # noqa: F811
    server = EnvironmentServer("CartPole-v1", "127.0.0.1:0", envs=1, **in_tls(files))
    env = RemoteEnv(server.target, tls_ca=files.ca)
    env.reset()
    closing = threading.Thread(target=server.close)
    closing.start()
    with pytest.raises(masep.TransportError) as error:
        while True:
            env.step(0)
    closing.join()
    assert error.value.code == "shutdown"


def test_wrong_files_are_the_callers_error(files, tmp_path):  # noqa: F811
    for wrong in ({"tls_cert": files.cert}, {"tls": "require"}, in_tls(files, tls_key=tmp_path / "no")):
        with pytest.raises((masep.CallerError, OSError)):
            EnvironmentServer("CartPole-v1", "127.0.0.1:0", envs=1, **wrong)
    with pytest.raises((masep.CallerError, OSError)):
        EnvironmentServer("CartPole-v1", "masep+tls://127.0.0.1:0", envs=1)
