"""A server of environments of Gymnasium."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import gymnasium

from .. import _masep
from .._environments import serving
from .._environments.worker import Setting, Wish, check_makes
from .._exceptions import CallerError
from ._environment import Steps, description

_log = logging.getLogger("masep")


class EnvSetting(Setting):
    """Environments of Gymnasium."""

    def check(self) -> None:
        if isinstance(self.env, str):
            try:
                gymnasium.spec(self.env)
            except gymnasium.error.Error as error:
                raise CallerError(f"Gymnasium has no environment {self.env!r}: {error}") from None
        else:
            check_makes(self.env)

    def make(self, wish: Wish) -> gymnasium.Env[Any, Any]:
        arguments = {**self.arguments, **wish.arguments}
        if isinstance(self.env, str):
            return gymnasium.make(self.env, **arguments)
        made = self.env(**arguments)
        if not isinstance(made, gymnasium.Env):
            raise TypeError(f"the function gave no gymnasium.Env but {made!r:.100}")
        return made

    def describe(self, env: gymnasium.Env[Any, Any], wish: Wish) -> dict[str, Any]:
        return description(env)

    def requests(
        self, connection: _masep.Connection, env: gymnasium.Env[Any, Any], wish: Wish
    ) -> Steps:
        return Steps(connection, env, self.id, wish.autoreset, self.drop_formless)


class EnvironmentServer(serving.EnvironmentServer[str | Callable[..., Any]]):
    """Serves environments of Gymnasium: each client has its own, in a process of its own.

    ``env`` is the id of an environment, or a function that makes one. As a context manager it is closed at the end of
    the block. A program that makes one has its main part behind ``if __name__ == "__main__":``, because its worker
    processes import it.
    """

    _setting = EnvSetting
    _kinds = ("gymnasium",)
    _autoresets = ("disabled", "next_step", "same_step")


def serve(env: str | Callable[..., Any], address: str, **options: Any) -> None:
    """Serves environments until Ctrl-C: :class:`EnvironmentServer` has the options.

    :raises RuntimeError: if no worker process comes up
    """
    with EnvironmentServer(env, address, **options) as server:
        _log.info("environments at %s", server.target)
        server.wait()
