"""The part of a game that one agent is told, and what goes over the wire for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from .._environments.spaces import space_to_json
from .._environments.values import to_wire, without_formless


@dataclass(frozen=True)
class AgentView:
    """All that the environment says to an agent: when it is asked, or last."""

    agent: str
    """Its name, which is that of its seat."""
    view: Any
    """The observation, as the environment gives it."""
    reward: float
    """The reward since the agent was asked before."""
    terminated: bool
    """True if it is dead, or the game over."""
    truncated: bool
    """The same, by a bound of time, or because the episode was given up."""
    info: dict[str, Any]
    """Anything else that the environment tells."""
    action_space: spaces.Space[Any]
    """The space of its actions."""
    observation_space: spaces.Space[Any]
    """The space of its observations."""

    @property
    def observation(self) -> Any:
        """The observation without the mask that stands beside it in many games."""
        view = self.view
        return view["observation"] if _has_mask(view) and "observation" in view else view

    @property
    def mask(self) -> Any:
        """The mask of legal actions, an array of 0 and 1 for each: from the observation, or the info. None if
        the environment tells none."""
        view = self.view
        return view["action_mask"] if _has_mask(view) else self.info.get("action_mask")


def _has_mask(view: Any) -> bool:
    return isinstance(view, dict) and "action_mask" in view


class AgentForms:
    """The forms on the wire that are the same for all views of an agent."""

    def __init__(self, action_space: spaces.Space[Any], observation_space: spaces.Space[Any]) -> None:
        self.action_space = action_space
        self.observation_space = observation_space
        self.spaces = {
            "action_space": space_to_json(action_space),
            "observation_space": space_to_json(observation_space),
        }


def information(view: AgentView, reward: Any, forms: AgentForms, drop_formless: bool) -> dict[str, Any]:
    """Everything that goes beside the observation."""
    info = to_wire(dict(view.info))
    return {
        "agent": view.agent,
        "reward": reward,
        "terminated": bool(view.terminated),
        "truncated": bool(view.truncated),
        "info": without_formless(info) if drop_formless else info,
        **forms.spaces,
    }


def plain_reward(reward: Any) -> Any:
    """A reward as a number, for players in any language."""
    if type(reward) in (int, float):
        return reward
    return np.asarray(reward).item() if np.size(reward) == 1 else float(reward)
