"""Things that a hurried user of environments does."""

from __future__ import annotations

import os

import environments
import pytest
from soon import SOON

import masep
import masep.pettingzoo
from masep.gymnasium import EnvironmentServer, RemoteEnv, RemoteVectorEnv


def test_a_thread_that_asks_while_another_one_waits_is_refused(tmp_path, pool):
    entered, left = tmp_path / "entered", tmp_path / "left"
    os.mkfifo(entered)
    os.mkfifo(left)
    with EnvironmentServer(environments.Wilful, "127.0.0.1:0", envs=1) as server:
        env = RemoteEnv(server.target)
        env.reset()
        stepping = pool.submit(env.step, f"gate {entered} {left}")
        entered.open().close()
        for asks in (env.reset, env.render, lambda: env.step("go 1")):
            with pytest.raises(masep.CallerError, match="another thread"):
                asks()
        left.open("w").close()
        assert stepping.result(SOON)[1] == 1.0
        assert env.step("go 12")[0].tolist() == [2, 2]
        env.close()


@pytest.mark.parametrize("make", [RemoteEnv, RemoteVectorEnv, masep.pettingzoo.RemoteParallelEnv])
@pytest.mark.parametrize("name", ["timeout", "make_timeout"])
def test_a_timeout_that_is_none_is_refused_at_once(make, name):
    # Nobody listens there.
    with pytest.raises(masep.CallerError, match="a timeout is a number of seconds, 0 or more, not -1"):
        make("127.0.0.1:1", **{name: -1})


@pytest.mark.parametrize("count", [0, "2", 1.5, None])
def test_what_is_no_number_of_environments_is_named(count):
    with pytest.raises(masep.CallerError, match="^num_envs is a number from 1 on, not "):
        RemoteVectorEnv("127.0.0.1:1", count)


FAULTS = {
    "an environment that is there": ({"env": environments.Wilful()}, "give an id, a class or a function"),
    "no environment": ({"env": None}, "give an id, a class or a function"),
    "arguments in a list": ({"arguments": ["size"]}, "arguments is a dict, not a list"),
    "a text for a number": ({"envs": "2"}, "^envs is a number from 1 on, not '2'"),
    "half an environment": ({"envs": 1.5}, "^envs is a number from 1 on, not 1.5"),
    "one text for several names": ({"allow": "size"}, "allow are several names, not one text: ..size"),
}


@pytest.mark.parametrize("package", [masep.gymnasium, masep.pettingzoo])
@pytest.mark.parametrize("name", FAULTS)
def test_a_server_that_could_make_nothing_is_refused(package, name):
    options, words = FAULTS[name]
    with pytest.raises(masep.CallerError, match=words):
        package.EnvironmentServer(**{"env": environments.Wilful, "address": "127.0.0.1:0", "envs": 1, **options}).close()
