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


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """See `tables.questions`."""
    return tables.questions(tmp_path_factory.mktemp("recording"))


def test_unmodified_interfaces_play_two_episodes_and_one_is_late(masep: Masep, questions: list[dict[str, Any]]) -> None:
    rules = ["--seats", ",".join(SEATS), "--game", session.GAME, "--misses", "0"]
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
                    engine.send({**table.views(question, "ask"), "deadline": "300ms"})
                    engine.expect(lambda event: event.get("seat") == "blue" and event["event"] == "decision")
                    decision = engine.expect("decision")
                    assert (decision["seat"], decision.get("why")) == ("red", "late")
                    players["red"].signal(signal.SIGCONT)
                    late += 1
                    continue
                decisions = table.ask(question)
                assert {decision["how"] for decision in decisions.values()} == {"played"}, (episode, number)
                engine.send({"show": question["observation"], "information": question["additional_information"]})
            engine.send(table.views(questions[-1], "finish"))
        assert late == 1
        engine.send({"end": True})
        for player in [*players.values(), watching]:
            events = list(player.events())
            assert events[-1] == {"event": "ended"}
            assert player.wait() == 0
        engine.expect("ended")
        assert engine.wait() == 0
