"""Tables with players in processes of their own, which are killed, stopped, late, forked and interrupted."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path

import masep
import peers
import pytest
from soon import SOON, joins

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent / "examples"
#: A deadline that one player is to miss, and that another one meets on a busy machine.
IN_TIME = 1.5


@contextmanager
def player(host, ident, *rest, role="actor"):
    """A process of `table_player.py`."""
    command = [sys.executable, str(HERE / "table_player.py"), host.target, ident, role, *rest]
    with peers.started(command, Path.cwd()) as started:
        yield started


def asked(started):
    """The next question that a player tells."""
    return started.expect(lambda event: event["event"] == "turn" and event["kind"] == "ask")


def event(host, kind):
    while (told := host.event(SOON)).kind != kind:
        pass
    return told


def view(number):
    return lambda seat: {"number": number, "seat": seat.name}


def check(move, number):
    """A move that was played is the answer to the view of its own turn."""
    assert move.how == "played"
    assert move.action == {"turn": move.turn, "view": {"number": number, "seat": move.seat}}


def test_a_player_that_is_killed_comes_back_and_is_told_whether_its_last_action_counted():
    with masep.Table("any.Game", ["red", "blue"], "127.0.0.1:0", grace=SOON) as host, ExitStack() as stack:
        red = stack.enter_context(player(host, "red", "wait"))
        assert event(host, "seated").seat == "red"
        blue = stack.enter_context(player(host, "blue"))
        watching = stack.enter_context(player(host, "w", role="observer"))
        host.filled(SOON)
        event(host, "spectators")
        number = 0
        for moment in ("before it answers", "behind its answer"):
            number += 1
            with host.open(None, view(number)) as turn:
                told = asked(red)
                red.send("act")
                moves = sorted(turn, key=lambda move: move.index)
            for move in moves:
                check(move, number)
            played = moves[0].turn
            number += 1
            if moment == "before it answers":
                with host.open(None, view(number)) as turn:
                    told = asked(red)
                    red.signal(signal.SIGKILL)
                    event(host, "away")
                    red = stack.enter_context(player(host, "red", "wait", told["resume"]))
                    # The same question, and how the one before was decided.
                    again = asked(red)
                    assert (again["turn"], again["view"]) == (told["turn"], told["view"])
                    assert again["last"] == [played, "played", None]
                    red.send("act")
                    for move in turn:
                        check(move, number)
            else:
                red.signal(signal.SIGKILL)
                event(host, "away")
                red = stack.enter_context(player(host, "red", "wait", told["resume"]))
                with host.open(None, view(number)) as turn:
                    assert asked(red)["last"] == [played, "played", None]
                    red.send("act")
                    for move in turn:
                        check(move, number)
            host.show({"number": number})
        host.finish_episode(view("final"))
        host.end()
        for started in (red, blue):
            events = list(started.events())
            assert events[-1] == {"event": "over", "end": "finished"}
            assert events[-2]["kind"] == "final"
        shown = [told for told in watching.events() if told["event"] == "turn"]
        assert shown[-1]["view"] == {"number": number}


def test_a_player_that_is_a_turn_too_late_shifts_no_action():
    late = {"turn": None}
    with masep.Table("any.Game", ["red", "blue"], "127.0.0.1:0", misses=0, late=lambda view: late) as host, ExitStack() as stack:
        red = stack.enter_context(player(host, "red", "wait"))
        assert event(host, "seated").seat == "red"
        stack.enter_context(player(host, "blue"))
        host.filled(SOON)
        missed = []
        for number in range(1, 11):
            if number % 3:
                with host.open(None, view(number), deadline=SOON) as turn:
                    told = asked(red)
                    assert told["view"]["number"] == number
                    red.send("act")
                    for move in turn:
                        check(move, number)
            else:
                moves = host.ask_all(view(number), deadline=IN_TIME)
                assert (moves[0].how, moves[0].why, moves[0].action) == ("default", "late", late)
                check(moves[1], number)
                # Its answer comes now, a turn too late.
                assert asked(red)["turn"] == moves[0].turn
                red.send("act")
                assert event(host, "ignored").code == "late"
                missed.append(moves[0].turn)
        host.end()
        told = [told["turn"] for told in red.events() if told["event"] == "not_counted"]
        assert (len(missed), told) == (3, missed)


def test_a_player_that_is_stopped_falls_asleep_and_wakes_up():
    with masep.Table("any.Game", ["red", "blue"], "127.0.0.1:0", deadline=IN_TIME, misses=2) as host, ExitStack() as stack:
        red = stack.enter_context(player(host, "red"))
        assert event(host, "seated").seat == "red"
        stack.enter_context(player(host, "blue"))
        host.filled(SOON)
        for move in host.ask_all(view(0), deadline=SOON):
            check(move, 0)
        red.signal(signal.SIGSTOP)
        whys = []
        for number in range(1, 6):
            moves = host.ask_all(view(number))
            whys.append(moves[0].why)
            check(moves[1], number)
        assert whys == ["late", "late", "asleep", "asleep", "asleep"]
        red.signal(signal.SIGCONT)
        assert event(host, "awake").seat == "red"
        for move in host.ask_all(view(6), deadline=SOON):
            check(move, 6)
        # All that it was asked it has answered for the turn that it was asked in.
        turns = {}
        host.end()
        for told in red.events():
            if told["event"] == "turn":
                turns[told["turn"]] = told["view"]["number"]
        assert turns[max(turns)] == 6


def test_a_player_that_never_comes_back_costs_its_grace_once():
    with masep.Table("any.Game", ["red", "blue"], "127.0.0.1:0", grace=0.5) as host, ExitStack() as stack:
        red = stack.enter_context(player(host, "red"))
        assert event(host, "seated").seat == "red"
        stack.enter_context(player(host, "blue"))
        host.filled(SOON)
        red.signal(signal.SIGKILL)
        event(host, "away")
        whys = [host.ask_all(view(number))[0].why for number in range(5)]
        assert whys == ["gone"] * 5
        assert host.seats[0].state == "gone"


def run(code, *arguments):
    """The output of a program that ends in order and without a warning."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", code, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=40)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    return ended.stdout


INTERRUPTED = """
import os, signal, sys, threading, time
import masep
signal.signal(signal.SIGINT, signal.default_int_handler)
host = masep.Table("any.Game", ["red"], "127.0.0.1:0")
silent = masep.join(host.target, id="silent", game="any.Game")
def played(seat):
    try:
        silent.next_turn(0.3)
    except masep.TimedOut:
        pass
if {seated}:
    played(silent)
    host.filled()
try:
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    {call}
except KeyboardInterrupt:
    print("interrupted")
if {seated}:
    # The turn was closed.
    move = host.ask("red", 2, deadline=0.1)
    print(move.why)
silent.close()
host.end()
host._table.close()
"""


@pytest.mark.parametrize(
    "call, seated",
    [
        ("host.filled()", False),
        ("host.event(60); host.event()", False),
        ("host.ask('red', 1)", True),
        ("host.ask_all(lambda seat: 1)", True),
        ("host.actions(lambda seat: 1).next()", True),
        ("silent.next_turn()", True),
        ("list(silent)", True),
        ("masep.join('127.0.0.1:9', id='p', game='any.Game').next_turn()", False),
    ],
)
def test_ctrl_c_ends_every_wait(call, seated):
    said = run(INTERRUPTED.replace("{seated}", str(seated)).replace("{call}", call))
    assert said == ("interrupted\nlate\n" if seated else "interrupted\n")


FORKED = """
import os, sys
import masep
host = masep.Table("any.Game", ["red"], "127.0.0.1:0")
seat = masep.join(host.target, id="p", game="any.Game")
try:
    seat.next_turn(0.3)
except masep.TimedOut:
    pass
host.filled(20)
turn = host.open(None, lambda seat: 1, deadline=None)
child = os.fork()
if child == 0:
    for call in (host.events, lambda: host.ask("red", 1), host.end, turn.next, turn.close, seat.next_turn, seat.leave,
                 seat.events, lambda: host.seats):
        try:
            call()
        except masep.CallerError as error:
            assert "a process that was forked" in str(error), error
        else:
            print("not refused", flush=True)
    del turn, host, seat
    sys.exit(0)
os.waitpid(child, 0)
# Nothing of the parent's has ended.
told = seat.next_turn(20)
assert told.act(3)
print(turn.next(20).action)
with seat:
    pass
host.end()
"""


def test_a_forked_child_leaves_the_table_and_the_player_alone():
    assert run(FORKED) == "3\n"


LEFT_OPEN = """
import sys, masep
seat = masep.join(sys.argv[1], id="p", game="any.Game")
print(seat.next_turn(20).view)
host = masep.Table("any.Game", ["red"], "127.0.0.1:0")
"""


def test_the_end_of_a_program_says_bye_for_what_it_left_open():
    with masep.Table("any.Game", ["red"], "127.0.0.1:0") as host:
        said = []
        thread = threading.Thread(target=lambda: said.append(run(LEFT_OPEN, host.target)), daemon=True)
        thread.start()
        host.filled(SOON)
        with host.open(None, lambda seat: 5):
            event(host, "away")
        thread.join(SOON)
        assert said == ["5\n"]


def test_the_end_of_a_program_ends_the_game_of_a_table_for_which_a_thread_waits():
    code = """
import masep, threading
host = masep.Table("any.Game", ["red"], "127.0.0.1:0")
print(host.target, flush=True)
host.filled()
threading.Thread(target=host.ask, args=("red", 1), daemon=True).start()
input()
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as engine:
        with masep.join(line(engine), id="p", game="any.Game") as seat:
            assert seat.next_turn(SOON).view == 1
            engine.stdin.write("\n")
            engine.stdin.flush()
            assert seat.next_turn(SOON) is None
            assert seat.end == "finished"
        assert engine.wait(SOON) == 0


# README's engine and agent


#: Runs an example when it is told to. Python and its imports take seconds of a busy machine, in which a seat is gone.
WAITING = """
import os, runpy, sys
import masep
sys.path.insert(0, os.path.dirname(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


#: Its first action waits for a line, when it has told that it is asked.
THINKING = """
import runpy, sys
from masep._player import PlayerTurn
act = PlayerTurn.act
def think(turn, action):
    PlayerTurn.act = act
    print("asked", flush=True)
    sys.stdin.readline()
    turn.act(action)
PlayerTurn.act = think
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@contextmanager
def example(name, *arguments, waits=False, thinks=False):
    how = ["-c", WAITING] if waits else ["-c", THINKING] if thinks else []
    command = [sys.executable, *how, str(EXAMPLES / name), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        try:
            if waits:
                assert line(running) == "ready"
            yield running
        finally:
            running.kill()


def go(running):
    """Lets an example go on that waits."""
    running.stdin.write("\n")
    running.stdin.flush()


def line(running):
    said = running.stdout.readline()
    assert said, "it has ended"
    return said.rstrip("\n")


SPECTATOR = """
import sys, masep
with masep.join(sys.argv[1], id="watcher", game="countdown.Countdown", role="observer") as seat:
    for turn in seat:
        print(turn.view.get("left"), flush=True)
"""


def test_readmes_engine_and_agents_play_on_when_one_is_killed_and_one_is_late():
    with ExitStack() as stack:
        engine = stack.enter_context(example("table.py", "127.0.0.1:0"))
        target = line(engine).removeprefix("listening on ")
        red = stack.enter_context(example("player.py", target, "red-player", thinks=True))
        command = [sys.executable, "-c", SPECTATOR, target]
        spectator = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        blue = stack.enter_context(example("player.py", target, "blue-player"))
        moves = []

        def played(count):
            while len(moves) < count:
                left, seat, how, action = re.fullmatch(r"(\d+) left: (\w+) (\w+) (\w+)", line(engine)).groups()
                moves.append((int(left), seat, how, action))

        # One thinks for too long, and answers a turn that is over.
        assert line(red) == "asked"
        played(2)
        assert "default" in {how for _, _, how, _ in moves}
        go(red)
        # One is killed, and started again with its id.
        blue.kill()
        blue.wait()
        blue = stack.enter_context(example("player.py", target, "blue-player"))
        played(20)
        assert engine.wait(SOON) == 0
        for running in (red, blue):
            assert running.wait(SOON) == 0
        assert [left for left, *_ in moves] == [left for left in range(10, 0, -1) for _ in range(2)]
        assert {(how, action) for _, _, how, action in moves} <= {("played", "2"), ("default", "0")}
        defaults = [move for move in moves if move[2] == "default"]
        assert 1 <= len(defaults) <= 4, moves
        spectator.wait(SOON)
        shown = spectator.stdout.read().split()
        assert shown == sorted(shown, key=int, reverse=True) and shown[-1] == "1"


def test_the_pursuit_engine_withstands_players_that_are_killed_wrong_silent_or_late():
    with ExitStack() as stack:
        engine = stack.enter_context(example("pursuit_engine.py", "127.0.0.1:0", "5", "4", "1"))
        target = line(engine).removesuffix(" awaits its actors")
        good = stack.enter_context(example("pursuit_agent.py", target, "good"))
        killed = stack.enter_context(example("pursuit_agent.py", target, "killed"))
        wrong_id = "wro\x7fng\N{SNOWMAN}"
        wrong, silent = (masep.connect(target, id=ident, protocol=1) for ident in (wrong_id, "silent"))
        for peer, ident in ((wrong, wrong_id), (silent, "silent")):
            peer.send(masep.Message("register", {"id": ident, "role": "Actor"}, ident))
        watcher = masep.join(target, id="watcher", game="pursuit.PursuitGame", role="observer")
        joins(watcher)
        leaves = masep.join(target, id="leaves", game="pursuit.PursuitGame")
        told = leaves.next_turn(SOON)
        assert told.view.get("is_final") == "False"
        wrongs = ["<no action>", {"type": 7}, 10**30, [], masep.TypeName("os.system"), True, b"\0"]
        told.act(wrongs)
        leaves.leave()
        shown = watcher.next_turn(SOON)
        for action in wrongs:
            answered = wrong.recv_message(SOON)
            assert answered.msg_type == "observation"
            wrong.send(masep.Message("action", None, wrong_id))
            wrong.send(masep.Message("action", {"action": action}, wrong_id))
        wrong.send(b"\0 no XML")
        wrong.close()
        successor = stack.enter_context(example("pursuit_agent.py", target, "killed", waits=True))
        killed.kill()
        killed.wait()
        killed = successor
        go(killed)
        said = []
        while (told := engine.stdout.readline()) != "":
            said.append(told)
        assert engine.wait(SOON) == 0, said
        assert [text for text in said if text.startswith("episode")][-1].startswith("episode 4 took ")
        assert good.wait(SOON) == killed.wait(SOON) == 0
        reward = int(line(good).removeprefix("reward "))
        assert f"'good': reward {reward}, " in "".join(said)
        assert len(list(shown.view.iterfind("Agent"))) == 5 + 3
        silent.close()
        watcher.close()


def test_the_pursuit_engine_ends_in_order_on_ctrl_c():
    with example("pursuit_engine.py", "127.0.0.1:0", "2") as engine:
        target = line(engine).removesuffix(" awaits its actors")
        with masep.join(target, id="p", game="pursuit.PursuitGame") as seat:
            joins(seat)
            engine.send_signal(signal.SIGINT)
            assert seat.next_turn(SOON) is None
            assert seat.end == "finished"
        assert line(engine) == "interrupted"
        assert engine.wait(SOON) == 0


def test_the_pursuit_engine_has_less_than_150_lines():
    assert len((EXAMPLES / "pursuit_engine.py").read_text().splitlines()) < 150
