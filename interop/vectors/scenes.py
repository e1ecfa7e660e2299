"""Whole observations, as the engine sends them: states of the lantern game, made by the real library."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from typing import Any

from omegaconf import OmegaConf
from pymasep.engine import EnvironmentEngine

from lanterns.game import LanternsGame


def observations() -> Iterator[tuple[str, dict[str, Any]]]:
    """Parameters of observation messages: a whole state, and a part of one after a move."""
    # pymasep writes its logs into the current directory.
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        try:
            cfg = OmegaConf.create({"root_path": ".", "game": {"seed": 5, "max_nb_players": 1}})
            environment = EnvironmentEngine(id_env="engine-é", cfg=cfg)
            environment.game = LanternsGame(cfg)
            state = environment.game.init_state(environment)
            environment.current_state = state
            yield "empty info", {"observation": state, "additional_information": {}}
            yield "no info", {"observation": state.objects["State.lantern0"]}
            state.add_object(environment.game.create_external_agent(environment, "actor-漢"))
            state.is_final, state.step = True, 12
            info = {
                "log": "über <alles>",
                "reward": {"State.player0": 0.2, "State.keeper": -1, "x": None},
            }
            seen = environment.game.observe_state(state, "State.player0")
            yield "an actor's part", {"observation": seen, "additional_information": info}
        finally:
            os.chdir(before)
