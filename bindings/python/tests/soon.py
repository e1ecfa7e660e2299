"""Waits of the tests: for what happens soon, and would be waited for until then if it did not."""

from __future__ import annotations

import masep
import pytest

#: Seconds, also on a machine that has much else to do. Nothing is expected to take so long.
SOON = 30.0


def joins(player):
    """Waits until the player is at its table, which asks it nothing yet. It connects when a turn is asked for."""
    while "joined" not in [event.kind for event in player.events()]:
        with pytest.raises(masep.TimedOut):
            player.next_turn(0.05)
