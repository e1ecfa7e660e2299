"""Tables of environments that the tests serve, and players of their agents."""

from __future__ import annotations

import queue
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import peers

from masep.pettingzoo import EnvironmentTable, join
from soon import SOON

HERE = Path(__file__).resolve().parent


def table(env, **options):
    """A table, with a queue of what happens at it."""
    happened = queue.SimpleQueue()
    host = EnvironmentTable(env, "127.0.0.1:0", on_event=happened.put, **options)
    host.happened = happened
    return host


def happens(host, kind):
    """Waits for something of this kind."""
    while host.happened.get(timeout=SOON).kind != kind:
        pass


@contextmanager
def player(address, agent, *rest):
    """A process of `agent_player.py`."""
    command = [sys.executable, str(HERE / "agent_player.py"), address, agent, *rest]
    with peers.started(command, Path.cwd()) as started:
        yield started


def played(address, agent, policy, turns=None, id=None):
    """Plays to the end, and gives all that was seen."""
    seen = []
    with join(address, agent, id=id) as playing:
        for turn in playing:
            seen.append(turn)
            if turn.kind == "ask":
                turn.act(policy(turn))
            if turns is not None and len(seen) == turns:
                break
    return seen


def first_legal(turn):
    return int(np.argmax(turn.mask)) if turn.mask is not None else int(turn.action_space.start)


def seated(host, count):
    """Waits until so many more agents have a player."""
    for _ in range(count):
        happens(host, "seated")
