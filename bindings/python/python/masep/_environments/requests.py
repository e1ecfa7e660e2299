"""The server's side of one environment: the requests of its client, one after the other."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from .. import _masep
from .._exceptions import CallerError, PeerError, TransportError
from .values import to_wire, without_formless

TRACEBACK_CHARACTERS = 32_768
"""Of a longer traceback the end counts."""

FORMLESS = "Or have the server leave out of an info what cannot be sent: drop_formless=True, --drop-formless"
"""The other way out for those who cannot change an environment."""


def text_of(error: BaseException) -> str:
    """The text of an exception, whose own code may fail to give it."""
    try:
        return str(error)
    except Exception as failed:
        return f"its text could not be had: {type(failed).__name__}"


def failure(error: BaseException) -> dict[str, Any]:
    """An exception of an environment, as the client is told."""
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ != "builtins":
        name = f"{kind.__module__}.{name}"
    shown = "".join(traceback.format_exception(error))[-TRACEBACK_CHARACTERS:]
    # A text can hold halves of characters.
    parts = (part.encode(errors="replace").decode() for part in (name, text_of(error), shown))
    return dict(zip(("type", "text", "traceback"), parts))


class Requests:
    """One environment under its client's requests, until the connection has ended.

    :param drop_formless: whether what cannot be sent of an info is left out; else it is an error
    """

    def __init__(
        self, connection: _masep.Connection, env: Any, id: str, drop_formless: bool
    ) -> None:
        self.connection = connection
        self.env = env
        self.id = id
        self.drop_formless = drop_formless
        self.is_closed = False
        self.answers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "reset": self.reset,
            "render": self.render,
            "close": self.close,
        }

    def run(self) -> None:
        connection = self.connection
        _masep.wait_in_reads(connection)
        next_request = _masep.next_request
        while True:
            try:
                request = next_request(connection)
            except PeerError as error:
                connection.close("bad_request", str(error))
                return
            if request is None:
                return
            kind, number, params = request
            if number is None:
                connection.close("bad_request", "a request has a number")
                return
            try:
                if kind == "step":
                    self.step(params, number)
                else:
                    self.answer(kind, params, number)
            except TransportError:
                raise
            except Exception as error:
                if isinstance(error, CallerError) and "['info" in text_of(error):
                    error.add_note(FORMLESS)
                failed = {**failure(error), "request": number}
                connection.send_message("error", failed, self.id)

    def answer(self, kind: str, params: dict[str, Any], number: int) -> None:
        answer = self.answers.get(kind)
        if answer is None:
            raise CallerError(f"there is no request {kind!r:.100}")
        self.connection.send_message(kind, {**answer(params), "request": number}, self.id)

    def info(self, info: dict[str, Any]) -> dict[str, Any]:
        if not info:
            return {}
        info = to_wire(info)
        return without_formless(info) if self.drop_formless else info

    def reset(self, params: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    def step(self, action: Any, number: int) -> None:
        """Answers a step itself."""
        raise NotImplementedError

    def render(self, params: dict[str, Any]) -> dict[str, Any]:
        return {"frame": to_wire(self.env.render())}

    def close(self, params: dict[str, Any]) -> dict[str, Any]:
        if not self.is_closed:
            self.is_closed = True
            self.env.close()
        return {}
