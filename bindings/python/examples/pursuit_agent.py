"""A player of the example `pursuit_engine.py`: its predator goes to the nearest prey.

    python pursuit_agent.py HOST:PORT ID
"""

from __future__ import annotations

import sys
from typing import Any
from xml.etree.ElementTree import Element

import masep

STAY, NORTH, EAST, SOUTH, WEST = range(5)


def cell(element: Element, name: str) -> tuple[int, int]:
    x, y = element.iterfind(f"ObjectState/Characteristic[@name='{name}']/tuple/int")
    return int(x.text or 0), int(y.text or 0)


def decide(state: Any, ident: str) -> int:
    """The move that brings the own predator nearer to the nearest prey."""
    board, own = state.find("Object[@nature='board']"), None
    size, prey = cell(board, "Size"), []
    for agent in state.iterfind("Agent"):
        if agent.get("nature") == "prey":
            prey.append(cell(agent, "Pos"))
        elif agent.get("control") == ident:
            own = cell(agent, "Pos")
    if own is None or not prey:
        return STAY

    def way(axis: int, to: tuple[int, int]) -> int:
        """The shorter way round the torus; negative to the west and the north."""
        half = size[axis] // 2
        return (to[axis] - own[axis] + half) % size[axis] - half

    x, y = min(((way(0, to), way(1, to)) for to in prey), key=lambda to: abs(to[0]) + abs(to[1]))
    if abs(x) > abs(y):
        return EAST if x > 0 else WEST
    return STAY if y == 0 else SOUTH if y > 0 else NORTH


def main(address: str, ident: str) -> None:
    reward = 0
    with masep.join(address, id=ident, game="pursuit.PursuitGame") as seat:
        for turn in seat:
            for agent in turn.view.iterfind("Agent"):
                if agent.get("control") == ident and turn.reward:
                    reward += turn.reward[f"State.{agent.get('name')}"]
            if turn.kind == "ask":
                turn.act(Element("Action", type=str(decide(turn.view, ident))))
    print(f"reward {reward}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
