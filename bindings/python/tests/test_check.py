"""The program's `masep check` at servers of environments."""

from __future__ import annotations

import json
import os
import subprocess
import threading

import masep
import pytest
from masep import _masep
from masep._environments.looking import MOST
from masep._environments.session import PROFILE
from masep.gymnasium import EnvironmentServer, RemoteEnv

from environments import Wilful, image_env


def unmade(**arguments):
    raise OSError("no such world")


def check(*args):
    """The exit code and the report."""
    command = [os.environ["MASEP_BIN"], "check", "--json", *args]
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert ran.stdout, ran.stderr
    return ran.returncode, json.loads(ran.stdout)


needs_program = pytest.mark.skipif(
    "MASEP_BIN" not in os.environ, reason="MASEP_BIN does not say where the program masep is"
)


@needs_program
def test_the_places_are_told_and_none_is_taken():
    with EnvironmentServer("CartPole-v1", "127.0.0.1:0", envs=1) as server:
        code, report = check(server.target)
        assert (code, report["status"]) == (0, "ok")
        told = [report[key] for key in ("id", "protocol", "profile", "game", "seats", "free")]
        assert told == ["environments", 2, "environment/1", "CartPole-v1", 1, 1]
        assert report["round_trip_ms"] > 0
        env = RemoteEnv(server.target)
        env.reset()
        # All places are taken, and the server is in order.
        code, report = check(server.target)
        assert (code, report["free"]) == (0, 0)
        code, report = check(server.target, "--make")
        assert (code, report["reason"]) == (5, "too_many_connections")
        assert env.step(0)[2] is False
        env.close()


@needs_program
def test_an_environment_is_made_where_that_is_asked_for():
    with EnvironmentServer("CartPole-v1", "127.0.0.1:0", envs=1) as server:
        code, report = check(server.target, "--make")
        assert (code, report["environment"]["spec"]["id"]) == (0, "CartPole-v1")
        assert report["environment"]["observation_space"]["shape"] == [4]
    with EnvironmentServer(unmade, "127.0.0.1:0", envs=1) as server:
        code, report = check(server.target, "--make")
        assert (code, report["reason"]) == (5, "environment_failed")
        assert report["refused"]["text"] == "OSError: no such world"
        assert "game" not in report


@needs_program
def test_those_of_several_agents_are_told_too():
    from masep.pettingzoo import EnvironmentServer as Games

    with Games("pettingzoo.classic.tictactoe_v3", "127.0.0.1:0", envs=1) as server:
        code, report = check(server.target, "--make")
        assert (code, report["environment"]["kind"]) == (0, "aec")
        assert report["environment"]["possible_agents"] == ["player_1", "player_2"]


def test_those_who_only_look_cost_clients_nothing():
    with EnvironmentServer(Wilful, "127.0.0.1:0", envs=1) as server:
        looks = [
            _masep.connect(f"look-{n}", server.target, None, "wait", None, None, 2, PROFILE, {"look": True})
            for n in range(20)
        ]
        assert looks[0].welcome.seats == 1
        env = RemoteEnv(server.target)
        env.reset()
        env.close()
        # Of so many at a time some are sent away at once, and the others in time.
        for look in looks:
            assert look.recv(20) is None
    with EnvironmentServer(image_env, "127.0.0.1:0", envs=1) as server:
        look = _masep.connect("look", server.target, None, "wait", None, None, 2, PROFILE, {"look": True})
        assert look.welcome.game is None
        server.close()
        # It is told of the end at once.
        assert look.recv(2) is None
        assert look.peer_bye.code == "shutdown"


def test_a_look_for_which_there_is_no_thread_leaves_those_after_it_theirs(monkeypatch, caplog):
    def look(name, target):
        return _masep.connect(name, target, None, "wait", None, None, 2, PROFILE, {"look": True})

    begin, failed = threading.Thread.start, []

    def scarce(thread):
        if thread.name == "masep-look" and len(failed) < 2 * MOST:
            failed.append(thread)
            raise RuntimeError("can't start new thread")
        begin(thread)

    with EnvironmentServer(image_env, "127.0.0.1:0", envs=1) as server:
        monkeypatch.setattr(threading.Thread, "start", scarce)
        # More than there may be at a time: none of them has a place.
        for number in range(2 * MOST):
            it = look(f"look-{number}", server.target)
            assert it.welcome.seats == 1
            assert it.recv(20) is None
        assert len(failed) == 2 * MOST
        with pytest.raises(masep.TimedOut):
            # This one is looked after.
            look("last", server.target).recv(0.1)
    assert "can't start new thread" in caplog.text


@pytest.mark.parametrize("look", [1, "true", None, [True]], ids=str)
def test_nothing_but_true_asks_for_a_look(look):
    with EnvironmentServer(Wilful, "127.0.0.1:0", envs=1) as server:
        made = _masep.connect("a", server.target, None, "wait", None, None, 2, PROFILE, {"look": look})
        assert made.welcome.seats is None
        made.close()
