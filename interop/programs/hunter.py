"""A real pymasep interface for the pursuit game, headless and as it is: `python -m programs.hunter`, with the arguments of
`lanterns.run_interface`. It goes round in circles.
"""

from __future__ import annotations

import itertools
from typing import Any
from unittest import mock

from pymasep.common import Action
from pymasep.interface import InterfaceController

import pursuit
from lanterns import run_interface

MOVES = itertools.cycle(range(5))


class CirclingController(InterfaceController):
    """Chooses one type of action after the other."""

    def action_choice(self, observation: Any, agent: Any) -> Action | None:
        """The next action."""
        return Action(environment=self.environment, action_type=next(MOVES))


if __name__ == "__main__":
    game = mock.patch.object(run_interface, "LanternsGame", pursuit.PursuitGame)
    controller = mock.patch.object(run_interface, "PolicyController", CirclingController)
    with game, controller:
        run_interface.main()
