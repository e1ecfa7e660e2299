"""The view of a pymasep game that its engine shows to the learner."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.etree.ElementTree import Element

ORDER = "Object[@name='system']/ObjectState/Characteristic[@name='AgentOrder']/CircularHeadList"
"""The place of the agents in the order of their turns, in a State."""


@dataclass(frozen=True)
class GameView:
    """One observation of an engine."""

    state: Element
    """The ``State``, as far as the learner's agent sees it."""
    information: dict[str, Any] = field(default_factory=dict)
    """Additions of the game, such as a log and rewards."""
    id: str = ""
    """The id of the learner, which its agent has as ``control``."""

    @property
    def agent(self) -> Element | None:
        """The learner's agent; None while the engine has given it none."""
        found = self._found
        return None if found is None else found[1]

    @property
    def agent_name(self) -> str | None:
        """The full name of that agent: ``"State.player0"``."""
        found = self._found
        return None if found is None else found[0]

    @property
    def _found(self) -> tuple[str, Element] | None:
        name = self.state.get("name", "State")
        all = _below(self.state, name)
        return next(((name, one) for name, one in all if one.get("control") == self.id), None)

    @property
    def turn(self) -> str | None:
        """The full name of the agent whose turn it is; None if the state has no order of agents."""
        order = self.state.find(ORDER)
        if order is None:
            return None
        names = [item.findtext("str") for item in order.findall("data/list/item")]
        try:
            head = int(order.findtext("head_idx") or -1)
        except ValueError:
            return None
        return names[head] if 0 <= head < len(names) else None

    @property
    def is_own_turn(self) -> bool:
        """True if it is the turn of the learner's agent, or the state has no order of agents."""
        name = self.agent_name
        return name is not None and self.turn in (None, name)

    @property
    def is_final(self) -> bool:
        """True of the last observation of a game."""
        return self.state.get("is_final") == "True"

    @property
    def step(self) -> int:
        """The number of the step, as the engine counts."""
        try:
            return int(self.state.get("env_step") or 0)
        except ValueError:
            return 0

    @property
    def reward(self) -> float:
        """The ``reward`` that the game adds for the learner's agent; 0 without one."""
        rewards = self.information.get("reward")
        reward = rewards.get(self.agent_name) if isinstance(rewards, dict) else rewards
        return float(reward) if isinstance(reward, (int, float)) else 0.0


def _below(element: Element, name: str) -> Iterator[tuple[str, Element]]:
    """The objects and agents in an element, with their full names."""
    for child in element:
        own = child.get("name")
        if own is not None and child.tag != "Characteristic":
            yield f"{name}.{own}", child
            yield from _below(child, f"{name}.{own}")
