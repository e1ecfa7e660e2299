"""Tables and players for asyncio.

A thread of each table tells its event loop that something has happened; everything else, the functions of
the host included, runs in the loop. A player uses the loop alone, but for attempts to connect.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterable
from types import EllipsisType
from typing import Any, Literal, Self, TypeVar

from . import _admitting, _blocks, _live, _masep, _tls
from ._exceptions import CallerError, TimedOut
from ._limits import Limits, SocketOptions
from ._player import PlayerTurn, _BasePlayer
from ._table import _M, Move, Seat, TableEvent, _BaseActions, _BaseMoves, _BaseTable, _BaseTurn, _function
from ._threads import in_thread

_T = TypeVar("_T")

_LONGEST = 1.0
"""The seconds after which a player looks after its connection while it waits, and a table's thread whether it is still
there."""
_MOST = 32
"""The turns that a player takes, and the results that a table gives without a wait, until other tasks run."""


class Table(_admitting.InLoop, _BaseTable[_admitting.AdmitAsync], _blocks.AsyncBlock):
    """A table, for its host: ``async with Table(game, ["red", "blue"], "0.0.0.0:60000") as table``. With
    ``async with`` the game is ended at the end of the block. It belongs to the event loop in which it was
    made, and its functions (views, ``late``) run in that.

    The arguments are those of :class:`masep.Table`.
    """

    def _begin(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiters: list[asyncio.Future[None]] = []
        # The attempts in a row that have not waited.
        self._at_once = 0
        threading.Thread(
            target=_watch,
            args=(weakref.ref(self), self._table, self._loop),
            name="masep-aio-table",
            daemon=True,
        ).start()

    async def filled(self, timeout: float | None = None) -> None:
        """As :meth:`masep.Table.filled`. When it is cancelled, nothing is lost."""
        try:
            await self._await(lambda: self._table.filled(0), timeout)
        except TimedOut:
            raise self._unfilled() from None

    def open(
        self,
        seats: Iterable[str] | None,
        view: Callable[[Seat], Any],
        *,
        deadline: float | None | EllipsisType = ...,
    ) -> Turn:
        """As :meth:`masep.Table.open`. Does not wait."""
        return Turn(self, self._opened(seats, view, deadline))

    async def ask(
        self, seat: str, view: Any, *, deadline: float | None | EllipsisType = ...
    ) -> Move:
        """As :meth:`masep.Table.ask`. When it is cancelled, the turn is closed."""
        async with self.open([seat], lambda _: view, deadline=deadline) as turn:
            return next(iter([move async for move in turn]))

    async def ask_all(
        self, view: Callable[[Seat], Any], *, deadline: float | None | EllipsisType = ...
    ) -> list[Move]:
        """As :meth:`masep.Table.ask_all`. When it is cancelled, the turn is closed."""
        async with self.open(None, view, deadline=deadline) as turn:
            return sorted([move async for move in turn], key=lambda move: move.index)

    def actions(self, view: Callable[[Seat], Any]) -> Actions:
        """As :meth:`masep.Table.actions`."""
        return Actions(self, self._table.actions(_function(view)))

    async def event(self, timeout: float | None = None) -> TableEvent | None:
        """As :meth:`masep.Table.event`. When it is cancelled, nothing is lost."""
        return await self._await(lambda: self._table.event(0), timeout)

    async def end(self) -> None:
        """As :meth:`masep.Table.end`. When it is cancelled, the game ends all the same."""
        await in_thread(self._table.end)
        self._forget()

    async def _await(self, attempt: Callable[[], _T], timeout: float | None) -> _T:
        """Makes an attempt each time that something has happened, until it does not time out, or that time is over."""
        if asyncio.get_running_loop() is not self._loop:
            raise CallerError("a table belongs to the event loop in which it was made")
        until = _end_of(self._loop, timeout)
        if self._at_once >= _MOST:
            self._at_once = 0
            # Before the attempt: when it is cancelled, nothing is lost.
            await asyncio.sleep(0)
        while True:
            # Before the attempt: what happens behind it is heard of.
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            timer = None if until is None else self._loop.call_at(until, _wake, waiter)
            # One that fails counts as well.
            self._at_once += 1
            try:
                return attempt()
            except TimedOut:
                if until is not None and until <= self._loop.time():
                    raise
                await waiter
                self._at_once = 0
            finally:
                if timer is not None:
                    timer.cancel()
                if waiter in self._waiters:
                    self._waiters.remove(waiter)

    def _tell(self) -> None:
        """Called by the loop when something has happened."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            _wake(waiter)

    async def _leave(self, error: BaseException | None) -> None:
        try:
            await self.end()
        finally:
            self._table.close()


def _end_of(loop: asyncio.AbstractEventLoop, timeout: float | None) -> float | None:
    """The time of the loop at which a wait is over; None for one without an end."""
    _masep.check_timeout(timeout)
    return None if timeout is None else loop.time() + timeout


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _watch(
    ref: weakref.ref[Table], table: _masep.Table, loop: asyncio.AbstractEventLoop
) -> None:
    """Tells a loop of what happens at a table, until either is gone."""
    seen = 0
    while (news := table.wait_for_news(seen, _LONGEST)) is not None:
        it = ref()
        if it is None:
            return
        if news != seen:
            seen = news
            try:
                loop.call_soon_threadsafe(it._tell)
            except RuntimeError:
                return
        del it


class _Moves(_BaseMoves[Table, _M], _blocks.AsyncBlock):
    """Decisions as they come. ``async for`` gives them."""

    async def next(self, timeout: float | None = None) -> Move | None:
        """The next decision; None when no more come: each seat of a turn has decided, or nobody plays any more.
        When it is cancelled, nothing is lost.

        :param timeout: seconds to wait at most
        :raises TimedOut: if no seat decided in that time; nothing is lost
        """
        return await self._table._await(lambda: self._moves.next(0), timeout)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Move:
        if (move := await self.next()) is None:
            raise StopAsyncIteration
        return move

    async def _leave(self, error: BaseException | None) -> None:
        self._forget()


class Actions(_BaseActions[Table], _Moves[_masep.Actions]):
    """The decisions of all seats, each at its own pace, until the table has ended, or each seat is gone or
    closed. At the end of an ``async with`` block, or with the last reference to it, its turns are closed. One in its own
    view function is such a reference."""


class Turn(_BaseTurn[Table], _Moves[_masep.Turn]):
    """A turn that is open until each of its seats has decided. With ``async with`` it is closed at the end
    of the block; ``async for`` gives decisions as they come."""


class Player(_BasePlayer, _blocks.AsyncBlock):
    """A player or a spectator, which connects and comes back by itself: :func:`masep.aio.join` makes one.

    With ``async with`` it leaves the game at the end of the block; when an exception ends that, it closes
    the connection only, and the seat can be had again. ``async for`` gives turns until the game is over. It
    looks after its connection while a turn is awaited. One task uses it at a time.
    """

    _descriptor: int | None = None
    """Of the connection, while a turn is awaited on it."""
    _tick = _LONGEST
    _arrival: asyncio.Future[None] | None = None
    _taken = 0

    async def next_turn(self, timeout: float | None = None) -> PlayerTurn | None:
        """As :meth:`masep.Player.next_turn`. When it is cancelled, nothing is lost."""
        loop = asyncio.get_running_loop()
        until = _end_of(loop, timeout)
        self._taken += 1
        if self._taken % _MOST == 0:
            await asyncio.sleep(0)
        while True:
            found, fields = self._player.try_next_turn()
            if found in ("turn", "over"):
                return self._take(fields)
            is_over = until is not None and until <= loop.time()
            if found == "apart":
                self._let_go()
                await in_thread(self._player.connect)
            elif not is_over:
                await self._wait(loop, until)
            if is_over:
                raise self._timed_out()

    async def _wait(self, loop: asyncio.AbstractEventLoop, until: float | None) -> None:
        """Waits until something has arrived, or the connection wants to be looked after, or that time of the loop."""
        if self._arrival is not None:
            raise CallerError("another task awaits the next turn")
        if self._descriptor is None:
            found = self._player.descriptor()
            if found is None:
                return
            self._descriptor, heartbeat = found
            self._tick = min(_LONGEST, heartbeat / 4) if heartbeat else _LONGEST
        descriptor = self._descriptor
        self._arrival = loop.create_future()
        loop.add_reader(descriptor, self._tell)
        looks = loop.time() + self._tick
        timer = loop.call_at(looks if until is None else min(looks, until), self._tell)
        forks = _live.forks
        try:
            await self._arrival
        finally:
            timer.cancel()
            if forks == _live.forks:
                # The loop watches its descriptors for the parent of a process that was forked, too.
                loop.remove_reader(descriptor)
            self._arrival = None

    def _tell(self) -> None:
        if self._arrival is not None:
            _wake(self._arrival)

    def _let_go(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    async def leave(self) -> None:
        """As :meth:`masep.Player.leave`."""
        await self._end_by(self._player.leave)

    async def close(self) -> None:
        """As :meth:`masep.Player.close`."""
        await self._end_by(self._player.close)

    async def _end_by(self, end: Callable[[], None]) -> None:
        _ = self.end
        self._tell()
        if self._arrival is None:
            self._let_go()
        await in_thread(end)

    def __del__(self) -> None:
        self._let_go()

    async def _leave(self, error: BaseException | None) -> None:
        if error is None:
            await self.leave()
        else:
            wait = _blocks.patience(error, asyncio.CancelledError)
            await self._end_by(lambda: self._player.close(wait))

    async def __aiter__(self) -> AsyncIterator[PlayerTurn]:
        while (turn := await self.next_turn()) is not None:
            yield turn


def join(
    address: str,
    *,
    id: str,
    game: str,
    role: Literal["actor", "observer"] = "actor",
    seat: str | None = None,
    resume: str | None = None,
    patience: float = 60.0,
    limits: Limits | None = None,
    socket_options: SocketOptions | None = None,
    protocol: Literal[1, 2] | None = None,
    tls_ca: _tls.Path | None = None,
    tls_name: str | None = None,
    token: str | None = None,
) -> Player:
    """A player of the game at this address: ``async with join(...) as seat``, ``async for turn in seat``. The
    arguments are those of :func:`masep.join`; ``turn.act`` does not wait, and is no coroutine.

    :raises CallerError: if the address is none
    """
    return Player(
        address,
        id=id,
        game=game,
        role=role,
        seat=seat,
        resume=resume,
        patience=patience,
        limits=limits,
        socket_options=socket_options,
        protocol=protocol,
        tls_ca=tls_ca,
        tls_name=tls_name,
        token=token,
    )
