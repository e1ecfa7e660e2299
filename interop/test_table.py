"""Tables of masep with unmodified pymasep interfaces: default configuration, ids of their own, skipping on."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from typing import Any

import pytest

from lanterns import session, tables
from lanterns.tables import Table
from masep import Masep

SEATS = ["red", "blue"]
#: The turn, by its episode and its place there, in which a player is killed.
KILLED = (1, 2)


@pytest.fixture(scope="module")
def questions(recording: session.Recording) -> list[dict[str, Any]]:
    """See `tables.questions`."""
    return tables.questions(recording)


def test_unmodified_interfaces_play_two_episodes_one_is_late_and_one_is_killed(
    masep: Masep, questions: list[dict[str, Any]]
) -> None:
    rules = ["--seats", ",".join(SEATS), "--game", session.GAME, "--misses", "0", "--grace", "500ms"]
    with masep.serve(*rules) as (engine, port), ExitStack() as stack:
        table = Table(engine)
        players = {}
        for seat in SEATS:
            players[seat] = stack.enter_context(session.interface_as_is("actor", port, masep.directory))
            table.seat()
        watching = stack.enter_context(session.interface_as_is("observer", port, masep.directory))
        engine.expect("spectators")
        engine.expect("filled")
        late = 0
        for episode in range(2):
            for number, question in enumerate(questions[:-1]):
                if (episode, number) == (0, 3):
                    # It stops, and its answer to this turn comes when another one is open.
                    players["red"].signal(signal.SIGSTOP)
                    # Enough for the other one on a busy machine.
                    engine.send({**table.views(question, "ask"), "deadline": "1500ms"})
                    engine.expect(lambda event: event.get("seat") == "blue" and event["event"] == "decision")
                    decision = engine.expect("decision")
                    assert (decision["seat"], decision.get("why")) == ("red", "late")
                    players["red"].signal(signal.SIGCONT)
                    late += 1
                    continue
                if (episode, number) == KILLED:
                    players["blue"].signal(signal.SIGKILL)
                    engine.expect("away")
                decisions = table.ask(question)
                hows = {seat: decision.get("why", decision["how"]) for seat, decision in decisions.items()}
                # It cannot come back: it has an id of its own at each start.
                blue = "played" if (episode, number) < KILLED else "gone"
                assert hows == {"red": "played", "blue": blue}, (episode, number)
                if (episode, number) == KILLED:
                    with session.interface_as_is("actor", port, masep.directory) as again:
                        again.expect("connected")
                        ignored = engine.silent_for(0.5)
                    assert not [event for event in ignored if event["event"] == "seated"], ignored
                engine.send({"show": question["observation"], "information": question["additional_information"]})
            engine.send(table.views(questions[-1], "finish"))
        assert late == 1
        engine.send({"end": True})
        for player in [players["red"], watching]:
            events = list(player.events())
            assert events[-1] == {"event": "ended"}
            assert player.wait() == 0
        engine.expect("ended")
        assert engine.wait() == 0
