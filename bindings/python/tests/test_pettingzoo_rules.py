"""Actions that are late, illegal or missing at a table of an environment."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from xml.etree.ElementTree import Element

import games
import numpy as np
import pytest
from agents import SOON, first_legal, happens, played, seated, table
from gymnasium import spaces
from pettingzoo import ParallelEnv
from pettingzoo.classic.rps import rps
from pettingzoo.classic.tictactoe import tictactoe

import masep
from masep.pettingzoo import AgentView, join
from masep.pettingzoo._rules import IllegalAction, RandomLegal, checked


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


def test_somebody_can_play_on_for_one_that_has_left_in_the_middle_of_a_game(pool):
    with table(rps.parallel_env(max_cycles=200), late="random-legal", seed=1) as host:
        acts = threading.Event()

        def patient(turn):
            acts.wait(SOON)
            return 2

        stays = pool.submit(played, host.target, "player_1", patient)
        leaves = pool.submit(played, host.target, "player_0", lambda turn: 1, turns=1)
        playing = pool.submit(list, host.play(1))
        leaves.result(SOON)
        happens(host, "gone")
        comes = pool.submit(played, host.target, "player_0", lambda turn: 1)
        happens(host, "seated")
        acts.set()
        (episode,) = playing.result(SOON)
        host.end()
        assert episode.ended is None
        assert len(stays.result(SOON)) == 201
        seen = comes.result(SOON)
        assert (seen[0].kind, seen[-1].kind, seen[-1].ended) == ("ask", "final", None)


def test_nobody_plays_on_when_all_players_are_gone(pool):
    with table(tictactoe.env(), late="random-legal", grace=0.0) as host:
        for agent in host.env.possible_agents:
            pool.submit(played, host.target, agent, first_legal, turns=1)
        (episode,) = host.play(1)
    assert episode.ended == "no player is left"


def test_a_rule_of_the_host_that_fails_ends_the_game_with_a_reason(pool):
    def late(view):
        raise LookupError("no rule")

    with table(rps.parallel_env(), late=late) as host:
        good = pool.submit(played, host.target, "player_1", lambda turn: 2)
        pool.submit(played, host.target, "player_0", lambda turn: 2, turns=1)
        with pytest.raises(LookupError):
            list(host.play(1))
        assert good.result(SOON)[-1].ended == "the game has failed: LookupError: no rule"


class Pays(ParallelEnv):
    """Two agents that each step pays, for four steps. It may have no agents any more then, without a word."""

    metadata = {"name": "pays_v0"}
    possible_agents = ["odd", "even"]

    def __init__(self, clears=False):
        self.clears = clears

    def observation_space(self, agent):
        return spaces.Discrete(9)

    def action_space(self, agent):
        return spaces.Text(9)

    def reset(self, seed=None, options=None):
        self.agents, self.steps = list(self.possible_agents), 0
        self.paid = dict.fromkeys(self.agents, 0)
        return dict.fromkeys(self.agents, 0), {agent: {} for agent in self.agents}

    def step(self, actions):
        self.steps += 1
        agents, is_over = self.agents, self.steps == 4
        rewards = {agent: number * self.steps for number, agent in enumerate(agents, 1)}
        for agent, reward in rewards.items():
            self.paid[agent] += reward
        if is_over:
            self.agents = []
        flags = dict.fromkeys(agents, is_over and not self.clears)
        observed, infos = dict.fromkeys(agents, self.steps), {agent: {} for agent in agents}
        return observed, rewards, flags, dict.fromkeys(agents, False), infos


class Counts(games.Counter):
    """The same, one after the other."""

    def __init__(self, clears=False):
        super().__init__()
        self.clears = clears

    def reset(self, seed=None, options=None):
        super().reset(seed, options)
        self.paid = dict.fromkeys(self.agents, 0)

    def step(self, action):
        agent, is_dead = self.agent_selection, any(self.terminations.values())
        super().step(action)
        if not is_dead:
            self.paid[agent] += self.rewards[agent]
            if self.clears and any(self.terminations.values()):
                self.terminations, self.agents = dict.fromkeys(self.agents, False), []


@pytest.mark.parametrize("make", [Pays, Counts])
@pytest.mark.parametrize("end", ["rules", "clears", "illegal", "gone"])
def test_each_reward_is_told_once_however_the_episode_ends(pool, make, end):
    env = make(clears=end == "clears")
    with table(env, illegal="end", grace=0.0) as host:
        acts = {"odd": lambda turn: "x", "even": lambda turn: "\u00e9" if end == "illegal" and turn.view > 1 else "x"}
        futures = {
            agent: pool.submit(played, host.target, agent, act, turns=1 if end == "gone" and agent == "even" else None)
            for agent, act in acts.items()
        }
        (episode,) = host.play(1)
        host.end()
        seen = {agent: future.result(SOON) for agent, future in futures.items()}
    assert (episode.ended is not None) == (end in ("illegal", "gone"))
    assert episode.returns == env.paid
    for agent, turns in seen.items():
        if end != "gone" or agent == "odd":
            assert [turn.kind for turn in turns][-1] == "final"
            assert turns[-1].terminated == (end == "rules")
            assert sum(turn.reward for turn in turns) == env.paid[agent]


def test_a_reward_is_told_once_when_the_environment_fails(pool):
    env = Counts()
    with table(env) as host:
        acts = {"odd": lambda turn: "x", "even": lambda turn: "raise it" if turn.view > 1 else "x"}
        futures = {agent: pool.submit(played, host.target, agent, act) for agent, act in acts.items()}
        with pytest.raises(ValueError, match="it"):
            list(host.play(1))
        told = {agent: sum(turn.reward for turn in future.result(SOON)) for agent, future in futures.items()}
    # The last step of the other may have brought more, which nobody is told.
    assert told["even"] == env.paid["even"] == 2
    assert told["odd"] <= env.paid["odd"]
