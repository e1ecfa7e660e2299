"""An environment of PettingZoo as a table, with players in threads and in processes of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from xml.etree.ElementTree import Element

import games
import numpy as np
import peers
import pytest
from gymnasium import spaces
from pettingzoo.classic.connect_four import connect_four
from pettingzoo.classic.rps import rps
from pettingzoo.classic.tictactoe import tictactoe

import masep
from masep.pettingzoo import AgentView, EnvironmentTable, join, serve
from masep.pettingzoo._rules import IllegalAction, RandomLegal, checked

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent / "examples"
SOON = 30
GAMES = 100


def table(env, **options):
    return EnvironmentTable(env, "127.0.0.1:0", **options)


@contextmanager
def player(address, agent, *rest):
    """A process of `agent_player.py`."""
    command = [sys.executable, str(HERE / "agent_player.py"), address, agent, *rest]
    with peers.started(command, Path.cwd()) as started:
        yield started


@contextmanager
def served(*options):
    """A process that serves, and its address."""
    command = [sys.executable, "-m", "masep.pettingzoo", "serve", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            yield running, running.stdout.readline().rstrip().rpartition(" ")[2]
        finally:
            running.kill()


@contextmanager
def group(command):
    """A process with its children, which end with the block."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as running:
        try:
            yield running
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGKILL)


@pytest.fixture
def pool():
    with ThreadPoolExecutor(8) as pool:
        yield pool


def played(address, agent, policy, turns=None, id=None):
    """Plays to the end, and gives all that was seen."""
    seen = []
    with join(address, agent, id=id) as playing:
        for turn in playing:
            seen.append(turn)
            if turn.kind == "ask":
                turn.act(policy(turn))
            if turns is not None and len(seen) == turns:
                break
    return seen


def first_legal(turn):
    return int(np.argmax(turn.mask)) if turn.mask is not None else int(turn.action_space.start)


def seated(table, count):
    """Waits until so many agents have a player."""
    while sum(seat.state == "present" for seat in table.table.seats) < count:
        table.table.event(SOON)


def watched(address):
    with masep.join(address, id="watching", game="", role="observer") as watching:
        return [turn.view for turn in watching]


@pytest.mark.parametrize("make", [tictactoe.env, connect_four.env, rps.env, rps.parallel_env])
def test_players_see_what_a_local_agent_would_see(make, pool):
    """Against the same game without a network, turn by turn."""
    env, local = make(), make()
    with table(env, seed=7) as host:
        agents = env.possible_agents
        futures = [pool.submit(played, host.target, agent, first_legal) for agent in agents]
        episodes = list(host.play(3))
        host.end()
        seen = {agent: future.result(SOON) for agent, future in zip(agents, futures)}
    assert [episode.number for episode in episodes] == [0, 1, 2]
    expected = {agent: [] for agent in agents}
    totals = []
    for episode in range(3):
        sums = dict.fromkeys(agents, 0)
        for agent, *told in (local_aec if hasattr(local, "last") else local_parallel)(local, 7 + episode):
            expected[agent].append(told)
            sums[agent] += told[1]
        totals.append(sums)
    assert [episode.returns for episode in episodes] == totals
    for agent in agents:
        assert len(seen[agent]) == len(expected[agent])
        for turn, (view, reward, terminated, truncated, info) in zip(seen[agent], expected[agent]):
            np.testing.assert_equal(turn.view, view)
            assert (turn.reward, turn.terminated, turn.truncated, turn.info) == (reward, terminated, truncated, info)
            assert turn.final == (terminated or truncated)
            assert turn.observation_space == local.observation_space(agent)
            assert turn.action_space == local.action_space(agent)
            assert turn.observation_space.contains(turn.view)


def local_action(env, agent, view, info):
    mask = view.get("action_mask") if isinstance(view, dict) else None
    return int(np.argmax(mask)) if mask is not None else int(env.action_space(agent).start)


def local_aec(env, seed):
    env.reset(seed=seed)
    for agent in env.agent_iter():
        view, reward, terminated, truncated, info = env.last()
        yield agent, view, reward, terminated, truncated, info
        env.step(None if terminated or truncated else local_action(env, agent, view, info))


def local_parallel(env, seed):
    observations, infos = env.reset(seed=seed)
    rewards, terminations, truncations = {}, {}, {}
    while True:
        for agent in observations:
            flags = terminations.get(agent, False), truncations.get(agent, False)
            yield agent, observations[agent], rewards.get(agent, 0), *flags, infos[agent]
        if not env.agents:
            return
        actions = {agent: local_action(env, agent, observations[agent], infos[agent]) for agent in env.agents}
        observations, rewards, terminations, truncations, infos = env.step(actions)


@pytest.mark.parametrize("hides_dead", [False, True])
def test_agents_that_come_and_go_are_asked_while_they_live(pool, hides_dead):
    env = games.Shifts(hides_dead=hides_dead)
    with table(env) as host:
        futures = {
            agent: pool.submit(played, host.target, agent, lambda turn: turn.number % 3 + 1)
            for agent in env.possible_agents
        }
        (episode,) = host.play(1)
        seen = list(env.seen)
        host.end()
        turns = {agent: future.result(SOON) for agent, future in futures.items()}
    assert episode.ended is None
    for agent, (born, dies) in env.LIVES.items():
        *asked, final = turns[agent]
        assert [turn.kind for turn in turns[agent]] == ["ask"] * (dies - born) + ["final"]
        assert (final.terminated, final.truncated) == (True, False)
        assert (final.view is None) == hides_dead
        assert final.reward == pytest.approx(dies / 10)
        assert [int(turn.info["now"]) for turn in asked if "now" in turn.info] == list(range(max(born, 1), dies))
        acted = [turn.number % 3 + 1 for turn in asked]
        assert acted == [actions[agent] for actions in seen if agent in actions]
    # It was told at once, and not at the end of the episode.
    assert turns["early"][-1].number < turns["always"][-2].number


def test_a_spectator_sees_the_game(pool):
    with table(tictactoe.env(), seed=1) as host:
        watching = pool.submit(watched, host.target)
        while host.table.event(SOON).kind != "spectators":
            pass
        for agent in host.env.possible_agents:
            pool.submit(played, host.target, agent, first_legal)
        list(host.play(1))
        host.end()
        last = watching.result(SOON)[-1]
    assert last["terminations"] == {"player_1": True, "player_2": True}
    assert last["agents"] == []
    assert last["observations"]["player_1"]["observation"].sum() == last["turn"] == 7
    assert last["rewards"] == {"player_1": 1, "player_2": -1}


def test_a_spectator_sees_frames_where_the_environment_has_some_or_what_the_host_shows(pool):
    for options, look in (
        ({"env": games.Shifts(render_mode="rgb_array")}, lambda view: view["frame"].tolist()),
        ({"env": games.Shifts(), "show": lambda env: {"state": env.state()}}, lambda view: view["state"].tolist()),
    ):
        with table(**options) as host:
            watching = pool.submit(watched, host.target)
            while host.table.event(SOON).kind != "spectators":
                pass
            for agent in host.env.possible_agents:
                pool.submit(played, host.target, agent, first_legal)
            list(host.play(1))
            host.end()
            last = look(watching.result(SOON)[-1])
        assert last in ([7.0, 0.5], np.full((2, 3, 3), 7).tolist())


@pytest.mark.timeout(180)
@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")
@pytest.mark.skipif("MASEP_BIN" not in os.environ, reason="MASEP_BIN does not say where the program masep is")
def test_a_hundred_games_with_players_in_two_languages_and_a_spectator_each_in_its_process(tmp_path):
    """And one of each kind is killed in mid-game, and started again."""
    tictactoe = ["pettingzoo.classic.tictactoe_v3", "127.0.0.1:0", "--seed", "1"]
    script = str(EXAMPLES / "tictactoe_player.mjs")
    watcher = (
        "import sys, masep\n"
        "views = list(masep.join(sys.argv[1], id='w', game='', role='observer'))\n"
        "print(max(turn.view['episode'] for turn in views))"
    )
    with served(*tictactoe, "--episodes", str(GAMES)) as (server, address), ExitStack() as stack:
        watching = stack.enter_context(
            subprocess.Popen([sys.executable, "-c", watcher, address], stdout=subprocess.PIPE, text=True)
        )
        stack.callback(watching.kill)
        keeps = tmp_path / "resume"
        javascript = ["node", script, address, "player_2", str(keeps)]
        first = stack.enter_context(group(javascript))
        python = stack.enter_context(player(address, "player_1", "wait"))
        asked = python.expect(lambda event: event["event"] == "ask")
        # The first in the middle of a game, by itself and with the question open.
        python.send_text("")
        asked = python.expect(lambda event: event["event"] == "ask")
        assert asked["mask"].count(1) == 7
        python.signal(signal.SIGKILL)
        python = stack.enter_context(player(address, "player_1", "wait", asked["resume"]))
        again = python.expect(lambda event: event["event"] == "ask")
        same = ("turn", "episode", "observation", "mask")
        assert [again[key] for key in same] == [asked[key] for key in same]
        assert again["last"][1] == "played"
        # The second with its program, while it is not its turn.
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        second = stack.enter_context(group(javascript))
        finals = []
        python.send_text("")
        for event in python.events():
            if event["event"] == "ask":
                python.send_text("")
            elif event["event"] == "final":
                assert event["ended"] is None
                finals.append(event["reward"])
        assert event == {"event": "over", "end": "finished"}
        told = json.loads(second.stdout.read())
        lines = server.stdout.read().splitlines()
        assert server.wait(SOON) == 0, server.stderr.read()
        assert int(watching.stdout.read()) == GAMES - 1
    assert len(finals) == len(lines) == told["episodes"] == GAMES
    assert not any("given up" in line for line in lines)
    assert told["wins"] == sum(reward < 0 for reward in finals) > GAMES / 2


def test_an_action_that_is_none_is_told_and_in_its_place_comes_one_by_chance(pool):
    """Python refuses to send the most of them: what any other client could send."""
    answers = iter([99, -1, "up", None, [1, 2], 2**70, {"a": 1}, 4.5])

    def hostile(address):
        seen = []
        with masep.join(address, id="hostile", game="", seat="player_1", protocol=2) as playing:
            for turn in playing:
                seen.append(turn)
                turn.act(next(answers, 0))
        return seen

    with table(tictactoe.env(), late="random-legal", seed=5) as host:
        bad = pool.submit(hostile, host.target)
        good = pool.submit(played, host.target, "player_2", first_legal)
        episodes = list(host.play(3))
        host.end()
        seen, other = bad.result(SOON), good.result(SOON)
    assert [episode.ended for episode in episodes] == [None] * 3
    told = [turn.information["illegal"] for turn in seen if "illegal" in turn.information]
    assert "99 is not in Discrete(9)" in told
    assert len(told) >= 4
    assert not any(turn.illegal for turn in other)


ANYTHING = [
    None, True, 0, -1, 7, 2**63, -(2**70), 0.5, float("nan"), float("inf"), "", "a", "\0", b"x", [], [0], [1, 1],
    [[1, 2], [3]], [None], ["a", 1], {}, {"a": 0}, {"a": 0, "b": [0.5, 0.5]}, (), (1,), (0, 0.5), {1, 2},
    masep.TypeName("a.B"), Element("Action"), np.zeros(2, np.float32), np.full(2, np.nan), np.zeros((2, 1), np.int8),
    np.int64(1), np.array(1), np.array([1, 0]), np.array([2**40, 1]),
]  # fmt: skip
SPACES = [
    spaces.Discrete(3, start=-1),
    spaces.Box(0, 1, (2,), np.float32),
    spaces.Box(0, 255, (2, 1), np.uint8),
    spaces.MultiDiscrete([2, 3]),
    spaces.MultiBinary(2),
    spaces.Text(3),
    spaces.Tuple((spaces.Discrete(2), spaces.Box(0, 1, ()))),
    spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Box(0, 1, (2,), np.float64)}),
    spaces.Sequence(spaces.Discrete(2)),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_whatever_a_client_sends_is_an_element_of_the_space_or_illegal(space):
    masks = [None, np.zeros(3, np.int8), np.array([0, 1, 1]), "no mask", [1, 1]]
    legal = 0
    for mask in masks:
        view = AgentView("a", {"action_mask": mask}, 0, False, False, {}, space, space)
        for value in [*ANYTHING, space.sample()]:
            try:
                action = checked(view, value)
            except IllegalAction as error:
                assert str(error)
            else:
                assert space.contains(action)
                legal += 1
    assert legal >= len(masks) - 1
    chance = RandomLegal(1)
    for mask in masks:
        view = AgentView("a", {"action_mask": mask}, 0, False, False, {}, space, space)
        assert all(space.contains(chance(view)) for _ in range(20))


@pytest.mark.parametrize("illegal", ["late", "end", "environment"])
def test_a_masked_action_is_what_the_host_says(pool, illegal):
    def stubborn(turn):
        return 0

    with table(tictactoe.env(), illegal=illegal) as host:
        bad = pool.submit(played, host.target, "player_1", stubborn)
        good = pool.submit(played, host.target, "player_2", first_legal)
        (episode,) = host.play(1)
        host.end()
        seen, other = bad.result(SOON), good.result(SOON)
    final = seen[-1]
    assert len(seen) == 3
    assert final.illegal == "0 is masked"
    if illegal == "environment":
        # TicTacToe has a rule for it.
        assert (episode.ended, final.ended) == (None, None)
        assert episode.returns == {"player_1": -1, "player_2": 0}
        assert final.terminated and final.reward == -1
    else:
        assert "player_1" in episode.ended and "0 is masked" in episode.ended
        assert {turn.ended for turn in (final, other[-1])} == {episode.ended}
        assert (final.terminated, final.truncated) == (False, True)


def test_a_late_player_has_an_action_by_chance_and_is_told(pool):
    with table(rps.parallel_env(max_cycles=4), deadline=2, misses=0, late="random-legal", seed=1) as host:
        good = pool.submit(played, host.target, "player_1", lambda turn: 2)

        def slow():
            seen = []
            with join(host.target, "player_0") as playing:
                for turn in playing:
                    seen.append(turn)
                    if turn.number != 2:
                        turn.act(1)
            return seen

        late = pool.submit(slow)
        (episode,) = host.play(1)
        host.end()
        seen = late.result(SOON)
        good.result(SOON)
    assert (episode.ended, episode.turns) == (None, 8)
    assert [(turn.last.turn, turn.last.how, turn.last.why) for turn in seen[1:]] == [
        (1, "played", None),
        (2, "default", "late"),
        (3, "played", None),
        (4, "played", None),
    ]


def test_the_action_of_a_late_player_can_be_a_functions():
    asked = []

    def late(view):
        asked.append((view.agent, view.mask.tolist()))
        return int(np.argmax(view.mask))

    with table(tictactoe.env(), late=late, grace=0.0) as host, ThreadPoolExecutor(2) as pool:
        leaves = pool.submit(played, host.target, "player_1", first_legal, turns=1)
        pool.submit(played, host.target, "player_2", first_legal)
        (episode,) = host.play(1)
        host.end()
        leaves.result(SOON)
    assert episode.ended is None
    assert {agent for agent, _ in asked} == {"player_1"}
    assert all(sum(mask) < 9 for _, mask in asked)


def test_without_a_rule_for_the_late_an_episode_is_given_up_and_the_next_waits_for_a_player(pool):
    with table(tictactoe.env(), grace=0.0) as host:
        stays = pool.submit(played, host.target, "player_2", first_legal)
        seated(host, 1)
        leaves = pool.submit(played, host.target, "player_1", first_legal, turns=1)
        episodes = host.play(2)
        given_up = next(episodes)
        leaves.result(SOON)
        comes = pool.submit(played, host.target, "player_1", first_legal)
        assert next(episodes).ended is None
        host.end()
        finals = [turn for turn in stays.result(SOON) if turn.final]
        comes.result(SOON)
    assert given_up.ended == "player_1 has no action: its player is gone"
    assert [(turn.ended, turn.truncated, turn.terminated) for turn in finals] == [
        (given_up.ended, True, False),
        (None, False, True),
    ]


def test_nobody_plays_on_when_all_players_are_gone(pool):
    with table(tictactoe.env(), late="random-legal", grace=0.0) as host:
        for agent in host.env.possible_agents:
            pool.submit(played, host.target, agent, first_legal, turns=1)
        (episode,) = host.play(1)
    assert episode.ended == "no player is left"


def test_a_player_that_dies_in_the_middle_of_a_parallel_turn_costs_the_others_its_grace(pool):
    with table(rps.parallel_env(max_cycles=3), late="random-legal", grace=0.3, seed=1) as host:
        good = pool.submit(played, host.target, "player_1", lambda turn: 2)
        with player(host.target, "player_0", "wait") as dies:
            episodes = host.play(1)
            playing = pool.submit(next, episodes)
            dies.expect(lambda event: event["event"] == "ask")
            # The other one has answered, or will: this one never does.
            dies.signal(signal.SIGKILL)
            episode = playing.result(SOON)
        host.end()
        assert episode.ended is None
        assert [turn.kind for turn in good.result(SOON)] == ["ask"] * 3 + ["final"]


def test_a_rule_of_the_host_that_fails_ends_the_game_with_a_reason(pool):
    def late(view):
        raise LookupError("no rule")

    with table(rps.parallel_env(), late=late) as host:
        good = pool.submit(played, host.target, "player_1", lambda turn: 2)
        pool.submit(played, host.target, "player_0", lambda turn: 2, turns=1)
        with pytest.raises(LookupError):
            list(host.play(1))
        assert good.result(SOON)[-1].ended == "the game has failed: LookupError: no rule"


def test_an_environment_that_keeps_its_dead_does_not_run_for_ever(pool):
    class Keeps(games.Counter):
        def _was_dead_step(self, action):
            pass

    with table(Keeps()) as host:
        for agent in ("odd", "even"):
            pool.submit(played, host.target, agent, lambda turn: "x")
        with pytest.raises(masep.CallerError, match="keeps its dead agent"):
            list(host.play(1))


def test_when_all_players_are_killed_others_can_play(pool):
    with table(tictactoe.env(), grace=0.5) as host, ExitStack() as stack:
        agents = host.env.possible_agents
        killed = [stack.enter_context(player(host.target, agent, "wait")) for agent in agents]
        episodes = host.play(2)
        given_up = pool.submit(next, episodes)
        killed[0].expect(lambda event: event["event"] == "ask")
        for one in killed:
            one.signal(signal.SIGKILL)
        assert given_up.result(SOON).ended == "player_1 has no action: its player is gone"
        for agent in agents:
            pool.submit(played, host.target, agent, first_legal)
        assert next(episodes).ended is None


def test_a_wrong_seat_and_a_taken_one_are_refused_with_the_reason():
    with table(tictactoe.env()) as host:
        with pytest.raises(masep.RejectedError) as refused:
            join(host.target, "player_9").next_turn(SOON)
        assert refused.value.code == "unknown_seat"
        with join(host.target, "player_1") as first:
            with pytest.raises(masep.TimedOut):
                first.next_turn(0.1)
            seated(host, 1)
            with pytest.raises(masep.RejectedError) as refused:
                join(host.target, "player_1").next_turn(SOON)
            assert refused.value.code == "seat_taken"


def test_an_exception_of_the_environment_ends_the_game_with_a_reason(pool):
    with table(games.Shifts(strange="no such number")) as host:
        futures = [
            pool.submit(played, host.target, agent, first_legal) for agent in host.env.possible_agents
        ]
        with pytest.raises(ZeroDivisionError):
            list(host.play(1))
        for future in futures:
            last = future.result(SOON)[-1]
            assert (last.kind, last.truncated) == ("final", True)
            assert last.ended == "the game has failed: ZeroDivisionError: no such number"
        with pytest.raises(masep.TransportError):
            next(host.play(1))


def test_an_agent_that_is_not_possible_ends_the_game_with_a_reason(pool):
    with table(games.Counter(renames=True)) as host:
        futures = [pool.submit(played, host.target, agent, lambda turn: "") for agent in ("odd", "even")]
        with pytest.raises(masep.CallerError, match="'renamed'.*possible_agents"):
            list(host.play(1))
        for future in futures:
            assert "'renamed'" in future.result(SOON)[-1].ended


def test_an_info_without_a_form_ends_the_game_or_is_left_out(pool):
    for drops in (False, True):
        with table(games.Counter(), drop_formless=drops) as host:
            futures = [
                pool.submit(played, host.target, agent, lambda turn: "formless") for agent in ("odd", "even")
            ]
            if drops:
                assert [episode.ended for episode in host.play(1)] == [None]
            else:
                with pytest.raises(masep.CallerError, match="bad"):
                    list(host.play(1))
            host.end()
            last = futures[1].result(SOON)[-1]
        assert last.info == {"good": 1}
        assert drops or "bad" in last.ended


def test_an_environment_that_cannot_be_a_table_says_why():
    unnamed = games.Counter()
    del unnamed.possible_agents
    with pytest.raises(masep.CallerError, match="possible_agents"):
        table(unnamed)
    numbered = games.Counter()
    numbered.possible_agents = [1, 2]
    with pytest.raises(masep.CallerError, match="an agent is a str, not 1"):
        table(numbered)
    with pytest.raises(masep.CallerError, match="no environment"):
        table(lambda: 5)
    for wrong in ({"late": "guess"}, {"illegal": "ignore"}):
        with pytest.raises(masep.CallerError, match=next(iter(wrong))):
            table(games.Counter(), **wrong)


def test_a_game_that_is_no_environment_is_told_so():
    with masep.Table("any.Game", ["red"], "127.0.0.1:0") as host, ThreadPoolExecutor(1) as pool:
        with join(host.target, game="any.Game") as playing:
            turn = pool.submit(playing.next_turn, SOON)
            host.filled(SOON)
            with host.open(None, lambda seat: {"a": 1}), pytest.raises(masep.PeerError, match="no environment"):
                turn.result(SOON)


def test_a_player_of_pymaseps_protocol_is_refused_unless_there_is_a_state(pool):
    with table(games.Counter()) as host:
        with pytest.raises(masep.RejectedError):
            masep.join(host.target, id="old", game="any.Game", protocol=1).next_turn(SOON)
    states = []

    def state(env, agent):
        states.append(agent)
        return Element("State", name="State", count=str(env.count))

    def act(element, agent):
        return element.get("word")

    def pymaseps(address):
        seen = []
        with masep.join(address, id="old", game="any.Game", protocol=1) as playing:
            for turn in playing:
                seen.append((turn.view.get("count"), turn.reward))
                turn.act(Element("Action", type="0", word="count"))
        return seen

    with table(games.Counter(), state=state, act=act, farewell=0.0) as host:
        new = pool.submit(played, host.target, "even", lambda turn: "x")
        seated(host, 1)
        old = pool.submit(pymaseps, host.target)
        assert [episode.ended for episode in host.play(1)] == [None]
        host.end()
        assert old.result(SOON)[:2] == [("0", 0), ("2", 1)]
        assert [int(turn.view) for turn in new.result(SOON)] == [1, 3, 4]
    assert set(states) == {"odd"}


def test_ctrl_c_ends_a_server_for_which_nobody_has_come():
    with served("classic/tictactoe-v3", "127.0.0.1:0") as (server, _):
        server.send_signal(signal.SIGINT)
        assert (server.wait(SOON), server.stderr.read()) == (0, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_game_in_order(number):
    with served("pettingzoo.classic.tictactoe_v3", "127.0.0.1:0") as (server, address):
        with player(address, "player_1", "wait") as first, player(address, "player_2", "wait") as second:
            first.expect(lambda event: event["event"] == "ask")
            server.send_signal(number)
            for playing in (second,):
                assert list(playing.events())[-1] == {"event": "over", "end": "finished"}
            assert server.wait(SOON) == 0
            assert server.stderr.read() == ""


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["no.such.module", "127.0.0.1:0"], "No module named 'no'"),
        (["pettingzoo.classic.tictactoe_v3:nothing", "127.0.0.1:0"], "nothing"),
        (["classic/no-v1", "127.0.0.1:0"], "no environment 'classic/no-v1'"),
        (["json", "127.0.0.1:0"], "no env() and no parallel_env()"),
        (["pettingzoo.classic.tictactoe_v3", "nowhere"], "nowhere"),
    ],
)
def test_the_program_says_what_is_wrong(arguments, said):
    command = [sys.executable, "-m", "masep.pettingzoo", "serve", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=SOON)
    assert ended.returncode == 1
    assert said in ended.stderr and ended.stderr.startswith("masep.pettingzoo: ")
    assert "Traceback" not in ended.stderr


def test_the_program_tells_why_the_environment_has_failed():
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    command = [sys.executable, "-m", "masep.pettingzoo", "serve", "games:Counter", "127.0.0.1:0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as running:
        try:
            address = running.stdout.readline().rstrip().rpartition(" ")[2]
            with ThreadPoolExecutor(2) as pool:
                futures = [
                    pool.submit(played, address, agent, lambda turn: "raise no good") for agent in ("odd", "even")
                ]
                last = futures[0].result(SOON)[-1]
            assert last.ended == "the game has failed: ValueError: no good"
            assert running.wait(SOON) == 1
            said = running.stderr.read()
            assert "Traceback" in said and said.splitlines()[-1] == "masep.pettingzoo: ValueError: no good"
        finally:
            running.kill()


def test_serve_plays_its_episodes_and_ends(tmp_path):
    address, told = f"unix://{tmp_path}/game.sock", []
    host = threading.Thread(
        target=serve, args=(games.Counter(), address), kwargs={"episodes": 2, "told": told.append}
    )
    host.start()
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(played, address, agent, lambda turn: "x") for agent in ("odd", "even")]
        assert [len(future.result(SOON)) for future in futures] == [6, 6]
    host.join(SOON)
    assert [episode.returns for episode in told] == [{"odd": 4, "even": 6}] * 2
