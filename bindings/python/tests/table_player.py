"""A player or spectator in a process of its own, which tells each turn by a line of JSON. Told to `wait`, it answers when a
line comes. An action says for which turn it is, and for which view: so a test sees where one is shifted.

    python table_player.py ADDRESS ID ROLE [wait] [RESUME]
"""

from __future__ import annotations

import json
import sys

import masep


def tell(event: str, **more: object) -> None:
    print(json.dumps({"event": event, **more}), flush=True)


address, ident, role, *rest = sys.argv[1:]
waits = rest[:1] == ["wait"]
resume = rest[1] if len(rest) > 1 else None
with masep.join(address, id=ident, game="any.Game", role=role, resume=resume) as seat:
    for turn in seat:
        last = turn.last and [turn.last.turn, turn.last.how, turn.last.why]
        told = {"kind": turn.kind, "view": turn.view, "last": last, "remaining": turn.remaining}
        tell("turn", turn=turn.number, reward=turn.reward, resume=seat.resume, **told)
        if turn.kind == "ask":
            if waits:
                sys.stdin.readline()
            tell("acted", sent=turn.act({"turn": turn.number, "view": turn.view}))
        for event in seat.events():
            tell(event.kind, turn=event.turn, code=event.code)
tell("over", end=seat.end)
