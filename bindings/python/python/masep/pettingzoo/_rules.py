"""The rules by which moves become actions: legal ones, and those of agents that have none of their own."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, Literal, TypeAlias
from xml.etree.ElementTree import Element

import numpy as np
from gymnasium import spaces

from .._environments.values import caster
from .._exceptions import CallerError
from .._table import Move
from ._views import AgentView

Late: TypeAlias = Literal["random-legal"] | Callable[[AgentView], Any]


class IllegalAction(Exception):
    """An action that is none of its space, or is masked."""

    def __init__(self, text: str, action: Any = None, is_masked: bool = False) -> None:
        super().__init__(text)
        self.action = action
        self.is_masked = is_masked


def checked(view: AgentView, action: Any) -> Any:
    """An action of a player, as the environment takes it.

    :raises IllegalAction: if it is none
    """
    space = view.action_space
    try:
        cast = caster(space, outwards=False)(action)
        is_one = space.contains(cast)
    except Exception as error:
        # It may be anything that a client can send.
        raise IllegalAction(f"{error}") from None
    if not is_one:
        raise IllegalAction(f"{action!r:.100} is not in {space!s:.200}")
    if _is_masked(space, view.mask, cast):
        raise IllegalAction(f"{action!r:.100} is masked", cast, is_masked=True)
    return cast


def _is_masked(space: spaces.Space[Any], mask: Any, action: Any) -> bool:
    """True of an action that the environment says to be illegal. Masks of other spaces than a Discrete are its own
    affair."""
    if mask is None or not isinstance(space, spaces.Discrete):
        return False
    flags = np.asarray(mask)
    index = int(action) - int(space.start)
    return flags.shape == (int(space.n),) and not flags[index]


class RandomLegal:
    """A legal action by chance."""

    def __init__(self, seed: int | None) -> None:
        self._seeds = np.random.default_rng(seed)
        #: Copies: the environment may draw from its own.
        self._spaces: dict[str, tuple[spaces.Space[Any], spaces.Space[Any]]] = {}

    def __call__(self, view: AgentView) -> Any:
        original, space = self._spaces.get(view.agent, (None, None))
        if space is None or original is not view.action_space:
            space = deepcopy(view.action_space)
            space.seed(int(self._seeds.integers(2**31)))
            self._spaces[view.agent] = view.action_space, space
        mask = view.mask
        if isinstance(space, spaces.Discrete) and mask is not None:
            mask = np.asarray(mask)
            mask = mask.astype(np.int8) if mask.shape == (int(space.n),) else None
        try:
            return space.sample(mask)
        except Exception:
            # A mask that this space has no use for: each has errors of its own for that.
            return space.sample()


_REASONS = {
    "late": "its player is late",
    "away": "its player is away",
    "asleep": "its player has missed too many turns",
    "gone": "its player is gone",
    "vacant": "its player is gone",
    "dead": "its seat is closed",
    "closed": "its turn was closed",
    "undeliverable": "its player cannot take what it is sent",
}


class GivenUp(Exception):
    """The episode cannot go on: why, and an agent whose action is illegal, and why."""

    def __init__(self, text: str, agent: str | None = None, illegal: str | None = None) -> None:
        super().__init__(text)
        self.agent = agent
        self.illegal = illegal


def by_type(element: Element, agent: str) -> int:
    """The action that an interface of pymasep's names by the type of its element."""
    return int(element.get("type", ""))


class Rules:
    """The actions that an environment is told for moves.

    :param act: reads the elements of pymasep's interfaces; None: there are none here
    """

    def __init__(
        self,
        late: Late | None,
        illegal: Literal["late", "end", "environment"],
        act: Callable[[Element, str], Any] | None,
        seed: int | None,
    ) -> None:
        if illegal not in ("late", "end", "environment"):
            raise CallerError(f"illegal is 'late', 'end' or 'environment', not {illegal!r:.100}")
        self._late: Callable[[AgentView], Any] | None
        if late == "random-legal":
            self._late = RandomLegal(seed)
        elif late is None or callable(late):
            self._late = late
        else:
            raise CallerError(f"late is 'random-legal', a function or None, not {late!r:.100}")
        self._illegal = illegal
        self._act = act

    def action(
        self, move: Move, view: AgentView, count_players: Callable[[], int]
    ) -> tuple[Any, str | None]:
        """The action of an agent, and why its own is illegal, if it is.

        :param count_players: gives the number of agents that somebody plays
        :raises GivenUp: if there is none
        """
        if move.how != "played":
            reason = _REASONS.get(move.why or "", str(move.why))
            return self._in_place(view, reason, count_players), None
        try:
            return checked(view, self._read(move.action, view.agent)), None
        except IllegalAction as error:
            if error.is_masked and self._illegal == "environment":
                return error.action, str(error)
            reason = f"its action is illegal: {error}"
            if self._illegal == "end":
                raise GivenUp(f"{view.agent}: {reason}", view.agent, str(error)) from None
            try:
                return self._in_place(view, reason, count_players), str(error)
            except GivenUp as given_up:
                raise GivenUp(str(given_up), view.agent, str(error)) from None

    def _in_place(self, view: AgentView, reason: str, count_players: Callable[[], int]) -> Any:
        """The action for an agent that has none."""
        if self._late is None:
            raise GivenUp(f"{view.agent} has no action: {reason}")
        if not count_players():
            raise GivenUp("no player is left")
        return self._late(view)

    def _read(self, action: Any, agent: str) -> Any:
        if self._act is None or not isinstance(action, Element):
            return action
        try:
            return self._act(action, agent)
        except Exception as error:
            raise IllegalAction(f"no action: {error!r:.200}") from None
