"""The pursuit game as the example `engine` of masep-cli names it, for real pymasep interfaces.

The rules are the engine's. An interface needs only a class of that name, and those of the agents' controllers.
"""

from __future__ import annotations

from typing import Any

from pymasep.common import Action, Controller

from lanterns.game import LanternsGame


class PursuitGame(LanternsGame):
    """The name that an interface puts into DEFINE."""


class predator(Controller):
    """The controller that the engine names for its agents."""

    def action_choice(self, observation: Any, agent: Any) -> Action | None:
        """The interface's own controller chooses."""
        return None


prey = predator
