"""An environment as a table, with the server and the players in processes of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import masep
import pytest
from agents import HERE, SOON, first_legal, played, player, table
from pettingzoo.classic.rps import rps
from pettingzoo.classic.tictactoe import tictactoe

EXAMPLES = HERE.parent / "examples"
GAMES = 100


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


def test_when_all_players_are_killed_others_can_play(pool):
    with table(tictactoe.env(), grace=0.5) as host, ExitStack() as stack:
        agents = host.env.possible_agents
        killed = [stack.enter_context(player(host.target, agent, "wait")) for agent in agents]
        episodes = host.play(4)
        given_up = pool.submit(next, episodes)
        killed[0].expect(lambda event: event["event"] == "ask")
        for one in killed:
            one.signal(signal.SIGKILL)
        assert given_up.result(SOON).ended == "player_1 has no action: its player is gone"
        for agent in agents:
            pool.submit(played_when_open, host.target, agent)
        # The other seat's grace runs when a turn waits for it: an episode that has begun by then is given up too.
        gone = "player_2 has no action: its player is gone"
        assert next(episode.ended for episode in episodes if episode.ended != gone) is None


def played_when_open(address, agent):
    """Plays when the seat is not kept for the player before any more."""
    until = time.monotonic() + SOON
    while True:
        try:
            return played(address, agent, first_legal)
        except masep.RejectedError:
            assert time.monotonic() < until
            time.sleep(0.05)


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
@pytest.mark.parametrize("serve", ["serve", "serve-environments"])
def test_the_program_says_what_is_wrong(serve, arguments, said):
    command = [sys.executable, "-m", "masep.pettingzoo", serve, *arguments]
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
