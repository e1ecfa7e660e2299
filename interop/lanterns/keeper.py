"""The agent that the engine plays itself."""

from __future__ import annotations

from typing import Any

from pymasep.common import Action, Agent, Controller

from lanterns import moves


class KeeperController(Controller):
    """Walks to the nearest burning lantern and snuffs it; else walks the quay.

    The choice follows from the state alone: while players are awaited the engine asks again and again,
    as often as the machine's speed has it.
    """

    def action_choice(self, observation: Any, agent: Agent) -> Action:
        """The keeper's move for the engine's current state."""
        state = self.environment.current_state
        position = moves.value(state, "State.keeper", "position")
        burning = [
            (moves.distance(position, moves.value(state, name, "position")), name)
            for name in moves.lanterns(state)
            if moves.value(state, name, "lit")
        ]
        if not burning:
            return moves.walk((1, 0) if state.step % 16 < 8 else (-1, 0)).action(self.environment)
        gap, name = min(burning)
        if gap <= 1:
            return moves.Move(moves.SNUFF, {"lantern": name}).action(self.environment)
        goal = moves.value(state, name, "position")
        return moves.walk(moves.step_towards(position, goal)).action(self.environment)
