"""The client's side of one environment: a connection, and numbered requests on it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from .. import _live, _masep, _tls
from .._exceptions import MasepError, PeerError, TransportError
from .._limits import Limits, SocketOptions

PROFILE = "environment/1"

NO_ENVIRONMENTS = (
    "it is no server of environments, which masep.gymnasium.serve and masep.pettingzoo.serve_environments are; players of a "
    "table come by masep.join, or masep.pettingzoo.join, and others by masep.connect"
)

CLOSE_SECONDS = 5.0
"""The longest wait for an environment that is being closed."""


Stepped = tuple[Any, float, bool, bool, dict[str, Any], dict[str, Any] | None]


class RemoteError(MasepError, RuntimeError):
    """The environment raised an exception where it runs. The next ``reset`` begins anew."""

    type: str
    """The class of that exception: ``"ValueError"``, ``"ale_py.SomeError"``."""
    text: str
    """Its text, which comes from outside: escape it before it reaches a terminal."""
    traceback: str
    """Its traceback, as Python shows it there. The same holds for it."""

    def __init__(self, type: str, text: str, traceback: str = "") -> None:
        super().__init__(f"{type}: {text}\n\nWhere the environment runs:\n{traceback}".rstrip())
        self.type = type
        self.text = text
        self.traceback = traceback


def place(address: str) -> str:
    """The address in a line of ``masep token new``, without its token."""
    return address.partition("?token=")[0]


@dataclass(frozen=True)
class Target:
    """The server, and the environment that it is asked for."""

    #: It may be the line of ``masep token new``, which has a token in it.
    address: str = field(repr=False)
    arguments: dict[str, Any]
    autoreset: str = "disabled"
    id: str | None = None
    connect_timeout: float | None = None
    limits: Limits | None = None
    socket_options: SocketOptions | None = None
    kind: str = "gymnasium"
    tls_ca: _tls.Path | None = None
    tls_name: str | None = None
    token: str | None = field(default=None, repr=False)

    @property
    def place(self) -> str:
        return place(self.address)


class Session:
    """An environment that the server has made for this client."""

    __slots__ = ("connection", "id", "last", "is_awaited", "told", "metadata", "render_mode")

    def __init__(self, target: Target, make_timeout: float | None = None) -> None:
        self.id = target.id or f"environment-{os.getpid()}"
        #: The number of the last request, and whether its answer is still to come.
        self.last, self.is_awaited = 0, True
        self.connection = _live.connection(self._connected(target))
        try:
            _masep.wait_in_reads(self.connection)
            kind, params = self._answered(_masep.answer(self.connection, 0, make_timeout))
            if kind != "environment":
                raise PeerError(f"the server says {kind!r:.100} instead of the environment", "profile")
            if params.get("kind") != target.kind:
                raise PeerError(f"the environment is of the kind {params.get('kind')!r:.100}", "profile")
            try:
                self._describe(params)
            except KeyError as error:
                raise PeerError(f"the environment has no {error}", "profile") from None
        except BaseException:
            self.connection.try_close()
            raise

    def _connected(self, target: Target) -> _masep.Connection:
        make = {"kind": target.kind, "arguments": target.arguments, "autoreset": target.autoreset}
        try:
            return _masep.connect(
                self.id,
                target.address,
                target.connect_timeout,
                "wait",
                target.limits,
                target.socket_options,
                2,
                PROFILE,
                make,
                _tls.trust(target.tls_ca, target.tls_name),
                target.token,
            )
        except PeerError as error:
            if error.kind != "profile":
                raise
            raise PeerError(f"{error}: {NO_ENVIRONMENTS}", error.kind) from None

    def _describe(self, params: dict[str, Any]) -> None:
        #: All that the server says of the environment.
        self.told = params
        self.metadata: dict[str, Any] = params.get("metadata") or {}
        self.render_mode: str | None = params.get("render_mode")

    def ask(self, kind: str, params: dict[str, Any], timeout: float | None = None) -> dict[str, Any]:
        """The answer to a request. When a wait for one has failed (Ctrl-C, a time-out), the next ask does not get it
        for its own."""
        self.last = number = self.last + 1
        self.is_awaited = True
        params["request"] = number
        answer = _masep.ask(self.connection, kind, params, self.id, number, timeout)
        return self._checked(kind, answer)

    def send_step(self, action: Any) -> None:
        """The first half of a step."""
        self.last = number = self.last + 1
        self.is_awaited = True
        _masep.send_step(self.connection, action, self.id, number)

    def receive_step(self, timeout: float | None = None) -> Stepped:
        """The second: observation, reward, terminated, truncated, info, and a dict of what else there is, or
        None."""
        stepped, other = _masep.stepped(self.connection, self.last, timeout)
        if stepped is None:
            raise self.unexpected("step", other)
        self.is_awaited = False
        return stepped

    def send(self, kind: str, params: dict[str, Any]) -> None:
        """The first half of :meth:`ask`."""
        self.last = params["request"] = self.last + 1
        self.is_awaited = True
        self.connection.send_message(kind, params, self.id)

    def receive(self, kind: str, timeout: float | None = None) -> dict[str, Any]:
        """The second."""
        return self._checked(kind, _masep.answer(self.connection, self.last, timeout))

    def _checked(
        self, kind: str, answer: tuple[str, dict[str, Any]] | None
    ) -> dict[str, Any]:
        if answer is not None and answer[0] == kind:
            self.is_awaited = False
            return answer[1]
        raise self.unexpected(kind, answer)

    def unexpected(self, kind: str, answer: tuple[str, dict[str, Any]] | None) -> PeerError:
        """The fault of an answer, if it is not that of the environment."""
        answered, _ = self._answered(answer)
        return PeerError(f"the server answers {kind!r} with {answered!r:.100}", "profile")

    def _answered(self, answer: tuple[str, dict[str, Any]] | None) -> tuple[str, dict[str, Any]]:
        if answer is None:
            raise self._ended()
        self.is_awaited = False
        kind, params = answer
        if kind == "error":
            told = [str(params.get(key) or "") for key in ("type", "text", "traceback")]
            raise RemoteError(*told)
        return kind, params

    def _ended(self) -> TransportError:
        bye = self.connection.peer_bye
        reason = self.connection.close_reason or "io"
        if bye is None:
            return TransportError(f"the environment is gone: {reason}", reason)
        said = f"{bye.code!r} {bye.text!r}"
        return TransportError(f"the environment is gone: {said}", reason, bye.code, bye.text)

    @property
    def has_ended(self) -> bool:
        return self.connection.close_reason is not None

    def close(self) -> None:
        """Closes the environment, unless it is busy, and the connection.

        :raises RemoteError: if that of the environment fails
        """
        try:
            if not self.has_ended and not self.is_awaited:
                self.ask("close", {}, CLOSE_SECONDS)
        except (TransportError, TimeoutError):
            # It is closed with its connection.
            pass
        finally:
            self.connection.try_close()
