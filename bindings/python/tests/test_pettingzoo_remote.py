"""Environments of PettingZoo that one program drives from elsewhere, all agents of them.

The suites are PettingZoo's own. Of its games, those are played that need nothing beyond pygame-ce: of classic
tictactoe, connect_four and rps (not go, which takes minutes, nor chess, hanabi and the card games, which need chess,
open_spiel and rlcard); of butterfly cooperative_pong, which has images, and knights_archers_zombies, whose agents die
(not pistonball, which needs pymunk). Those of sisl and atari need box2d, pymunk and ROMs.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from types import SimpleNamespace

import games
import numpy as np
import pytest
from pettingzoo.butterfly.cooperative_pong import cooperative_pong
from pettingzoo.butterfly.knights_archers_zombies import knights_archers_zombies
from pettingzoo.classic.connect_four import connect_four
from pettingzoo.classic.rps import rps
from pettingzoo.classic.tictactoe import tictactoe
from soon import SOON

import masep
from masep._environments import workers
from masep.pettingzoo import EnvironmentServer, RemoteAECEnv, RemoteError, RemoteParallelEnv, make

with warnings.catch_warnings():
    # They import games by their old names.
    warnings.simplefilter("ignore", DeprecationWarning)
    from pettingzoo.test import api_test, max_cycles_test, parallel_api_test, parallel_seed_test, seed_test
    from pettingzoo.test.example_envs import (
        generated_agents_env_v0,
        generated_agents_parallel_cust_agentid_v0,
        generated_agents_parallel_v0,
    )

HERE = Path(__file__).resolve().parent

AEC = {
    "tictactoe": tictactoe.env,
    "connect_four": connect_four.env,
    "rps": rps.env,
    "cooperative_pong": cooperative_pong.env,
    "knights_archers_zombies": knights_archers_zombies.env,
    "shifts": games.Shifts,
    "generated": generated_agents_env_v0.env,
}
PARALLEL = {
    "rps": rps.parallel_env,
    "cooperative_pong": cooperative_pong.parallel_env,
    "knights_archers_zombies": knights_archers_zombies.parallel_env,
    "shifts": games.Shifts,
    "generated": generated_agents_parallel_v0.parallel_env,
}
#: Cycles of PettingZoo's own tests. A frame of pong is 400 kB.
CYCLES = {"cooperative_pong": 30}
#: Their observations, or their spaces, are other ones each time.
BY_CHANCE = {"generated"}


LONG = pytest.mark.timeout(300)
"""On a machine that does other things too."""


def served(env, **options):
    options.setdefault("envs", 1)
    return EnvironmentServer(env, "127.0.0.1:0", **options)


@pytest.fixture
def gate(tmp_path):
    """Two named pipes: a step opens the first when it has begun, and goes on when somebody opens the second."""
    pipes = [str(tmp_path / name) for name in ("entered", "left")]
    for pipe in pipes:
        os.mkfifo(pipe)
    return pipes


@pytest.fixture
def quiet():
    """PettingZoo's tests warn, of environments of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("name", AEC)
def test_pettingzoos_own_test_of_aec_environments_passes(name, quiet):
    with served(AEC[name]) as server:
        env = RemoteAECEnv(server.target)
        api_test(env, num_cycles=CYCLES.get(name, 100))
        env.close()


@pytest.mark.parametrize("name", PARALLEL)
def test_pettingzoos_own_test_of_parallel_environments_passes(name, quiet):
    with served(PARALLEL[name]) as server:
        env = RemoteParallelEnv(server.target)
        parallel_api_test(env, num_cycles=CYCLES.get(name, 100))
        env.close()


# The test samples actions of agents that come later, whose spaces it has not seeded.
@pytest.mark.parametrize("name", [name for name in AEC if name not in {"shifts", *BY_CHANCE}])
def test_pettingzoos_test_of_seeds_passes(name, quiet):
    with served(AEC[name], envs=2) as server:
        seed_test(lambda: RemoteAECEnv(server.target), num_cycles=CYCLES.get(name, 100))
    if name in PARALLEL:
        with served(PARALLEL[name], envs=2) as server:
            parallel_seed_test(lambda: RemoteParallelEnv(server.target), num_cycles=CYCLES.get(name, 100))


@pytest.mark.parametrize("module", [rps, cooperative_pong, knights_archers_zombies])
def test_pettingzoos_test_of_the_most_cycles_passes(module, quiet):
    with served(module, envs=2, allow=["max_cycles"]) as server:
        remote = SimpleNamespace(
            env=lambda **arguments: RemoteAECEnv(server.target, **arguments),
            parallel_env=lambda **arguments: RemoteParallelEnv(server.target, **arguments),
        )
        max_cycles_test(remote)


def same(here, there):
    """True if two values are of the same types, and equal, array for array."""
    if isinstance(here, dict):
        return list(here) == list(there) and all(same(here[key], there[key]) for key in here)
    if isinstance(here, np.ndarray):
        return here.dtype == there.dtype and here.shape == there.shape and (here == there).all()
    return type(here) is type(there) and bool(here == there)


def sampled(random, env, agent, view, info):
    """A legal action, by a random number: the same on both sides."""
    mask = view.get("action_mask") if isinstance(view, dict) else info.get("action_mask")
    space = env.action_space(agent)
    legal = np.flatnonzero(mask) if mask is not None else np.arange(space.n)
    return int(legal[random.integers(len(legal))] + space.start)


@LONG
@pytest.mark.parametrize("name", [name for name in AEC if name not in BY_CHANCE])
def test_a_thousand_steps_of_an_aec_environment_are_those_of_a_local_one(name, quiet):
    local = make(AEC[name], {}, "aec")
    with served(AEC[name]) as server:
        remote = RemoteAECEnv(server.target)
        assert remote.possible_agents == list(local.possible_agents)
        for agent in local.possible_agents:
            assert remote.observation_space(agent) == local.observation_space(agent)
            assert remote.action_space(agent) == local.action_space(agent)
        random, episodes, steps = np.random.default_rng(1), 0, 0
        while steps < 1_000:
            local.reset(seed=episodes)
            remote.reset(seed=episodes)
            episodes += 1
            while local.agents:
                compare(local, remote)
                view, _, terminated, truncated, info = local.last()
                action = None
                if not (terminated or truncated):
                    action = sampled(random, local, local.agent_selection, view, info)
                local.step(action)
                remote.step(action)
                steps += 1
            assert remote.agents == []
        assert episodes > 1 or name == "knights_archers_zombies"
        remote.close()


def compare(local, remote):
    assert remote.agents == list(local.agents)
    assert remote.agent_selection == local.agent_selection
    here, there = local.last(), remote.last()
    assert all(map(same, here, there)), (here, there)
    for name in ("rewards", "terminations", "truncations", "infos"):
        assert same(dict(getattr(local, name)), getattr(remote, name)), name
    others = [agent for agent in local.agents if agent != local.agent_selection][:1]
    for agent in others:
        assert same(local.observe(agent), remote.observe(agent))


@LONG
@pytest.mark.parametrize("name", [name for name in PARALLEL if name not in BY_CHANCE])
def test_a_thousand_steps_of_a_parallel_environment_are_those_of_a_local_one(name, quiet):
    local = make(PARALLEL[name], {}, "parallel")
    with served(PARALLEL[name]) as server:
        remote = RemoteParallelEnv(server.target)
        random, episodes, steps = np.random.default_rng(1), 0, 0
        views, infos = {}, {}
        while steps < 1_000:
            if steps == 0 or not local.agents:
                views, infos = local.reset(seed=episodes)
                assert all(map(same, (views, infos), remote.reset(seed=episodes)))
                episodes += 1
            actions = {
                agent: sampled(random, local, agent, views[agent], infos[agent]) for agent in local.agents
            }
            here, there = local.step(actions), remote.step(actions)
            steps += 1
            assert len(there) == 5
            assert all(same(dict(one), other) for one, other in zip(here, there)), (here, there)
            assert remote.agents == list(local.agents)
            views, *_, infos = here
        assert episodes > 1
        remote.close()


def test_an_aec_environment_is_driven_as_a_parallel_one_and_the_other_way_round():
    with served(rps) as server:
        env = RemoteParallelEnv(server.target, id="a")
        env.reset(seed=1)
        assert set(env.step({agent: 0 for agent in env.agents})[0]) == {"player_0", "player_1"}
        env.close()
        env = RemoteAECEnv(server.target, id="b")
        env.reset()
        assert env.agent_selection == "player_0"
        env.close()
    with served(tictactoe) as server, pytest.raises(RemoteError, match="played in turns"):
        RemoteParallelEnv(server.target)


def test_the_state_frames_and_metadata_are_those_of_the_environment():
    with served(games.Shifts) as server:
        env = RemoteParallelEnv(server.target, render_mode="rgb_array")
        assert (env.render_mode, env.metadata["name"], str(env)) == ("rgb_array", "shifts_v0", "shifts_v0")
        env.reset(options={"a": [1]})
        env.step({agent: 1 for agent in env.agents})
        assert env.state_space.contains(env.state())
        assert (env.state().tolist(), env.render().tolist()) == ([1.0, 0.5], np.full((2, 3, 3), 1).tolist())
        env.close()
    with served(games.Counter) as server:
        env = RemoteAECEnv(server.target)
        assert not hasattr(env, "agents") and not hasattr(env, "state_space")
        env.reset()
        with pytest.raises(NotImplementedError, match="counter_v0"):
            env.state()
        env.step("x")
        env.close()


def test_observations_belong_to_the_caller():
    with served(games.Shifts) as server:
        env = RemoteAECEnv(server.target)
        env.reset(seed=1)
        first = env.observe(env.agent_selection)
        kept = first.copy()
        first[:] = 0
        assert (env.observe(env.agent_selection) == kept).all() and kept.any()
        env.close()


def test_an_exception_of_the_environment_is_an_error_and_the_next_reset_works():
    with served(games.Counter) as server:
        env = RemoteAECEnv(server.target)
        env.reset()
        with pytest.raises(RemoteError) as raised:
            env.step("raise on purpose")
        assert (raised.value.type, raised.value.text) == ("ValueError", "on purpose")
        assert "in step" in raised.value.traceback
        with pytest.raises(RemoteError, match="KeyError: 'nobody'"):
            env.observe("nobody")
        with pytest.raises(RemoteError, match="bad"):
            env.step("formless")
        env.reset()
        env.step("x")
        assert env.agent_selection == "even"
        env.close()


def test_an_action_that_does_not_fit_is_not_sent():
    with served(games.Shifts) as server:
        env = RemoteParallelEnv(server.target)
        env.reset()
        for wrong in ("up", 1.5, [1, 2]):
            with pytest.raises(masep.CallerError, match="integer"):
                env.step({"early": wrong, "always": 1})
        with pytest.raises(masep.CallerError, match="'nobody'"):
            env.step({"nobody": 1})
        assert env.step({"early": 1, "always": 1})[1] == {"early": np.float32(0.1), "always": np.float32(0.1)}
        # Bounds are the environment's affair.
        with pytest.raises(RemoteError, match="AssertionError"):
            env.step({"early": 9, "late": 1, "always": 1})
        env.close()


def test_agents_that_are_no_texts_are_refused_by_name():
    with served(generated_agents_parallel_cust_agentid_v0.parallel_env) as server:
        env = RemoteParallelEnv(server.target)
        with pytest.raises(RemoteError, match="an agent is a str"):
            env.reset()
        env.close()


def test_what_the_server_does_not_have_or_allow_is_refused():
    with served(games.Counter) as server:
        for make_remote, arguments, said in (
            (RemoteAECEnv, {"length": 9}, "'length'"),
            (RemoteAECEnv, {"render_mode": "human"}, "window"),
        ):
            with pytest.raises((masep.RejectedError, masep.CallerError), match=said):
                make_remote(server.target, **arguments)
        from masep.gymnasium import RemoteEnv

        with pytest.raises(masep.RejectedError, match="aec or parallel, not 'gymnasium'") as refused:
            RemoteEnv(server.target)
        assert refused.value.code == "bad_arguments"
        with pytest.raises(masep.RejectedError, match="autoreset"):
            RemoteEnvWithAutoreset(server.target)
    with masep.gymnasium.EnvironmentServer("CartPole-v1", "127.0.0.1:0", envs=1) as server:
        with pytest.raises(masep.RejectedError, match="gymnasium, not 'aec'"):
            RemoteAECEnv(server.target)


class RemoteEnvWithAutoreset(RemoteAECEnv):
    def _begin(self, target, *rest):
        super()._begin(dataclasses.replace(target, autoreset="next_step"), *rest)


DRIVERS = {
    RemoteAECEnv: "env.reset()\nenv.step('gate %s %s' % tuple(sys.argv[2:]))\n",
    RemoteParallelEnv: "env.reset(options={'gate': sys.argv[2:]})\nenv.step({agent: 1 for agent in env.agents})\n",
}
STEPS = {
    RemoteAECEnv: lambda env: env.step("x"),
    RemoteParallelEnv: lambda env: env.step({agent: 1 for agent in env.agents}),
}


@pytest.mark.parametrize("kind", DRIVERS, ids=["aec", "parallel"])
def test_a_client_that_dies_in_the_middle_of_a_step_frees_its_worker(kind, gate, monkeypatch):
    monkeypatch.setattr(workers, "LEAVE_SECONDS", 0.5)
    entered, left = gate
    driver = (
        f"import sys\nfrom masep.pettingzoo import {kind.__name__}\n"
        f"env = {kind.__name__}(sys.argv[1], id='dies')\n{DRIVERS[kind]}"
    )
    step = STEPS[kind]
    with served(games.Counter if kind is RemoteAECEnv else games.Shifts, envs=2) as server:
        lives = kind(server.target, id="lives")
        lives.reset()
        step(lives)
        with subprocess.Popen([sys.executable, "-c", driver, server.target, entered, left]) as killed:
            open(entered).close()
            # It is in the middle of its step, and so is its worker, which nobody lets go on.
            killed.send_signal(signal.SIGKILL)
        comes = kind(server.target, id="comes")
        comes.reset()
        step(comes)
        step(lives)
        assert lives.agents and comes.agents
        lives.close()
        comes.close()


def test_a_crash_costs_its_client_only():
    with served(games.Counter, envs=2) as server:
        lives, crashes = (RemoteAECEnv(server.target, id=id) for id in ("lives", "crashes"))
        lives.reset()
        crashes.reset()
        with pytest.raises(masep.TransportError):
            crashes.step("crash")
        lives.step("x")
        crashes.reset()
        crashes.step("x")
        assert (crashes.agent_selection, int(lives.observe("even"))) == ("even", 1)
        lives.close()
        crashes.close()


def test_ctrl_c_in_a_step_leaves_nothing_behind_that_the_next_reset_could_take(gate):
    entered, left = gate
    with served(games.Counter) as server:
        env = RemoteAECEnv(server.target)
        env.reset()

        def interrupt():
            open(entered).close()
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            env.step(f"gate {entered} {left}")
        thread.join()
        open(left, "w").close()
        env.reset()
        assert (env.agent_selection, int(env.last()[0])) == ("odd", 0)
        env.close()


def test_the_program_serves_environments():
    command = [sys.executable, "-m", "masep.pettingzoo", "serve-environments"]
    arguments = ["classic/rps-v2", "127.0.0.1:0", "--envs", "1", "--arg", "max_cycles=2"]
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True) as running:
        try:
            target = running.stdout.readline().rstrip().rpartition(" ")[2]
            env = RemoteParallelEnv(target)
            env.reset()
            steps = 0
            while env.agents:
                env.step({agent: 0 for agent in env.agents})
                steps += 1
            assert steps == 2
            env.close()
            running.send_signal(signal.SIGINT)
            assert running.wait(SOON) == 0
        finally:
            running.kill()
