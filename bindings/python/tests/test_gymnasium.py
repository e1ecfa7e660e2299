"""Environments that are served, and stepped from elsewhere."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from functools import partial
from pathlib import Path

import environments
import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from scarcity import Exhausted, assert_given_back, descriptors
from soon import SOON

import masep
from masep import _masep
from masep._environments import workers
from masep._environments.session import PROFILE
from masep.gymnasium import (
    EnvironmentServer,
    RemoteEnv,
    RemoteError,
    RemoteVectorEnv,
    space_from_json,
    space_to_json,
)
from masep.pettingzoo import RemoteAECEnv, RemoteParallelEnv


SERVED = {
    "CartPole-v1": "CartPole-v1",
    "FrozenLake-v1": "FrozenLake-v1",
    "dict": environments.dict_env,
    "tuple": environments.tuple_env,
    "image": environments.image_env,
}


def serve(env, **options):
    options.setdefault("envs", 1)
    return EnvironmentServer(env, "127.0.0.1:0", **options)


@pytest.fixture(scope="module")
def wilful():
    with serve(environments.Wilful, envs=2) as server:
        yield server


def local(env):
    return gymnasium.make(env) if isinstance(env, str) else env()


def same(here, there):
    """True if two values are of the same types, and equal, array for array."""
    if isinstance(here, dict):
        return list(here) == list(there) and all(same(here[key], there[key]) for key in here)
    if isinstance(here, (tuple, list)):
        return type(here) is type(there) and len(here) == len(there) and all(map(same, here, there))
    if isinstance(here, np.ndarray):
        return here.dtype == there.dtype and here.shape == there.shape and (here == there).all()
    return type(here) is type(there) and here == there


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(-1, 1, (2, 3), np.float32),
        spaces.Box(np.array([-np.inf, 0.1]), np.array([np.inf, 0.3]), dtype=np.float64),
        spaces.Box(0, 255, (4, 4), np.uint8),
        spaces.Box(-5, 5, (), np.int16),
        spaces.Box(0, 1, (0, 2), np.float32),
        spaces.Box(0, 1, (2,), np.dtype("float32").newbyteorder()),
        spaces.Box(np.float16(0.1), np.float16(0.3), (3,), np.float16),
        spaces.Discrete(5, start=-2),
        spaces.Discrete(3, dtype=np.int32),
        spaces.MultiDiscrete([[2, 3], [4, 5]], start=[[0, 1], [2, 3]]),
        spaces.MultiDiscrete([3, 4], np.int32),
        spaces.MultiBinary(4),
        spaces.MultiBinary((2, 2)),
        spaces.Text(7, min_length=0, charset="zab"),
        spaces.Tuple((spaces.Discrete(2), spaces.Box(0, 1))),
        spaces.Dict([("z", spaces.Discrete(2)), ("a", spaces.Dict({"k": spaces.Discrete(3)}))]),
        spaces.Sequence(spaces.Box(0, 1, (2,))),
        spaces.Sequence(spaces.Discrete(2), stack=True),
    ],
    ids=str,
)
def test_a_space_is_the_same_behind_json(space):
    again = space_from_json(json.loads(json.dumps(space_to_json(space), allow_nan=False)))
    assert again == space
    assert repr(again) == repr(space)
    for bound in ("low", "high"):
        assert same(getattr(space, bound, None), getattr(again, bound, None))
    for key in getattr(space, "keys", list)():
        assert list(again.keys()) == list(space.keys()), key
    for one in (space, again):
        one.seed(5)
    for _ in range(5):
        sample = space.sample()
        assert same(sample, again.sample())
        assert same(spaces.flatten(space, sample), spaces.flatten(again, sample))


def test_a_space_without_a_form_is_refused_by_name():
    graph = spaces.Graph(spaces.Discrete(2), None)
    with pytest.raises(masep.CallerError, match="Graph"):
        space_to_json(spaces.Dict({"a": graph}))
    with pytest.raises(masep.PeerError, match="Sphere"):
        space_from_json({"space": "Sphere"})
    with pytest.raises(masep.PeerError, match="Box"):
        space_from_json({"space": "Box", "low": 0, "high": 1, "shape": [2]})


@pytest.mark.parametrize("name", SERVED)
def test_gymnasiums_own_check_passes(name):
    with serve(SERVED[name], envs=2) as server:
        env = RemoteEnv(server.target)
        with warnings.catch_warnings():
            # Of bounds that are infinite, which are CartPole's.
            warnings.simplefilter("ignore")
            check_env(env)
        env.close()


@pytest.mark.parametrize("name", SERVED)
def test_a_thousand_steps_are_those_of_a_local_environment(name):
    with serve(SERVED[name]) as server:
        here, there = local(SERVED[name]), RemoteEnv(server.target)
        assert here.observation_space == there.observation_space
        assert here.action_space == there.action_space
        here.action_space.seed(7)
        assert same(here.reset(seed=3), there.reset(seed=3))
        kept = []
        for count in range(1000):
            action = here.action_space.sample()
            ours, theirs = here.step(action), there.step(action)
            assert same((ours[0], ours[4]), (theirs[0], theirs[4])), count
            assert ours[1:4] == theirs[1:4]
            kept.append((theirs[0], ours[0]))
            if ours[2] or ours[3]:
                assert same(here.reset(options={"n": count}), there.reset(options={"n": count}))
        # Each is an array of its own.
        assert all(same(old, new) for old, new in kept)
        if isinstance(kept[0][0], np.ndarray):
            assert all(observation.flags.writeable for observation, _ in kept)
        there.close()


def test_what_an_environment_raises_is_told_and_the_next_reset_works(wilful):
    env = RemoteEnv(wilful.target)
    env.reset()
    with pytest.raises(RemoteError, match="no way") as raised:
        env.step("raise no way")
    assert (raised.value.type, raised.value.text) == ("ValueError", "no way")
    assert "environments.py" in raised.value.traceback
    env.reset()
    assert env.step("go 123")[0].tolist() == [3, 3]
    env.close()


def test_an_action_of_another_kind_is_refused_before_it_is_sent():
    with serve("CartPole-v1") as server:
        env = RemoteEnv(server.target)
        env.reset()
        for wrong in (0.5, "1", [1, 0], None):
            with pytest.raises(masep.CallerError, match="action"):
                env.step(wrong)
        for right in (1, np.int64(0), np.uint8(1), np.array(0)):
            env.step(right)
        env.close()
    with serve(environments.image_env) as server:
        env = RemoteEnv(server.target)
        env.reset()
        with pytest.raises(masep.CallerError, match="shape"):
            env.step(np.array([1]))
        with pytest.raises(masep.CallerError, match="int64"):
            env.step(np.array([0.5, 1]))
        env.step([2, 1])
        env.close()


def test_ctrl_c_in_a_step_leaves_no_answer_for_the_next_reset(wilful, tmp_path):
    entered, left = tmp_path / "entered", tmp_path / "left"
    os.mkfifo(entered)
    os.mkfifo(left)
    env = RemoteEnv(wilful.target)
    first, _ = env.reset()

    def interrupt():
        open(entered).close()
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        env.step(f"gate {entered} {left}")
    thread.join()
    open(left, "w").close()
    assert same(env.reset()[0], first)
    assert env.step("go 1")[0].tolist() == [1, 1]
    env.close()


def test_an_object_without_a_form_is_an_error_that_says_where_or_left_out(wilful):
    env = RemoteEnv(wilful.target)
    env.reset()
    with pytest.raises(RemoteError, match=r"params\['info'\]\['deep'\]\['bad'\]") as raised:
        env.step("formless")
    assert "drop_formless=True" in raised.value.traceback
    env.reset()
    env.close()
    with serve(environments.Wilful, drop_formless=True) as server:
        env = RemoteEnv(server.target)
        env.reset()
        assert env.step("formless")[4] == {"good": 1, "deep": {"list": [1, 2]}}
        env.close()


def test_an_environment_that_cannot_be_made_is_told():
    with serve(environments.unmade) as server:
        for _ in range(2):
            with pytest.raises(RemoteError, match="no such world") as raised:
                RemoteEnv(server.target)
            assert raised.value.type == "OSError"


def test_only_arguments_that_the_server_allows_are_taken():
    with serve("CartPole-v1", allow=["render_mode", "sutton_barto_reward"]) as server:
        env = RemoteEnv(server.target, sutton_barto_reward=True, render_mode="rgb_array")
        env.reset(seed=1)
        assert env.step(1)[1] == 0.0
        assert env.render().shape == (400, 600, 3)
        env.close()
        for wrong in ({"max_episode_steps": 3}, {"autoreset": "later"}):
            with pytest.raises(masep.RejectedError) as raised:
                RemoteEnv(server.target, **wrong)
            assert raised.value.code == "bad_arguments"
        with pytest.raises(masep.CallerError, match="window"):
            RemoteEnv(server.target, render_mode="human")
        with pytest.raises(masep.RejectedError) as raised:
            masep.connect(server.target, id="stranger", protocol=2)
        assert raised.value.code == "unsupported_profile"


@pytest.mark.parametrize("make", [RemoteEnv, RemoteVectorEnv, RemoteAECEnv, RemoteParallelEnv])
def test_a_server_of_something_else_is_told_at_once_and_not_waited_for(make):
    with masep.Server("engine", "127.0.0.1:0") as server:
        with pytest.raises(masep.PeerError, match="'?engine.*environment/1") as raised:
            make(server.target)
        assert raised.value.kind == "profile"
        for way_out in ("masep.gymnasium.serve", "masep.join", "masep.connect"):
            assert way_out in str(raised.value)
        left = server.accept(SOON)
        assert left.recv(SOON) is None
        assert left.peer_bye.code == "unsupported_profile"
    with masep.Table("", ["red"], "127.0.0.1:0") as table:
        with pytest.raises(masep.RejectedError) as refused:
            make(table.target)
        assert refused.value.code == "unsupported_profile"


def test_a_host_of_ones_own_says_which_profile_it_speaks():
    def answer(profile):
        request = server.next_request(SOON)
        assert request.hello.profile == PROFILE
        request.admit(profile=profile)

    with masep.Server("engine", "127.0.0.1:0", ask=True) as server:
        for profile, is_taken in ((None, False), ("environment/2", False), (PROFILE, True)):
            host = threading.Thread(target=answer, args=(profile,))
            host.start()
            connect = partial(_masep.connect, "a", server.target, protocol=2, profile=PROFILE)
            if is_taken:
                connection = connect()
                assert connection.welcome.profile == PROFILE
                connection.try_close()
            else:
                with pytest.raises(masep.PeerError, match=profile or "nor any other"):
                    connect()
            host.join()


@pytest.mark.parametrize(
    "make",
    [
        {"kind": np.arange(3)},
        {"kind": 5},
        {"arguments": [1]},
        {"arguments": np.arange(2)},
        {"autoreset": np.arange(2)},
        {"autoreset": {"same_step": 1}},
    ],
    ids=str,
)
def test_a_client_that_asks_for_nonsense_is_refused_and_the_server_goes_on(wilful, make):
    with pytest.raises(masep.RejectedError) as raised:
        _masep.connect("a", wilful.target, None, "wait", None, None, 2, PROFILE, make)
    assert raised.value.code == "bad_arguments"
    env = RemoteEnv(wilful.target)
    env.reset()
    env.close()


def test_one_client_too_many_is_told_so_and_served_when_another_has_left(wilful):
    first, second = RemoteEnv(wilful.target), RemoteEnv(wilful.target)
    with pytest.raises(masep.RejectedError) as raised:
        RemoteEnv(wilful.target)
    assert raised.value.code == "too_many_connections"
    assert raised.value.retry_after > 0
    first.close()
    third = RemoteEnv(wilful.target)
    third.reset()
    second.close()
    third.close()


def test_the_next_reset_connects_again_when_the_environment_has_crashed(wilful):
    env = RemoteEnv(wilful.target)
    process, _ = env.reset()
    with pytest.raises(masep.TransportError):
        env.step("crash")
    with pytest.raises(masep.TransportError):
        env.step("go")
    again, _ = env.reset()
    assert not same(process, again)
    assert env.step("go 12")[0].tolist() == [2, 2]
    env.close()


def processes_of(session):
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.getsid(int(entry.name)) == session:
                found.append((entry / "cmdline").read_bytes())
        except OSError:
            continue
    return [command for command in found if command]


CLIENT = """
import sys
from masep.gymnasium import RemoteEnv
env = RemoteEnv(sys.argv[1])
env.reset()
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_crash_a_hang_and_a_client_that_is_killed_cost_nobody_else(monkeypatch, tmp_path):
    monkeypatch.setattr(workers, "LEAVE_SECONDS", 0.5)
    with serve(environments.Wilful) as server:
        # The descriptors that a process keeps after its first service: the forkserver's, numpy's.
        RemoteEnv(server.target).close()
    before = descriptors()
    with serve(environments.Wilful, envs=8) as server:
        command = [sys.executable, "-c", CLIENT, server.target]
        killed = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parent
        )
        assert killed.stdout.readline() == b"ready\n"
        crashes, hangs, *others = [RemoteEnv(server.target) for _ in range(7)]
        seeded = [crashes, hangs, *others]
        pids = {int(env.reset(seed=seed)[0][0]) for seed, env in enumerate(seeded)}
        assert len(pids) == 7
        here = [environments.Wilful() for _ in others]
        for seed, env in enumerate(here, 2):
            env.reset(seed=seed)
        entered, left = tmp_path / "entered", tmp_path / "left"
        os.mkfifo(entered)
        os.mkfifo(left)
        hangs._session.send_step(f"gate {entered} {left}")
        open(entered).close()
        killed.kill()
        killed.communicate()
        with pytest.raises(masep.TransportError):
            crashes.step("crash")
        for _ in range(50):
            for ours, theirs in zip(here, others, strict=True):
                assert same(ours.step("walk"), theirs.step("walk"))
        hangs.close()
        # The place of each is free again: of the client that was killed, of the crash, and of the hang.
        again = [RemoteEnv(server.target) for _ in range(3)]
        for env in again:
            pids.add(int(env.reset()[0][0]))
            assert env.step("go 1234")[0].tolist() == [4, 4]
        for env in [*others, *again]:
            env.close()
    # Seven, and one in place of each that is gone but the one that was killed with its client.
    assert len(pids) >= 8
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    with pytest.raises(masep.RefusedError):
        masep.connect(server.target, id="late", protocol=2)
    del crashes, hangs, others, again, seeded, env, theirs
    assert_given_back(before)


def test_the_programs_of_the_readme_serve_and_step_and_leave_nothing_behind(tmp_path):
    command = [sys.executable, "-m", "masep.gymnasium", "serve", "CartPole-v1"]
    server = subprocess.Popen(
        [*command, "127.0.0.1:0", "--envs", "2"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        said, _, address = server.stdout.readline().rstrip().rpartition(" ")
        assert said == "environments at"
        program = f"""
import gymnasium
env = gymnasium.make("masep:Remote-v0", address={address!r})
observation, info = env.reset(seed=1)
observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
assert observation.shape == (4,) and reward == 1.0
print(env.spec.id, env.unwrapped.remote_spec["id"])
env.close()
"""
        ended = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=50
        )
        assert ended.stdout == "Remote-v0 CartPole-v1\n", ended.stderr
        left = RemoteEnv(address)
        left.reset()
        assert len(processes_of(server.pid)) >= 3
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
        # Its helper processes, Python's own, end behind it.
        for _ in range(1000):
            if not processes_of(server.pid):
                break
            threading.Event().wait(0.02)
        assert processes_of(server.pid) == []
        with pytest.raises(masep.TransportError) as raised:
            left.step(0)
        assert raised.value.code == "shutdown"
    finally:
        server.kill()
        server.communicate()


@pytest.mark.parametrize("error", [EOFError, ConnectionRefusedError, BrokenPipeError])
def test_a_signal_while_workers_begin_is_what_ends_the_server(monkeypatch, error):
    """The fork server may be gone before this process hears of the signal that all get."""

    def no_fork_server(*_):
        threading.Timer(0.05, os.kill, [os.getpid(), signal.SIGINT]).start()
        raise error("gone")

    monkeypatch.setattr(workers, "WorkerProcess", no_fork_server)
    monkeypatch.setattr(workers, "SIGNAL_SECONDS", SOON)
    with pytest.raises(KeyboardInterrupt):
        serve("CartPole-v1")
    monkeypatch.setattr(workers, "SIGNAL_SECONDS", 0.0)

    def none_can_begin(*_):
        raise error("gone")

    monkeypatch.setattr(workers, "WorkerProcess", none_can_begin)
    with pytest.raises(RuntimeError, match="no worker process can begin.*gone"):
        serve("CartPole-v1")


def test_the_end_of_a_worker_is_told_when_another_has_begun_in_its_place(caplog):
    with caplog.at_level("WARNING", "masep"), serve("CartPole-v1", envs=1) as server:
        server._workers._all[0].process.kill()
        while not caplog.records:
            threading.Event().wait(0.02)
        assert server._workers.idle() == 1
        RemoteEnv(server.target).close()
    assert [record.getMessage() for record in caplog.records] == [
        "a worker process has ended with the exit code -9"
    ]


def test_a_worker_whose_server_is_gone_ends_without_a_word():
    program = """
import socket, sys
import cloudpickle
from masep._environments import worker
control, server = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
server.close()
worker.Worker.listen = lambda self: None
worker.run(control, cloudpickle.dumps(None))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", "")


def test_a_signal_to_all_processes_of_a_service_is_no_failure(monkeypatch, caplog):
    """systemd ends all processes of a service at once, Python's fork server too."""
    refused = threading.Event()

    def no_fork_server(*_):
        refused.set()
        raise ConnectionRefusedError

    server = serve("CartPole-v1", envs=1)
    # Nor is the end of a worker anything to tell then.
    with caplog.at_level("WARNING", "masep"):
        monkeypatch.setattr(workers, "WorkerProcess", no_fork_server)
        server._workers._all[0].process.kill()
        assert refused.wait(30)
        server.close()
    assert caplog.records == []


#: For each line of its input, a client that plays a step.
CLIENTS = """
import sys, masep
from masep.gymnasium import RemoteEnv
for _ in sys.stdin:
    try:
        env = RemoteEnv(sys.argv[1])
        env.reset()
        env.close()
        print("served", flush=True)
    except masep.MasepError as error:
        print(type(error).__name__, flush=True)
"""


def test_a_server_without_a_descriptor_for_a_client_refuses_it_and_goes_on():
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serve("CartPole-v1"))
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        clients = stack.enter_context(subprocess.Popen([sys.executable, "-c", CLIENTS, server.target], **pipes))
        stack.callback(clients.stdin.close)

        def comes():
            print(file=clients.stdin, flush=True)
            return clients.stdout.readline().rstrip()

        assert comes() == "served"
        # The server takes the last one, and has none to give to a worker.
        exhausted = Exhausted(left=1)
        try:
            until = time.monotonic() + SOON
            while (outcome := comes()) == "served" and time.monotonic() < until:
                # By a descriptor of the client before, which was only then given back.
                exhausted.take()
            assert outcome == "RejectedError"
        finally:
            exhausted.close()
        assert comes() == "served"


def test_a_worker_that_cannot_be_started_is_started_when_it_can_be(monkeypatch):
    start, failures = workers.WorkerProcess, [OSError(errno.EMFILE, "none left"), EOFError(), OSError(errno.EAGAIN, "")]
    monkeypatch.setattr(workers, "RETRY_SECONDS", 0.05)

    def scarce(*arguments):
        if failures:
            raise failures.pop()
        return start(*arguments)

    with serve("CartPole-v1") as server:
        monkeypatch.setattr(workers, "WorkerProcess", scarce)
        server._workers._all[0].process.kill()
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                env = RemoteEnv(server.target)
            except masep.MasepError:
                # There is none yet, or that one is not known to be gone.
                continue
            with contextlib.closing(env), contextlib.suppress(masep.MasepError):
                env.reset()
                break
        else:
            pytest.fail("no worker was started")
        assert failures == []


@pytest.mark.parametrize(
    "name, said",
    [
        ("NoSuch-v1", "Gymnasium has no environment 'NoSuch-v1'"),
        ("CartPole-v77", "Gymnasium has no environment 'CartPole-v77'"),
        ("no_such_module:make", "No module named 'no_such_module'"),
        ("no_such_module:World-v0", "no_such_module"),
        ("json:nothing", "nothing"),
    ],
)
def test_the_program_says_at_once_that_there_is_no_such_environment(name, said):
    command = [sys.executable, "-m", "masep.gymnasium", "serve", name, "127.0.0.1:0"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("masep.gymnasium: ") and said in ended.stderr
    assert "Traceback" not in ended.stderr


class Unsayable(Exception):
    def __str__(self):
        raise ValueError("nothing to say")


class Leaving(gymnasium.Env):
    """Ends its process, or fails without words."""

    observation_space = spaces.Discrete(2)
    action_space = spaces.Discrete(4)

    def reset(self, *, seed=None, options=None):
        return 0, {}

    def step(self, action):
        if action == 1:
            raise Unsayable
        if action == 2:
            sys.exit("enough")
        return 0, 0.0, False, False, {}


def test_an_environment_that_ends_its_process_or_fails_without_words_says_so():
    with serve(Leaving) as server:
        env = RemoteEnv(server.target)
        env.reset()
        with pytest.raises(RemoteError, match="text could not be had: ValueError"):
            env.step(1)
        # That was its last fault: it goes on.
        assert env.step(0)[0] == 0
        with pytest.raises(masep.TransportError, match="environment_failed.*SystemExit: enough"):
            env.step(2)
        env.close()


@pytest.mark.parametrize(
    "send, said",
    [
        (lambda it: it.send_message("step", {"request": 1}, "a"), "a step has no action"),
        (lambda it: it.send_message("step", {"action": 0}, "a"), "a request has a number"),
        (lambda it: it.send_message("reset", {"request": "1"}, "a"), "a request has a number"),
        (lambda it: it.send(b"\xff\xff"), "plain bytes"),
    ],
    ids=["no action", "no number", "a text", "bytes"],
)
def test_a_request_that_is_none_ends_the_connection_and_says_why(send, said):
    with serve("CartPole-v1") as server:
        connection = _masep.connect("a", server.target, None, "wait", None, None, 2, PROFILE, {})
        assert connection.recv(50) is not None
        send(connection)
        assert connection.recv(50) is None
        assert connection.peer_bye.code == "bad_request" and said in connection.peer_bye.text


BEGINNING = """
import os, sys
begins = ("multiprocessing.forkserver import main", "multiprocessing.spawn import spawn_main")
if any(word in argument for argument in sys.orig_argv for word in begins):
    print("importing", flush=True)
    open(os.environ["GO_ON"]).readline()
"""

SERVER = """
import sys
from masep.gymnasium import EnvironmentServer
if __name__ == "__main__":
    try:
        EnvironmentServer("CartPole-v1", "127.0.0.1:0", envs=1, start_method=sys.argv[1]).wait()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
def test_ctrl_c_while_processes_begin_is_no_traceback(start_method, tmp_path):
    """All processes of a terminal get it."""
    (tmp_path / "sitecustomize.py").write_text(BEGINNING)
    (tmp_path / "serves.py").write_text(SERVER)
    os.mkfifo(tmp_path / "go_on")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    running = subprocess.Popen(
        [sys.executable, str(tmp_path / "serves.py"), start_method],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": path, "GO_ON": str(tmp_path / "go_on")},
    )
    with running, open(tmp_path / "go_on", "rb+", buffering=0) as go_on:
        assert running.stdout.readline() == "importing\n"
        os.killpg(running.pid, signal.SIGINT)
        go_on.write(b"\n")
        assert running.communicate(timeout=50) == ("interrupted\n", None)
    assert running.returncode == 0


def test_workers_end_with_a_server_that_is_killed():
    command = [sys.executable, "-m", "masep.gymnasium", "serve", "CartPole-v1", "127.0.0.1:0"]
    server = subprocess.Popen(
        [*command, "--envs", "2"], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    address = server.stdout.readline().rstrip().rpartition(" ")[2]
    env = RemoteEnv(address)
    env.reset()
    server.kill()
    server.communicate()
    for _ in range(1000):
        if not processes_of(server.pid):
            break
        threading.Event().wait(0.02)
    assert processes_of(server.pid) == []
    with pytest.raises(masep.TransportError):
        env.step(0)


EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def test_the_q_learner_of_the_examples_learns_frozen_lake():
    with serve("FrozenLake-v1", arguments={"is_slippery": False}) as server:
        command = [sys.executable, str(EXAMPLES / "q_learner.py"), server.target]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=55)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "won 100 of 100\n"


def balanced(seed):
    """Steps for which a pole stays up when it is pushed to where it falls."""
    env = gymnasium.make("CartPole-v1")
    observation, _ = env.reset(seed=seed)
    steps, done = 0, False
    while not done:
        falls_right = float(observation[2]) + float(observation[3]) > 0
        observation, _, terminated, truncated, _ = env.step(int(falls_right))
        steps, done = steps + 1, terminated or truncated
    return steps


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")
def test_the_agent_in_javascript_of_the_examples_balances_the_pole():
    agent = EXAMPLES / "agent.mjs"
    lines = agent.read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line]) <= 40
    with serve("CartPole-v1") as server:
        command = ["node", str(agent), server.target]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert (ended.stdout, ended.stderr) == (f"{balanced(7)} steps\n", "")


LEFT_OPEN = """
import os, signal, sys, threading
import masep.gymnasium
if __name__ == "__main__":
    server = masep.gymnasium.EnvironmentServer("CartPole-v1", "127.0.0.1:0", envs=2)
    env = masep.gymnasium.RemoteEnv(server.target)
    env.reset()
    {end}
    print([worker.process.pid for worker in server._workers._all])
"""


@pytest.mark.parametrize(
    "end",
    [
        "",
        # Ctrl-C ends the close, and the end of the program goes on with it.
        "from masep._environments import workers\n"
        "    wait, workers.wait = workers.wait, lambda event: signal.raise_signal(signal.SIGINT)\n"
        "    try:\n        server.close()\n    except KeyboardInterrupt:\n        workers.wait = wait",
    ],
    ids=["open", "half closed"],
)
def test_the_end_of_a_program_ends_a_server_that_it_has_left(end, tmp_path):
    """Otherwise the end of multiprocessing and the server, which replaces workers that have ended, go on for ever."""
    (tmp_path / "program.py").write_text(LEFT_OPEN.format(end=end))
    for _ in range(3):
        ended = subprocess.run([sys.executable, "program.py"], capture_output=True, text=True, timeout=50)
        assert (ended.returncode, ended.stderr) == (0, "")
        for pid in json.loads(ended.stdout):
            assert not os.path.exists(f"/proc/{pid}")
