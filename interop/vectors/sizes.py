"""Messages of the sizes that are measured: an action, and observations of 7 kB and of 60 kB.

They are of the lantern game after some moves, with few and with many lanterns. `values-7k` is what an engine sends
that describes the same harbour by plain values instead of objects.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from typing import Any

from omegaconf import OmegaConf
from pymasep.common import State
from pymasep.communication import Message
from pymasep.engine import EnvironmentEngine

from lanterns import moves, scene
from lanterns.game import LanternsGame

PLAYERS = ("actor-漢", "actor-2")
STEPS = 12


def messages() -> Iterator[tuple[str, Message]]:
    """The messages with their names."""
    light = moves.Move(moves.LIGHT, {"lantern": "State.lantern3", "how": 'züge & "ruhig"', "note": [7, (2, True), []]})
    yield "action", Message("action", {"action": light.action(None)}, "actor-漢")
    for name, lanterns in {"observation-7k": 2, "observation-60k": 115}.items():
        with played(lanterns) as (state, info):
            params = {"observation": state, "additional_information": info}
            yield name, Message("observation", params, "engine-é")
    yield "values-7k", Message("observation", values(), "engine-é")


@contextmanager
def played(lanterns: int) -> Iterator[tuple[State, dict[str, Any]]]:
    """A game with this many lanterns in which everybody has moved, and what its last step tells besides."""
    # pymasep writes its logs into the current directory.
    with tempfile.TemporaryDirectory() as directory, chdir(directory):
        cfg = OmegaConf.create(
            {"root_path": ".", "game": {"seed": 3, "max_nb_players": len(PLAYERS), "lanterns": lanterns}}
        )
        environment = EnvironmentEngine(id_env="engine-é", cfg=cfg)
        game = environment.game = LanternsGame(cfg)
        state = environment.current_state = game.init_state(environment)
        for ident in PLAYERS:
            state.add_object(game.create_external_agent(environment, ident))
        info: dict[str, Any] = {}
        for step in range(STEPS):
            actor = game.get_system_value(state, "AgentOrder").head
            state, info = game.next_state(state, {actor: move(step).action(environment)})
            state.step = step + 1
        yield state, {**info, "reward": game.reward(None, None, state)}


def move(step: int) -> moves.Move:
    """A walk, and at times a try at a lantern."""
    if step % 5 == 4:
        return moves.Move(moves.LIGHT, {"lantern": f"State.lantern{step % 3}", "how": "ruhig", "note": [step, None]})
    return moves.walk(((1, 0), (0, -1))[step // 2 % 2])


def values() -> dict[str, Any]:
    """The harbour with its lanterns and players as plain values."""
    rng = random.Random("values")
    return {
        "observation": {
            "harbour": scene.harbour(LanternsGame),
            "lanterns": {f"lantern{n}": one for n, one in enumerate(scene.lanterns(rng, 17))},
            "players": {ident: {"position": (n, 5), **scene.player()} for n, ident in enumerate(PLAYERS)},
        },
        "additional_information": {"share": 0.2, "last": ("State.player0", 2), "whisper": None, "rest": ""},
    }
