"""The game as spectators see it, unless the host has another wish."""

from __future__ import annotations

from typing import Any

from .._environments.values import to_wire
from ._making import Environment
from ._views import AgentView


def shown(env: Environment, views: list[AgentView], are_there: bool) -> dict[str, Any] | None:
    """A frame, or what these agents see. None: nobody is there to see a frame, which is dear."""
    told: dict[str, Any] = {
        "agents": list(env.agents),
        "rewards": {view.agent: view.reward for view in views},
        "terminations": {view.agent: view.terminated for view in views},
        "truncations": {view.agent: view.truncated for view in views},
    }
    if getattr(env, "render_mode", None) not in ("rgb_array", "ansi"):
        told["observations"] = {view.agent: view.view for view in views}
    elif are_there:
        told["frame"] = env.render()
    else:
        return None
    return to_wire(told)  # type: ignore[no-any-return]
