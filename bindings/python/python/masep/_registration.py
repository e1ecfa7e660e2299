"""``gymnasium.make("masep:Remote-v0", address=...)``: Gymnasium imports the module, which has the environment registered."""

from __future__ import annotations

import sys


def register() -> None:
    """Registers the remote environment, if Gymnasium is there already. It is not imported for that."""
    gymnasium = sys.modules.get("gymnasium")
    registry = getattr(gymnasium, "registry", None)
    if registry is None or "Remote-v0" in registry:
        return
    gymnasium.register(  # type: ignore[union-attr]
        "Remote-v0",
        entry_point="masep.gymnasium:RemoteEnv",
        vector_entry_point="masep.gymnasium:RemoteVectorEnv",
        disable_env_checker=True,
        order_enforce=False,
    )
