"""Connections for asyncio.

>>> async def play() -> None:
...     async with masep.aio.connect("127.0.0.1:60000", id="agent-1") as connection:
...         async for message in connection:
...             await connection.send(answer(message))

A connection belongs to the event loop in which it was made.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import logging
import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Literal, NoReturn, TypeVar
from weakref import WeakKeyDictionary, WeakValueDictionary, ref

from . import _admitting, _blocks, _live, _masep, _tls, communication
from ._aio_table import Actions, Player, Table, Turn, join
from ._blocking import FoundServer, Request, body_of, found_servers, read
from ._exceptions import CallerError, MasepError, RejectedError, TimedOut
from ._facts import ConnectionFacts
from ._limits import Limits, SocketOptions
from ._listening import Listener, for_all
from ._message import Message
from ._threads import in_thread

__all__ = ["Actions", "Connection", "Player", "Server", "Table", "Turn", "connect", "discover", "join", "search"]

_TURN_BYTES = 64 * 1024
"""The bytes that calls may send and receive in a row before the other tasks of the loop have their
turn."""

_CALL_BYTES = 2 * 1024
"""As so many bytes counts each call, besides what it sends or receives."""

_SCARCE = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""The errors of a system that has nothing left, for now."""

_REST_SECONDS = 0.1
"""The time until a connection is tried again for which the system had nothing left."""

_T = TypeVar("_T")

_log = logging.getLogger("masep")


class _Loop:
    """The state that the connections of an event loop share: its waker, and the rest of its turn. Calls that
    find what they are for do not wait, and so would never let the other tasks run while a peer is fast
    enough."""

    _of_loop: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop]] = WeakKeyDictionary()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.left = _TURN_BYTES
        self.woken = _masep.EventLoop()
        self.connections: WeakValueDictionary[int, Connection] = WeakValueDictionary()
        self._keys = itertools.count()
        loop.add_reader(self.woken.fileno(), self._look)

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> _Loop:
        if loop not in cls._of_loop:
            cls._of_loop[loop] = cls(loop)
        return cls._of_loop[loop]

    def attach(self, connection: Connection) -> tuple[_masep.Driven, int | None]:
        key = next(self._keys)
        self.connections[key] = connection
        return _masep.Driven.attach(connection._connection, self.woken, key)

    def _look(self) -> None:
        """Called by the loop when others than their own calls have changed connections."""
        for key in self.woken.take_woken():
            connection = self.connections.get(key)
            if connection is not None:
                connection._look()

    async def go_on(self) -> None:
        """To be awaited before a call does what cannot be undone when it is cancelled."""
        if self.left <= 0:
            # Before it: a task that is cancelled there has let the others run.
            self.renew()
            await asyncio.sleep(0)
        self.left -= _CALL_BYTES

    def renew(self) -> None:
        """To be called when a wait has let the other tasks run."""
        self.left = _TURN_BYTES


class Connection(ConnectionFacts, _blocks.AsyncBlock):
    """A connection to a peer that has said hello. Any task of its event loop may use it.

    With ``async with`` it is closed at the end of the block; ``async for`` gives messages until the
    connection has ended.

    The event loop reads what arrives, up to ``queue_messages`` and ``queue_bytes`` of :class:`Limits`,
    writes what calls have left unsent, and notices the end, whether or not a call waits.
    """

    def __init__(self, connection: _masep.Connection) -> None:
        super().__init__(connection)
        self._loop = asyncio.get_running_loop()
        self._forks = _live.forks
        self._shared = _Loop.of(self._loop)
        self._in_turn = asyncio.Lock()
        # The calls that wait for a change.
        self._waiting: dict[asyncio.Future[bool], None] = {}
        # True while the loop watches the descriptor for that.
        self._reads = self._writes = False
        self._timer: asyncio.TimerHandle | None = None
        self._driven, self._descriptor = self._shared.attach(self)
        self._look()

    def __del__(self) -> None:
        descriptor = getattr(self, "_descriptor", None)
        if descriptor is None:
            return
        if self._forks != _live.forks:
            # The loop watches its descriptors for the parent, too.
            os.close(descriptor)
            return
        stop = partial(_stop_waiting, self._loop, descriptor, self._timer)
        if self._loop.is_running() and asyncio._get_running_loop() is not self._loop:
            # Another thread collects garbage.
            self._loop.call_soon_threadsafe(stop)
        else:
            stop()

    def _check(self) -> None:
        self._check_loop()

    async def send(self, message: communication.Message | bytes) -> None:
        """Sends a message, or bytes, as one frame. Waits while the peer does not take it; one that
        takes nothing for 30 seconds is given up. When it is cancelled, the frame is sent as a whole or
        not at all: the event loop writes the rest of one that has been begun.

        An array is sent as it is when there is room for the message; what the socket does not take at
        once is copied.

        :raises CallerError: for a message that cannot be sent
        :raises UnsupportedError: for one with an array, to a peer of pymasep's protocol
        :raises LimitError: for one that is too large for the peer or its protocol; the connection lives on
        :raises RejectedError: if the server has refused this client
        :raises TransportError: if the connection has ended otherwise
        """
        self._check_loop()
        body = body_of(message, self._connection)
        if body == b"BYE":
            await self.close()
            return
        async with self._in_turn:
            # Within the turn, so that a send does not overtake one that lets others run first.
            await self._shared.go_on()
            self._shared.left -= len(body)
            while (number := self._offer(body)) is None:
                await self._change()
            while number and not self._driven.is_written(number):
                await self._change()

    async def recv(self, timeout: float | None = None) -> bytes | None:
        """The body of the next frame; None when the connection has ended by a ``BYE``, or between two frames, as when
        the peer's process was killed (:attr:`close_reason` is ``"end_of_stream"`` then), and all that came before was given. When it is cancelled, nothing is lost.

        :param timeout: seconds to wait at most
        :raises TimedOut: if there was nothing in that time; nothing is lost
        :raises RejectedError: if the server has refused this client
        :raises TransportError: if the connection ended otherwise
        """
        received = await self._receive(timeout)
        return None if received is None else received.to_bytes()

    async def _receive(self, timeout: float | None) -> _masep.Received | None:
        """The next frame, as :meth:`recv`."""
        self._check_loop()
        _masep.check_timeout(timeout)
        await self._shared.go_on()
        until = None if timeout is None else self._loop.time() + timeout
        while (body := self._take()) is False:
            if timeout == 0 or not await self._change(until):
                # It may have arrived just now.
                self._look(readable=True)
                body = self._take()
                if body is False:
                    raise TimedOut("nothing came in the time that was given")
                break
        return body

    async def recv_message(self, timeout: float | None = None) -> Message | None:
        """The next frame as a message, else as :meth:`recv`.

        :raises PeerError: if it is none; the connection lives on
        """
        received = await self._receive(timeout)
        return read(None if received is None else self._connection.decode(received))

    async def close(self) -> str:
        """Says ``BYE`` when the peer has taken all that was sent, and closes: why the connection
        ended, which may have been before. When it is cancelled, that goes on.

        :raises RejectedError: if the server has refused this client, and no call has said so
        """
        return await self._end(None, "", None)

    async def bye(
        self, code: str = "bye", text: str = "", may_return: bool | None = None
    ) -> str:
        """As :meth:`close`, and tells a peer of protocol 2 why: it finds that in :attr:`peer_bye`.

        :param code: the reason, for programs, at most 64 bytes
        :param text: the reason, for people; the peer gets the first 1,024 bytes
        :param may_return: whether the peer may come back
        :raises CallerError: if the code is longer, or has a character that is not printable: nothing is done
        """
        return await self._end(code, text, may_return)

    async def _end(self, code: str | None, text: str, may_return: bool | None) -> str:
        self._check_loop()
        self._driven.begin_close(code, text, may_return)
        self._look()
        while (reason := self._driven.closed()) is None:
            await self._change()
        return reason

    def _offer(self, body: bytes | _masep.Outgoing) -> int | None:
        """0 if the frame is sent, its number if a rest of it waits, None if there is no room."""
        try:
            number = self._driven.offer(body)
        except MasepError:
            # The connection may have ended by this.
            self._look()
            raise
        if number:
            self._look()
        return number

    def _take(self) -> _masep.Received | None | Literal[False]:
        """The next frame; None at the end, and False if none has arrived."""
        body = self._driven.take()
        if not self._reads and self._descriptor is not None:
            # There is room for others now.
            self._look()
        if body:
            self._shared.left -= len(body)
        return body

    async def _change(self, until: float | None = None) -> bool:
        """Waits until there is something to take, or something was written, or the connection has ended.
        False if that time of the loop is over."""
        changed: asyncio.Future[bool] = self._loop.create_future()
        timer = None if until is None else self._loop.call_at(until, _set, changed, False)
        self._waiting[changed] = None
        try:
            return await changed
        finally:
            self._shared.renew()
            del self._waiting[changed]
            if timer is not None:
                timer.cancel()

    def _look(self, readable: bool = False, writable: bool = False) -> None:
        """Moves bytes, and has the loop wait for what is next."""
        waits = self._driven.turn(readable, writable)
        if waits is None or waits[3] or self._writes:
            for changed in self._waiting:
                _set(changed, True)
        if self._descriptor is None:
            return
        if waits is not None:
            self._wait_for(self._descriptor, *waits[:3])
            return
        _stop_waiting(self._loop, self._descriptor, self._timer)
        self._descriptor = self._timer = None
        self._reads = self._writes = False

    def _wait_for(self, descriptor: int, reads: bool, writes: bool, seconds: float | None) -> None:
        # Weak, so that dropping the last reference ends the connection.
        if reads is not self._reads:
            self._reads = reads
            if reads:
                self._loop.add_reader(descriptor, _ready, ref(self), True, False)
            else:
                self._loop.remove_reader(descriptor)
        if writes is not self._writes:
            self._writes = writes
            if writes:
                self._loop.add_writer(descriptor, _ready, ref(self), False, True)
            else:
                self._loop.remove_writer(descriptor)
        if seconds is not None:
            at = self._loop.time() + seconds
            if self._timer is not None and at < self._timer.when():
                self._timer.cancel()
                self._timer = None
            if self._timer is None:
                self._timer = self._loop.call_at(at, _due, ref(self))

    def _check_loop(self) -> None:
        if asyncio._get_running_loop() is not self._loop:
            raise CallerError("a connection belongs to the event loop in which it was made")

    async def _leave(self, error: BaseException | None) -> None:
        wait = _blocks.patience(error, asyncio.CancelledError)
        if wait is not None:
            # A task keeps the connection until it has ended.
            ending = self._loop.create_task(self.close())
            _endings.add(ending)
            ending.add_done_callback(_ended)
            await asyncio.wait([ending], timeout=wait)
            return
        try:
            await self.close()
        except RejectedError:
            # An error in the block is raised first.
            if error is None:
                raise

    async def __aiter__(self) -> AsyncIterator[Message]:
        while (message := await self.recv_message()) is not None:
            yield message


_endings: set[asyncio.Task[str]] = set()
"""The ends of connections whose blocks were interrupted. A loop keeps no tasks."""


def _ended(ending: asyncio.Task[str]) -> None:
    _endings.discard(ending)
    if not ending.cancelled():
        # The interruption is raised, not this.
        ending.exception()


def _ready(connection: ref[Connection], readable: bool, writable: bool) -> None:
    """Called by the loop when a socket is."""
    if (it := connection()) is not None:
        it._look(readable, writable)


def _due(connection: ref[Connection]) -> None:
    """Called by the loop when something of a connection is due."""
    if (it := connection()) is not None:
        it._timer = None
        it._look()


def _set(future: asyncio.Future[bool], result: bool) -> None:
    if not future.done():
        future.set_result(result)


def _stop_waiting(
    loop: asyncio.AbstractEventLoop, descriptor: int, timer: asyncio.TimerHandle | None
) -> None:
    if timer is not None:
        timer.cancel()
    if not loop.is_closed():
        loop.remove_reader(descriptor)
        loop.remove_writer(descriptor)
    os.close(descriptor)


class _Connecting:
    """The result of :func:`connect`: to be awaited, or entered with ``async with``."""

    def __init__(self, connect: Callable[[], _masep.Connection]) -> None:
        self._open = connect
        self._connection: Connection | None = None

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            way = "connection = await masep.aio.connect(...), or async with masep.aio.connect(...) as connection"
            raise AttributeError(f"what connect gives has no {name!r} before it is awaited: {way}")

    async def _connect(self) -> Connection:
        return Connection(await in_thread(self._open))

    def __await__(self) -> Generator[object, None, Connection]:
        return self._connect().__await__()

    async def __aenter__(self) -> Connection:
        self._connection = await self._connect()
        return self._connection

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._connection is not None:
            await self._connection._leave(error)


def connect(
    address: str,
    *,
    id: str,
    timeout: float | None = None,
    when_full: Literal["wait", "newest", "disconnect"] = "wait",
    limits: Limits | None = None,
    socket_options: SocketOptions | None = None,
    protocol: Literal[1, 2] | None = None,
    tls_ca: _tls.Path | None = None,
    tls_name: str | None = None,
    token: str | None = None,
) -> _Connecting:
    """Connects to a server: ``connection = await connect(...)``, or ``async with connect(...) as
    connection``.

    :param address: as for :func:`masep.connect`
    :param id: the id by which the server shall know this side
    :param timeout: seconds for each of: resolving the name, connecting, the server's hello; 5 each if
        not given
    :param when_full: as for :func:`masep.connect`
    :param limits: what messages and the connection are bound by
    :param socket_options: how the socket is opened and watched; ``busy_poll`` has no effect here
    :param protocol: as for :func:`masep.connect`
    :param tls_ca: as for :func:`masep.connect`
    :param tls_name: as for :func:`masep.connect`
    :param token: as for :func:`masep.connect`
    :raises CallerError: if the address is none
    :raises RejectedError: if a server of protocol 2 refuses this client, with its reason
    :raises TransportError: which of them failed, and why
    """
    options = (timeout, when_full, limits, socket_options, protocol)
    trust = _tls.trust(tls_ca, tls_name)
    return _Connecting(lambda: _masep.connect(id, address, *options, trust=trust, token=token))


class _Given(asyncio.Queue[_T]):
    """The things that a thread gives to a loop, of which one can be given back."""

    def __init__(self) -> None:
        super().__init__()
        self._is_back = False

    def _put(self, item: _T) -> None:
        # A subclass of a queue has to define this, as asyncio's own do.
        queue: deque[_T] = self._queue  # type: ignore[attr-defined]
        if self._is_back:
            queue.appendleft(item)
        else:
            queue.append(item)

    def put_back(self, item: _T) -> None:
        """Has this taken next."""
        self._is_back = True
        try:
            self.put_nowait(item)
        finally:
            self._is_back = False


class Server(_admitting.InLoop, Listener[Connection, _admitting.AdmitAsync], _blocks.AsyncBlock):
    __doc__ = (
        f"""{Listener.__doc__}
    ``async with Server("engine", "127.0.0.1:0") as server``: it is shut down at the end of the block; ``async for``
    gives connections. It is made in the event loop to which its connections belong. ``busy_poll`` of
    :class:`SocketOptions` has no effect here."""
    )

    def _begin(self, asks: bool) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._forks = _live.forks
        self._turn = _Loop.of(loop)
        self._accepted: _Given[_masep.Connection | None] = _Given()
        self._is_shut = False
        self._requests: asyncio.Queue[_masep.Request | None] | None = None
        _start_giving(self._server.accept, loop, self._accepted)
        if asks:
            self._requests = asyncio.Queue()
            _start_giving(self._server.next_request, loop, self._requests)

    def _wrapped(self, connection: _masep.Connection) -> Connection:
        return Connection(connection)

    def _check_loop(self) -> None:
        if asyncio._get_running_loop() is not self._loop:
            raise CallerError("a server belongs to the event loop in which it was made")

    def __del__(self) -> None:
        # The thread that accepts keeps the server; this ends it. A process that was forked has neither.
        if getattr(self, "_forks", None) == _live.forks:
            self._server.stop_accepting()

    async def accept(self, timeout: float | None = None) -> Connection | None:
        """The next connection; None when the server has stopped accepting. When it is cancelled, no
        connection is lost. One for which the system has no descriptor now waits until it has.

        :param timeout: seconds to wait at most
        :raises TimedOut: if none came in that time
        """
        _masep.check_timeout(timeout)
        until = None if timeout is None else self._loop.time() + timeout
        is_told = False
        while True:
            left = None if until is None else max(0.0, until - self._loop.time())
            connection = await self._next(self._accepted, left)
            if connection is None:
                return None
            if self._is_shut:
                # It has ended, or is being ended.
                continue
            try:
                return self._of(connection)
            except OSError as error:
                self._accepted.put_back(connection)
                if error.errno not in _SCARCE:
                    raise
                if not is_told:
                    _log.warning("a connection waits: the loop cannot have it yet: %s", error)
                is_told = True
                if until is not None and until <= self._loop.time():
                    raise TimedOut("no connection could be had in the time that was given") from error
            await asyncio.sleep(_REST_SECONDS)

    async def _next(self, given: asyncio.Queue[_T | None], timeout: float | None) -> _T | None:
        """The next of what a thread gives; None when no more come."""
        self._check_loop()
        _masep.check_timeout(timeout)
        await self._turn.go_on()
        try:
            async with asyncio.timeout(timeout):
                found = await given.get()
        except TimeoutError:
            raise TimedOut("nothing came in the time that was given") from None
        if found is None:
            # For the calls to come.
            given.put_nowait(None)
        return found

    async def broadcast(
        self,
        message: communication.Message | bytes,
        when_full: Literal["wait", "newest", "disconnect"] = "wait",
    ) -> int:
        """As :meth:`masep.Server.broadcast`. The message is taken as it is now. When it is cancelled, it goes on."""
        sent = for_all(message)
        return await in_thread(lambda: self._server.broadcast(sent, when_full))

    async def next_request(self, timeout: float | None = None) -> Request | None:
        """The next client of protocol 2 that waits for the host's word; None when the server has stopped
        accepting. When it is cancelled, no request is lost.

        :param timeout: seconds to wait at most
        :raises TimedOut: if none came in that time
        :raises CallerError: if the server was made without ``ask=True``
        """
        if self._requests is None:
            raise CallerError("the server asks nobody: it was made without ask=True")
        request = await self._next(self._requests, timeout)
        return None if request is None else Request(request)

    async def stop_accepting(self) -> None:
        """Takes no more connections; the others go on."""
        await in_thread(self._server.stop_accepting)

    async def shutdown(self, timeout: float = 1.0) -> list[str]:
        """Stops accepting and ends all connections, with a ``BYE`` behind what was sent.

        :param timeout: seconds that this takes at most
        :return: the ids of the peers that had not taken all in that time, and were cut off
        """
        _masep.check_timeout(timeout)
        self._is_shut = True
        cut = await in_thread(lambda: self._server.shutdown(timeout))
        self._admit = None
        return cut

    async def _leave(self, error: BaseException | None) -> None:
        await self.shutdown()

    async def __aiter__(self) -> AsyncIterator[Connection]:
        while (connection := await self.accept()) is not None:
            yield connection


def _start_giving(
    take: Callable[[], _T | None],
    loop: asyncio.AbstractEventLoop,
    into: asyncio.Queue[_T | None],
) -> None:
    """Has a thread give connections, or requests, to a loop until the server stops accepting, or the loop is gone."""
    threading.Thread(
        target=_give, args=(take, loop, into), name="masep-aio-accept", daemon=True
    ).start()


def _give(
    take: Callable[[], _T | None],
    loop: asyncio.AbstractEventLoop,
    into: asyncio.Queue[_T | None],
) -> None:
    while _give_one(take, loop, into):
        pass


def _give_one(
    take: Callable[[], _T | None],
    loop: asyncio.AbstractEventLoop,
    into: asyncio.Queue[_T | None],
) -> bool:
    """True if more may come. A function of its own, so that the thread keeps no connection while it
    waits for the next one."""
    given = take()
    try:
        loop.call_soon_threadsafe(into.put_nowait, given)
    except RuntimeError:
        return False
    return given is not None


async def discover(timeout: float = 1.0) -> list[tuple[str, int]]:
    """The hosts and ports of the servers on the LAN that answer the search. Anybody can answer it: the
    first of each host stands before the second of any, which is the order in which to try them.

    :param timeout: seconds to wait for answers
    :raises TransportError: if the search is not possible on this host
    """
    return await in_thread(lambda: _masep.discover(timeout))


async def search(timeout: float = 1.0) -> list[FoundServer]:
    """The servers on the LAN that answer the search, with what those of masep tell of themselves, in the order of
    :func:`discover`.

    :param timeout: seconds to wait for answers
    :raises TransportError: if the search is not possible on this host
    """
    return found_servers(await in_thread(lambda: _masep.search(timeout)))
