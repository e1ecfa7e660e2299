"""Tables of masep with unmodified pymasep interfaces: default configuration, ids of their own, skipping on."""

from __future__ import annotations

import re
import signal
from contextlib import ExitStack
from typing import Any
from xml.etree import ElementTree

import pytest

from lanterns import policy, session
from masep import Masep
from notation import parse, read
from peers import Peer
from search_port import turn

SEATS = ["red", "blue"]
#: An actor of the recorded game: its name stands where that of a seat's interface will.
MODEL = "actor-2"


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Observations of a game among pymasep's own to which an actor answers; the last is final, and answered as well."""
    with turn():
        recording = session.record(tmp_path_factory.mktemp("recording"))
    messages = [read(frame) for frame in recording.seats[MODEL].frames[:-1]]
    asked = [message for message in messages if _choice(_xml(message), MODEL) is not None]
    assert len(asked) > 8
    last = asked[-1]["params"]
    last["observation"]["$xml"] = _xml(asked[-1]).replace('is_final="False"', 'is_final="True"')
    return [message["params"] for message in asked]


def _xml(message: dict[str, Any]) -> str:
    return message["params"]["observation"]["$xml"]


def _choice(xml: str, ident: str) -> str | None:
    move = policy.choose(parse(xml.encode()), ident)
    return None if move is None else ElementTree.tostring(move.to_xml(), encoding="unicode")


class Table:
    """`masep serve --seats`, its lines, and who has which seat."""

    def __init__(self, engine: Peer) -> None:
        self.engine = engine
        self.ids: dict[str, str] = {}

    def seat(self) -> None:
        """Awaits somebody who takes a seat."""
        seated = self.engine.expect("seated")
        self.ids[seated["seat"]] = seated["id"]

    def views(self, question: dict[str, Any], kind: str) -> dict[str, Any]:
        """The line that shows this to each seat, by the id of its own interface."""
        xml = question["observation"]["$xml"]
        state = {seat: {"$xml": xml.replace(f'control="{MODEL}"', f'control="{self.ids[seat]}"')} for seat in self.ids}
        return {kind: state, "information": dict.fromkeys(self.ids, question["additional_information"])}

    def ask(self, question: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """The decisions of a turn; each that was played is the answer to this question and no other."""
        line = self.views(question, "ask")
        self.engine.send(line)
        decisions = {}
        for _ in self.ids:
            decision = self.engine.expect("decision")
            seat = decision["seat"]
            decisions[seat] = decision
            if decision["how"] == "played":
                # The turn's number is the step that the interface sees.
                xml = re.sub(r'env_step="[0-9]+"', f'env_step="{decision["turn"]}"', line["ask"][seat]["$xml"], count=1)
                assert decision["action"]["$xml"] == _choice(xml, self.ids[seat])
        return decisions


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
