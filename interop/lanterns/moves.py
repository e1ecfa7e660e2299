"""The moves of an agent, and the few questions about a state that both sides of the game ask."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from xml.etree.ElementTree import Element

from pymasep.common import Action, Environment, State

WALK, LIGHT, SNUFF, REST = 1, 2, 3, 4

Cell = tuple[int, int]


@dataclass(frozen=True)
class Move:
    """An action before it is tied to an environment."""

    kind: int
    parameters: dict[str, Any] = field(default_factory=dict)

    def action(self, environment: Environment | None) -> Action:
        """This move as pymasep's own `Action`."""
        action = Action(environment=environment, action_type=self.kind)
        for name, parameter in self.parameters.items():
            action.add_parameter(name, parameter)
        return action

    def to_xml(self) -> Element:
        """This move as it goes over the wire."""
        return self.action(None).to_xml()


def walk(step: Cell) -> Move:
    """One cell in the direction `step`."""
    return Move(WALK, {"step": step})


def distance(a: Cell, b: Cell) -> int:
    """Steps from `a` to `b` without diagonals."""
    return abs(a[0] - b[0]) + abs(a[1] - b[1])


def step_towards(a: Cell, b: Cell) -> Cell:
    """The step that brings `a` nearer to `b`, along the longer side first."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    if abs(dx) >= abs(dy):
        return ((dx > 0) - (dx < 0), 0)
    return (0, (dy > 0) - (dy < 0))


def value(state: State, name: str, key: str) -> Any:
    """The value of a characteristic of the object `name`."""
    return state.objects[name].object_state.characteristics[key].value


def set_value(state: State, name: str, key: str, new: Any) -> None:
    """Sets a characteristic of the object `name`."""
    state.objects[name].object_state.characteristics[key].value = new


def lanterns(state: State) -> list[str]:
    """The full names of the state's lanterns, in the state's order."""
    return [name for name, one in state.objects.items() if one.nature == "lantern"]
