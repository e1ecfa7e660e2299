"""The client's side of an environment that runs elsewhere, whatever its kind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, SupportsIndex

from .. import _blocks, _masep
from .._exceptions import CallerError, TransportError
from .._limits import Limits
from .session import Session, Target
from .values import from_wire, to_wire

LIMITS = Limits(payload_bytes=256 << 20)
"""The bound of what an environment may send at once, unless the user says otherwise."""


def without_window(arguments: dict[str, Any], render_mode: str | None) -> dict[str, Any]:
    """The arguments of an environment, with the render mode among them.

    :raises CallerError: for the mode ``"human"``
    """
    if render_mode == "human":
        raise CallerError("a window would open where the environment runs: use 'rgb_array' or 'ansi'")
    return arguments if render_mode is None else {**arguments, "render_mode": render_mode}


def without_human(metadata: dict[str, Any]) -> dict[str, Any]:
    """The metadata of an environment, without the render mode that opens a window where it runs."""
    modes = metadata.get("render_modes") or []
    return {**metadata, "render_modes": [mode for mode in modes if mode != "human"]}


def check_count(name: str, count: object) -> None:
    """Refuses what is no number of environments."""
    if not isinstance(count, SupportsIndex) or count.__index__() < 1:
        raise CallerError(f"{name} is a number from 1 on, not {count!r:.100}")


def check_timeouts(*timeouts: float | None) -> None:
    """Refuses a timeout that is none now, and not when something is waited for."""
    for timeout in timeouts:
        _masep.check_timeout(timeout)


class Remote(_blocks.Live):
    """An environment on a connection, which is made anew by a reset when it has ended, and by nothing else."""

    _session: Session

    def _begin(self, target: Target, timeout: float | None, make_timeout: float | None) -> None:
        check_timeouts(timeout, make_timeout)
        limits = LIMITS if target.limits is None else target.limits
        self._target = replace(target, limits=limits)
        self._timeout, self._make_timeout = timeout, make_timeout
        self._is_closed = False
        self._connect()

    def _connect(self) -> None:
        """Makes the environment: :attr:`_session` is it, and this side has its spaces."""
        raise NotImplementedError

    def _told(self) -> None:
        """Takes what every kind of environment says of itself."""
        session = self._session
        self.metadata = without_human(session.metadata)
        self.render_mode = session.render_mode
        self._is_closed = False

    def _ask(self, kind: str, params: dict[str, Any]) -> dict[str, Any]:
        return self._session.ask(kind, params, self._timeout)

    def _ask_to_reset(self, seed: int | None, options: dict[str, Any] | None) -> dict[str, Any]:
        if self._session.has_ended or self._is_closed:
            self._connect()
        params = {"seed": seed, "options": to_wire(options)}
        try:
            return self._ask("reset", params)
        except TransportError:
            # Nothing was heard of the end before: the connection may be one of long ago.
            if self._session.last > 1 and self._session.has_ended:
                self._connect()
                return self._ask("reset", params)
            raise

    def render(self) -> Any:
        return from_wire(self._ask("render", {})["frame"])

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._session.close()
