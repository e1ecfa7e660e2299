"""The rules of the pursuit game: predators hunt prey on a torus. Nothing in here knows of a network.

The same seed and the same moves give the same game, also in the example of the Rust program.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement

SIDE = 16
"""Width and height of the torus, in cells."""
MAX_STEPS = 200
"""An episode ends after so many steps, or when all prey is caught."""
STEP_REWARD, CATCH_REWARD = -1, 20
MOVES = [(0, 0), (0, -1), (1, 0), (0, 1), (-1, 0)]
"""To stay, and one step north, east, south or west. The type of an Action is the number of its move."""

Cell = tuple[int, int]


def moved(cell: Cell, move: int) -> Cell:
    (x, y), (dx, dy) = cell, MOVES[move]
    return (x + dx) % SIDE, (y + dy) % SIDE


def distance(a: Cell, b: Cell) -> int:
    """The number of steps from one cell to the other."""
    return sum(min((p - q) % SIDE, (q - p) % SIDE) for p, q in zip(a, b, strict=True))


class SplitMix64:
    """The generator of that name (Steele, Lea and Flood, 2014)."""

    def __init__(self, seed: int) -> None:
        self.state = seed

    def next(self) -> int:
        mask = (1 << 64) - 1
        self.state = (self.state + 0x9E37_79B9_7F4A_7C15) & mask
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58_476D_1CE4_E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D0_49BB_1331_11EB) & mask
        return z ^ (z >> 31)

    def below(self, end: int) -> int:
        return (self.next() * end) >> 64

    def cell(self) -> Cell:
        return self.below(SIDE), self.below(SIDE)


@dataclass
class Predator:
    cell: Cell = (0, 0)
    reward: int = 0
    total_reward: int = 0
    caught: int = 0


class World:
    def __init__(self, seed: int, predators: int) -> None:
        self.random = SplitMix64(seed)
        self.steps = 0
        self.predators = [Predator() for _ in range(predators)]
        self.prey: list[Cell | None] = [None] * ((predators + 1) // 2)

    def restart(self) -> None:
        """Begins an episode: everybody stands somewhere."""
        self.steps = 0
        for predator in self.predators:
            predator.cell, predator.reward = self.random.cell(), 0
        self.prey = [self.random.cell() for _ in self.prey]

    @property
    def is_final(self) -> bool:
        return self.steps >= MAX_STEPS or not any(self.prey)

    def step(self, moves: Sequence[int]) -> None:
        """All predators move at once, then the prey that is not caught flees."""
        self.steps += 1
        for predator, move in zip(self.predators, moves, strict=True):
            predator.cell, predator.reward = moved(predator.cell, move), STEP_REWARD
        for index, cell in enumerate(self.prey):
            if cell is not None:
                self.prey[index] = None if self.catch_at(cell) else self.flee_from(cell)
        for predator in self.predators:
            predator.total_reward += predator.reward

    def catch_at(self, cell: Cell) -> bool:
        catchers = [predator for predator in self.predators if predator.cell == cell]
        for predator in catchers:
            predator.reward += CATCH_REWARD
            predator.caught += 1
        return bool(catchers)

    def flee_from(self, cell: Cell) -> Cell:
        """Away from the nearest predator, but one time in three it rests, or nobody would ever catch it."""
        if self.random.below(3) == 0:
            return cell
        ways = [moved(cell, move) for move in range(len(MOVES))]
        first = self.random.below(len(ways))
        ways = ways[first:] + ways[:first]
        # Of equally good ways the last is taken.
        return max(reversed(ways), key=self.nearest)

    def nearest(self, cell: Cell) -> int:
        return min(distance(predator.cell, cell) for predator in self.predators)

    def rewards(self) -> dict[str, int]:
        """Each predator's reward for the last step, by its name in the State."""
        return {f"State.predator{n}": it.reward for n, it in enumerate(self.predators)}

    def state(self, controls: Sequence[str]) -> Element:
        """The world as a State of pymasep, with an Agent for each predator, which says who controls it, and for
        each prey that is not caught."""
        final = str(self.is_final)
        state = Element("State", name="State", state="run", is_final=final, env_step=str(self.steps))
        board = SubElement(state, "Object", name="board", state="run", nature="board")
        characteristic(board, "Size", (SIDE, SIDE))
        for number, (predator, control) in enumerate(zip(self.predators, controls, strict=True)):
            agent(state, "predator", number, predator.cell).set("control", control)
        for number, cell in enumerate(self.prey):
            if cell is not None:
                agent(state, "prey", number, cell)
        return state


def agent(state: Element, nature: str, number: int, cell: Cell) -> Element:
    controller = f"pursuit.{nature}"
    named = {"name": f"{nature}{number}", "state": "run", "nature": nature, "controller": controller}
    element = SubElement(state, "Agent", named)
    characteristic(element, "Pos", cell)
    return element


def characteristic(parent: Element, name: str, value: Cell) -> None:
    """A property of an object, in the two elements that pymasep puts around its value."""
    within = SubElement(parent, "ObjectState", name="state", state="run")
    pair = SubElement(SubElement(within, "Characteristic", name=name, state="run"), "tuple")
    for number in value:
        SubElement(pair, "int").text = str(number)
