"""Functions of hosts that say who is let in."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from weakref import ref

from . import _blocks, _masep
from ._control import Hello
from ._exceptions import CallerError
from ._threads import check_loop_runs

_log = logging.getLogger("masep")


@dataclass(frozen=True)
class Grant:
    """The rights of a client that is let in (``admit`` of :class:`masep.Server`). An empty part allows everything.

    :raises CallerError: for a role that is none, or one text in place of several
    """

    name: str
    """The name by which the host knows it: ``token_name`` of its connection. A seat in its grace belongs to this
    name, and :meth:`Server.kick` takes it as ``token``."""
    ids: Iterable[str] = ()
    """The ids under which it may come."""
    roles: Iterable[str] = ()
    """The roles that it may have: ``"actor"``, ``"observer"``."""
    games: Iterable[str] = ()
    """The games that it may join."""
    seats: Iterable[str] = ()
    """The seats that it may have as an actor."""
    expires: datetime | None = None
    """The time from which on it may nothing any more."""

    def __post_init__(self) -> None:
        for name in ("ids", "roles", "games", "seats"):
            given = getattr(self, name)
            if isinstance(given, str):
                raise CallerError(f"{name} are several texts, not one")
            object.__setattr__(self, name, tuple(given))
        if not set(self.roles) <= {"actor", "observer"}:
            raise CallerError('a role is "actor" or "observer"')


class AccessRequest:
    """A client of protocol 2 that has said HELLO, for a function that says whether it is let in."""

    __slots__ = ("hello", "target", "address")

    hello: Hello
    """The client by its own word: id, role, game, seat, and its access token."""
    target: str
    """The address of the client, as text."""
    address: tuple[str, int] | str
    """The host and the port of the client; on a Unix socket, the text ``"unix:///path"``."""

    def __init__(self, request: _masep.AccessRequest) -> None:
        self.hello = request.hello()
        self.target = request.target
        self.address = request.address

    @property
    def peer(self) -> str:
        """The client's id, by its own word."""
        return self.hello.id

    def __repr__(self) -> str:
        return _blocks.shown("masep.AccessRequest", lambda: f"of {_masep.quoted(self.peer)}")


Admit = Callable[[AccessRequest], bool | Grant]
AdmitAsync = Callable[[AccessRequest], bool | Grant | Awaitable[bool | Grant]]


def requests_for(admit: AdmitAsync | None, tokens: object) -> _masep.AccessRequests | None:
    """The clients that a server gives to a function, if it has one."""
    if admit is None:
        return None
    if not callable(admit):
        raise CallerError(f"admit is a function, not a {type(admit).__name__}")
    if tokens is not None:
        raise CallerError("it is either tokens= or admit= that says who is let in")
    return _masep.AccessRequests()


class Asker(Protocol):
    """A server with a function that is asked. Only the server keeps it, until its end: the two often have each other."""

    _admit: AdmitAsync | None


class InThread:
    """A server whose function a thread calls."""

    __slots__ = ()

    def _access_requests(
        self, admit: AdmitAsync | None, tokens: object
    ) -> _masep.AccessRequests | None:
        """The clients about which the function is asked."""
        check_is_plain(admit)
        return requests_for(admit, tokens)

    def _answer(self: Asker, requests: _masep.AccessRequests) -> None:
        """Has the function asked about clients, now that they come."""
        answer_in_thread(requests, ref(self))


class InLoop:
    """The same of one whose function the event loop calls."""

    __slots__ = ()

    def _access_requests(
        self, admit: AdmitAsync | None, tokens: object
    ) -> _masep.AccessRequests | None:
        # Before the address is taken.
        check_loop_runs()
        return requests_for(admit, tokens)

    def _answer(self: Asker, requests: _masep.AccessRequests) -> None:
        answer_in_loop(requests, ref(self))


def check_is_plain(admit: AdmitAsync | None) -> None:
    """Refuses a coroutine function, which nobody would await."""
    if inspect.iscoroutinefunction(admit):
        raise CallerError("admit is a coroutine function, which masep.aio takes")


def answer_in_thread(requests: _masep.AccessRequests, server: ref[Asker]) -> None:
    """Has a thread ask the function about each client, until the server is gone."""
    threading.Thread(
        target=_answer_all, args=(requests, server), name="masep-admit", daemon=True
    ).start()


def _answer_all(requests: _masep.AccessRequests, server: ref[Asker]) -> None:
    while (request := requests.next()) is not None:
        _answer(request, server)
        # A client is not kept while the next one is waited for.
        del request


def _answer(request: _masep.AccessRequest, server: ref[Asker]) -> None:
    try:
        _decide(request, _asked(server, request))
    except BaseException:
        # Also SystemExit, which would end the thread, and nobody else would be asked about.
        _refuse_for_failure(request)


def answer_in_loop(requests: _masep.AccessRequests, server: ref[Asker]) -> None:
    """Has the running loop ask the function about each client, in a task of its own, until either is gone."""
    threading.Thread(
        target=_give_all,
        args=(requests, asyncio.get_running_loop(), server),
        name="masep-aio-admit",
        daemon=True,
    ).start()


def _give_all(
    requests: _masep.AccessRequests, loop: asyncio.AbstractEventLoop, server: ref[Asker]
) -> None:
    #: A loop keeps no tasks.
    tasks: set[asyncio.Task[None]] = set()

    def begin(request: _masep.AccessRequest) -> None:
        task = loop.create_task(_answer_async(request, server))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    while (request := requests.next()) is not None:
        try:
            loop.call_soon_threadsafe(begin, request)
        except RuntimeError:
            # One that is dropped is refused, also later.
            return
        del request


def _asked(server: ref[Asker], request: _masep.AccessRequest) -> object:
    """The answer of the function, or what is to be awaited for it: no, at the end of the server."""
    admit = getattr(server(), "_admit", None)
    return False if admit is None else admit(AccessRequest(request))


async def _answer_async(request: _masep.AccessRequest, server: ref[Asker]) -> None:
    try:
        answer = _asked(server, request)
        if inspect.isawaitable(answer):
            answer = await answer
        _decide(request, answer)
    except Exception:
        _refuse_for_failure(request)


def _decide(request: _masep.AccessRequest, answer: object) -> None:
    """Carries out what the function has said."""
    if answer is False:
        request.refuse()
        return
    if answer is True:
        answer = Grant(request.peer)
    if not isinstance(answer, Grant):
        raise CallerError(f"admit gives True, False or a Grant, not a {type(answer).__name__}")
    expires = None if answer.expires is None else max(0.0, answer.expires.timestamp())
    lists = (list(answer.ids), list(answer.roles), list(answer.games), list(answer.seats))
    request.admit(answer.name, *lists, expires)


def _refuse_for_failure(request: _masep.AccessRequest) -> None:
    _log.exception("the function that admits clients has failed: the client is refused")
    try:
        request.refuse()
    except CallerError:
        # It was answered.
        pass
