"""Legal actions, and those of agents that have none of their own."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, Literal, TypeAlias

import numpy as np
from gymnasium import spaces

from .._environments.values import caster
from .._exceptions import CallerError
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
    except (CallerError, ValueError, TypeError, OverflowError, LookupError) as error:
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
        if mask is None:
            return space.sample()
        if isinstance(space, spaces.Discrete):
            mask = np.asarray(mask, np.int8)
        return space.sample(mask)


def late_function(late: Late | None, seed: int | None) -> Callable[[AgentView], Any] | None:
    if late == "random-legal":
        return RandomLegal(seed)
    if late is None or callable(late):
        return late
    raise CallerError(f"late is 'random-legal', a function or None, not {late!r:.100}")
