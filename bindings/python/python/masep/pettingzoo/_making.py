"""Environments of PettingZoo by their names, and as AEC or Parallel ones."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any, Literal, TypeAlias

import pettingzoo  # type: ignore[import-untyped]
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils.conversions import aec_to_parallel, parallel_to_aec  # type: ignore[import-untyped]

from .._environments.worker import check_makes
from .._exceptions import CallerError

Environment: TypeAlias = AECEnv[Any, Any, Any] | ParallelEnv[Any, Any, Any]
Source: TypeAlias = str | ModuleType | Callable[..., Environment]

_FUNCTIONS = {"aec": "env", "parallel": "parallel_env"}


def make(
    source: Source,
    arguments: dict[str, Any],
    kind: Literal["aec", "parallel"] | None = None,
) -> Environment:
    """An environment.

    :param source: the id of an environment that is registered, ``"classic/tictactoe-v3"``; the name of a module
        with ``env()`` or ``parallel_env()``, ``"pettingzoo.classic.tictactoe_v3"``, or the module; or a function
        that makes one, or its name, ``"package.module:function"``
    :param kind: the kind that is wanted. None: a Parallel one where there are both
    :raises CallerError: if there is no such thing
    """
    made = maker(source, kind)(**arguments)
    if not isinstance(made, (AECEnv, ParallelEnv)):
        raise CallerError(f"no environment of PettingZoo: {made!r:.100}")
    return made if kind is None else _converted(made, kind)


def maker(source: Source, kind: str | None) -> Callable[..., Any]:
    """The function by which :func:`make` makes an environment.

    :raises CallerError: if there is no such thing
    """
    if kind not in (None, *_FUNCTIONS):
        raise CallerError(f"kind is 'aec', 'parallel' or None, not {kind!r:.100}")
    if isinstance(source, str) and "/" in source:
        return _registered(source, kind)
    return _function(source, kind)


def _registered(id: str, kind: str | None) -> Callable[..., Any]:
    if not hasattr(pettingzoo, "make"):
        raise CallerError(f"this version of PettingZoo has no registry for {id!r}: name the module")
    registries = {"parallel": pettingzoo.parallel_registry, "aec": pettingzoo.aec_registry}
    normal = id.replace("_v", "-v")
    for which in (kind or "parallel", *registries):
        if normal in registries[which]:
            return partial(pettingzoo.make, which, normal)
    raise CallerError(f"PettingZoo has no environment {id!r}")


def _function(source: Source, kind: str | None) -> Callable[..., Any]:
    if isinstance(source, str):
        name, _, function = source.partition(":")
        with warnings.catch_warnings():
            # The modules of PettingZoo itself say that there are ids now.
            warnings.simplefilter("ignore", DeprecationWarning)
            source = importlib.import_module(name)
        if function:
            return getattr(source, function)  # type: ignore[no-any-return]
    if not isinstance(source, ModuleType):
        check_makes(source)
        return source
    wanted = _FUNCTIONS[kind or "parallel"]
    for name in (wanted, *_FUNCTIONS.values()):
        if (found := getattr(source, name, None)) is not None:
            return found  # type: ignore[no-any-return]
    raise CallerError(f"the module {source.__name__} has no env() and no parallel_env()")


def _converted(env: Environment, kind: str) -> Environment:
    if kind == "aec":
        return parallel_to_aec(env) if isinstance(env, ParallelEnv) else env
    if isinstance(env, ParallelEnv):
        return env
    if not env.metadata.get("is_parallelizable", False):
        raise CallerError(f"{env} is played in turns: it is no Parallel environment")
    return aec_to_parallel(env)


def possible_agents(env: Environment) -> list[str]:
    """All agents that an environment may have.

    :raises CallerError: if it does not say, or they are no texts
    """
    agents = getattr(env, "possible_agents", None)
    if agents is None:
        raise CallerError(f"{env} has no possible_agents, which are the seats of a table")
    return [checked_agent(agent) for agent in agents]


def checked_agent(agent: Any) -> str:
    if not isinstance(agent, str):
        raise CallerError(f"an agent is a str, not {agent!r:.100}")
    return str(agent)
