"""An environment of PettingZoo as a table, with players in threads."""

from __future__ import annotations

import gc
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from xml.etree.ElementTree import Element

import games
import numpy as np
import pytest
from agents import SOON, first_legal, happens, played, seated, table
from pettingzoo.classic.connect_four import connect_four
from pettingzoo.classic.rps import rps
from pettingzoo.classic.tictactoe import tictactoe

import masep
from masep.pettingzoo import EnvironmentTable, join, serve


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
        happens(host, "spectators")
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
            happens(host, "spectators")
            for agent in host.env.possible_agents:
                pool.submit(played, host.target, agent, first_legal)
            list(host.play(1))
            host.end()
            last = look(watching.result(SOON)[-1])
        assert last in ([7.0, 0.5], np.full((2, 3, 3), 7).tolist())


def test_an_environment_that_keeps_its_dead_does_not_run_for_ever(pool):
    class Keeps(games.Counter):
        def _was_dead_step(self, action):
            pass

    with table(Keeps()) as host:
        for agent in ("odd", "even"):
            pool.submit(played, host.target, agent, lambda turn: "x")
        with pytest.raises(masep.CallerError, match="keeps its dead agent"):
            list(host.play(1))


def test_a_wrong_seat_and_a_taken_one_are_refused_with_the_reason():
    with table(tictactoe.env()) as host:
        with pytest.raises(masep.RejectedError) as refused:
            join(host.target, "player_9").next_turn(SOON)
        assert refused.value.code == "unknown_seat"
        with pytest.raises(masep.RejectedError) as refused:
            masep.pettingzoo.RemoteAECEnv(host.target)
        assert refused.value.code == "unsupported_profile"
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
    with pytest.raises(masep.CallerError, match="kind is 'aec', 'parallel' or None, not 'both'"):
        table(games.Counter, kind="both")
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


def test_a_function_for_events_that_fails_ends_nothing(caplog, pool):
    def fails(event):
        raise ValueError("on purpose")

    env = rps.parallel_env(max_cycles=2)
    with EnvironmentTable(env, "127.0.0.1:0", on_event=fails) as host:
        futures = [pool.submit(played, host.target, agent, first_legal) for agent in env.possible_agents]
        assert [episode.number for episode in host.play(1)] == [0]
        host.end()
        for future in futures:
            assert future.result(SOON)
    told = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert told and {record.exc_info[0] for record in told} == {ValueError}


def test_a_table_that_nobody_has_any_more_ends():
    host = EnvironmentTable(rps.parallel_env(), "127.0.0.1:0")
    with masep.join(host.target, id="watching", game="", role="observer") as watching:
        with pytest.raises(masep.TimedOut):
            watching.next_turn(0.2)
        assert [event.kind for event in watching.events()] == ["joined"]
        del host
        gc.collect()
        lost = []
        while not lost:
            with pytest.raises(masep.TimedOut):
                watching.next_turn(0.2)
            lost = [event for event in watching.events() if event.kind == "lost"]
        assert lost[0].text == "shutdown: the server was shut down"
        watching.close()
