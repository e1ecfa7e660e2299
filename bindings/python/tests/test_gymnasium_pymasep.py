"""Games of unmodified pymasep engines, played through `PymasepEnv`; and engines that fail."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from contextlib import contextmanager
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import gymnasium
import numpy as np
import peers
import pytest
import search_port
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import PassiveEnvChecker
from lanterns import policy, session
from notation import parse
from scarcity import assert_given_back, descriptors

import masep
from masep import Message
from masep.gymnasium import GameView, PymasepEnv

# Some start several engines of pymasep's, of which each takes seconds on a machine that does other things too.
pytestmark = pytest.mark.timeout(300)

STEPS = 14
ENVIRONMENT = {
    "PYTHONPATH": str(peers.HERE),
    "PYTHONHASHSEED": "0",
    "SDL_VIDEODRIVER": "dummy",
    "SDL_AUDIODRIVER": "dummy",
    "PYGAME_HIDE_SUPPORT_PROMPT": "1",
}


class Engines:
    """Starts real engines, each in a process of its own, and knows what they have said."""

    def __init__(self, directory):
        self.directory = directory
        self.started = []

    def __call__(self, port, seed):
        """An engine, started again as long as a stranger has one of its ports (that of the search is fixed)."""
        deadline = time.monotonic() + search_port.PATIENCE
        while True:
            process, own = self.start(port, seed)
            while process.poll() is None and "ready" not in (own / "said").read_text():
                time.sleep(0.05)
            is_taken = process.poll() is not None and "Address already in use" in (own / "errors").read_text()
            if not is_taken or time.monotonic() > deadline:
                return process

    def start(self, port, seed):
        own = self.directory / f"engine-{len(self.started)}"
        own.mkdir()
        rules = ["--seed", str(seed), "--max-steps", str(STEPS), "--port", str(port)]
        command = [sys.executable, "-m", "lanterns.run_engine", "--id", session.ENGINE, *rules]
        with open(own / "said", "w") as said, open(own / "errors", "w") as errors:
            process = subprocess.Popen(
                command,
                cwd=own,
                env={**os.environ, **ENVIRONMENT},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=errors,
                start_new_session=True,
            )
        self.started.append(process)
        return process, own

    def result(self):
        """The report of the last engine on its game, which it has ended by itself."""
        process = self.started[-1]
        own = self.directory / f"engine-{len(self.started) - 1}"
        assert process.returncode == 0, (own / "errors").read_text()
        return json.loads((own / "said").read_text().splitlines()[-1])["result"]


def position(view):
    cell = view.agent.findall("ObjectState/Characteristic[@name='position']/tuple/item/int")
    return np.array([int(item.text) for item in cell])


class Learner:
    """Plays as the interfaces of that game do, but for actions that are other walks; and keeps what it saw."""

    def __init__(self):
        self.seen = []
        self.done = []

    def observe(self, view):
        self.seen.append(ElementTree.tostring(view.state))
        return position(view)

    def act(self, action, view):
        move = policy.choose(view.state, view.id)
        if action > 0:
            step = ((1, 0), (0, 1), (-1, 0), (0, -1))[action - 1]
            move = policy.moves.walk(step)
        self.done.append(ElementTree.tostring(move.to_xml(), encoding="unicode"))
        return move


def env_of(launch, learner=None, **options):
    learner = learner or Learner()
    return PymasepEnv(
        launch=launch,
        game=session.GAME,
        observation_space=spaces.Box(0, 8, (2,), np.int64),
        action_space=spaces.Discrete(5),
        observe=learner.observe,
        act=learner.act,
        **options,
    )


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    return Engines(tmp_path_factory.mktemp("engines"))


@pytest.fixture(scope="module")
def checked(engines):
    # A real engine ends by itself, on a busy machine later.
    env = PassiveEnvChecker(env_of(engines, end_timeout=60.0))
    yield env
    env.close()
    assert all(process.poll() is not None for process in engines.started)


@pytest.mark.parametrize("number", range(10))
def test_ten_whole_games_of_an_unmodified_engine(checked, engines, number):
    checked.action_space.seed(number)
    with search_port.turn():
        _, info = checked.reset(seed=number)
        assert info["step"] == 1
        steps, share = [info["step"]], 0.0
        terminated = False
        while not terminated:
            action = 0 if number % 2 == 0 else checked.action_space.sample()
            observation, reward, terminated, truncated, info = checked.step(action)
            assert not truncated
            assert checked.observation_space.contains(observation)
            steps.append(info["step"])
            share = info["information"]["reward"]["State.player0"]
            # The engine plays the keeper in between, and its reward is added.
            assert reward >= share
        with pytest.raises(gymnasium.error.ResetNeeded):
            checked.unwrapped.step(0)
        # The next reset does it too.
        checked.close()
    assert engines.started[-1].poll() == 0
    result = engines.result()
    assert result == {"won": share == 1.0, "steps": steps[-1], "share": share}
    assert result["won"] or steps[-1] == STEPS
    assert steps == sorted(set(steps)) and len(steps) > 5


def test_it_is_the_game_that_an_interface_of_pymaseps_plays(engines, tmp_path):
    learner = Learner()
    env = env_of(engines, learner, id="learner")
    with search_port.turn():
        env.reset(seed=3)
        while not env.step(0)[2]:
            pass
        env.close()
        rules = ["--seed", "3", "--max-steps", str(STEPS)]
        engine = peers.python("lanterns.run_engine", "--id", session.ENGINE, *rules, cwd=tmp_path)
        with engine as host:
            port = host.expect("ready")["port"]
            who = ["--id", "learner", "--role", "actor", "--port", str(port)]
            with peers.python("lanterns.run_interface", *who, cwd=tmp_path) as interface:
                events = list(interface.events())
            assert host.expect("ended")["result"] == engines.result()
    acted = [event for event in events if event["event"] == "action"]
    assert learner.done == [event["xml"] for event in acted]
    frames = [bytes.fromhex(event["hex"]) for event in events if event["event"] == "frame"]
    states = [state for frame in frames if (state := session.observation_of(frame)) is not None]
    turns = [state for state in states if policy.choose(state, "learner") or state is states[-1]]
    shown = [ElementTree.canonicalize(ElementTree.tostring(state)) for state in turns]
    assert [ElementTree.canonicalize(state) for state in learner.seen] == shown


def test_gymnasiums_own_check_passes(engines):
    env = env_of(engines)
    with search_port.turn(), warnings.catch_warnings():
        # It has no spec, so it cannot be made again.
        warnings.simplefilter("ignore")
        check_env(env, skip_render_check=True)
        env.close()
    assert all(process.poll() is not None for process in engines.started)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["crashes", "hangs"])
def test_an_engine_that_fails_is_an_error_and_the_next_game_is_right(engines, number):
    env = env_of(engines, end_timeout=0.5)
    with search_port.turn():
        env.reset(seed=1)
        env.close()
        before = descriptors()
        first, _ = env.reset(seed=1)
        env.step(0)
        failing = engines.started[-1]
        env._timeout = 1.0
        failing.send_signal(number)
        if number == signal.SIGKILL:
            with pytest.raises(masep.TransportError, match="exit code -9"):
                env.step(0)
        else:
            with pytest.raises(masep.TimedOut, match="no turn in time"):
                env.step(0)
        with pytest.raises(gymnasium.error.ResetNeeded):
            env.step(0)
        env._timeout = 30.0
        again, _ = env.reset(seed=1)
        assert failing.poll() is not None
        assert (first == again).all()
        env.step(0)
        env.close()
    assert engines.started[-1].poll() is not None
    assert_given_back(before)


def test_a_game_that_is_left_in_the_middle_ends_its_engine_in_order(engines):
    env = env_of(engines, end_timeout=20.0)
    with search_port.turn():
        env.reset(seed=2)
        env.step(0)
        left = engines.started[-1]
        env.reset(seed=2)
        assert left.returncode == 0
        # Nobody closes this one.
        env.step(0)
        del env
    assert engines.started[-1].returncode == 0


def test_an_engine_that_ends_before_it_listens_is_told_with_its_exit_code():
    started = []

    def launch(port, seed):
        started.append(subprocess.Popen([sys.executable, "-c", "exit(3)"], stdout=subprocess.PIPE))
        return started[-1]

    with pytest.raises(masep.TransportError, match="exit code 3"):
        env_of(launch).reset()
    assert started[0].stdout.closed


def test_an_engine_that_never_listens_is_ended_with_all_that_it_has_started():
    # Its child has the end of a pipe that is read here.
    alive, held = os.pipe()
    program = f"import subprocess, time; subprocess.Popen(['sleep', '1000'], pass_fds=[{held}]); time.sleep(1000)"
    started = []

    def launch(port, seed):
        command = [sys.executable, "-c", program]
        started.append(subprocess.Popen(command, pass_fds=[held], start_new_session=True))
        return started[-1]

    with pytest.raises(masep.TimedOut, match="no engine has taken the learner"):
        env_of(launch, launch_timeout=1.0, end_timeout=0.1).reset()
    assert started[0].returncode == -signal.SIGTERM
    os.close(held)
    with open(alive, "rb") as pipe:
        assert pipe.read() == b""


# --- engines in threads


STATE = (
    '<State name="State" is_final="{}" env_step="{}"><Agent name="a" control="learner">'
    '<ObjectState><Characteristic name="position"><tuple><item><int>{}</int></item><item><int>2</int></item>'
    "</tuple></Characteristic></ObjectState></Agent></State>"
)


def shown(step, is_final=False, reward=None):
    state = parse(STATE.format(is_final, step, step % 9).encode())
    information = {} if reward is None else {"reward": {"State.a": reward}}
    return Message("observation", {"observation": state, "additional_information": information}, "engine")


@contextmanager
def played_by(play):
    """The function that starts a thread which has `play` talk to the learner."""
    threads, failed = [], []

    def launch(port, seed):
        server = masep.Server("engine", f"127.0.0.1:{port}", protocol=1)

        def run():
            try:
                with server, server.accept(30) as learner:
                    # The class of its game is nowhere.
                    assert b"a.Game" in learner.recv(30)
                    assert learner.recv_message(30).msg_type == "register"
                    play(learner)
            except BaseException as error:
                failed.append(error)

        threads.append(threading.Thread(target=run, daemon=True))
        threads[-1].start()
        return threads[-1]

    try:
        yield launch
    finally:
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
        assert failed == []


def plain(launch, **options):
    return PymasepEnv(
        launch=launch,
        game="a.Game",
        observation_space=spaces.Box(0, 8, (2,), np.int64),
        action_space=spaces.Discrete(3),
        observe=position,
        act=lambda action, view: Element("Action", type=str(int(action))),
        **options,
    )


def test_rewards_of_all_observations_of_a_step_are_added():
    kinds = []

    def play(learner):
        learner.send(shown(0))
        for step in range(1, 4):
            kinds.append(learner.recv_message(30).params["action"].get("type"))
            # Not its turn: it is in no state.
            learner.send(Message("observation", {"observation": Element("State"), "additional_information": {"reward": 5}}, "e"))
            learner.send(shown(step, step == 3, reward=step / 4))
        learner.send(Message("end", None, "engine"))
        assert learner.recv_message(30).msg_type == "quit"
        assert learner.recv_message(30) is None

    with played_by(play) as launch:
        env = plain(launch)
        assert env.reset(seed=7)[0].tolist() == [0, 2]
        steps = [env.step(action) for action in range(3)]
        env.close()
    assert kinds == ["0", "1", "2"]
    assert [reward for _, reward, *_ in steps] == [5.25, 5.5, 5.75]
    assert [terminated for _, _, terminated, *_ in steps] == [False, False, True]


def test_an_engine_that_ends_without_a_final_observation_has_ended_the_game():
    def play(learner):
        learner.send(shown(0))
        learner.recv_message(30)
        learner.send(shown(1, reward=1))
        learner.recv_message(30)
        learner.send(Message("end", None, "engine"))
        assert learner.recv_message(30) is None

    with played_by(play) as launch:
        env = plain(launch)
        env.reset()
        assert env.step(0)[1:3] == (1.0, False)
        assert env.step(0)[1:3] == (0.0, True)
        env.close()


def test_an_engine_that_leaves_in_the_middle_is_an_error_of_the_step():
    def play(learner):
        learner.send(shown(0))
        learner.recv_message(30)

    with played_by(play) as launch:
        env = plain(launch)
        env.reset()
        with pytest.raises(masep.TransportError, match="its thread has ended") as raised:
            env.step(0)
        assert raised.value.reason == "peer_bye"
        env.close()


def test_a_thread_that_goes_on_is_told():
    leaves = threading.Event()

    def play(learner):
        learner.send(shown(0))
        leaves.wait(30)

    with played_by(play) as launch:
        env = plain(launch, end_timeout=0.1)
        env.reset()
        with pytest.raises(RuntimeError, match="goes on"):
            env.close()
        leaves.set()


def test_what_launch_gives_is_checked():
    with pytest.raises(masep.CallerError, match="launch gives"):
        plain(lambda port, seed: 7).reset()


def test_the_turn_of_a_view_is_that_of_the_head_of_its_agents():
    order = (
        '<Object name="system"><ObjectState><Characteristic name="AgentOrder"><CircularHeadList><data><list>'
        "<item><str>State.x</str></item><item><str>State.home.a</str></item></list></data>"
        "<head_idx>{}</head_idx></CircularHeadList></Characteristic></ObjectState></Object>"
    )
    home = '<Object name="home"><ObjectState /><Agent name="a" control="me" /></Object>'
    for head, turn_of, is_own in ((0, "State.x", False), (1, "State.home.a", True), (-1, None, True)):
        view = GameView(parse(f'<State name="State">{order.format(head)}{home}</State>'.encode()), id="me")
        assert (view.turn, view.is_own_turn, view.agent_name) == (turn_of, is_own, "State.home.a")
    assert not GameView(Element("State"), id="me").is_own_turn
