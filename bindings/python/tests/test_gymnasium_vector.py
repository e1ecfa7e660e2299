"""Several environments that run elsewhere, stepped at the same time."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import select
import signal
import weakref

import environments
import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from soon import SOON
from test_gymnasium import same

import masep
from masep.gymnasium import EnvironmentServer, RemoteEnv, RemoteVectorEnv

MODES = list(AutoresetMode)


def serve(env, **options):
    options.setdefault("envs", 3)
    return EnvironmentServer(env, "127.0.0.1:0", **options)


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("name", ["CartPole-v1", "dict"])
def test_the_steps_are_those_of_environments_here(name, mode):
    made = {"CartPole-v1": "CartPole-v1", "dict": environments.dict_env}[name]
    make = (lambda: gymnasium.make(made)) if isinstance(made, str) else made
    with serve(made) as server:
        here = SyncVectorEnv([make] * 3, autoreset_mode=mode)
        there = RemoteVectorEnv(server.target, 3, autoreset_mode=mode)
        assert here.observation_space == there.observation_space
        assert here.action_space == there.action_space
        assert there.metadata["autoreset_mode"] == mode
        here.action_space.seed(4)
        assert same(here.reset(seed=9), there.reset(seed=9))
        for _ in range(150):
            actions = here.action_space.sample()
            ours, theirs = here.step(actions), there.step(actions)
            assert same(ours[:4], theirs[:4])
            assert set(ours[4]) == set(theirs[4])
            for key, value in ours[4].items():
                if key in ("final_obs", "final_info", "array", "options"):
                    assert str(value) == str(theirs[4][key])
                else:
                    assert same(value, theirs[4][key]), key
            done = ours[2] | ours[3]
            if mode == AutoresetMode.DISABLED and done.any():
                with pytest.raises(masep.CallerError, match="reset them"):
                    there.step(actions)
                ours = here.reset(options={"reset_mask": done})
                theirs = there.reset(options={"reset_mask": done})
                assert same(ours[0], theirs[0])
        there.close()


def test_one_remote_environment_has_the_autoreset_modes_too():
    with serve("CartPole-v1", envs=2) as server:
        later = RemoteEnv(server.target, autoreset="next_step")
        at_once = RemoteEnv(server.target, autoreset="same_step")
        observations = [env.reset(seed=1)[0] for env in (later, at_once)]
        assert same(*observations)
        terminated = False
        while not terminated:
            last, _, terminated, _, _ = later.step(1)
            first, _, also, _, info = at_once.step(1)
            assert terminated == also
        assert same(info["final_obs"], last)
        anew, reward, terminated, _, _ = later.step(1)
        assert (reward, terminated) == (0.0, False)
        assert same(anew, first)
        later.close()
        at_once.close()


def crash(envs, index):
    actions = ["go"] * envs.num_envs
    actions[index] = "crash"
    return actions


def test_a_lost_environment_is_an_error_that_says_which():
    with serve(environments.Wilful) as server:
        envs = RemoteVectorEnv(server.target, 3)
        envs.reset()
        with pytest.raises(masep.TransportError, match="environment 1") as raised:
            envs.step(crash(envs, 1))
        assert raised.value.index == 1
        # The others are where they were, and a reset makes the lost one anew.
        envs.reset()
        assert envs.step(["go 1", "go 12", "go 123"])[0][:, 0].tolist() == [1, 2, 3]
        envs.close()


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_lost_environment_is_made_anew_by_choice_and_its_episode_truncated(mode):
    with serve(environments.Wilful) as server:
        envs = RemoteVectorEnv(server.target, 3, autoreset_mode=mode, lost="remake")
        before, _ = envs.reset()
        observations, rewards, terminations, truncations, infos = envs.step(crash(envs, 2))
        assert truncations.tolist() == [False, False, True]
        assert not terminations.any()
        assert rewards.tolist() == [1.0, 1.0, 0.0]
        assert infos["lost"].tolist() == [False, False, True]
        assert observations[2, 0] != before[2, 0]
        if mode == AutoresetMode.DISABLED:
            envs.reset(options={"reset_mask": truncations})
        elif mode == AutoresetMode.NEXT_STEP:
            rewards = envs.step(["go 1"] * 3)[1]
            assert rewards.tolist() == [1.0, 1.0, 0.0]
        assert envs.step(["go 1"] * 3)[0][:, 0].tolist() == [1, 1, 1]
        envs.close()


def test_an_exception_in_one_leaves_no_answers_of_the_others_behind():
    with serve(environments.Wilful) as server:
        envs = RemoteVectorEnv(server.target, 3)
        envs.reset()
        with pytest.raises(masep.gymnasium.RemoteError, match="broken"):
            envs.step(["raise broken", "go 1", "go 12"])
        envs.reset()
        assert envs.step(["go 1", "go 12", "go 123"])[0][:, 0].tolist() == [1, 2, 3]
        envs.close()


def test_a_fault_keeps_no_environments():
    with serve(environments.Wilful) as server:
        gc.disable()
        try:
            envs = RemoteVectorEnv(server.target, 3)
            envs.reset()
            gone = [weakref.ref(envs)]
            with pytest.raises(masep.gymnasium.RemoteError, match="broken"):
                envs.step(["raise broken", "go 1", "go 12"])
            envs.close()
            del envs
            with pytest.raises(masep.RejectedError) as refused:
                RemoteVectorEnv(server.target, 2, unknown=1)
            gone.append(weakref.ref(refused.value))
            # It has the last of each.
            del refused
            assert [it() for it in gone] == [None, None]
        finally:
            gc.enable()


@pytest.mark.parametrize("copy", [True, False])
def test_observations_are_the_callers_or_always_the_same_array(copy):
    with serve("CartPole-v1", envs=2) as server:
        envs = RemoteVectorEnv(server.target, 2, copy=copy)
        first, _ = envs.reset(seed=1)
        kept = first.copy()
        second = envs.step(np.array([0, 1]))[0]
        assert np.shares_memory(first, second) != copy
        assert same(first, kept) == copy
        envs.close()


@pytest.mark.parametrize(
    "address, num_envs, said",
    [([], 1, "no address"), ("127.0.0.1:1", 0, "num_envs is a number from 1 on, not 0"), ("127.0.0.1:1", -2, "not -2")],
)
def test_environments_that_cannot_be_are_the_callers_error(address, num_envs, said):
    with pytest.raises(masep.CallerError, match=said):
        RemoteVectorEnv(address, num_envs)


def test_closed_environments_say_so_and_are_closed_again_when_they_were_made_anew():
    with EnvironmentServer("CartPole-v1", "127.0.0.1:0", envs=2) as server:
        env = RemoteVectorEnv(server.target, 2, lost="remake")
        env.reset()
        env.close()
        for call in (lambda: env.step([0, 0]), env.render):
            with pytest.raises(masep.CallerError, match="closed"):
                call()
        env.reset()
        env.step([0, 0])
        env.close()
        # The server has both places free for somebody else.
        other = RemoteVectorEnv(server.target, 2)
        other.reset()
        other.close()


def test_environments_are_not_copied():
    with EnvironmentServer("CartPole-v1", "127.0.0.1:0", envs=2) as server:
        single, several = RemoteEnv(server.target), RemoteVectorEnv(server.target, 1)
        for env in (single, several):
            for duplicate in (copy.copy, copy.deepcopy, pickle.dumps):
                with pytest.raises(masep.CallerError, match="cannot be copied or pickled"):
                    duplicate(env)
            env.close()


def kill_workers(server):
    """Kills the processes that have a client, and waits until they are gone."""
    for worker in server._workers._all:
        if worker.client is not None:
            gone = os.pidfd_open(worker.process.pid)
            os.kill(worker.process.pid, signal.SIGKILL)
            assert select.select([gone], [], [], SOON)[0]
            os.close(gone)


@pytest.mark.parametrize("lost", ["raise", "remake"])
def test_a_reset_makes_lost_environments_anew_with_its_seed_and_options(lost):
    with serve(environments.dict_env, envs=4) as server:
        envs = RemoteVectorEnv(server.target, 2, lost=lost)
        for number in range(2):
            options = {"number": number}
            first = envs.reset(seed=42, options=options)
            kill_workers(server)
            again = envs.reset(seed=42, options=options)
            assert [str(told["options"]) for told in (first[1], again[1])] == [str(again[1]["options"])] * 2
            assert str(number) in str(again[1]["options"])
            assert str(first[0]) == str(again[0])
        envs.close()


@pytest.mark.parametrize("lost", ["raise", "remake"])
def test_an_environment_that_is_made_anew_with_other_spaces_is_refused(lost, tmp_path):
    """The server at the same address is another one by then."""
    address = f"unix://{tmp_path}/envs.sock"
    with EnvironmentServer(environments.dict_env, address, envs=2):
        envs = RemoteVectorEnv(address, 2, lost=lost)
        envs.reset()
    with EnvironmentServer(environments.tuple_env, address, envs=2):
        with pytest.raises(masep.CallerError, match="other spaces"):
            envs.reset()
    envs.close()


def test_the_options_of_one_environment_are_those_of_several_too():
    with serve("CartPole-v1", envs=2) as server:
        envs = RemoteVectorEnv(server.target, 2, make_timeout=SOON, id="mine", autoreset_mode="SameStep")
        assert envs.autoreset_mode is AutoresetMode.SAME_STEP
        assert "human" not in envs.metadata["render_modes"]
        assert [server.kick(id=f"mine-{index}") for index in range(2)] == [1, 1]
        envs.close()
    with serve(environments.never_made, envs=1) as server:
        with pytest.raises(masep.TimedOut):
            RemoteVectorEnv(server.target, 1, make_timeout=0.1)
    with pytest.raises(masep.CallerError, match="'Disabled', not 'same_step'"):
        RemoteVectorEnv("127.0.0.1:1", 1, autoreset_mode="same_step")
    with pytest.raises(masep.CallerError, match="window"):
        RemoteVectorEnv("127.0.0.1:1", 1, render_mode="human")
