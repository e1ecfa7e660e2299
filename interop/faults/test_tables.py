"""Players at a table whose cables are pulled in mid-turn, for less and for more than the grace.

The others wait no longer than the rules say, no action is shifted or counts twice, and a player that is back knows which
of its actions counted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from faults import peers_of_lan as ends
from faults.network import Host, Lan
from lanterns import session, tables
from masep import Masep
from peers import PATIENCE, Event, Peer

Note = Callable[..., None]
Network = Callable[..., Lan]

GAME = "cable.Game"
#: Seconds: between signs of life, after which without any a connection is lost, and for which a turn waits then.
HEARTBEAT = 0.3
LIVENESS = 3 * HEARTBEAT
GRACE = 2.0
#: Seconds for which the cable is out.
OUTAGES = {"a moment": 0.1, "less than the grace": LIVENESS + 0.8, "more than the grace": LIVENESS + GRACE + 1.5}
#: The seconds that a wait may take beyond its bound, and those more on a busy machine.
PART, BUSY = 1.1, 1.0


@dataclass
class Player:
    """`masep join --turns`, which answers each question by its turn and what it was shown."""

    peer: Peer
    #: It answers while this is set.
    may_answer: threading.Event = field(default_factory=threading.Event)
    #: The newest question that it has been told.
    asked: int = 0
    #: The turns that it has answered, and those of which it was told that the answer did not count.
    answered: list[int] = field(default_factory=list)
    not_counted: list[int] = field(default_factory=list)
    others: list[Event] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def play(self) -> None:
        """Until it is over."""
        for event in self.peer.events():
            kind, turn = event["event"], event.get("turn")
            with self.changed:
                if kind == "turn":
                    self.asked = turn
                elif kind == "not_counted":
                    self.not_counted.append(turn)
                else:
                    self.others.append(event)
                self.changed.notify_all()
            if kind == "turn":
                assert self.may_answer.wait(PATIENCE)
                with self.changed:
                    self.answered.append(turn)
                self.peer.send({"turn": turn, "action": {"turn": turn, "shown": event["view"]}})

    def is_asked(self, turn: int) -> None:
        """Waits until it was told this question."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.asked >= turn, PATIENCE), self.others

    def is_told(self, kind: str) -> Event:
        """The first event of this kind, when it is there."""
        find = lambda: next((event for event in self.others if event["event"] == kind), None)  # noqa: E731
        with self.changed:
            assert self.changed.wait_for(find, PATIENCE), self.others
            return find()


class Engine:
    """The engine's side: turns, and how they were decided."""

    def __init__(self, engine: Peer) -> None:
        self.engine = engine
        self.tick = 0
        #: By turn and seat.
        self.decisions: dict[tuple[int, str], Event] = {}

    def ask(self) -> int:
        """Opens a turn; its number."""
        self.tick += 1
        self.engine.send({"ask": {seat: [self.tick, seat] for seat in ("red", "blue")}})
        return self.engine.expect("asked")["turn"]

    def decided(self, turn: int, seat: str) -> Event:
        """The decision of a seat; what was played is the answer to what this seat was shown in this turn."""
        wanted = {"event": "decision", "turn": turn, "seat": seat}
        decision = self.engine.expect(lambda event: wanted.items() <= event.items())
        assert (turn, seat) not in self.decisions
        self.decisions[turn, seat] = decision
        if decision["how"] == "played":
            assert decision["action"] == {"turn": turn, "shown": [self.tick, seat]}
        return decision

    def play(self) -> tuple[Event, float]:
        """A whole turn: red's decision, and the seconds that it took."""
        since = time.monotonic()
        turn = self.ask()
        blue = self.decided(turn, "blue")
        assert blue["how"] == "played", blue
        return self.decided(turn, "red"), time.monotonic() - since


@contextmanager
def playing(host: Host, masep: Masep, address: str, ident: str, seat: str) -> Iterator[Player]:
    """A player on a host, in this seat, which plays."""
    options = ["--turns", "--game", GAME, "--seat", seat, "--heartbeat", f"{HEARTBEAT}s", "--connect-time", "300ms"]
    with ends.join(host, masep, f"masep://{address}", *options, "--role", "actor", ident=ident) as peer:
        player = Player(peer)
        player.may_answer.set()
        thread = threading.Thread(target=player.play, daemon=True)
        thread.start()
        player.is_told("joined")
        yield player
        player.may_answer.set()


def judge(host: Engine, player: Player, seat: str) -> None:
    """The player was told of exactly those answers that did not count."""
    counted = {turn for turn in player.answered if host.decisions[turn, seat]["how"] == "played"}
    believed = set(player.answered) - set(player.not_counted)
    assert believed == counted, (player.answered, player.not_counted, host.decisions)
    assert len(player.answered) == len(set(player.answered)), "it was asked a turn twice"
    assert not [event for event in player.others if event["event"] in ("unknown", "error")], player.others


@pytest.mark.parametrize(
    ("moment", "outage", "deadline"),
    [
        ("before its answer", "a moment", None),
        ("before its answer", "less than the grace", None),
        ("before its answer", "more than the grace", None),
        ("before its answer", "less than the grace", 1.0),
        ("before its answer", "more than the grace", 1.0),
        ("behind its answer", "a moment", 1.0),
        ("behind its answer", "less than the grace", 1.0),
        ("behind its answer", "more than the grace", None),
    ],
)
def test_a_cable_pulled_in_mid_turn_costs_no_more_than_the_rules_say(
    moment: str, outage: str, deadline: float | None, network: Network, masep: Masep, seed: str, note: Note
) -> None:
    lan = network(hosts=3)
    one, two, three = lan.hosts
    rules = ["--seats", "red,blue", "--game", GAME, "--grace", f"{GRACE}s", "--misses", "0"]
    rules += ["--heartbeat", f"{HEARTBEAT}s"]
    rules += [] if deadline is None else ["--deadline", f"{deadline}s"]
    bound = min(LIVENESS + GRACE, deadline or PATIENCE)
    with ends.serve(one, masep, *rules) as (engine, address), ExitStack() as stack:
        red = stack.enter_context(playing(two, masep, address, "ann", "red"))
        blue = stack.enter_context(playing(three, masep, address, "ben", "blue"))
        engine.expect("filled")
        host = Engine(engine)
        for _ in range(3):
            assert host.play()[0]["how"] == "played"
        if moment == "before its answer":
            red.may_answer.clear()
        turn = host.ask()
        red.is_asked(turn)
        if moment == "behind its answer":
            assert host.decided(turn, "red")["how"] == "played"
        pulled = time.monotonic()
        two.pull_cable()
        back = threading.Timer(OUTAGES[outage], two.put_cable_back)
        back.start()
        # It goes into the void.
        red.may_answer.set()
        waits, hows = [], []
        assert host.decided(turn, "blue")["how"] == "played"
        if moment == "before its answer":
            decision = host.decided(turn, "red")
            waits.append(time.monotonic() - pulled)
            hows.append(decision.get("why", "played"))
        while back.is_alive() or len(hows) < 3 or (outage != "more than the grace" and hows[-2:] != ["played"] * 2):
            decision, took = host.play()
            waits.append(took)
            hows.append(decision.get("why", "played"))
            if hows[-1] in ("gone", "played") and back.is_alive():
                # Turns take no time now.
                time.sleep(0.1)
            assert time.monotonic() - pulled < PATIENCE, hows
        assert max(waits) <= bound * PART + BUSY, (waits, bound)
        if outage == "more than the grace":
            assert hows[-1] == "gone", hows
            over = red.is_told("over")
            assert (over["reason"], over["code"]) == ("rejected", "gone")
        else:
            assert "gone" not in hows, hows
            if deadline is None:
                # The turn has waited for it.
                assert set(hows) == {"played"}, hows
            engine.send({"end": True})
            assert red.is_told("over")["reason"] == "finished"
            judge(host, red, "red")
            if deadline is None:
                assert not red.not_counted
            elif moment == "before its answer":
                assert turn in red.not_counted, red.not_counted
            # With a deadline, the turn that is under way when it comes back may be over before its answer is there.
            epochs = [event["epoch"] for event in red.others if event["event"] == "joined"]
            assert epochs == ([1] if outage == "a moment" else [1, 2]), red.others
        if outage == "more than the grace":
            engine.send({"end": True})
        assert blue.is_told("over")["reason"] == "finished"
        judge(host, blue, "blue")
    rule = "no deadline" if deadline is None else f"deadline {deadline} s"
    noticed = f"{max(waits):.2f} s of {bound:.1f} s"
    note(f"cable out {outage}, {moment}, {rule}", "table, masep", counts=lan.counts(), noticed=noticed)


@pytest.fixture(scope="module")
def questions(recording: session.Recording) -> list[dict[str, Any]]:
    """See `tables.questions`."""
    return tables.questions(recording)


@pytest.mark.parametrize("outage", ["a moment", "for ever"])
def test_an_unmodified_interface_whose_cable_is_pulled_costs_no_more_than_the_rules_say(
    outage: str, network: Network, masep: Masep, questions: list[dict[str, Any]], note: Note
) -> None:
    # Large enough for a question: pymasep takes what a read brings for whole frames.
    lan = network(hosts=3, mtu=30_000)
    one, *others = lan.hosts
    # It says no sign of life of its own: its kernel does.
    life = ["--keepalive-time", "500ms", "--write-time", "1500ms"]
    deadline = 1.0
    rules = ["--seats", "red,blue", "--game", session.GAME, "--misses", "0", "--grace", f"{GRACE}s"]
    with ends.serve(one, masep, *rules, *life, "--deadline", f"{deadline}s") as (engine, address), ExitStack() as stack:
        table = tables.Table(engine)
        where, _, port = address.rpartition(":")
        players = []
        for host in others:
            with host.entered():
                interface = session.interface_as_is("actor", int(port), masep.directory, where)
                players.append(stack.enter_context(interface))
            table.seat()
        engine.expect("filled")
        for question in questions[:3]:
            # The first takes a moment.
            decisions = table.ask(question, deadline="20s")
            assert {decision["how"] for decision in decisions.values()} == {"played"}, decisions
        others[0].pull_cable()
        if outage == "a moment":
            back = threading.Timer(OUTAGES[outage], others[0].put_cable_back)
            back.start()
        whys, waits = [], []
        for question in questions[3:9]:
            since = time.monotonic()
            decisions = table.ask(question)
            waits.append(time.monotonic() - since)
            assert decisions["blue"]["how"] == "played", decisions
            whys.append(decisions["red"].get("why", "played"))
        assert max(waits) <= deadline * PART + BUSY, waits
        if outage == "a moment":
            back.join()
            assert whys[-1] == "played", whys
        else:
            assert whys[0] == "late" and whys[-1] == "gone", whys
        engine.send({"end": True})
        assert list(players[1].events())[-1] == {"event": "ended"}
    note(f"cable out {outage}", "table, pymasep", counts=lan.counts(), noticed=f"{max(waits):.2f} s of {deadline} s")
