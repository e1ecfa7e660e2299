"""A player of an agent in a process of its own, which tells each turn by a line of JSON. Told to `wait`, it answers
when a line comes, with the action in it, or the first legal one for an empty line.

    python agent_player.py ADDRESS AGENT [wait] [RESUME]
"""

from __future__ import annotations

import json
import sys

import numpy as np

import masep.pettingzoo


def tell(event: str, **more: object) -> None:
    print(json.dumps({"event": event, **more}), flush=True)


address, agent, *rest = sys.argv[1:]
waits = rest[:1] == ["wait"]
resume = rest[1] if len(rest) > 1 else None
with masep.pettingzoo.join(address, agent, resume=resume) as player:
    for turn in player:
        mask = None if turn.mask is None else np.asarray(turn.mask).tolist()
        last = turn.last and [turn.last.turn, turn.last.how, turn.last.why]
        tell(
            turn.kind,
            turn=turn.number,
            episode=turn.episode,
            observation=np.asarray(turn.observation).tolist(),
            mask=mask,
            reward=turn.reward,
            flags=[turn.terminated, turn.truncated],
            illegal=turn.illegal,
            ended=turn.ended,
            last=last,
            resume=player.resume,
        )
        if turn.kind == "ask":
            line = (sys.stdin.readline() if waits else "").strip()
            if line:
                turn.act(json.loads(line))
            else:
                turn.act(turn.action_space.start if mask is None else mask.index(1))
tell("over", end=player.end)
