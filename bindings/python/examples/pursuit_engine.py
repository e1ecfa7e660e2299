"""An engine, whole: it owns a game (the rules are in `pursuit_world.py`) and plays it with those who sit at its table.

    python pursuit_engine.py [HOST:PORT [ACTORS [EPISODES [SECONDS]]]]

Then `pursuit_agent.py` with the same address in as many other shells; pymasep's interfaces play too, and observers watch.
A player whose action is wrong, late or missing stands still. One that leaves, falls asleep or stops reading costs
the others no more than the rules of the table say; one that is killed comes back by its id.
"""

from __future__ import annotations

import sys
from typing import Any

import masep
from masep import Seat, View
from pursuit_world import MOVES, World

GAME = "pursuit.PursuitGame"
STAY = 0


def chosen(action: Any) -> int:
    """The move that an action means, whatever it is."""
    kind = action.get("type") if hasattr(action, "get") else action
    try:
        number = int(kind)
    except (TypeError, ValueError):
        return STAY
    return number if 0 <= number < len(MOVES) else STAY


def plain(player: str | None) -> str:
    """An id that stands in each State. It comes from outside, and XML does not take every character."""
    return "".join(c for c in player or "" if c.isprintable())


def play(table: masep.Table, world: World, episodes: int) -> None:
    def view(_seat: Seat | None) -> View:
        state = world.state([plain(seat.player) for seat in table.seats])
        return View(state, reward=world.rewards())

    table.filled()
    for episode in range(episodes):
        world.restart()
        while not world.is_final:
            table.show(view(None))
            moves = table.ask_all(view)
            if all(move.why in ("gone", "vacant") for move in moves):
                return
            world.step([chosen(move.action) for move in moves])
        table.finish_episode(view)
        table.show(view(None))
        print(f"episode {episode + 1} took {world.steps} steps", flush=True)


def main(
    address: str = "127.0.0.1:60000", actors: str = "1", episodes: str = "10", deadline: str = "5"
) -> None:
    seats = [f"predator{number}" for number in range(int(actors))]
    rules: dict[str, Any] = {
        "deadline": float(deadline),  # seconds that a player has for its move
        "grace": 3 * float(deadline),  # and that one may be away, in all turns together
        "late": STAY,
        "rejoins_by_id": True,
        "limits": masep.Limits(id_bytes=64),  # each id stands in each State, which has to fit into a frame
    }
    world = World(seed=1, predators=len(seats))
    with masep.Table(GAME, seats, address, id="pursuit-engine", **rules) as table:
        print(f"{table.target} awaits its actors", flush=True)
        try:
            play(table, world, int(episodes))
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        players = [seat.player for seat in table.seats]
    for player, predator in zip(players, world.predators, strict=True):
        print(f"{player!r}: reward {predator.total_reward}, {predator.caught} caught", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
