"""A table of masep at which unmodified interfaces sit, and the questions of a recorded game for them."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

from lanterns import policy, session
from notation import parse, read
from peers import Peer

#: An actor of the recorded game: its name stands where that of a seat's interface will.
MODEL = "actor-2"


def questions(recording: session.Recording) -> list[dict[str, Any]]:
    """Observations of a game among pymasep's own to which an actor answers; the last is final, and answered as well."""
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

    def ask(self, question: dict[str, Any], **beside: Any) -> dict[str, dict[str, Any]]:
        """The decisions of a turn; each that was played is the answer to this question and no other."""
        line = {**self.views(question, "ask"), **beside}
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
